// Package recipe is the catalogue of task services: metadata and scripts, in layers (built in, the
// installation's, an infra's), of which the last that has a name wins.
//
// It does not run anything; operation does, over a provider's connection.
//
// The one rule: a recipe writes only below $PROVISIONING_ROOT, which is its working directory, and
// each script can be run again: install and uninstall bring about a state, they do not add to one.
package recipe

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/provisioning-platform/platform/orchestrator/internal/infra"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/naming"
)

// The scripts of a recipe. Install is required.
const (
	Install   = "install.sh"
	Uninstall = "uninstall.sh" // absent: cannot be undone
	Check     = "check.sh"     // exit 0: installed and in order
)

// metadata is the file that makes a folder a recipe.
const metadata = "recipe.toml"

// maxFile is the size above which a file of a recipe is refused (bytes).
const maxFile = 1 << 20

//go:embed builtin
var builtin embed.FS

// Recipe is one task service.
type Recipe struct {
	Name        string   `json:"name" toml:"name"`
	Version     string   `json:"version" toml:"version"`
	Description string   `json:"description" toml:"description"`
	DependsOn   []string `json:"depends_on" toml:"depends_on"`   // names of task services that come first on the same server
	Interpreter string   `json:"interpreter" toml:"interpreter"` // absolute path, one of the catalogue's Interpreters
	Files       []File   `json:"files" toml:"files"`

	Layer   string            `json:"-" toml:"-"` // where it was found
	Scripts map[string][]byte `json:"-" toml:"-"` // by name: Install, Uninstall, Check
}

// File is a configuration file that an installation leaves behind. It is read back from the server
// and parsed.
type File struct {
	Path    string   `json:"path" toml:"path"`       // relative to the root
	Format  string   `json:"format" toml:"format"`   // one of the catalogue's Formats
	Require []string `json:"require" toml:"require"` // dotted names of members that have to be there, in each document
}

// Reversible says whether it can be uninstalled.
func (r Recipe) Reversible() bool { return r.Scripts[Uninstall] != nil }

// Digest identifies the very scripts.
func (r Recipe) Digest() string {
	h := sha256.New()
	for _, name := range []string{Install, Uninstall, Check} {
		fmt.Fprintf(h, "%s %d\n%s", name, len(r.Scripts[name]), r.Scripts[name])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Catalogue is where recipes come from.
type Catalogue struct {
	Dir          fs.FS         // the installation's recipes, a folder each; nil: none
	Infra        infra.Folder  // an infra's folder "recipes"
	Formats      infra.Formats // decoders, "toml" at least
	Interpreters []string      // allowed programs by absolute path; empty: /bin/sh
}

type layer struct {
	name string
	fs   fs.FS
}

// layers returns where to look, the last word first.
func (c Catalogue) layers(infraName string) []layer {
	var all []layer
	if infraName != "" && naming.Valid(infraName) {
		all = append(all, layer{"infra " + infraName, c.Infra.Recipes(infraName)})
	}
	if c.Dir != nil {
		all = append(all, layer{"installation", c.Dir})
	}
	core, err := fs.Sub(builtin, "builtin")
	if err != nil {
		return all // cannot be: the folder is part of the program
	}
	return append(all, layer{"built in", core})
}

// Get returns a recipe as an infra sees it; infraName may be empty.
func (c Catalogue) Get(infraName, name string) (Recipe, error) {
	if !naming.Valid(name) {
		return Recipe{}, fault.New(fault.Invalid, "taskserv.bad_name", "%q is not the name of a task service: it %s", name, naming.Rule)
	}
	for _, l := range c.layers(infraName) {
		text, err := read(l.fs, path.Join(name, metadata))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			var r Recipe
			if r, err = c.load(l, name, text); err == nil {
				return r, nil
			}
		}
		if passing(err) {
			return Recipe{}, busy(err)
		}
		return Recipe{}, fault.New(fault.Invalid, "taskserv.broken", "the recipe of task service %s (%s) is not usable: %v", name, l.name,
			err)
	}
	known := "none"
	names, err := c.Names(infraName)
	if err != nil {
		return Recipe{}, err
	}
	if len(names) > 0 {
		known = strings.Join(names, ", ")
	}
	return Recipe{}, fault.New(fault.NotFound, "taskserv.unknown", "there is no task service %s; there is: %s", name, known)
}

func (c Catalogue) load(l layer, name string, text []byte) (Recipe, error) {
	decode := c.Formats["toml"]
	if decode == nil {
		return Recipe{}, errors.New("no decoder for TOML")
	}
	r := Recipe{Layer: l.name, Scripts: map[string][]byte{}, Interpreter: "/bin/sh"}
	if err := decode(text, &r); err != nil {
		return Recipe{}, fmt.Errorf("%s: %w", metadata, err)
	}
	for _, script := range []string{Install, Uninstall, Check} {
		text, err := read(l.fs, path.Join(name, script))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Recipe{}, err
		}
		r.Scripts[script] = text
	}
	return r, c.check(r, name)
}

