package crash

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/fault"
)

// TestEnvironment_ofACommandIsOurs is I11: what loads code into a program or says where programs
// are reaches no command, neither from a request nor from the environment of the orchestrator. The
// install script tells what it has.
func TestEnvironment_ofACommandIsOurs(t *testing.T) {
	hostile := map[string]string{"LD_PRELOAD": "/tmp/evil.so", "GODEBUG": "gctrace=0", "BASH_ENV": "/tmp/evil.sh", "ENV": "/tmp/evil.sh",
		"PATH": "/tmp/evil:" + os.Getenv("PATH")}
	for name, value := range hostile {
		t.Setenv(name, value)
	}
	w := newWorkshop(t, "embedded", `env >"$DIR/env"
touch installed
`)
	for _, member := range []string{"env", "environment", "LD_PRELOAD", "PATH"} {
		operation := map[string]any{"id": "server", "type": "server_batch", "provider": "local",
			"server_configs": []map[string]any{{"name": "bench"}}}
		for where, into := range map[string]map[string]any{"an operation": operation,
			"a server": operation["server_configs"].([]map[string]any)[0]} {
			into[member] = hostile
			definition, err := json.Marshal(map[string]any{"name": "hostile", "operations": []any{operation}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err = w.rig.Orch(w.rig.Token).SubmitBatch(t.Context(), definition, ""); !fault.Is(err, fault.Invalid) &&
				!fault.Is(err, fault.Malformed) {
				t.Errorf("%s with the member %s is taken: %v", where, member, err)
			}
			delete(into, member)
		}
	}
	if b := w.over(w.submit()); b.Status != "Completed" {
		t.Fatalf("%+v", b)
	}
	raw, err := os.ReadFile(filepath.Join(w.dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		have[name] = value
	}
	known := []string{"HOME", "LANG", "LOGNAME", "OLDPWD", "PATH", "PWD", "SHLVL", "USER", "_"}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if !strings.HasPrefix(name, "PROVISIONING_") && !slices.Contains(known, name) || strings.Contains(have[name], "evil") {
			t.Errorf("the command has %s=%s", name, have[name])
		}
	}
	if have["PROVISIONING_ATTEMPT"] == "" || have["PATH"] == "" {
		t.Errorf("the script did not tell its environment: %s", raw)
	}
}
