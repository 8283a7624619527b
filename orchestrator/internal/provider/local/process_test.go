package local

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
)

// TestOpen_aCopyOfARunningFolderHasServersOfItsOwn copies the folder of a running server and lets a
// second orchestrator work on the copy. It took the recorded process for its own: commands ran on
// the original, and deleting the copy ended the original's process.
func TestOpen_aCopyOfARunningFolderHasServersOfItsOwn(t *testing.T) {
	t.Parallel()
	original, copied := place(t), place(t)
	d := open(t, original)
	s := create(t, d, "tag")
	before := d.folder(s.ID)
	served, err := before.process()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", original+"/.", copied).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	other := open(t, copied)
	twin, ok, err := other.Find(t.Context(), "tag")
	if err != nil || !ok {
		t.Fatalf("the copy has no server: %v", err)
	}
	if out := run(t, other, twin, provider.Command{Argv: []string{"pwd"}}); string(out.Output) != other.folder(twin.ID).at("root")+"\n" {
		t.Errorf("a command on the copy's server ran in %s", out.Output)
	}
	if p, err := other.folder(twin.ID).process(); err != nil || p.PID == served.PID || p.Port == served.Port {
		t.Errorf("the copy's server is process %+v, the original's %+v: %v", p, served, err)
	}
	if err := other.Delete(t.Context(), twin); err != nil {
		t.Error(err)
	}
	if p, err := before.process(); err != nil || p != served || !p.serves(before) {
		t.Errorf("after the copy was deleted the original's process is %+v, was %+v: %v", p, served, err)
	}
	if out := run(t, open(t, original), s, provider.Command{Argv: []string{"pwd"}}); string(out.Output) != before.at("root")+"\n" {
		t.Errorf("the original's server answers from %s", out.Output)
	}

	// A copy whose destruction begins at once, without any other use.
	if out, err := exec.Command("cp", "-a", original+"/.", copied).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := open(t, copied).Delete(t.Context(), s); err != nil {
		t.Error(err)
	}
	if !served.serves(before) {
		t.Error("deleting an unused copy ended the original's process")
	}
}

// TestServer_inheritsNoDescriptor is X12 for descriptors: it starts a server from a process that
// was given an open file. The server kept it open for as long as it lived, with whatever lock stood
// on it.
func TestServer_inheritsNoDescriptor(t *testing.T) {
	t.Parallel()
	dir := place(t)
	given := filepath.Join(t.TempDir(), "given")
	fd, err := syscall.Open(given, syscall.O_CREAT|syscall.O_RDWR, 0o600) // not closed by exec, like what a shell hands on
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	d := open(t, dir)
	s := create(t, d, "tag")
	p, err := d.folder(s.ID).process()
	if err != nil {
		t.Fatal(err)
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID))
	if err != nil || len(fds) < 4 {
		t.Fatalf("the server's descriptors are %v: %v", fds, err)
	}
	for _, e := range fds {
		if to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", p.PID, e.Name())); to == given {
			t.Errorf("descriptor %s of the server is %s", e.Name(), to)
		}
	}
}
