package arch

import (
	"go/ast"
	"go/types"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestComponents_everyPartThatRunsIsStarted looks at everything that package process and the two
// app packages build: whatever has Run(context.Context) error lives long and must be started. A
// part that nobody starts compiles, serves and silently never does its work.
func TestComponents_everyPartThatRunsIsStarted(t *testing.T) {
	started := 0
	for _, p := range check(t) {
		if !strings.HasSuffix(p.Path, "internal/app") && p.Path != "shared/process" {
			continue
		}
		for _, f := range p.Files {
			// A part is handed on where it is returned; its receiver then has to start it.
			run, handed := map[types.Object]bool{}, map[types.Object]bool{}
			direct := map[ast.Expr]bool{} // built and started, or handed on, in one expression
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.SelectorExpr:
					if n.Sel.Name == "Run" {
						direct[ast.Unparen(n.X)] = true
						if id, ok := n.X.(*ast.Ident); ok {
							run[p.Info.Uses[id]] = true
						}
					}
				case *ast.ReturnStmt:
					for _, r := range n.Results {
						direct[r] = true
						if id, ok := r.(*ast.Ident); ok {
							handed[p.Info.Uses[id]] = true
						}
					}
				}
				return true
			})
			named := map[ast.Expr]bool{} // what is built and given a name; the name is looked at instead
			ast.Inspect(f, func(n ast.Node) bool {
				if a, ok := n.(*ast.AssignStmt); ok {
					for i, left := range a.Lhs {
						if len(a.Rhs) == len(a.Lhs) {
							named[a.Rhs[i]] = true
						} else {
							named[a.Rhs[0]] = true
						}
						id, ok := left.(*ast.Ident)
						if !ok {
							continue
						}
						o := p.Info.Defs[id]
						if o == nil || !runs(o.Type()) {
							continue
						}
						if run[o] {
							started++
						} else if !handed[o] {
							t.Errorf("%s: %s (%s) is built and its Run never started", p.Fset.Position(id.Pos()), id.Name, o.Type())
						}
					}
				}
				return true
			})
			ast.Inspect(f, func(n ast.Node) bool {
				e, ok := n.(ast.Expr)
				if !ok {
					return true
				}
				switch e := e.(type) {
				case *ast.CallExpr, *ast.UnaryExpr:
					if v := p.Info.Types[e]; v.IsValue() && runs(v.Type) && !named[e] && !direct[e] {
						t.Errorf("%s: a %s is built here and its Run never started", p.Fset.Position(e.Pos()), v.Type)
					}
				}
				return true
			})
		}
	}
	if started < 10 {
		t.Errorf("only %d parts were found to be started: the search is blind", started)
	}
}

// runs says whether a type, which is the product's own, has Run(context.Context) error.
func runs(t types.Type) bool {
	named, ok := types.Unalias(t).(*types.Pointer)
	if ok {
		t = named.Elem()
	}
	n, ok := types.Unalias(t).(*types.Named)
	if !ok || n.Obj().Pkg() == nil || !strings.HasPrefix(n.Obj().Pkg().Path(), prefix) {
		return false
	}
	o, _, _ := types.LookupFieldOrMethod(types.NewPointer(n), true, n.Obj().Pkg(), "Run")
	f, ok := o.(*types.Func)
	return ok && types.TypeString(f.Signature(), nil) == "func(ctx context.Context) error"
}

// TestKinds_everyStoredKindIsRead finds for each store.Kind the tables of that kind, and for one of
// them a read: what is only written is work for nothing, or half of a thing.
func TestKinds_everyStoredKindIsRead(t *testing.T) {
	declared, read := map[string]string{}, map[string]bool{}
	packages := check(t)
	tables := map[string][]string{} // from the name that holds or makes a table to its kinds
	for _, p := range packages {
		for _, f := range p.Files {
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					if n.Recv == nil {
						kindsWithin(p, n.Body, name(p.Info.Defs[n.Name]), tables)
					}
				case *ast.ValueSpec:
					for i, id := range n.Names {
						if i < len(n.Values) {
							kindsWithin(p, n.Values[i], name(p.Info.Defs[id]), tables)
						}
					}
				}
				return true
			})
		}
	}
	for _, p := range packages {
		if strings.HasSuffix(p.Path, "test") {
			continue
		}
		for _, f := range p.Files {
			tableOf := aliases(p, f, tables)
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CompositeLit:
					if v := p.Info.Types[n].Type; types.TypeString(v, nil) == prefix+"shared/store.Kind" {
						for _, kind := range kindOf(p, n, "Name", tables) {
							declared[kind] = p.Fset.Position(n.Pos()).String()
						}
					} else if types.TypeString(v, nil) == prefix+"shared/store.Query" {
						for _, kind := range kindOf(p, n, "Kind", tables) {
							read[kind] = true
						}
					}
				case *ast.CallExpr:
					if sel, ok := n.Fun.(*ast.SelectorExpr); ok && slices.Contains([]string{"All", "Get", "List", "Load"}, sel.Sel.Name) {
						for _, kind := range tableOf(sel.X) {
							read[kind] = true
						}
					}
					for _, arg := range n.Args { // to a function that reads tables
						for _, kind := range tableOf(arg) {
							read[kind] = true
						}
					}
				}
				return true
			})
		}
	}
	for kind, at := range declared {
		if !read[kind] {
			t.Errorf("%s: the kind %s is declared and nobody reads it", at, kind)
		}
	}
	if len(declared) < 20 {
		t.Errorf("only %d kinds were found: the search is blind", len(declared))
	}
}

