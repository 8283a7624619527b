package security

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// odd are names that mean more than themselves to a program, a path, a pattern or a terminal.
var odd = []string{"-oProxyCommand=touch pwned;", "--", "-F", ".ssh", "..", "../x", "a/b", "*", "we?b", "{{7*7}}", "$(id)", "we b", " ",
	"a\nb", "\x1b[2J", "web\u202e10", "web\u200b1", "wеb", strings.Repeat("x", 129)}

// TestNames_aServerNameIsNoOptionOfSSH is decision 38. A server called "-oProxyCommand=touch
// pwned;" was made, and its name stood in the argument vector that results print for ssh.
func TestNames_aServerNameIsNoOptionOfSSH(t *testing.T) {
	s, token := shared, shared.people["admin+mfa"].token
	operation := func(change func(op map[string]any)) map[string]any {
		op := map[string]any{"id": "a", "type": "server_batch", "provider": "real", "dependencies": []string{},
			"server_configs": []any{map[string]any{"name": "names-1"}}}
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
			"/operations/0/id":       operation(func(op map[string]any) { op["id"] = text }),
			"/operations/0/provider": operation(func(op map[string]any) { op["provider"] = text }),
			"/operations/0/server_configs/0/name": operation(func(op map[string]any) {
				op["server_configs"] = []any{map[string]any{"name": text}}
			}),
			"/operations/0/targets/0":   operation(func(op map[string]any) { op["targets"] = []any{text} }),
			"/operations/0/taskservs/0": operation(func(op map[string]any) { op["taskservs"] = []any{text} }),
			"/infra":                    workflow("infra", text), "/settings": workflow("settings", text),
			"/taskserv": workflow("taskserv", text),
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
	var b client.BatchRun
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
	if out, err := exec.CommandContext(t.Context(), argv[0], append(argv[1:], "cat", "etc/hostname")...).CombinedOutput(); err != nil ||
		string(out) != "names-1\n" {
		t.Errorf("%q: %v: %s", argv, err, out)
	}
}

// TestNames_freeTextsAreOneLineOfVisibleText is the other half of decision 38.
func TestNames_freeTextsAreOneLineOfVisibleText(t *testing.T) {
	s, token := shared, shared.people["admin+mfa"].token
	for text, want := range map[string]int{
		"Umzug nach Köln (*) – क्\u200dष": 201, "a\nb": 422, "\x1b[2J": 422, "\u202egpj": 422, "a\u200bb": 422, "a\u2028b": 422,
		"Zoe\u0308": 422, "a\tb": 422,
	} {
		for _, body := range []map[string]any{{"name": text}, {"name": "free", "description": text}} {
			if a := s.send(t, "orchestrator", "POST", "/rollback/checkpoints", token, body); a.Status != want {
				t.Errorf("checkpoint %q: status %d, want %d: %.300s", body, a.Status, want, a.Raw)
			}
		}
		body := map[string]any{"name": text,
			"operations": []any{map[string]any{"id": "a", "type": "server_batch", "provider": "fast", "dependencies": []string{},
				"server_configs": []any{map[string]any{"name": fmt.Sprint("free-", len(text))}}}}}
		if a := s.send(t, "orchestrator", "POST", "/batch/execute", token, body); a.Status != want && !(want == 201 && a.Status == 200) {
			t.Errorf("batch %q: status %d, want %d: %.300s", text, a.Status, want, a.Raw)
		}
	}
}

// TestNames_commandInjection is I10 at the API: what a shell, a pattern or an option could make of
// a text is refused in a name, and stands in a free text as it was. That it reaches a program as
// one argument is TestRun_injection of package local.
func TestNames_commandInjection(t *testing.T) {
	s, token := shared, shared.people["admin+mfa"].token
	var payloads []string
	for _, open := range []string{"", "x", "'", `"`, `\`, "-", "$", "%", "\n"} {
		for _, middle := range []string{"; touch TRAP", "| touch TRAP", "& touch TRAP #", "`touch TRAP`", "$(touch TRAP)", "> TRAP", "*",
			"?", "%s%n", "${IFS}touch${IFS}TRAP", "<(touch TRAP)", "-oProxyCommand=touch TRAP", "{{7*7}}"} {
			for _, end := range []string{"", "'", `"`} {
				payloads = append(payloads, open+middle+end)
			}
		}
	}
	if len(payloads) < 300 {
		t.Fatalf("only %d payloads", len(payloads))
	}
	batch := func(servers ...any) answer {
		return s.send(t, "orchestrator", "POST", "/batch/execute", token, map[string]any{"name": "injection", "operations": []any{
			map[string]any{"id": "a", "type": "server_batch", "provider": "fast", "dependencies": []string{}, "server_configs": servers}}})
	}
	var kept []any
	for i, text := range payloads {
		if a := batch(map[string]any{"name": text}); a.Status != 422 {
			t.Errorf("a server called %q: status %d", text, a.Status)
		}
		if !strings.Contains(text, "\n") {
			kept = append(kept, map[string]any{"name": fmt.Sprint("injection-", i), "plan": text, "zone": text})
		}
	}
	for i := 0; i < len(kept); i += 200 {
		var b client.BatchRun
		part := kept[i:min(i+200, len(kept))]
		batch(part...).data(t, &b)
		rigtest.Await(t, patience, "the batch has ended", func() bool {
			s.send(t, "orchestrator", "GET", "/batch/operations/"+b.BatchID, token, nil).data(t, &b)
			return b.Status == "Completed"
		})
		var shown struct {
			Servers []struct {
				Name  string            `json:"name"`
				Facts map[string]string `json:"facts"`
			} `json:"servers"`
		}
		if err := json.Unmarshal(b.Operations[0].Results, &shown); err != nil || len(shown.Servers) != len(part) {
			t.Fatalf("%d of %d servers are shown: %v", len(shown.Servers), len(part), err)
		}
		for k, server := range shown.Servers {
			if want := part[k].(map[string]any)["plan"]; server.Facts["plan"] != want || server.Facts["zone"] != want {
				t.Errorf("%q is shown as %v", want, server.Facts)
			}
		}
	}
	for _, dir := range []string{s.Dir, ".", "/"} {
		if _, err := os.Stat(filepath.Join(dir, "TRAP")); err == nil {
			t.Errorf("a payload was run in %s", dir)
		}
	}
}

