package infra

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
	"go.yaml.in/yaml/v3"

	"github.com/provisioning-platform/platform/shared/fault"
)

func formats() Formats {
	return Formats{"toml": toml.Unmarshal, "yaml": yaml.Unmarshal, "json": json.Unmarshal}
}

const settings = `
[[servers]]
name = "app-01"
plan = "1xCPU-2GB"
zone = "de-fra1"
provider = "upcloud"
[[servers]]
name = "app-02"
provider = "aws"
[[taskservs]]
name = "containerd"
targets = ["app-02"]
[[clusters]]
type = "buildkit"
targets = ["app-01"]
taskservs = ["buildkit"]
`

func folder(t *testing.T, files map[string]string) Folder {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Folder{Dir: dir, Formats: formats()}
}

func TestLoad_findsSettings(t *testing.T) {
	f := folder(t, map[string]string{
		"a/config.toml": settings, "a/config.k": "import x", "b/config.yaml": "servers: [{name: y, provider: p}]", "c/config.json": `{"servers":[{"name":"j","provider":"p"}]}`,
		"a/other.json": `{"description":"other"}`, "a/recipes/x/recipe.toml": "x",
	})
	for _, c := range []struct{ infra, settings, want string }{
		{"a", "config.k", "app-01"}, {"a", "", "app-01"}, {"a", "config.toml", "app-01"}, {"b", "config.k", "y"}, {"c", "config.k", "j"},
	} {
		in, err := f.Load(c.infra, c.settings)
		if err != nil || len(in.Servers) == 0 || in.Servers[0].Name != c.want || in.Name != c.infra {
			t.Errorf("Load(%s, %s) = %+v, %v", c.infra, c.settings, in, err)
		}
	}
	in, _ := f.Load("a", "config.k")
	if got := in.Targets("containerd"); len(got) != 1 || got[0] != "app-02" {
		t.Errorf("targets of containerd: %v", got)
	}
	if got := in.Targets("cilium"); len(got) != 2 {
		t.Errorf("targets of a task service that is not listed: %v", got)
	}
	if _, servers, err := in.Cluster("buildkit"); err != nil || len(servers) != 1 || servers[0].Provider != "upcloud" {
		t.Errorf("cluster: %v %v", servers, err)
	}
	if _, _, err := in.Cluster("spark"); !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "spark") ||
		!strings.Contains(err.Error(), "buildkit") {
		t.Errorf("unknown cluster type: %v", err)
	}
	if file, err := f.Recipes("a").Open("x/recipe.toml"); err != nil {
		t.Error(err)
	} else {
		file.Close()
	}
	if _, err := f.Recipes("a").Open("../config.toml"); err == nil {
		t.Error("a recipe outside the folder was opened")
	}
}

func TestLoad_refuses(t *testing.T) {
	f := folder(t, map[string]string{
		"a/config.toml": "servers = 7",
		"b/config.toml": "[[servers]]\nname='x'\n[[servers]]\nname='x'\nprovider='p'\n" +
			"[[taskservs]]\nname='t'\ntargets=['nowhere']",
		"d/config.json": `{"servers":[{"name":"-oProxyCommand=x","provider":"p"},{"name":"a\nb","provider":"p"},{"name":"ok","plan":"a\tb","provider":"p"}],"taskservs":[{"name":"*"}],"clusters":[{"type":"{{x}}","taskservs":[".."]}]}`,
		"c/readme":      "", "secret.toml": settings,
	})
	os.Symlink("../secret.toml", filepath.Join(f.Dir, "c", "config.toml"))
	os.Symlink("/etc", filepath.Join(f.Dir, "etc"))
	for _, c := range []struct {
		infra, settings string
		kind            fault.Kind
		want            string
	}{
		{"nope", "", fault.NotFound, "there is: a, b, c, d"},
		{"..", "", fault.Invalid, ""}, {"a/b", "", fault.Invalid, ""}, {"", "", fault.Invalid, ""}, {"/etc", "", fault.Invalid, ""},
		{"a\x00", "", fault.Invalid, ""},
		{strings.Repeat("x", 300), "", fault.Invalid, ""}, {"etc", "passwd", fault.NotFound, "no infra etc"},
		{"a", "../secret.toml", fault.Invalid, ""}, {"a", "/etc/passwd", fault.Invalid, ""}, {"a", "..", fault.Invalid, ""}, {"a", `..\x`, fault.Invalid, ""},
		{"-a", "", fault.Invalid, ""}, {".a", "", fault.Invalid, ""}, {"a", "-x", fault.Invalid, ""},
		{"d", "", fault.Invalid, "server 1, \"-oProxyCommand=x\", must begin"}, {"d", "", fault.Invalid, "server 2, \"a\\nb\", must begin"},
		{"d", "", fault.Invalid, "the plan of server ok must be one line"},
		{"d", "", fault.Invalid, "a task service, \"*\", must begin"}, {"d", "", fault.Invalid, "a cluster type, \"{{x}}\", must begin"},
		{"d", "", fault.Invalid, "a task service of cluster {{x}}, \"..\", must begin"},
		{"a", "config.k", fault.Invalid, "config.toml of infra a cannot be read"},
		{"b", "", fault.Invalid, "two servers are called x; task service t goes to nowhere"},
		{"c", "other.k", fault.NotFound, "other.k, other.toml, other.yaml, other.json"},
		{"c", "config.k", fault.Invalid, "cannot be read"},
	} {
		_, err := f.Load(c.infra, c.settings)
		if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Load(%.20q, %q): %v", c.infra, c.settings, err)
		}
	}
}
