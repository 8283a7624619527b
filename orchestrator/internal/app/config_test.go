package app

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/cli"
)

// run runs the binary's command line and returns its exit code and what it wrote.
func run(env []string, args ...string) (code int, out, errs string) {
	var stdout, stderr bytes.Buffer
	code = cli.Main(context.Background(), Root(), &cli.IO{
		In: strings.NewReader(""), Out: &stdout, Err: &stderr, Format: "table",
		Getenv: func(string) string { return "" }, Environ: func() []string { return env },
	}, args)
	return code, stdout.String(), stderr.String()
}

// TestConfigCheck_refusesWhatServeRefuses: check and serve decide with one function, name the key, and say
// all that is wrong at once.
func TestConfigCheck_refusesWhatServeRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, c := range map[string]struct {
		file string
		env  []string
		want []string
	}{
		"nothing given":         {want: []string{"--data DIR", "--control-center URL", "--credential FILE"}},
		"no credential there":   {file: "credential = \"nowhere\"", want: []string{"nowhere"}},
		"password in address":   {file: "control_center = \"http://a:hunter2@h\"", want: []string{"no password"}},
		"unknown driver":        {file: "[providers.aws]\ndriver = \"ec2\"", want: []string{"providers.aws.driver", "local, simulated"}},
		"bad provider name":     {file: "[providers.\"a/b\"]\ndriver = \"local\"", want: []string{"providers.a/b"}},
		"key of another driver": {file: "[providers.aws]\ndriver = \"local\"\nlatency = \"1s\"\nstate = \"s\"", want: []string{"providers.aws.latency", "providers.aws.state", "it reads: dir"}},
		"simulated fault":       {file: "[providers.t]\ndriver = \"simulated\"\n[[providers.t.faults]]\nclass = \"bad\"", want: []string{"providers.t", "bad"}},
		"no infra folder":       {file: "[infra]\ndir = \"no-infra\"", want: []string{"infra.dir", "no-infra"}},
		"no recipes folder":     {file: "[recipes]\ndir = \"no-recipes\"", want: []string{"recipes.dir", "no-recipes"}},
		"no interpreter":        {file: "[recipes]\ninterpreters = [\"/bin/sh\", \"/no/python\", \"sh\"]", want: []string{"/no/python", "\"sh\""}},
		"limits of nothing":     {file: "[limits]\ntasks = 0\nsteps = -1\noperations = 9999\n[ws]\nmax_connections = 0\nmax_per_user = 0", want: []string{"limits.tasks", "limits.steps", "limits.operations", "ws.max_connections", "ws.max_per_user"}},
		"retry of nothing":      {file: "[retry]\nmax_attempts = 0\ninitial_delay = \"1us\"\ngrace = \"0s\"", want: []string{"retry.max_attempts", "retry.initial_delay", "retry.grace"}},
		"rate limits":           {file: "[rate_limits]\nauthentication = 0", want: []string{"rate_limits.authentication"}},
		"origin with a path":    {file: "[ws]\norigins = [\"https://a/b\"]", want: []string{"ws.origins", "https://a/b"}},
		"listener and store":    {file: "listen = [\"h\", \"h:port\"]\n[store]\nurl = \"surrealdb://r@h:1/a/b\"", want: []string{"\"h\" is not HOST:PORT", "h:port", "sync = \"every\""}},
		"variable nearly right": {env: []string{"ORCHESTRATOR_LIMIT_TASKS=5"}, want: []string{"did you mean ORCHESTRATOR_LIMITS_TASKS?"}},
	} {
		file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".toml")
		if err := os.WriteFile(file, []byte(c.file+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, verb := range [][]string{{"config", "check"}, {"serve"}} {
			code, out, errs := run(c.env, append(append([]string{}, verb...), "--config", file)...)
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
