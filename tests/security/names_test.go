package security

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// odd are names that mean more than themselves to a program, a path, a pattern or a terminal.
var odd = []string{"-oProxyCommand=touch pwned;", "--", "-F", ".ssh", "..", "../x", "a/b", "*", "we?b", "{{7*7}}", "$(id)", "we b", " ", "a\nb", "\x1b[2J", "web\u202e10", "web\u200b1", "wеb", strings.Repeat("x", 129)}

// TestNames_aServerNameIsNoOptionOfSSH is decision 38. A server called "-oProxyCommand=touch pwned;" was made, and its
// name stood in the argument vector that results print for ssh.
func TestNames_aServerNameIsNoOptionOfSSH(t *testing.T) {
	s, token := shared, shared.people["admin+mfa"].token
	operation := func(change func(op map[string]any)) map[string]any {
		op := map[string]any{"id": "a", "type": "server_batch", "provider": "real", "dependencies": []string{}, "server_configs": []any{map[string]any{"name": "names-1"}}}
		change(op)
		return map[string]any{"name": "names", "operations": []any{op}}
	}
	workflow := func(member, text string) map[string]any {
		body := map[string]any{"infra": "fast", "taskserv": "os", "check_mode": true}
		body[member] = text
		return body
	}
	for _, text := range odd {
		for place, body := range map[string]map[string]any{
			"/operations/0/id":                    operation(func(op map[string]any) { op["id"] = text }),
			"/operations/0/provider":              operation(func(op map[string]any) { op["provider"] = text }),
			"/operations/0/server_configs/0/name": operation(func(op map[string]any) { op["server_configs"] = []any{map[string]any{"name": text}} }),
			"/operations/0/targets/0":             operation(func(op map[string]any) { op["targets"] = []any{text} }),
			"/operations/0/taskservs/0":           operation(func(op map[string]any) { op["taskservs"] = []any{text} }),
			"/infra":                              workflow("infra", text), "/settings": workflow("settings", text), "/taskserv": workflow("taskserv", text),
		} {
			path := "/batch/execute"
			if !strings.HasPrefix(place, "/operations") {
				path = "/workflows/taskserv/create"
			}
			if a := s.send(t, "orchestrator", "POST", path, token, body); a.Status != 422 || !strings.Contains(string(a.Raw), `"`+place+`"`) {
				t.Errorf("%s = %.40q: status %d, want 422 that names the place: %.300s", place, text, a.Status, a.Raw)
			}
		}
	}
	var b client.Batch
	s.send(t, "orchestrator", "POST", "/batch/execute", token, operation(func(map[string]any) {})).data(t, &b)
	rigtest.Await(t, patience, "the batch has ended", func() bool {
		s.send(t, "orchestrator", "GET", "/batch/operations/"+b.BatchID, token, nil).data(t, &b)
		return b.Status == "Completed"
	})
	var results struct {
		Servers []struct {
			SSH []string `json:"ssh"`
		} `json:"servers"`
	}
	if err := json.Unmarshal(b.Operations[0].Results, &results); err != nil || len(results.Servers) != 1 {
		t.Fatalf("results %s: %v", b.Operations[0].Results, err)
	}
	argv := results.Servers[0].SSH
	if len(argv) < 2 || !slices.Equal(argv[len(argv)-2:], []string{"--", "names-1"}) {
		t.Fatalf("ssh is called as %q, want the name behind --", argv)
	}
	if out, err := exec.CommandContext(t.Context(), argv[0], append(argv[1:], "cat", "etc/hostname")...).CombinedOutput(); err != nil || string(out) != "names-1\n" {
		t.Errorf("%q: %v: %s", argv, err, out)
	}
}

// TestNames_freeTextsAreOneLineOfVisibleText is the other half of decision 38.
func TestNames_freeTextsAreOneLineOfVisibleText(t *testing.T) {
	s, token := shared, shared.people["admin+mfa"].token
	for text, want := range map[string]int{
		"Umzug nach Köln (*) – क्\u200dष": 201, "a\nb": 422, "\x1b[2J": 422, "\u202egpj": 422, "a\u200bb": 422, "a\u2028b": 422, "Zoe\u0308": 422, "a\tb": 422,
	} {
		for _, body := range []map[string]any{{"name": text}, {"name": "free", "description": text}} {
			if a := s.send(t, "orchestrator", "POST", "/rollback/checkpoints", token, body); a.Status != want {
				t.Errorf("checkpoint %q: status %d, want %d: %.300s", body, a.Status, want, a.Raw)
			}
		}
		body := map[string]any{"name": text, "operations": []any{map[string]any{"id": "a", "type": "server_batch", "provider": "fast", "dependencies": []string{}, "server_configs": []any{map[string]any{"name": fmt.Sprint("free-", len(text))}}}}}
		if a := s.send(t, "orchestrator", "POST", "/batch/execute", token, body); a.Status != want && !(want == 201 && a.Status == 200) {
			t.Errorf("batch %q: status %d, want %d: %.300s", text, a.Status, want, a.Raw)
		}
	}
}
