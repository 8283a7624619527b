package app

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
)

// commandLine runs the binary's command line and returns its exit code and what it wrote.
func commandLine(env []string, args ...string) (code int, out, errs string) {
	var stdout, stderr bytes.Buffer
	code = cli.Main(context.Background(), Root(), &cli.IO{
		In: strings.NewReader(""), Out: &stdout, Err: &stderr, Format: "table",
		Getenv: func(string) string { return "" }, Environ: func() []string { return env },
	}, args)
	return code, stdout.String(), stderr.String()
}

// TestConfigCheck_refusesWhatServeRefuses: check and serve decide with one function, name the key,
// and say all that is wrong at once.
func TestConfigCheck_refusesWhatServeRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, c := range map[string]struct {
		file string
		env  []string
		want []string
	}{
		"nothing given":       {want: []string{"--data DIR", "--control-center URL", "--credential FILE"}},
		"no credential there": {file: "credential = \"nowhere\"", want: []string{"nowhere"}},
		"password in address": {file: "control_center = \"http://a:hunter2@h\"", want: []string{"no password"}},
		"plain text outside":  {file: "listen = [\"0.0.0.0:0\"]", want: []string{"server.plaintext", "tls.cert"}},
		"no certificate":      {file: "[tls]\ncert = \"gone\"\nkey = \"gone\"", want: []string{"tls.key", "gone"}},
		"wildcard of pages":   {file: "[cors]\norigins = [\"*\"]", want: []string{"cors.origins"}},
		"unknown driver":      {file: "[providers.aws]\ndriver = \"ec2\"", want: []string{"providers.aws.driver", "local, simulated"}},
		"bad provider name":   {file: "[providers.\"a/b\"]\ndriver = \"local\"", want: []string{"providers.a/b"}},
		"key of another driver": {file: "[providers.aws]\ndriver = \"local\"\nlatency = \"1s\"\nstate = \"s\"",
			want: []string{"providers.aws.latency", "providers.aws.state", "it reads: dir"}},
		"simulated fault": {file: "[providers.t]\ndriver = \"simulated\"\n[[providers.t.faults]]\nclass = \"bad\"",
			want: []string{"providers.t", "bad"}},
		"no infra folder":   {file: "[infra]\ndir = \"no-infra\"", want: []string{"infra.dir", "no-infra"}},
		"no recipes folder": {file: "[recipes]\ndir = \"no-recipes\"", want: []string{"recipes.dir", "no-recipes"}},
		"no interpreter": {file: "[recipes]\ninterpreters = [\"/bin/sh\", \"/no/python\", \"sh\"]",
			want: []string{"/no/python", "\"sh\""}},
		"limits of nothing": {file: "[limits]\ntasks = 0\nsteps = -1\noperations = 9999\n[ws]\nmax_connections = 0\nmax_per_user = 0",
			want: []string{"limits.tasks",
				"limits.steps", "limits.operations", "ws.max_connections", "ws.max_per_user"}},
		"retry of nothing": {file: "[retry]\nmax_attempts = 0\ninitial_delay = \"1us\"\ngrace = \"0s\"",
			want: []string{"retry.max_attempts", "retry.initial_delay", "retry.grace"}},
		"rate limits":        {file: "[rate_limits]\nauthentication = 0", want: []string{"rate_limits.authentication"}},
		"origin with a path": {file: "[ws]\norigins = [\"https://a/b\"]", want: []string{"ws.origins", "https://a/b"}},
		"origins that no browser sends": {file: "[ws]\norigins = [\"ftp://a\", \"https://*.a\", \"https://A\"]",
			want: []string{"ftp://a", "https://*.a", "https://A"}},
		"listener and store": {file: "listen = [\"h\", \"h:port\"]\n[store]\nurl = \"surrealdb://r@h:1/a/b\"",
			want: []string{"\"h\" is not HOST:PORT", "h:port", "sync = \"every\""}},
		"a wrong type": {file: "[limits]\ntasks = \"many\"\nsteps = 0\n[retry]\nmax_attempts = [1]",
			want: []string{":2:9:", ":5:16:", "limits.steps", "--data DIR"}},
		"webhook with bad members": {file: "[[webhooks.endpoints]]\nurl = \"https://u:hunter2@h\"\nevents = [\"task.fail\"]\nsecret = \"\"",
			want: []string{":2:7:", "no password", ":3:11:", "task.failed", ":4:10:", "1 to 256 bytes"}},
		"webhooks that cannot be": {file: "[webhooks]\ntimeout = \"0s\"\nretry = [\"-1s\"]\n[[webhooks.endpoints]]\nurl = " +
			"\"http://10.1.1.1/\"\nsecret_file = \"nowhere\"\n[[webhooks.endpoints]]\nurl = \"http://10.1.1.1/\"\nevents = " +
			"[\"task.failed\"]", want: []string{"webhooks.timeout", "webhooks.retry",
			"webhooks.endpoints.0.url: address 10.1.1.1 is refused: it is private", "webhooks.endpoints.0.events", "secret_file",
			"webhooks.endpoints.1 must have one of"}},
		"webhooks as once printed": {file: "[webhooks]\nenabled = true\nendpoints = [\n  {\n    url = " +
			"\"https://your-system.com/webhook\"\n    events = [\"task.completed\"]\n  }\n]",
			want: []string{":6:5:", "[[webhooks.endpoints]]"}},
		"variable nearly right": {env: []string{"ORCHESTRATOR_LIMIT_TASKS=5"},
			want: []string{"did you mean ORCHESTRATOR_LIMITS_TASKS?"}},
	} {
		file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".toml")
		if err := os.WriteFile(file, []byte(c.file+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, verb := range [][]string{{"config", "check"}, {"serve"}} {
			code, out, errs := commandLine(c.env, append(append([]string{}, verb...), "--config", file)...)
			if code != cli.ExitUsage || out != "" {
				t.Errorf("%s: %v ended with %d, %q", name, verb, code, errs)
			}
			for _, w := range c.want {
				if !strings.Contains(errs, w) {
					t.Errorf("%s: %v says %q, which lacks %q", name, verb, errs, w)
				}
			}
			if strings.Contains(errs, "hunter2") {
				t.Errorf("%s: %v shows the password: %s", name, verb, errs)
			}
		}
	}
}

