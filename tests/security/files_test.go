package security

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestFiles_nobodyElseReadsThem is S04: everything in the data folders is the owner's alone, and a
// service whose folder, key or credential others can read does not start and names the command that
// repairs it.
func TestFiles_nobodyElseReadsThem(t *testing.T) {
	dir := t.TempDir()
	config, err := configure(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := rigtest.Prepare(t, rig.Options{Bin: rigtest.Binaries(t), Dir: dir, OrchestratorConfig: config})
	if err := r.StartServices(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	home := map[string]string{"control-center": filepath.Join(dir, "control-center"), "orchestrator": filepath.Join(dir, "orchestrator")}
	private := 0
	for _, root := range home {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			// Files of the store engine have its own mode; the folder above shuts them off.
			if info.Mode().Perm()&0o077 != 0 && !strings.Contains(path, string(filepath.Separator)+"store") {
				t.Errorf("%s has mode %o", path, info.Mode().Perm())
			}
			if strings.Contains(path, "key") || strings.HasSuffix(path, ".json") {
				private++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if private < 8 {
		t.Errorf("only %d key files were looked at", private)
	}
	for _, c := range []struct {
		service, path string
		mode          fs.FileMode
	}{
		{"control-center", "", 0o750}, {"control-center", "bootstrap.json", 0o640}, {"control-center", "keys", 0o755},
		{"control-center", "keys/kek", 0o604}, {"control-center", "keys/audit/treehead.pem", 0o644},
		{"control-center", "keys/audit/witness.pem", 0o640}, {"orchestrator", "", 0o755},
		{"orchestrator", "keys/audit/treehead.pem", 0o640}, {"orchestrator", "keys/audit/witness.pem", 0o604},
		{"orchestrator", r.Admin.OrchestratorCredential, 0o644},
	} {
		path := filepath.Join(home[c.service], c.path)
		if filepath.IsAbs(c.path) {
			path = c.path
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		service := r.ControlCenter
		if c.service == "orchestrator" {
			service = r.Orchestrator
		}
		out, err := r.Run(t.Context(), c.service, append(service.Args, "--listen", "127.0.0.1:0")...)
		if err == nil || !strings.Contains(err.Error(), "chmod ") || !strings.Contains(err.Error(), path) {
			t.Errorf("%s with mode %o: %v %s", path, c.mode, err, out)
		}
		if err := os.Chmod(path, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.StartServices(t.Context()); err != nil {
		t.Error("with the modes as they were: ", err)
	}
}
