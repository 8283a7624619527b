package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/config"
)

// started is how an installation starts a program.
type started struct {
	args []string // behind its name
	env  []string
}

// units reads the units of deploy/systemd, by program.
func units(t *testing.T) map[string]started {
	t.Helper()
	all := map[string]started{}
	for _, program := range []string{"control-center", "orchestrator"} {
		text, err := os.ReadFile(absolute(t, "deploy", "systemd", program+".service"))
		if err != nil {
			t.Fatal(err)
		}
		s := started{}
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch key {
			case "ExecStart":
				s.args = strings.Fields(value)[1:]
			case "Environment":
				s.env = append(s.env, value)
			}
		}
		all[program] = s
	}
	return all
}

// composed reads the two services of deploy/compose.yaml, by program.
func composed(t *testing.T) map[string]started {
	t.Helper()
	text, err := os.ReadFile(absolute(t, "deploy", "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	doc := map[string]any{}
	if err := config.DecodeYAML(text, &doc); err != nil {
		t.Fatal(err)
	}
	all := map[string]started{}
	for _, program := range []string{"control-center", "orchestrator"} {
		service := doc["services"].(map[string]any)[program].(map[string]any)
		s := started{}
		for _, arg := range service["command"].([]any) {
			s.args = append(s.args, arg.(string))
		}
		for name, value := range service["environment"].(map[string]any) {
			s.env = append(s.env, name+"="+value.(string))
		}
		all[program] = s
	}
	return all
}

// TestDeploy_filesAreTakenAndUseThePeerPort holds the units and the compose file to what `config
// check` takes, with the credential of `init`, and to the service-to-service port.
func TestDeploy_filesAreTakenAndUseThePeerPort(t *testing.T) {
	bin := sample(t).Bin
	for what, programs := range map[string]map[string]started{"systemd": units(t), "compose": composed(t)} {
		dir := t.TempDir()
		state := filepath.Join(dir, "control-center")
		first := exec.CommandContext(t.Context(), filepath.Join(bin, "control-center"), "init", "--data", state)
		if out, err := first.CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		write(t, filepath.Join(dir, "password"), "a rather long passphrase 7")
		for program, s := range programs {
			own := filepath.Join(dir, program)
			places := strings.NewReplacer("${STATE_DIRECTORY}", own, "--data=/data", "--data="+own,
				"/run/secrets/surrealdb", filepath.Join(dir, "password"), "/etc/provisioning-platform", absolute(t, "deploy", "sample"),
				"%d/control-center", filepath.Join(state, "orchestrator-credential.json"),
				"/run/secrets/credential", filepath.Join(state, "orchestrator-credential.json"))
			line := places.Replace(strings.Join(s.args[1:], "\n"))
			if s.args[0] != "serve" || strings.Contains(line, "--control-center") {
				t.Errorf("%s: %s is started with %v", what, program, s.args)
			}
			args := append([]string{"config", "check"}, strings.Split(line, "\n")...)
			cmd := exec.CommandContext(t.Context(), filepath.Join(bin, program), args...)
			cmd.Env = strings.Split(places.Replace(strings.Join(s.env, "\n")), "\n")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %s: %v %s", what, program, err, out)
			}
			if program == "control-center" && !strings.Contains(strings.Join(s.env, " "), "CONTROL_CENTER_TLS_PEER_LISTEN=") {
				t.Errorf("%s: the control-center has no service-to-service port: %v", what, s.env)
			}
		}
	}
}
