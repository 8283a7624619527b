package conformance

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// writeConfig writes the orchestrator's configuration with simulated providers that behave as their
// names say, an infra for each, and the sample's providers and recipes on the local driver; it
// returns the configuration's path and the file that records the simulated providers' mutating
// calls.
func writeConfig(t *testing.T, dir string) (config, calls string) {
	t.Helper()
	calls = filepath.Join(dir, "calls.jsonl")
	recipes, err := filepath.Abs("../../deploy/sample/recipes")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("[infra]\ndir = \"infra\"\n[recipes]\ndir = %q\n[retry]\ninitial_delay = \"100ms\"\nmax_attempts = 3\n", recipes) +
		"[providers.upcloud]\ndriver = \"local\"\n[providers.aws]\ndriver = \"local\"\n" +
		"[webhooks]\nallow = [\"127.0.0.0/8\"]\nretry = [\"200ms\", \"400ms\", \"800ms\"]\ntimeout = \"1s\"\n"
	for name, settings := range map[string]string{
		"fast":    "",
		"slow":    "latency = \"300ms\"\n",
		"hang":    "latency = \"10m\"\n",
		"hanging": "latency = \"10m\"\n",
		"broken": "[[providers.broken.faults]]\naction = \"create\"\nclass = \"permanent\"\nmessage = \"simulated: there is no such " +
			"plan\"\n",
		"down":  "[[providers.down.faults]]\naction = \"create\"\nclass = \"transient\"\nmessage = \"simulated: the provider is down\"\n",
		"flaky": "[[providers.flaky.faults]]\naction = \"create\"\nmatch = \"flaky-*\"\ntimes = 2\nclass = \"transient\"\n",
		"stuck": "[[providers.stuck.faults]]\naction = \"delete\"\nclass = \"permanent\"\nmessage = \"simulated: it cannot be removed\"\n",
	} {
		text += fmt.Sprintf("[providers.%s]\ndriver = \"simulated\"\ncalls = %q\nstate = %q\n%s", name, calls,
			filepath.Join(dir, name+".state"), settings)
		writeInfra(t, dir, name, name)
	}
	config = filepath.Join(dir, "orchestrator.toml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config, calls
}

// writeInfra writes an infra with one server at a provider; the server's name is the infra's and a
// suffix.
func writeInfra(t *testing.T, dir, name, provider string) {
	t.Helper()
	folder := filepath.Join(dir, "infra", name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("[[servers]]\nname = \"%s-server\"\nplan = \"1xCPU-2GB\"\nzone = \"de-fra1\"\nprovider = %q\n", name, provider)
	if err := os.WriteFile(filepath.Join(folder, "config.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fresh starts a further installation on e's store, with changed options if asked; it ends with the
// test. Only the administrator is there, under every role's name.
func (e *env) fresh(change ...func(*rig.Options)) *env {
	e.t.Helper()
	f := &env{t: e.t, sockets: &socketUsers{}, surreal: e.surreal}
	o := rig.Options{Bin: e.Bin, Dir: e.t.TempDir()}
	o.OrchestratorConfig, f.calls = writeConfig(e.t, o.Dir)
	for _, c := range change {
		c(&o)
	}
	if e.surreal {
		rigtest.UseSurreal(e.t, &o)
	}
	f.Rig = rigtest.Start(e.t, o)
	f.onlyAdmin()
	return f
}

// tokenSettings is for fresh: what stands in the control-center's table [tokens].
func tokenSettings(t *testing.T, settings string) func(*rig.Options) {
	return func(o *rig.Options) {
		o.ControlCenterConfig = filepath.Join(o.Dir, "control-center.toml")
		if err := os.WriteFile(o.ControlCenterConfig, []byte("[tokens]\n"+settings), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// limited is fresh with the rate limits on.
func (e *env) limited() *env { return e.fresh(func(o *rig.Options) { o.RateLimits = true }) }

// onlyAdmin puts the administrator's token under every role's name.
func (e *env) onlyAdmin() {
	e.tokens = map[string]secretText{}
	for _, role := range []string{"admin", "operator", "developer", "viewer", "auditor"} {
		e.tokens[role] = e.Token
	}
}

// signingKey returns the public key that the control-center publishes.
func (e *env) signingKey() ed25519.PublicKey {
	e.t.Helper()
	a := e.cc("", "GET", "/.well-known/jwks.json", nil)
	var set struct {
		Keys []struct{ Kid, X string } `json:"keys"`
	}
	if err := json.Unmarshal(a.Raw, &set); err != nil || len(set.Keys) == 0 {
		e.t.Fatalf("%v %s", err, a.Raw)
	}
	head, _ := decodeToken(e.t, e.Token.Reveal())
	for _, k := range set.Keys {
		if k.Kid == head["kid"] {
			raw, err := base64.RawURLEncoding.DecodeString(k.X)
			if err != nil {
				e.t.Fatal(err)
			}
			return raw
		}
	}
	e.t.Fatal("the token's key is not published")
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
