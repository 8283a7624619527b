package operation

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
	"github.com/provisioning-platform/platform/shared/config"
)

// TestOpenProviders_sample opens the providers of the sample installation, and a simulated one with
// all its settings.
func TestOpenProviders_sample(t *testing.T) {
	type settings struct {
		RateLimits map[string]any              `toml:"rate_limits"`
		Webhooks   map[string]any              `toml:"webhooks"`
		Infra      InfraSettings               `toml:"infra"`
		Recipes    RecipeSettings              `toml:"recipes"`
		Providers  map[string]ProviderSettings `toml:"providers"`
	}
	text, err := os.ReadFile(filepath.Join(sample, "orchestrator.toml"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	extra := `
[providers.trial]
driver = "simulated"
latency = "1ms"
jitter = "1ms"
calls_per_second = 1000
calls = "` + dir + `/calls"
state = "` + dir + `/state"
[[providers.trial.faults]]
match = "web-*"
action = "create"
times = 1
class = "quota"
latency = "1ms"
after = false
message = "no more servers"
`
	var s settings
	if err := config.DecodeTOML(append(text, extra...), &s, "orchestrator.toml"); err != nil {
		t.Fatal(err)
	}
	place := Place{DataDir: dir, Command: []string{os.Args[0], "x"}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	p, err := OpenProviders(s.Providers, place)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Drivers) != 3 || s.Infra.Dir != "infra" || s.Recipes.Dir != "recipes" {
		t.Errorf("settings: %+v", s)
	}
	_, err = p.Drivers["trial"].Create(t.Context(), provider.Spec{Tag: "t", Name: "web-01"})
	if e := provider.Classify(err); e == nil || e.Class != "quota" || e.Message != "no more servers" {
		t.Errorf("fault of the configuration: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "servers", "upcloud")); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		name     string
		settings ProviderSettings
		want     string
	}{
		{"x", ProviderSettings{Driver: "vmware"}, `no driver "vmware"; there is: local, simulated`},
		{"../x", ProviderSettings{Driver: "local"}, "must begin with a letter or a digit"},
		{"-oProxyCommand=x", ProviderSettings{Driver: "local"}, "must begin with a letter or a digit"},
		{"x", ProviderSettings{Driver: "simulated", Faults: []FaultSettings{{Class: "odd"}}}, `class "odd"`},
	} {
		if _, err := OpenProviders(map[string]ProviderSettings{c.name: c.settings}, place); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
