package arch

import (
	"bytes"
	"flag"
	"go/ast"
	"go/printer"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestShared_exportedAPI holds the exported API of shared as a reviewed file: a change of what both
// programs build on is seen in the diff. Run with -update to accept it.
func TestShared_exportedAPI(t *testing.T) {
	var out bytes.Buffer
	for _, p := range load(t) {
		if !strings.HasPrefix(p.Path, "shared/") {
			continue
		}
		var lines []string
		for _, f := range p.Files {
			if !f.Test {
				lines = append(lines, exported(f)...)
			}
		}
		sort.Strings(lines)
		if len(lines) > 0 {
			out.WriteString("# " + p.Path + "\n" + strings.Join(lines, "\n") + "\n\n")
		}
	}
	golden := filepath.Join("testdata", "shared_api.golden")
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, out.Bytes()) {
		t.Errorf("the exported API of shared changed; review it and run: go test ./arch -run exportedAPI -update\n%s",
			firstDifference(string(want), out.String()))
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := 0; i < len(w) && i < len(g); i++ {
		if w[i] != g[i] {
			return "- " + w[i] + "\n+ " + g[i]
		}
	}
	return "one is longer than the other"
}

// exported returns one line for each exported function, method and type of f; types show their kind
// only, for fields are covered by the code that uses them.
func exported(f File) []string {
	var lines []string
	for _, d := range f.AST.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && exportedReceiver(d) {
				lines = append(lines, oneLine(f, &ast.FuncDecl{Recv: d.Recv, Name: d.Name, Type: d.Type}))
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() {
						lines = append(lines, "type "+s.Name.Name+" "+kind(s.Type))
					}
				case *ast.ValueSpec:
					for _, n := range s.Names {
						if n.IsExported() {
							lines = append(lines, d.Tok.String()+" "+n.Name)
						}
					}
				}
			}
		}
	}
	return lines
}

func kind(e ast.Expr) string {
	switch e.(type) {
	case *ast.StructType:
		return "struct"
	case *ast.InterfaceType:
		return "interface"
	case *ast.FuncType:
		return "func"
	case *ast.MapType:
		return "map"
	case *ast.ArrayType:
		return "list"
	}
	return "named"
}

func oneLine(f File, n ast.Node) string {
	var b bytes.Buffer
	if err := printer.Fprint(&b, f.Fset, n); err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
