package arch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// minimum lists the versions below which a dependency has a known hole (reliability-bar S10).
var minimum = map[string]string{
	"github.com/gin-gonic/gin":     "v1.12.0",
	"github.com/quic-go/quic-go":   "v0.59.1",
	"golang.org/x/net":             "v0.62.0",
	"golang.org/x/crypto":          "v0.58.0",
	"golang.org/x/mod":             "v0.40.0",
	"github.com/gorilla/websocket": "v1.5.3",
}

// maxDirect is the budget of direct third-party dependencies of one module.
const maxDirect = 25

// TestModules_dependenciesAreFewNewAndExplained reads the go.mod files: minimum versions, the
// budget, and a reason for each direct dependency in the dependency ADR. It is S10, and S11 for the
// count of direct dependencies.
func TestModules_dependenciesAreFewNewAndExplained(t *testing.T) {
	adr, err := os.ReadFile(filepath.Join(root, "shared", "adr", "0001-dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range []string{"shared", "policies", "orchestrator", "control-center", "tests"} {
		path := filepath.Join(root, module, "go.mod")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		mod, err := modfile.Parse(path, data, nil)
		if err != nil {
			t.Fatal(err)
		}
		direct := 0
		for _, r := range mod.Require {
			if want := minimum[r.Mod.Path]; want != "" && semver.Compare(r.Mod.Version, want) < 0 {
				t.Errorf("%s requires %s %s, at least %s is needed", path, r.Mod.Path, r.Mod.Version, want)
			}
			if r.Indirect || strings.HasPrefix(r.Mod.Path, prefix) {
				continue
			}
			direct++
			if !strings.Contains(string(adr), "`"+r.Mod.Path+"`") {
				t.Errorf("%s requires %s without a line of reason in shared/adr/0001-dependencies.md", path, r.Mod.Path)
			}
		}
		if direct > maxDirect {
			t.Errorf("%s has %d direct dependencies, the budget is %d", path, direct, maxDirect)
		}
	}
}

// TestImports_unsafeAndProcessesAreRare is S11 for the standard library: no cgo and no unsafe in
// the product, and only the package that makes local servers starts processes.
func TestImports_unsafeAndProcessesAreRare(t *testing.T) {
	t.Parallel()
	starts := 0
	for _, p := range load(t) {
		if strings.HasPrefix(p.Path, "tests") || strings.HasSuffix(p.Path, "test") {
			continue
		}
		for _, f := range p.Files {
			for _, imp := range f.Imports() {
				switch own := p.Path == "orchestrator/internal/provider/local"; {
				case f.Test:
				case imp == "C" || imp == "unsafe" || imp == "os/exec" && !own:
					t.Errorf("%s imports %s", f.Path, imp)
				case imp == "os/exec":
					starts++
				}
			}
		}
	}
	if starts == 0 {
		t.Error("nobody imports os/exec: take the exception out")
	}
}
