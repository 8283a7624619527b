// Package infra reads infra definitions: a folder per infra with a settings file that lists
// servers, task services and clusters, and optionally recipes of its own.
//
// It does not know what exists (the inventory does) nor how anything is made (operation does).
//
// The one rule: a name from outside names exactly one entry of one folder. It fits the rule of
// package naming, and files are opened through os.Root, so that not even a symbolic link leads out.
package infra

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/naming"
)

// DefaultSettings is the settings file that is read when a request names none.
const DefaultSettings = "config.k"

// maxSettings is the size above which a settings file is refused (bytes).
const maxSettings = 1 << 20

// Infra is one definition.
type Infra struct {
	Name        string         `json:"-" toml:"-" yaml:"-"` // the folder's
	Description string         `json:"description" toml:"description" yaml:"description"`
	Servers     []WantedServer `json:"servers" toml:"servers" yaml:"servers"`
	Taskservs   []Taskserv     `json:"taskservs" toml:"taskservs" yaml:"taskservs"`
	Clusters    []Cluster      `json:"clusters" toml:"clusters" yaml:"clusters"`
}

// WantedServer is a server that the infra wants.
type WantedServer struct {
	Name     string `json:"name" toml:"name" yaml:"name"`
	Plan     string `json:"plan" toml:"plan" yaml:"plan"`
	Zone     string `json:"zone" toml:"zone" yaml:"zone"`
	Provider string `json:"provider" toml:"provider" yaml:"provider"` // a provider of the configuration
}

// Taskserv says on which servers of the infra a task service belongs; no targets: all.
type Taskserv struct {
	Name    string   `json:"name" toml:"name" yaml:"name"`
	Targets []string `json:"targets" toml:"targets" yaml:"targets"`
}

// Cluster is a set of servers of the infra with task services on each.
type Cluster struct {
	Type      string   `json:"type" toml:"type" yaml:"type"`
	Targets   []string `json:"targets" toml:"targets" yaml:"targets"`
	Taskservs []string `json:"taskservs" toml:"taskservs" yaml:"taskservs"`
}

// Formats gives the decoder for a file ending ("toml", "yaml", "json"). The configuration's
// decoders are handed in, because each format's library enters the product at one place.
type Formats map[string]func(data []byte, into any) error

// Folder is where the infras are.
type Folder struct {
	Dir     string
	Formats Formats
}

// Load reads an infra. settings names a file of its folder: exactly that one when its format can be
// read, else the same stem in a format that can ("config.k" finds config.toml). Empty:
// DefaultSettings.
func (f Folder) Load(name, settings string) (Infra, error) {
	if settings == "" {
		settings = DefaultSettings
	}
	if !naming.Valid(settings) {
		return Infra{}, fault.New(fault.Invalid, "infra.bad_settings", "settings %q is not the name of a file in the infra's folder",
			settings)
	}
	root, err := f.open(name)
	if err != nil {
		return Infra{}, err
	}
	defer root.Close()
	file, text, err := f.find(root, settings)
	if err != nil {
		return Infra{}, fault.Wrap("infra "+name, err)
	}
	in := Infra{Name: name}
	if err := f.Formats[ending(file)](text, &in); err != nil {
		return Infra{}, fault.New(fault.Invalid, "infra.unreadable", "%s of infra %s cannot be read: %v", file, name, err)
	}
	in.Name = name
	if wrong := in.check(); wrong != nil {
		return Infra{}, fault.New(fault.Invalid, "infra.invalid", "%s of infra %s: %s", file, name, strings.Join(wrong, "; "))
	}
	return in, nil
}

// open opens the folder of one infra.
func (f Folder) open(name string) (*os.Root, error) {
	if !naming.Valid(name) {
		return nil, fault.New(fault.Invalid, "infra.bad_name", "%q is not the name of an infra", name)
	}
	all, err := os.OpenRoot(f.Dir)
	if Passing(err) {
		return nil, busy("the folder of infras", err)
	}
	if err != nil {
		return nil, fault.New(fault.NotFound, "infra.unknown", "there is no infra %s: the folder of infras cannot be opened ([infra] dir)",
			name).Because(err)
	}
	defer all.Close()
	root, err := all.OpenRoot(name)
	if Passing(err) {
		return nil, busy("infra "+name, err)
	}
	if err != nil {
		return nil, fault.New(fault.NotFound, "infra.unknown", "there is no infra %s; there is: %s", name, list(f.Names())).Because(err)
	}
	return root, nil
}

// Passing says whether a fault of the file system is that this process or its machine ran out of
// something: it says nothing about the file, and goes by.
func Passing(err error) bool {
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN, syscall.EINTR, syscall.EIO,
		syscall.ESTALE, syscall.ETIMEDOUT} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// busy is the fault of something that cannot be opened for now, which is ours and nobody's who
// asked.
func busy(what string, err error) error {
	return fault.New(fault.Unavailable, "infra.busy", "%s cannot be opened right now; the orchestrator's log says why", what).Because(err)
}

