// Package arch reads the source tree the way the architecture page draws it, so that its tests can
// hold the house to the drawing: rings, owners of third-party packages, comments, lengths and
// forbidden calls. It owns no rule; the tables stand in the tests, with a reason per line.
package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// prefix is the module path that all five modules share.
const prefix = "github.com/provisioning-platform/platform/"

// File is one parsed source file. Path is relative to the repository, with slashes.
type File struct {
	Path  string
	Lines int
	Test  bool
	AST   *ast.File
	Fset  *token.FileSet
}

// Package is one folder with Go files. Path is relative to the repository ("shared/store").
type Package struct {
	Path  string
	Files []File
}

// Load parses every package of the five modules below root.
func Load(root string) ([]Package, error) {
	byDir := map[string]*Package{}
	var order []string
	for _, module := range []string{"shared", "policies", "orchestrator", "control-center", "tests"} {
		err := filepath.WalkDir(filepath.Join(root, module), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				if name := d.Name(); name == "testdata" || name == "node_modules" {
					return filepath.SkipDir
				}
				return nil
			}
			if !strings.HasSuffix(path, ".go") {
				return nil
			}
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			rel = filepath.ToSlash(rel)
			src, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fset := token.NewFileSet()
			parsed, err := parser.ParseFile(fset, rel, src, parser.ParseComments)
			if err != nil {
				return err
			}
			dir := filepath.ToSlash(filepath.Dir(rel))
			if byDir[dir] == nil {
				byDir[dir] = &Package{Path: dir}
				order = append(order, dir)
			}
			byDir[dir].Files = append(byDir[dir].Files, File{
				Path: rel, Lines: strings.Count(string(src), "\n"), Test: strings.HasSuffix(rel, "_test.go"), AST: parsed, Fset: fset,
			})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	packages := make([]Package, 0, len(order))
	for _, dir := range order {
		packages = append(packages, *byDir[dir])
	}
	return packages, nil
}

// Imports returns the import paths of f.
func (f File) Imports() []string {
	var paths []string
	for _, spec := range f.AST.Imports {
		paths = append(paths, strings.Trim(spec.Path.Value, `"`))
	}
	return paths
}

// version is the last element of the import path of a module's later major versions, which is not
// in the package's name.
var version = regexp.MustCompile(`/v[0-9]+$`)

// names returns under which names f imports a package, "." among them; a package is called like the
// end of its path.
func (f File) names(imp string) map[string]bool {
	names := map[string]bool{}
	for _, spec := range f.AST.Imports {
		switch {
		case strings.Trim(spec.Path.Value, `"`) != imp:
		case spec.Name != nil:
			names[spec.Name.Name] = true
		default:
			names[path.Base(version.ReplaceAllString(imp, ""))] = true
		}
	}
	return names
}
