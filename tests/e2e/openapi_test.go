package e2e

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// A generated client has at most filesAnOperation files for each operation, with its types, and
// moreFiles that hold them together. A document that says the same error or row again and again
// makes several hundred files more.
const (
	filesAnOperation = 3
	moreFiles        = 40
)

// TestOpenAPI_toolsOfOthersTakeTheDocuments: a validator finds no fault, a generator makes a small
// client without a warning, and that client works.
func TestOpenAPI_toolsOfOthersTakeTheDocuments(t *testing.T) {
	python := rigtest.Python(t, "openapi", "requirements-openapi.txt",
		"Python 3.11 or later with its venv module (Debian 12 or later: python3 python3-venv)")
	bin := filepath.Dir(python)
	r := rigtest.Start(t, sample(t))
	for name, address := range map[string]string{"control-center": r.ControlCenter.Address, "orchestrator": r.Orchestrator.Address} {
		document, into := filepath.Join(r.Dir, name+".json"), filepath.Join(r.Dir, name+"-client")
		a := rigtest.Send(t, "GET", address+"/openapi.json", "", nil)
		if err := os.WriteFile(document, a.Raw, 0o600); a.Status != 200 || err != nil {
			t.Fatal(a.Status, err)
		}
		run := func(program string, args ...string) string {
			t.Helper()
			cmd := exec.CommandContext(t.Context(), filepath.Join(bin, program), args...)
			cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%s of the %s: %v: %s", program, name, err, out)
			}
			return string(out)
		}
		run("openapi-spec-validator", document)
		if said := run("openapi-python-client", "generate", "--path", document, "--output-path", into); strings.Contains(said, "WARNING") ||
			strings.Contains(said, "ERROR") {
			t.Errorf("the generator says about the %s: %s", name, said)
		}
		files := 0
		_ = filepath.WalkDir(into, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				files++
			}
			return nil
		})
		if n := bytes.Count(a.Raw, []byte(`"operationId":`)); files < n || files > filesAnOperation*n+moreFiles {
			t.Errorf("the generated client of the %s has %d files for %d operations, at most %d are wanted", name, files, n,
				filesAnOperation*n+moreFiles)
		}
	}
	token := filepath.Join(r.Dir, "token")
	if err := os.WriteFile(token, []byte(r.Token.Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "generated.py"))
	cmd.Env = append(os.Environ(), "BASE_URL="+r.Orchestrator.Address, "TOKEN_FILE="+token, "CLIENT="+
		filepath.Join(r.Dir, "orchestrator-client"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the generated client does not work: %v\n%s", err, out)
	}
}