// TestNames_traversal is I09: no name of an infra, a settings file, a task service or a cluster
// leads out of its folder.
func TestNames_traversal(t *testing.T) {
	s, token := shared, shared.people["admin+mfa"].token
	outside := filepath.Join(s.Dir, "outside") // beside the folder of infras
	if err := os.MkdirAll(outside, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "config.toml"), []byte("[[servers]]\nname = \"outside-1\"\nprovider = \"fast\"\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(s.Dir, "infra", "link")); err != nil {
		t.Fatal(err)
	}
	names := []string{outside, "/", ".", "..", "/etc/passwd", "~", "C:", "//x/y", "\x00", "fast\x00", "fast/", "./fast", "fast/.",
		"fast/../../outside"}
	for _, up := range []string{"../", "..\\", "%2e%2e%2f", "..%2f", "%2e%2e/", "..;/", "....//", "..%c0%af", "..\u2215", ".\u2024/"} {
		for _, to := range []string{"outside", "outside/config.toml", up + "outside", up + up + up + "etc/passwd", "orchestrator/keys"} {
			names = append(names, up+to)
		}
	}
	if len(names) < 60 {
		t.Fatalf("only %d names", len(names))
	}
	for _, text := range names {
		for kind, members := range map[string][]string{"servers": {"infra", "settings"}, "taskserv": {"taskserv", "infra"},
			"cluster": {"cluster_type"}} {
			for _, member := range members {
				body := map[string]any{"infra": "fast", "taskserv": "os", "cluster_type": "c"}
				for _, other := range []string{"taskserv", "cluster_type"} {
					if !strings.HasPrefix(other, kind) {
						delete(body, other)
					}
				}
				body[member] = text
				if a := s.send(t, "orchestrator", "POST", "/workflows/"+kind+"/create", token, body); a.Status != 422 {
					t.Errorf("%s %s = %q: status %d: %.200s", kind, member, text, a.Status, a.Raw)
				}
			}
		}
	}
	a, shown := s.made(t, "/workflows/servers/create", map[string]any{"infra": "link"}, "/tasks/") // a name, and a way out
	if a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Raw)
	}
	var task client.Task
	rigtest.Await(t, patience, "the task has ended", func() bool {
		s.send(t, "orchestrator", "GET", shown, token, nil).data(t, &task)
		return task.Status == "Failed" || task.Status == "Completed"
	})
	if task.Status != "Failed" {
		t.Errorf("an infra that is a link out of the folder: %+v", task)
	}
}