// TestConfigCheck_isGoodOfAFolderThatServeRefuses: both look at the data folder with one function,
// say the same, and check writes nothing: not even the folder, which serve makes.
func TestConfigCheck_isGoodOfAFolderThatServeRefuses(t *testing.T) {
	t.Parallel()
	at := t.TempDir()
	dir := filepath.Join(at, "data")
	credential := filepath.Join(at, "credential.json")
	if err := os.WriteFile(credential, credentialOf(t), 0o600); err != nil {
		t.Fatal(err)
	}
	line := func(verb ...string) (int, string) {
		code, out, errs := commandLine(nil, append(verb, "--data", dir, "--control-center", "http://127.0.0.1:1", "--credential",
			credential)...)
		return code, out + errs
	}
	if code, said := line("config", "check"); code != 0 || !strings.Contains(said, "good") {
		t.Fatalf("%d %s", code, said)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("config check made the data folder")
	}
	own := instance.Folder(dir).Keys()
	if _, err := audit.MakeKeys(instance.Folder(dir).AuditKeys(), "d/audit"); err != nil { // as the first serve does
		t.Fatal(err)
	}
	if _, err := secret.MakeKey(filepath.Join(own, idempotency.KeyFile)); err != nil {
		t.Fatal(err)
	}
	for _, path := range append(audit.KeyFiles(instance.Folder(dir).AuditKeys()), filepath.Join(own, idempotency.KeyFile), own, dir) {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	code, checked := line("config", "check")
	for _, want := range []string{"chmod 700 " + dir + "\n", "chmod 700 " + own + "\n", "/idempotency", "/treehead.pem", "/witness.pem"} {
		if code != cli.ExitFailed || !strings.Contains(checked, want) {
			t.Errorf("config check ends with %d and says %q, which lacks %q", code, checked, want)
		}
	}
	if code, served := line("serve"); code != cli.ExitFailed || served != checked {
		t.Errorf("serve ends with %d and says %q, config check %q", code, served, checked)
	}
	dir = credential
	if code, said := line("config", "check"); code != cli.ExitFailed || !strings.Contains(said, "is a file") {
		t.Errorf("a file for a folder: %d %s", code, said)
	}
}

// credentialOf returns a credential as control-center init makes it.
func credentialOf(t *testing.T) []byte {
	t.Helper()
	keys, err := audit.MakeKeys(filepath.Join(t.TempDir(), "keys"), "d/audit/control-center")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"client_id": "c", "control_center_audit_key": keys.Public().String(), "deployment": "d", "issuer": "i",
		"private_key": base64.RawURLEncoding.EncodeToString(make([]byte, ed25519.SeedSize)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}
