package recipe

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/pelletier/go-toml/v2"
	"go.yaml.in/yaml/v3"

	"github.com/provisioning-platform/platform/orchestrator/internal/infra"
	"github.com/provisioning-platform/platform/shared/fault"
)

// recipeFS makes recipes from "name: dependency dependency" lines.
func recipeFS(lines ...string) fstest.MapFS {
	all := fstest.MapFS{}
	for _, line := range lines {
		name, deps, _ := strings.Cut(line, ":")
		list := ""
		if f := strings.Fields(deps); len(f) > 0 {
			list = `"` + strings.Join(f, `","`) + `"`
		}
		all[name+"/recipe.toml"] = &fstest.MapFile{Data: []byte("name='" + name + "'\nversion='1'\ndepends_on=[" + list + "]\n")}
		all[name+"/install.sh"] = &fstest.MapFile{Data: []byte("true\n")}
	}
	return all
}

func catalogue(t *testing.T, installation fstest.MapFS, ofInfra map[string]string) Catalogue {
	t.Helper()
	dir := t.TempDir()
	for name, text := range ofInfra {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	formats := infra.Formats{"toml": toml.Unmarshal, "yaml": yaml.Unmarshal, "json": json.Unmarshal}
	return Catalogue{Dir: installation, Infra: infra.Folder{Dir: dir, Formats: formats}, Formats: formats}
}

func TestGet_lastLayerWins(t *testing.T) {
	c := catalogue(t, recipeFS("os:", "redis:"), map[string]string{
		"production/recipes/redis/recipe.toml":  "name='redis'\nversion='7'\ninterpreter='/bin/sh'",
		"production/recipes/redis/install.sh":   "true",
		"production/recipes/redis/uninstall.sh": "true",
	})
	for _, want := range []struct{ infra, name, layer string }{
		{"", "resolv", "built in"}, {"", "os", "installation"}, {"", "redis", "installation"}, {"production", "redis", "infra production"},
		{"production", "os", "installation"}, {"no-such-infra", "redis", "installation"}, {"../production", "redis", "installation"},
	} {
		r, err := c.Get(want.infra, want.name)
		if err != nil || r.Layer != want.layer {
			t.Errorf("Get(%q, %q) from %q, want %q (%v)", want.infra, want.name, r.Layer, want.layer, err)
		}
	}
	one, _ := c.Get("", "redis")
	two, _ := c.Get("production", "redis")
	if one.Reversible() || !two.Reversible() || one.Digest() == two.Digest() {
		t.Errorf("recipes: %+v %+v", one, two)
	}
	if names, err := c.Names("production"); err != nil || strings.Join(names, " ") != "coredns os redis resolv" {
		t.Errorf("names: %s, %v", names, err)
	}
}

func TestGet_refusesBrokenRecipes(t *testing.T) {
	files := recipeFS("a:")
	put := func(name, meta string, scripts ...string) {
		files[name+"/recipe.toml"] = &fstest.MapFile{Data: []byte(meta)}
		for _, s := range scripts {
			files[name+"/"+s] = &fstest.MapFile{Data: []byte("true")}
		}
	}
	put("noscript", "name='noscript'\nversion='1'")
	put("liar", "name='other'\nversion='1'", Install)
	put("noversion", "name='noversion'", Install)
	put("python", "name='python'\nversion='1'\ninterpreter='python'", Install)
	put("shell", "name='shell'\nversion='1'\ninterpreter='/bin/sh -x'", Install)
	put("syntax", "name=", Install)
	put("outside", "name='outside'\nversion='1'\n[[files]]\npath='../etc/passwd'\nformat='toml'", Install)
	put("absolute", "name='absolute'\nversion='1'\n[[files]]\npath='/etc/passwd'\nformat='toml'", Install)
	put("format", "name='format'\nversion='1'\n[[files]]\npath='x'\nformat='ini'", Install)
	put("tab", "name='tab'\nversion=\"1\\t\"", Install)
	put("-x", "name='-x'\nversion='1'", Install)
	put("dep", "name='dep'\nversion='1'\ndepends_on=['../x']", Install)
	c := catalogue(t, files, nil)
	for name, want := range map[string]string{
		"noscript": "no install.sh", "liar": `calls itself "other"`, "noversion": "no version", "python": "not allowed", "shell": "not allowed", "syntax": "recipe.toml",
		"outside": "not below the root", "absolute": "not below the root", "format": "ini", "dep": `it depends on "../x"`, "tab": "its version", "-x": "not the name", "../a": "not the name", "": "not the name", "a/b": "not the name",
	} {
		if _, err := c.Get("", name); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("Get(%q): %v, want %q", name, err, want)
		}
	}
	if _, err := c.Get("", "zebra"); !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "zebra") {
		t.Errorf("unknown: %v", err)
	}
}

