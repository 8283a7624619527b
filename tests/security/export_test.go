package security

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestExport_aForgedOneEndsWith11 is what somebody runs who got an export: the words of the verdict
// and the exit code. All ways to forge one are tested in shared/audit.
func TestExport_aForgedOneEndsWith11(t *testing.T) {
	o := rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir()}
	r := rigtest.Prepare(t, o)
	fresh := filepath.Join(o.Dir, "control-center")
	verify := func(name, want string, args ...string) {
		t.Helper()
		out, err := r.Run(t.Context(), "control-center", append([]string{"audit", "verify", "-o", "json"}, args...)...)
		if want == "intact" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), "exit status 11") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want exit status 11 and %q, have %v", name, want, err)
		}
		var report struct{ Verdict string }
		if len(out) > 0 && (json.Unmarshal(out, &report) != nil || !strings.Contains(report.Verdict, want)) {
			t.Errorf("%s: %s", name, out)
		}
	}
	verify("a folder that was never served", "no service ever ran", "--data", fresh)
	if out, err := r.Run(t.Context(), "control-center", "audit", "export", "--data", fresh); err == nil ||
		!strings.Contains(err.Error(), "exit status 11") {
		t.Errorf("an export of it: %s %v", out, err)
	}

	if err := r.ControlCenter.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code, err := r.ControlCenter.Stop(); code != 0 || err != nil {
		t.Fatal(code, err)
	}
	raw, err := r.Run(t.Context(), "control-center", "audit", "export", "--data", fresh)
	if err != nil {
		t.Fatal(err)
	}
	good := string(raw)
	keys := filepath.Join(fresh, "keys", "audit", "public")
	for name, c := range map[string][2]string{
		"as it was written":   {good, "intact"},
		"entry and Entry":     {strings.Replace(good, `,"index":0`, `,"Entry":"{}","index":0`, 1), "malformed export"},
		"a wrong leaf hash":   {strings.Replace(good, `"leaf_hash":"`, `"leaf_hash":"A`, 1), "malformed export"},
		"nothing":             {"", "cut export"},
		"the header alone":    {good[:strings.Index(good, "\n")+1], "cut export"},
		"cut within an entry": {good[:len(good)-9], "cut export"},
	} {
		if name != "as it was written" && c[0] == good {
			t.Fatalf("%s: nothing was changed in %s", name, good)
		}
		file := filepath.Join(o.Dir, "export.jsonl")
		if err := os.WriteFile(file, []byte(c[0]), 0o600); err != nil {
			t.Fatal(err)
		}
		verify(name, c[1], "--export", file, "--keys", keys)
	}
}
