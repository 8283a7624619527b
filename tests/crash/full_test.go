package crash

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestFull_readsStayUpAndChangesResume is decision 42 and the bar's D05 with a disk that is really
// full: both services on a file system of their own size answer reads and health, refuse changes
// with store.full, and take them again within 5 s when there is room, without a restart. It mounts
// a file system, for which it must run as root.
func TestFull_readsStayUpAndChangesResume(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=192m,mode=0700"); err != nil {
		t.Fatalf("mount a small file system (run as root): %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	r := rigtest.Start(t, rig.Options{Bin: rigtest.Binaries(t), Dir: dir})
	orch := &client.Client{Base: r.Orchestrator.Address, Token: r.Token}
	cc := &client.Client{Base: r.ControlCenter.Address, Token: r.Token}
	checkpoint := func() error {
		_, err := orch.CreateCheckpoint(t.Context(), "c", "", "")
		return err
	}
	user := func() error {
		_, err := cc.Login(t.Context(), "nobody", r.Token, "") // a refused sign-in is a commit too
		return err
	}
	if err := checkpoint(); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		filler := filepath.Join(dir, "filler")
		fill(t, filler)
		rigtest.Await(t, 5*time.Second, "changes are refused on both services", func() bool {
			return fault.CodeOf(checkpoint()) == "store.full" && fault.CodeOf(user()) == "store.full"
		})
		began := time.Now()
		for time.Since(began) < 2*time.Second {
			for _, address := range []string{r.Orchestrator.Address + "/tasks", r.Orchestrator.Address + "/rollback/checkpoints",
				r.ControlCenter.Address + "/users",
				r.Orchestrator.Address + "/health", r.ControlCenter.Address + "/health"} {
				if got, body := ask(t, address, r); got != http.StatusOK {
					t.Fatalf("round %d: %s answers %d on a full disk: %s", round, address, got, body)
				}
			}
			if err := checkpoint(); fault.CodeOf(err) != "store.full" || !strings.Contains(err.Error(), "free space") {
				t.Fatalf("round %d: a change on a full disk: %v", round, err)
			}
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		rigtest.Await(t, 5*time.Second, "changes are taken again on both services", func() bool {
			return checkpoint() == nil && fault.CodeOf(user()) == "auth.refused"
		})
	}
}

// fill takes all that is free.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<20)
	for len(block) > 0 {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2] // down to the last byte
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func ask(t *testing.T, address string, r *rig.Rig) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.Token.Reveal())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}
