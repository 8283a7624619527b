package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"sort"
	"strings"
	"testing"
)

// root is the repository as seen from this package.
const root = "../.."

func load(t *testing.T) []Package {
	t.Helper()
	packages, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

// TestPackages_haveOneComment: the package comment is the first thing a newcomer reads.
func TestPackages_haveOneComment(t *testing.T) {
	for _, p := range load(t) {
		comments, product := 0, 0
		for _, f := range p.Files {
			if f.Test {
				continue
			}
			product++
			if f.AST.Doc != nil {
				comments++
			}
		}
		if product > 0 && comments != 1 {
			t.Errorf("%s has %d package comments, want exactly one", p.Path, comments)
		}
	}
}

// TestExportedSymbols_areDocumented: what a symbol returns, its units and its errors stand at the
// symbol.
func TestExportedSymbols_areDocumented(t *testing.T) {
	for _, p := range load(t) {
		for _, f := range p.Files {
			if f.Test || f.AST.Name.Name == "main" {
				continue
			}
			for _, d := range f.AST.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
						t.Errorf("%s: %s has no comment", f.Fset.Position(d.Pos()), d.Name.Name)
					}
				case *ast.GenDecl:
					for _, s := range d.Specs {
						if ts, ok := s.(*ast.TypeSpec); ok && ts.Name.IsExported() && d.Doc == nil && ts.Doc == nil {
							t.Errorf("%s: type %s has no comment", f.Fset.Position(ts.Pos()), ts.Name.Name)
						}
					}
				}
			}
		}
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	expr := d.Recv.List[0].Type
	for {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.IndexListExpr:
			expr = e.X
		case *ast.Ident:
			return e.IsExported()
		default:
			return true
		}
	}
}

// Length budgets of architecture section 11, in lines of a file that is not a test.
const (
	maxLines    = 350
	medianLines = 130
	p90Lines    = 350
)

// TestFiles_areShort: one noun a file. The median has a tolerance because it moves with every
// commit.
func TestFiles_areShort(t *testing.T) {
	var lines []int
	for _, p := range load(t) {
		for _, f := range p.Files {
			if f.Test || strings.HasPrefix(f.Path, "tests/") {
				continue
			}
			lines = append(lines, f.Lines)
			if f.Lines > maxLines {
				t.Errorf("%s has %d lines, the limit is %d: split it by noun", f.Path, f.Lines, maxLines)
			}
		}
	}
	sort.Ints(lines)
	median, p90 := lines[len(lines)/2], lines[len(lines)*9/10]
	t.Logf("%d files, median %d lines, p90 %d", len(lines), median, p90)
	if median > medianLines+20 {
		t.Errorf("median file has %d lines, the budget is %d", median, medianLines)
	}
	if p90 > p90Lines {
		t.Errorf("the ninth decile is %d lines, the budget is %d", p90, p90Lines)
	}
}

// TestProduct_hasNoInitAndNoSleepInTests: nothing runs before main, and no test waits for luck.
func TestProduct_hasNoInitAndNoSleepInTests(t *testing.T) {
	for _, p := range load(t) {
		for _, f := range p.Files {
			for _, d := range f.AST.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s: init functions are not allowed; wire it in app", f.Fset.Position(fn.Pos()))
				}
			}
			if f.Test {
				for _, at := range uses(f, "time", "Sleep") {
					t.Errorf("%s: time.Sleep in a test; use testing/synctest or wait for an event", at)
				}
			}
		}
	}
}

// pure lists the packages that take the time as a parameter, with the reason.
var pure = map[string]string{
	"orchestrator/internal/dag":     "a run's next state is a function of state, command and time",
	"control-center/internal/login": "whether a login succeeds is a function of what is stored and the time",
	"shared/fault":                  "an error does not depend on when it is made",
	"shared/store":                  "the judge of a group must give every driver the same verdicts",
}

// TestPurePackages_readNoClock holds law 4.
func TestPurePackages_readNoClock(t *testing.T) {
	for _, p := range load(t) {
		if _, ok := pure[p.Path]; !ok {
			continue
		}
		for _, f := range p.Files {
			if f.Test {
				continue
			}
			for _, name := range []string{"Now", "Since", "Until"} {
				for _, at := range uses(f, "time", name) {
					t.Errorf("%s: time.%s in a pure package", at, name)
				}
			}
		}
	}
}

// uses returns the places in f that name a symbol of the package with an import path: called or
// passed on, and whatever the file calls the package. A dot import counts as one, for it hides what
// it is used for.
func uses(f File, imp, symbol string) []string {
	var places []string
	names := f.names(imp)
	if names["."] {
		places = append(places, f.Path+" (dot import)")
	}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == symbol {
			if id, ok := sel.X.(*ast.Ident); ok && names[id.Name] && id.Obj == nil {
				places = append(places, f.Fset.Position(sel.Pos()).String())
			}
		}
		return true
	})
	return places
}

// TestUses_noSpellingEscapes is about the search itself: every test that forbids a symbol stands on
// it.
func TestUses_noSpellingEscapes(t *testing.T) {
	for _, c := range []struct {
		imports, body string
		want          int
	}{
		{`import "time"`, `time.Sleep(1)`, 1}, {`import "time"`, `nap := time.Sleep; nap(1); time.Now()`, 1}, {`import clock "time"`, `clock.Sleep(1)`, 1}, {`import . "time"`, `Sleep(1)`, 1},
		{`import ("time"; clock "time")`, `time.Sleep(1); clock.Sleep(1)`, 2}, {`import time "example.com/fake"`, `time.Sleep(1)`, 0}, {`import _ "time"`, ``, 0}, {`import "time"`, `time := napper{}; time.Sleep(1)`, 0},
	} {
		fset := token.NewFileSet()
		parsed, err := parser.ParseFile(fset, "x.go", "package x\n"+c.imports+"\nfunc f() { "+c.body+" }", 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := uses(File{Path: "x.go", AST: parsed, Fset: fset}, "time", "Sleep"); len(got) != c.want {
			t.Errorf("%s with %s: time.Sleep is used at %v, want %d places", c.body, c.imports, got, c.want)
		}
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), "x.go", `package x; import ("example.com/casbin/v2"; "example.com/v2ray"); import . "fmt"`, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := File{AST: parsed}
	if !f.names("example.com/casbin/v2")["casbin"] || !f.names("example.com/v2ray")["v2ray"] || !f.names("fmt")["."] ||
		len(f.names("os")) != 0 {
		t.Errorf("names of imports: %v %v %v %v", f.names("example.com/casbin/v2"), f.names("example.com/v2ray"), f.names("fmt"),
			f.names("os"))
	}
}
