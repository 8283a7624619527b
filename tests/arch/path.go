package arch

import (
	"go/ast"
	"go/types"
	"path/filepath"
	"sort"
	"strings"
)

// Calls is the static call graph of the product. Functions are named as types.Func.FullName names
// them. A call of a method of an interface of ours leads to every method of the same name and
// signature: which of them it is, only the run knows.
type Calls struct {
	to   map[string]map[string]bool // caller -> callees
	file map[string]string          // function -> its file, relative to its package's folder
	pkg  map[string]string          // function -> its package, relative to the repository
}

// CallsOf reads the call graph of packages. What a function literal calls counts for the function
// around it.
func CallsOf(packages []Checked) Calls {
	c := Calls{map[string]map[string]bool{}, map[string]string{}, map[string]string{}}
	methods := map[string][]string{} // name and signature -> concrete methods
	asked := map[string][2]string{}  // method of an interface -> its name and signature
	for _, p := range packages {
		for _, f := range p.Files {
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				own, ok := p.Info.Defs[fn.Name].(*types.Func)
				if !ok || fn.Body == nil {
					continue
				}
				name := own.FullName()
				c.file[name], c.pkg[name] = filepath.Base(p.Fset.Position(fn.Pos()).Filename), p.Path
				if own.Signature().Recv() != nil {
					key := signature(own)
					methods[key] = append(methods[key], name)
				}
				callees := map[string]bool{}
				ast.Inspect(fn.Body, func(n ast.Node) bool {
					id, ok := n.(*ast.Ident)
					if !ok {
						return true
					}
					callee, ok := p.Info.Uses[id].(*types.Func)
					if !ok || callee.Pkg() == nil || !strings.HasPrefix(callee.Pkg().Path(), prefix) {
						return true
					}
					callee = callee.Origin()
					callees[callee.FullName()] = true
					if recv := callee.Signature().Recv(); recv != nil && types.IsInterface(recv.Type()) {
						asked[callee.FullName()] = [2]string{callee.Name(), signature(callee)}
					}
					return true
				})
				c.to[name] = callees
			}
		}
	}
	for method, s := range asked {
		if c.to[method] == nil {
			c.to[method] = map[string]bool{}
		}
		for _, m := range methods[s[1]] {
			c.to[method][m] = true
		}
	}
	return c
}

// signature is the name of a method with its parameters and results.
func signature(f *types.Func) string {
	s := f.Signature()
	return f.Name() + types.TypeString(types.NewSignatureType(nil, nil, nil, s.Params(), s.Results(), s.Variadic()), nil)
}

// Between returns the functions that lie on a call path from one of the first to one of the last,
// both included. A package for which skip answers true is not entered.
func (c Calls) Between(first, last []string, skip func(pkg string) bool) []string {
	from := map[string]map[string]bool{}
	for caller, callees := range c.to {
		for callee := range callees {
			if from[callee] == nil {
				from[callee] = map[string]bool{}
			}
			from[callee][caller] = true
		}
	}
	reach := func(begin []string, edges map[string]map[string]bool) map[string]bool {
		seen := map[string]bool{}
		for todo := append([]string(nil), begin...); len(todo) > 0; {
			f := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if seen[f] || skip(c.pkg[f]) {
				continue
			}
			seen[f] = true
			for next := range edges[f] {
				todo = append(todo, next)
			}
		}
		return seen
	}
	forth, back := reach(first, c.to), reach(last, from)
	var on []string
	for f := range forth {
		if back[f] {
			on = append(on, f)
		}
	}
	sort.Strings(on)
	return on
}

// Files returns the files of functions and their packages, each once and sorted.
func (c Calls) Files(functions []string) (files, packages []string) {
	seen, pkgs := map[string]bool{}, map[string]bool{}
	for _, f := range functions {
		if c.file[f] != "" {
			seen[c.pkg[f]+"/"+c.file[f]], pkgs[c.pkg[f]] = true, true
		}
	}
	for f := range seen {
		files = append(files, f)
	}
	for p := range pkgs {
		packages = append(packages, p)
	}
	sort.Strings(files)
	sort.Strings(packages)
	return files, packages
}