func (c Catalogue) check(r Recipe, name string) error {
	allowed := c.Interpreters
	if len(allowed) == 0 {
		allowed = []string{"/bin/sh"}
	}
	switch {
	case r.Name != name:
		return fmt.Errorf("it calls itself %q", r.Name)
	case r.Version == "":
		return errors.New("it has no version")
	case naming.Free(r.Version) != "":
		return errors.New("its version " + naming.Free(r.Version))
	case r.Scripts[Install] == nil:
		return errors.New("it has no " + Install)
	case !slices.Contains(allowed, r.Interpreter):
		return fmt.Errorf("interpreter %q is not allowed; allowed: %s ([recipes] interpreters)", r.Interpreter, strings.Join(allowed, ", "))
	}
	for _, f := range r.Files {
		if !fs.ValidPath(f.Path) {
			return fmt.Errorf("file %q is not below the root", f.Path)
		}
		if c.Formats[f.Format] == nil {
			return fmt.Errorf("file %s has format %q, which nothing here can read", f.Path, f.Format)
		}
	}
	for _, d := range r.DependsOn {
		if !naming.Valid(d) {
			return fmt.Errorf("it depends on %q: the name %s", d, naming.Rule)
		}
	}
	return nil
}

func read(from fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(from, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is not a regular file of at most %d bytes", name, maxFile)
	}
	return fs.ReadFile(from, name)
}

// passing says whether a folder or file cannot be read for a reason that is ours and goes by.
func passing(err error) bool { return infra.Passing(err) || fault.Is(err, fault.Unavailable) }

func busy(err error) error {
	return fault.New(fault.Unavailable, "taskserv.busy",
		"the recipes cannot be read right now; the orchestrator's log says why").Because(err)
}

// Names lists the task services that an infra sees. It fails only when that cannot be told for now.
func (c Catalogue) Names(infraName string) ([]string, error) {
	seen := map[string]bool{}
	for _, l := range c.layers(infraName) {
		entries, err := fs.ReadDir(l.fs, ".")
		if passing(err) {
			return nil, busy(err)
		}
		for _, e := range entries {
			if !naming.Valid(e.Name()) {
				continue
			}
			switch _, err := fs.Stat(l.fs, path.Join(e.Name(), metadata)); {
			case err == nil:
				seen[e.Name()] = true
			case passing(err):
				return nil, busy(err)
			}
		}
	}
	var names []string
	for n := range seen {
		names = append(names, n)
	}
	sort.Strings(names)
	return names, nil
}

// Order returns the named recipes and all that they depend on, each after what it depends on,
// whatever order was asked for. Independent ones stand in the order asked for.
func (c Catalogue) Order(infraName string, names []string) ([]Recipe, error) {
	var order []Recipe
	state := map[string]int{} // 1: being placed, 2: placed
	var place func(name string, path []string) error
	place = func(name string, path []string) error {
		switch state[name] {
		case 1:
			return fault.New(fault.Invalid, "taskserv.cycle", "task services depend on each other in a circle: %s",
				strings.Join(append(path, name), " → "))
		case 2:
			return nil
		}
		state[name] = 1
		r, err := c.Get(infraName, name)
		if err != nil {
			if len(path) > 0 {
				return fault.Wrap("needed by "+path[len(path)-1], err)
			}
			return err
		}
		for _, d := range r.DependsOn {
			if err := place(d, append(path, name)); err != nil {
				return err
			}
		}
		state[name] = 2
		order = append(order, r)
		return nil
	}
	for _, name := range names {
		if err := place(name, nil); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// Dependents returns the names of the recipes that depend on the named one, directly. Broken ones
// depend on nothing.
func (c Catalogue) Dependents(infraName, name string) (names []string, err error) {
	all, err := c.Names(infraName)
	if err != nil {
		return nil, err
	}
	for _, n := range all {
		r, err := c.Get(infraName, n)
		if fault.Is(err, fault.Unavailable) {
			return nil, err
		}
		if err == nil && slices.Contains(r.DependsOn, name) {
			names = append(names, n)
		}
	}
	return names, nil
}
