package conformance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// withoutStorage points e at an installation of its own whose store can be taken away: a SurrealDB
// engine that is killed, or a small disk that is filled and, with back, emptied again.
func (e *env) withoutStorage() (away, back func()) {
	e.t.Helper()
	t := e.t
	o := rig.Options{Bin: e.Bin, Dir: t.TempDir()}
	o.OrchestratorConfig, e.calls = writeConfig(t, o.Dir)
	if e.surreal {
		away = rigtest.UseOwnSurreal(t, &o)
		e.Rig = rigtest.Start(t, o)
	} else {
		e.Rig = e.onSmallDisk(o)
		// The orchestrator's view of its disk, from outside its mount namespace.
		fill := filepath.Join(fmt.Sprintf("/proc/%d/root", e.Orchestrator.PID()), o.Dir, "orchestrator", "filler")
		away = func() { e.fill(fill) }
		back = func() {
			if err := os.Remove(fill); err != nil {
				t.Fatal(err)
			}
		}
	}
	e.onlyAdmin()
	return away, back
}

// onSmallDisk starts an installation whose orchestrator has its data folder on a disk of 64 MiB
// that nobody else sees.
func (e *env) onSmallDisk(o rig.Options) *rig.Rig {
	e.t.Helper()
	r := rigtest.Prepare(e.t, o)
	data := filepath.Join(o.Dir, "orchestrator")
	if err := os.MkdirAll(data, 0o700); err != nil {
		e.t.Fatal(err)
	}
	onSmallDisk(r.Orchestrator, data)
	if err := r.StartServices(e.t.Context()); err != nil {
		e.t.Fatal(err)
	}
	session, err := r.Login(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	r.Token = session.Token
	return r
}

// onSmallDisk makes a service start with its data folder, and what is in there, on a disk of 64 MiB
// that nobody else sees.
func onSmallDisk(s *rig.Service, data string) {
	unshare := []string{"--mount"}
	if os.Getuid() != 0 {
		unshare = append(unshare, "--user", "--map-root-user")
	}
	mount := `cp -a "$0" "$0.copy" && mount -t tmpfs -o size=64m,mode=0700 none "$0" && cp -a "$0.copy/." "$0" && exec "$@"`
	s.Args = append(append(unshare, "sh", "-c", mount, data, s.Bin), s.Args...)
	s.Bin = "unshare"
}

// onSmallDisk is onSmallDisk of the control-center. away takes all that is free there, and back
// gives it back.
func (d *directory) onSmallDisk() (away, back func()) {
	data := filepath.Join(d.Dir, "control-center")
	onSmallDisk(d.ControlCenter, data)
	// Its view of its disk, from outside its mount namespace.
	filler := func() string {
		return filepath.Join(fmt.Sprintf("/proc/%d/root", d.ControlCenter.PID()), data, "filler")
	}
	return func() { fill(d.t, filler()) }, func() {
		if err := os.Remove(filler()); err != nil {
			d.t.Fatal(err)
		}
	}
}

// fill writes to a file until the disk is full.
func (e *env) fill(path string) { fill(e.t, path) }

func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	block := make([]byte, 64<<10)
	for {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			if len(block) == 512 {
				return
			}
			block = block[:512]
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