// name is an object's name across packages.
func name(o types.Object) string {
	if o == nil || o.Pkg() == nil {
		return ""
	}
	return o.Pkg().Path() + "." + o.Name()
}

// isTable says whether a type is a store.Table.
func isTable(t types.Type) bool {
	return t != nil && strings.HasPrefix(types.TypeString(t, nil), prefix+"shared/store.Table[")
}

// kindsWithin notes the kinds of the tables that are made within n under the name of what holds or
// makes them.
func kindsWithin(p Checked, n ast.Node, holder string, tables map[string][]string) {
	if n == nil {
		return
	}
	ast.Inspect(n, func(n ast.Node) bool {
		if lit, ok := n.(*ast.CompositeLit); ok && isTable(p.Info.Types[lit].Type) {
			tables[holder] = append(tables[holder], kindOf(p, lit, "Kind", nil)...)
		}
		return true
	})
}

// kindOf returns the kind that a member of a literal says: a constant, or the Kind of a table.
func kindOf(p Checked, lit *ast.CompositeLit, member string, tables map[string][]string) []string {
	for _, e := range lit.Elts {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		if key, ok := kv.Key.(*ast.Ident); !ok || key.Name != member {
			continue
		}
		if v := p.Info.Types[kv.Value].Value; v != nil {
			return []string{strings.Trim(v.ExactString(), `"`)}
		}
		if sel, ok := kv.Value.(*ast.SelectorExpr); ok {
			return tables[name(object(p, sel.X))]
		}
	}
	return nil
}

// object returns what an expression names: a variable, or the function that is called.
func object(p Checked, e ast.Expr) types.Object {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		return p.Info.Uses[e]
	case *ast.SelectorExpr:
		return p.Info.Uses[e.Sel]
	case *ast.IndexExpr:
		return object(p, e.X)
	case *ast.CallExpr:
		return object(p, e.Fun)
	}
	return nil
}

// aliases returns a function from an expression to the kinds of the table that it is. It knows the
// local names of f, and a kind that is given to the function which makes the table.
func aliases(p Checked, f *ast.File, tables map[string][]string) func(ast.Expr) []string {
	local := map[types.Object]ast.Expr{}
	ast.Inspect(f, func(n ast.Node) bool {
		if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == len(a.Rhs) {
			for i, left := range a.Lhs {
				if id, ok := left.(*ast.Ident); ok && p.Info.Defs[id] != nil {
					local[p.Info.Defs[id]] = a.Rhs[i]
				}
			}
		}
		return true
	})
	var of func(e ast.Expr) []string
	of = func(e ast.Expr) []string {
		if !isTable(p.Info.Types[e].Type) {
			return nil
		}
		var kinds []string
		if call, ok := ast.Unparen(e).(*ast.CallExpr); ok {
			for _, arg := range call.Args {
				if v := p.Info.Types[arg].Value; v != nil {
					kinds = append(kinds, strings.Trim(v.ExactString(), `"`))
				}
			}
		}
		o := object(p, e)
		if from, ok := local[o]; ok {
			return of(from)
		}
		return append(kinds, tables[name(o)]...)
	}
	return of
}

// checked is the product with its types, worked out once.
var checked = sync.OnceValues(func() ([]Checked, error) { return Check(root) })

func check(t *testing.T) []Checked {
	t.Helper()
	packages, err := checked()
	if err != nil {
		t.Fatal(err)
	}
	return packages
}
