package arch

import (
	"strings"
	"testing"
)

// TestExecuteBatch_crossesFewFiles counts the files and packages between the route POST
// /batch/execute and the commit of its run (decision 67: static call paths to store.DB.Commit;
// fault, id and obs are left out).
func TestExecuteBatch_crossesFewFiles(t *testing.T) {
	t.Parallel()
	packages, err := Check(root)
	if err != nil {
		t.Fatal(err)
	}
	c := CallsOf(packages)
	first := []string{"(*" + prefix + "shared/web.Server).serve", "(*" + prefix + "orchestrator/internal/api.API).executeBatch"}
	last := []string{"(" + prefix + "shared/store.DB).Commit"}
	functions := c.Between(first, last, func(pkg string) bool {
		switch pkg {
		case "shared/fault", "shared/id", "shared/obs", "shared/store/storetest":
			return true
		}
		return false
	})
	files, pkgs := c.Files(functions)
	t.Logf("%d functions in %d files of %d packages:\n%s", len(functions), len(files), len(pkgs), strings.Join(files, "\n"))
	if len(files) > 25 || len(pkgs) > 10 {
		t.Errorf("%d files and %d packages lie between the route and its commit; the limits are 25 and 10", len(files), len(pkgs))
	}
	if len(functions) < 20 {
		t.Error("no call path was found: the names of its ends are out of date")
	}
}
