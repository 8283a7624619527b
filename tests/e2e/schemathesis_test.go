package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestSchemathesis_everyAnswerIsAsDocumented sends generated requests, good and bad ones, to every
// operation of both documents as an administrator: no answer is a 5xx, and each one has a status, a
// content type and a body that the document says.
func TestSchemathesis_everyAnswerIsAsDocumented(t *testing.T) {
	python := rigtest.Python(t, "schemathesis", "requirements-schemathesis.txt",
		"Python 3.11 or later with its venv module (Debian 12 or later: python3 python3-venv)")
	o := sample(t)
	o.RateLimits = false
	r := rigtest.Start(t, o)
	header := filepath.Join(r.Dir, "schemathesis.toml") // the token is no argument that others can read
	text := fmt.Sprintf("headers = { Authorization = \"Bearer %s\" }\n", r.Token.Reveal())
	if err := os.WriteFile(header, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, address := range map[string]string{"control-center": r.ControlCenter.Address, "orchestrator": r.Orchestrator.Address} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(python), "schemathesis"), "--config-file", header, "run",
			address+"/openapi.json", "--checks",
			"not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
			"--phases", "examples,coverage,fuzzing", "--max-examples", "8", "--seed", "7", "--continue-on-failure",
			"--suppress-health-check", "all", "--warnings", "off", "--request-timeout", "30",
			// These end the session that asks, or wait for what happens.
			"--exclude-path", "/auth/logout", "--exclude-path", "/ws", "--exclude-path-regex", "^/auth/sessions")
		cmd.Dir = r.Dir
		cmd.Env = append(os.Environ(), "NO_COLOR=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			said := string(out)
			if at := strings.Index(said, "FAILURES"); at >= 0 {
				said = said[at:]
			}
			t.Errorf("schemathesis about the %s: %v\n%s", name, err, said)
		}
	}
}