// find picks and reads the settings file.
func (f Folder) find(root *os.Root, settings string) (file string, text []byte, err error) {
	stem := strings.TrimSuffix(settings, path.Ext(settings))
	tried := []string{settings}
	for _, e := range []string{"toml", "yaml", "yml", "json"} {
		if name := stem + "." + e; name != settings && f.Formats[e] != nil {
			tried = append(tried, name)
		}
	}
	for _, file := range tried {
		if f.Formats[ending(file)] == nil {
			continue // KCL and the like: not evaluated
		}
		text, err := readFile(root, file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if Passing(err) {
			return "", nil, busy("the settings file "+file, err)
		}
		if err != nil {
			return "", nil, fault.New(fault.Invalid, "infra.unreadable", "the settings file %s cannot be read", file).Because(err)
		}
		return file, text, nil
	}
	return "", nil, fault.New(fault.NotFound, "infra.no_settings", "there is no settings file that can be read: looked for %s",
		strings.Join(tried, ", "))
}

func readFile(root *os.Root, name string) ([]byte, error) {
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSettings {
		return nil, fmt.Errorf("not a regular file of at most %d bytes", maxSettings)
	}
	return root.ReadFile(name)
}

// Recipes returns the recipes that an infra brings; empty when it has none.
func (f Folder) Recipes(name string) fs.FS { return recipes{f, name} }

type recipes struct {
	folder Folder
	name   string
}

// Open opens a file below the infra's folder "recipes".
func (r recipes) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	root, err := r.folder.open(r.name)
	if fault.Is(err, fault.Unavailable) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	defer root.Close()
	return root.FS().Open(path.Join("recipes", name))
}

// Names lists the infras.
func (f Folder) Names() []string {
	entries, err := os.ReadDir(f.Dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && naming.Valid(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}

// check returns everything that is wrong with a definition.
func (in Infra) check() (wrong []string) {
	servers := map[string]bool{}
	for i, s := range in.Servers {
		switch {
		case !naming.Valid(s.Name):
			wrong = append(wrong, fmt.Sprintf("the name of server %d, %q, %s", i+1, s.Name, naming.Rule))
		case servers[s.Name]:
			wrong = append(wrong, fmt.Sprintf("two servers are called %s", s.Name))
		case s.Provider == "":
			wrong = append(wrong, fmt.Sprintf("server %s names no provider", s.Name))
		case naming.Free(s.Plan) != "":
			wrong = append(wrong, fmt.Sprintf("the plan of server %s %s", s.Name, naming.Free(s.Plan)))
		case naming.Free(s.Zone) != "":
			wrong = append(wrong, fmt.Sprintf("the zone of server %s %s", s.Name, naming.Free(s.Zone)))
		}
		servers[s.Name] = true
	}
	targets := func(what string, names []string) {
		for _, n := range names {
			if !servers[n] {
				wrong = append(wrong, fmt.Sprintf("%s goes to %s, which is no server of the infra", what, n))
			}
		}
	}
	for _, t := range in.Taskservs {
		if !naming.Valid(t.Name) {
			wrong = append(wrong, fmt.Sprintf("the name of a task service, %q, %s", t.Name, naming.Rule))
		}
		targets("task service "+t.Name, t.Targets)
	}
	types := map[string]bool{}
	for _, c := range in.Clusters {
		switch {
		case !naming.Valid(c.Type):
			wrong = append(wrong, fmt.Sprintf("a cluster type, %q, %s", c.Type, naming.Rule))
		case types[c.Type]:
			wrong = append(wrong, fmt.Sprintf("two clusters are of type %s", c.Type))
		}
		types[c.Type] = true
		for _, t := range c.Taskservs {
			if !naming.Valid(t) {
				wrong = append(wrong, fmt.Sprintf("the name of a task service of cluster %s, %q, %s", c.Type, t, naming.Rule))
			}
		}
		targets("cluster "+c.Type, c.Targets)
	}
	return wrong
}

// Targets returns the names of the servers that a task service goes to.
func (in Infra) Targets(taskserv string) []string {
	for _, t := range in.Taskservs {
		if t.Name == taskserv && len(t.Targets) > 0 {
			return t.Targets
		}
	}
	return in.all()
}

func (in Infra) all() []string {
	var names []string
	for _, s := range in.Servers {
		names = append(names, s.Name)
	}
	return names
}

// Cluster returns the cluster of that type and its servers; no targets: all servers of the infra.
func (in Infra) Cluster(typ string) (Cluster, []WantedServer, error) {
	var types []string
	for _, c := range in.Clusters {
		types = append(types, c.Type)
		if c.Type != typ {
			continue
		}
		var servers []WantedServer
		for _, s := range in.Servers {
			if len(c.Targets) == 0 || slices.Contains(c.Targets, s.Name) {
				servers = append(servers, s)
			}
		}
		return c, servers, nil
	}
	return Cluster{}, nil, fault.New(fault.NotFound, "infra.unknown_cluster", "infra %s has no cluster type %s; it has: %s", in.Name, typ,
		list(types))
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func ending(file string) string { return strings.TrimPrefix(path.Ext(file), ".") }