func TestOrder(t *testing.T) {
	c := catalogue(t, recipeFS("containerd:", "kubernetes: containerd", "cilium: kubernetes", "redis:", "x: y", "y: z", "z: x",
		"half: nothing"), nil)
	for _, want := range []struct{ asked, order, err string }{
		{"kubernetes cilium containerd", "containerd kubernetes cilium", ""},
		{"cilium", "containerd kubernetes cilium", ""},
		{"redis containerd", "redis containerd", ""},
		{"cilium redis kubernetes", "containerd kubernetes cilium redis", ""},
		{"redis redis", "redis", ""},
		{"x", "", "x → y → z → x"},
		{"half", "", "nothing"},
	} {
		order, err := c.Order("", strings.Fields(want.asked))
		var names []string
		for _, r := range order {
			names = append(names, r.Name)
		}
		if got := strings.Join(names, " "); got != want.order || (err == nil) != (want.err == "") || err != nil &&
			!strings.Contains(err.Error(), want.err) {
			t.Errorf("Order(%s) = %s, %v", want.asked, got, err)
		}
	}
	if got, err := c.Dependents("", "containerd"); err != nil || len(got) != 1 || got[0] != "kubernetes" {
		t.Errorf("dependents: %v", got)
	}
}

func TestVerify(t *testing.T) {
	c := catalogue(t, nil, nil)
	for _, v := range []struct {
		file File
		text string
		want string // empty: good
	}{
		{File{Path: "f", Format: "toml", Require: []string{"a.b", "plugins.io.x.y"}}, "[a]\nb = 1\n[plugins.'io.x']\ny = 2", ""},
		{File{Path: "f", Format: "toml", Require: []string{"a.c"}}, "[a]\nb = 1", "f lacks a.c"},
		{File{Path: "f", Format: "toml"}, "a = ", "not TOML"},
		{File{Path: "f", Format: "json", Require: []string{"plugins"}}, `{"plugins": []}`, ""},
		{File{Path: "f", Format: "json", Require: []string{"plugins"}}, `{"plugins": null}`, "lacks plugins"},
		{File{Path: "f", Format: "json"}, `{"plugins": }`, "not JSON"},
		{File{Path: "f", Format: "yaml", Require: []string{"kind"}}, "---\nkind: A\n---\nkind: B\n", ""},
		{File{Path: "f", Format: "yaml", Require: []string{"kind"}}, "kind: A\n---\nname: B\n", "lacks kind"},
		{File{Path: "f", Format: "yaml"}, "a: b: c\n", "not YAML"},
		{File{Path: "f", Format: "yaml"}, "\n", "empty"},
		{File{Path: "f", Format: "ini"}, "x", "ini"},
	} {
		err := c.Verify(v.file, []byte(v.text))
		if (err == nil) != (v.want == "") || err != nil && !strings.Contains(err.Error(), v.want) {
			t.Errorf("Verify(%s, %q): %v, want %q", v.file.Format, v.text, err, v.want)
		}
	}
}

// TestCatalogue_tooFewDescriptorsAreOurs takes away the descriptors. A task service that is there
// was unknown or broken then, and the operation failed for good.
func TestCatalogue_tooFewDescriptorsAreOurs(t *testing.T) { // they are the whole process's: not parallel
	dir := t.TempDir()
	for name, text := range map[string]string{"infra/a/config.toml": "", "infra/a/recipes/x/recipe.toml": "name='x'\nversion='1'",
		"infra/a/recipes/x/install.sh": "true", "own/y/recipe.toml": "name='y'\nversion='1'", "own/y/install.sh": "true"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := catalogue(t, nil, nil)
	c.Infra.Dir, c.Dir = filepath.Join(dir, "infra"), os.DirFS(filepath.Join(dir, "own"))
	looks := map[string]func() error{
		"an infra":     func() error { _, err := c.Infra.Load("a", ""); return err },
		"its recipe":   func() error { _, err := c.Get("a", "x"); return err },
		"a recipe":     func() error { _, err := c.Get("", "y"); return err },
		"the names":    func() error { _, err := c.Names("a"); return err },
		"what depends": func() error { _, err := c.Dependents("a", "x"); return err },
	}
	for what, look := range looks {
		if err := look(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	var usual syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &usual); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 0, Max: usual.Max}); err != nil {
		t.Fatal(err)
	}
	got := map[string]error{}
	for what, look := range looks {
		got[what] = look()
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &usual); err != nil {
		t.Fatal(err)
	}
	for what, err := range got {
		if !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s without descriptors: %v, want a fault that goes by", what, err)
		}
	}
}
