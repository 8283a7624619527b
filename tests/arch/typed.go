package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Checked is one package of the product with its types; test files are not part of it.
type Checked struct {
	Path  string // relative to the repository
	Fset  *token.FileSet
	Files []*ast.File
	Info  *types.Info
}

// Check type-checks the packages of the product. What they import is read from the compiler's
// export data, so it costs a few seconds when they have been built.
func Check(root string) ([]Checked, error) {
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles", "./shared/...", "./orchestrator/...",
		"./control-center/...")
	var errs bytes.Buffer
	cmd.Dir, cmd.Stderr = root, &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, errs.String())
	}
	type listed struct {
		ImportPath, Dir, Export string
		GoFiles                 []string
	}
	var own []listed
	exports := map[string]string{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if exports[l.ImportPath] = l.Export; strings.HasPrefix(l.ImportPath, prefix) {
			own = append(own, l)
		}
	}
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	packages := make([]Checked, 0, len(own))
	for _, l := range own {
		p := Checked{Path: strings.TrimPrefix(l.ImportPath, prefix), Fset: fset, Info: &types.Info{
			Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{},
			Selections: map[*ast.SelectorExpr]*types.Selection{},
		}}
		for _, name := range l.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(l.Dir, name), nil, 0)
			if err != nil {
				return nil, err
			}
			p.Files = append(p.Files, f)
		}
		if _, err := (&types.Config{Importer: imports}).Check(l.ImportPath, fset, p.Files, p.Info); err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
	return packages, nil
}
