package arch

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// barRow matches the id of a row of the reliability bar, and a range of them ("A05 to A10").
var barRow = regexp.MustCompile(`\b([ADEILRSXZ])(\d\d)\b(?: to ([ADEILRSXZ])(\d\d)\b)?`)

// TestBar_listsRowsWithoutATest holds the rows of the reliability bar that no test names to the
// golden file. A test names a row by writing its id in its doc comment or its name;
// testdata/bar_rows.txt lists all 168 rows. Run with -update to accept a change.
func TestBar_listsRowsWithoutATest(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("testdata", "bar_rows.txt"))
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(string(text)), "\n")
	named := rowsNamedByTests(load(t))
	var missing []string
	for _, row := range rows {
		if !named[row[:3]] {
			missing = append(missing, row)
		}
		delete(named, row[:3])
	}
	for id := range named {
		if id[0] != 'I' { // the contract numbers its own inconsistencies I1 to I44
			t.Errorf("a test names row %s, which bar_rows.txt does not have", id)
		}
	}
	got := "Rows that no test names:\n" + strings.Join(missing, "\n") + "\n"
	golden := filepath.Join("testdata", "bar_missing.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("the rows without a test changed; review them and run: go test ./arch -run listsRows -update\n%s",
			firstDifference(string(want), got))
	}
}

// rowsNamedByTests returns the ids in the names and doc comments of all Test and Fuzz functions.
func rowsNamedByTests(packages []Package) map[string]bool {
	named := map[string]bool{}
	for _, p := range packages {
		for _, f := range p.Files {
			if !f.Test || strings.HasSuffix(f.Path, "arch/bar_test.go") {
				continue
			}
			for _, d := range f.AST.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || !strings.HasPrefix(fn.Name.Name, "Test") && !strings.HasPrefix(fn.Name.Name, "Fuzz") {
					continue
				}
				for _, m := range barRow.FindAllStringSubmatch(fn.Name.Name+" "+fn.Doc.Text(), -1) {
					first, _ := strconv.Atoi(m[2])
					last := first
					if m[3] == m[1] {
						last, _ = strconv.Atoi(m[4])
					}
					for n := first; n <= last; n++ {
						named[fmt.Sprintf("%s%02d", m[1], n)] = true
					}
				}
			}
		}
	}
	return named
}
