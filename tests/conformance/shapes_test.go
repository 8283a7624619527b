package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Words of a shape (see fits).
var words = map[string]*regexp.Regexp{
	"uuid":   regexp.MustCompile(`^"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"$`),
	"time":   regexp.MustCompile(`^"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"$`),
	"text":   regexp.MustCompile(`^"`),
	"size":   regexp.MustCompile(`^"\d+(B|KB|MB|GB|TB)"$`),
	"bool":   regexp.MustCompile(`^(true|false)$`),
	"whole":  regexp.MustCompile(`^\d+$`),
	"number": regexp.MustCompile(`^\d+(\.\d+)?$`),
	"object": regexp.MustCompile(`^\{`),
	"texts":  regexp.MustCompile(`^\[("|\])`),
	"null":   regexp.MustCompile(`^null$`),
}

// fits reports where a JSON value does not have a shape. A shape is JSON: an object's members must
// all be there (more are additive), a list's one element is the shape of every element, of which
// there must be one, and a text is "=" and the exact text or words with | between them.
func fits(at string, shape, value json.RawMessage) []string {
	value = bytes.TrimSpace(value)
	switch shape[0] {
	case '{':
		var want, got map[string]json.RawMessage
		if err := json.Unmarshal(shape, &want); err != nil {
			panic(err)
		}
		if json.Unmarshal(value, &got) != nil {
			return []string{at + " is no object: " + string(value)}
		}
		var wrong []string
		for name, s := range want {
			v, there := got[name]
			if !there {
				wrong = append(wrong, at+"."+name+" is missing")
				continue
			}
			wrong = append(wrong, fits(at+"."+name, s, v)...)
		}
		return wrong
	case '[':
		var want, got []json.RawMessage
		if err := json.Unmarshal(shape, &want); err != nil {
			panic(err)
		}
		if json.Unmarshal(value, &got) != nil || len(got) == 0 {
			return []string{at + " is no list with elements: " + string(value)}
		}
		var wrong []string
		for i, v := range got {
			wrong = append(wrong, fits(fmt.Sprintf("%s[%d]", at, i), want[0], v)...)
		}
		return wrong
	}
	var word string
	if err := json.Unmarshal(shape, &word); err != nil {
		panic(err)
	}
	if exact, isExact := strings.CutPrefix(word, "="); isExact {
		if got := ""; json.Unmarshal(value, &got) != nil || got != exact {
			return []string{fmt.Sprintf("%s is %s, not %q", at, value, exact)}
		}
		return nil
	}
	for w := range strings.SplitSeq(word, "|") {
		if words[w].Match(value) {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s is %s, not %s", at, value, word)}
}

const (
	taskShape = `{"id":"uuid","name":"text","command":"text","args":"texts","dependencies":"texts","status":"text","created_at":"time",
		"started_at":"time|null","completed_at":"time|null","output":"text|null","error":"text|null"}`
	batchShape      = `{"batch_id":"uuid","name":"text","status":"=Completed","operations":[{"id":"text","status":"=Completed","progress":"number","results":"object"}]}`
	checkpointShape = `{"id":"uuid","name":"text","description":"text","created_at":"time","size":"size"}`
	userShape       = `{"id":"uuid","username":"text","email":"text","roles":"texts","enabled":"bool"}`
)

// shapes compares the data of every success of the contract (platform.md 1.2 to 1.8) with its shape
// there, member by member: the typed client that the other behaviours use would not notice a member
// that is missing or renamed.
func (e *env) shapes(t *testing.T) {
	t.Helper()
	check := func(what string, a answer, status int, shape string) json.RawMessage {
		t.Helper()
		e.want(a, status)
		for _, wrong := range fits("data", json.RawMessage(shape), a.Data) {
			t.Errorf("%s: %s", what, wrong)
		}
		return a.Data
	}
	id := func(data json.RawMessage) string {
		var s string
		_ = json.Unmarshal(data, &s)
		return s
	}
	reference, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	var b struct {
		ID string `json:"batch_id"`
	}
	_ = json.Unmarshal(check("execute", e.orch("operator", "POST", "/batch/execute", reference), 200,
		`{"batch_id":"uuid","status":"=Running","operations":[{"id":"text","status":"=Pending","progress":"number"}]}`), &b)
	e.batchEnded(b.ID)
	check("batch", e.orch("viewer", "GET", "/batch/operations/"+b.ID, nil), 200, batchShape)
	check("batches", e.orch("viewer", "GET", "/batch/operations?limit=1&status=completed", nil), 200, "["+strings.Replace(batchShape, "{", `{"created_at":"time",`, 1)+"]")
	check("progress", e.orch("viewer", "GET", "/state/workflows/"+b.ID+"/progress", nil), 200, `{"workflow_id":"uuid","progress":"number",`+
		`"current_step":"text","total_steps":"whole","completed_steps":"whole","estimated_time_remaining":"whole|null"}`)
	check("snapshots", e.orch("viewer", "GET", "/state/workflows/"+b.ID+"/snapshots", nil), 200,
		`[{"snapshot_id":"uuid","timestamp":"time","state":"text","details":"object"}]`)
	check("system metrics", e.orch("viewer", "GET", "/state/system/metrics", nil), 200, `{"total_workflows":"whole",`+
		`"active_workflows":"whole","completed_workflows":"whole","failed_workflows":"whole","cancelled_workflows":"whole",`+
		`"system_load":{"cpu_usage":"number","memory_usage":"whole","disk_usage":"number"}}`)
	check("system health", e.orch("viewer", "GET", "/state/system/health", nil), 200, `{"overall_status":"text",`+
		`"components":{"storage":"text","batch_coordinator":"text","monitoring":"text"},"last_check":"time"}`)
	check("statistics", e.orch("viewer", "GET", "/state/statistics", nil), 200,
		`{"total_workflows":"whole","active_snapshots":"whole","storage_usage":"size","average_workflow_duration":"number"}`)
	check("tasks", e.orch("viewer", "GET", "/tasks", nil), 200, "["+taskShape+"]")
	for path, body := range map[string]map[string]any{
		"/workflows/servers/create":  servers("nowhere"),
		"/workflows/taskserv/create": {"taskserv": "kubernetes", "infra": "nowhere"},
		"/workflows/cluster/create":  {"cluster_type": "buildkit", "infra": "nowhere"},
	} {
		task := id(check(path, e.orch("operator", "POST", path, body), 200, `"uuid"`))
		check("task of "+path, e.orch("viewer", "GET", "/tasks/"+task, nil), 200, taskShape)
	}
	cp := id(check("take a checkpoint", e.orch("operator", "POST", "/rollback/checkpoints", map[string]any{"name": "shape"}), 201, `"uuid"`))
	check("checkpoints", e.orch("viewer", "GET", "/rollback/checkpoints", nil), 200, "["+checkpointShape+"]")
	check("checkpoint", e.orch("viewer", "GET", "/rollback/checkpoints/"+cp, nil), 200, strings.Replace(checkpointShape, "{", `{"operations_count":"whole",`, 1))
	check("rollback statistics", e.orch("viewer", "GET", "/rollback/statistics", nil), 200,
		`{"total_checkpoints":"whole","total_rollbacks":"whole","success_rate":"number","average_rollback_time":"number"}`)
	check("rollback", e.orch("operator", "POST", "/rollback/execute",
		map[string]any{"operation_ids": []string{b.ID + "/upcloud_servers"}, "cascade": true}), 200,
		`{"rollback_id":"uuid","success":"bool","operations_executed":"whole","operations_failed":"whole","duration":"number"}`)
	hanging := e.execute(e.batch("cancelled", op("a", "hang")))
	check("cancel", e.orch("operator", "POST", "/batch/operations/"+hanging+"/cancel", nil), 200, `"=Operation cancelled"`)

	name := e.name("shape")
	made := check("create a user", e.cc("admin", "POST", "/users", newUser(name)), 201, userShape)
	var u struct{ ID string }
	_ = json.Unmarshal(made, &u)
	check("users", e.cc("admin", "GET", "/users", nil), 200, "["+strings.Replace(userShape, "{", `{"created_at":"time","last_login":"time|null",`, 1)+"]")
	in := check("sign in", e.cc("", "POST", "/auth/login", map[string]any{"username": name, "password": password}), 200,
		`{"token":"text","expires_at":"time","user":{"id":"uuid","username":"text","email":"text","roles":"texts"}}`)
	var session struct{ Token string }
	_ = json.Unmarshal(in, &session)
	next := check("refresh", e.cc("", "POST", "/auth/refresh", map[string]any{"token": session.Token}), 200, `{"token":"text","expires_at":"time"}`)
	_ = json.Unmarshal(next, &session)
	check("sign out", e.do(request{base: e.ControlCenter.Address, method: "POST", path: "/auth/logout", token: session.Token}), 200, `"=Successfully logged out"`)
	check("update a user", e.cc("admin", "PUT", "/users/"+u.ID, map[string]any{"enabled": false}), 200, `"=User updated successfully"`)
	check("delete a user", e.cc("admin", "DELETE", "/users/"+u.ID, nil), 200, `"=User deleted successfully"`)
	check("audit", e.cc("auditor", "GET", "/audit/logs", nil), 200,
		`[{"id":"uuid","timestamp":"time","user_id":"text","action":"text","resource":"text","result":"text","details":"object"}]`)
	e.await(10*time.Second, "the deletion is in the log with who did it", func() bool {
		for _, r := range e.audit("action=user.delete&user_id=" + e.userID("admin")) {
			if r.Resource == "users/"+u.ID {
				var d struct{ Username, Account string }
				_ = json.Unmarshal(r.Details, &d)
				if d.Username != e.Admin.Username || d.Account != name {
					t.Errorf("the record names %q as the actor and %q as the account", d.Username, d.Account)
				}
				return true
			}
		}
		return false
	})
}
