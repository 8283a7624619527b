package security

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// personas are the columns of the matrix.
var personas = []string{"anonymous", "viewer", "auditor", "developer", "operator", "admin", "admin+mfa", "service"}

// internalOps are served and not published (decision 4).
var internalOps = []operation{
	{service: "control-center", method: "GET", path: "/internal/v1/revocations", id: "followRevocations"},
	{service: "control-center", method: "GET", path: "/internal/v1/policies", id: "followPolicies"},
	{service: "control-center", method: "GET", path: "/internal/v1/subjects", id: "followSubjects"},
	{service: "control-center", method: "GET", path: "/internal/v1/tokens", id: "followTokens"},
	{service: "control-center", method: "POST", path: "/internal/v1/tokens/used", id: "reportTokens"},
	{service: "control-center", method: "POST", path: "/internal/v1/audit/heads", id: "exchangeHeads"},
	{service: "control-center", method: "POST", path: "/internal/v1/audit/entries", id: "copyEntries"},
}

// asks are the operations that take a body and change nothing.
var asks = map[string]bool{"explainPolicy": true, "checkPolicy": true, "previewRollback": true}

// TestMatrix_everyRoleAtEveryOperation is Z01 with the rights of platform.md Q13:
// testdata/matrix.txt declares the status of each cell, an operation that is published and not
// declared fails. It is L11 too: each denied cell and each allowed one that changes something
// leaves exactly one record, which is complete; reads that are allowed leave none.
func TestMatrix_everyRoleAtEveryOperation(t *testing.T) {
	s := shared
	golden := filepath.Join("testdata", "matrix.txt")
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	published := map[string]operation{}
	for _, op := range append(s.operations(t), internalOps...) {
		published[op.service+" "+op.id] = op
	}
	denied, cells := map[string]bool{}, map[string]cell{}
	declared := map[string]bool{}
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(line, "#") {
			out.WriteString(line)
			continue
		}
		name, object := f[0]+" "+f[1], f[2]
		op, ok := published[name]
		if !ok {
			t.Errorf("%s is declared and not published", name)
			continue
		}
		declared[name] = true
		fmt.Fprintf(&out, "%-15s%-20s%-9s", f[0], f[1], object)
		for i, who := range personas {
			want := "?"
			if len(f) > 3+i {
				want = f[3+i]
			}
			got := "-"
			if want != "-" {
				rid := fmt.Sprintf("mx-%.2s-%s-%s-%d", f[0], f[1], object, i)
				a := s.cell(t, op, object, who, "X-Request-Id: "+rid)
				got = fmt.Sprint(a.Status)
				switch {
				case a.Status == 403:
					denied[rid], cells[rid] = true, cell{op, who, "denied"}
				case op.method != "GET" && a.Status < 300 && !asks[op.id]:
					cells[rid] = cell{op, who, "success"}
				}
				if got != want && !*update {
					t.Errorf("%s (%s) as %s: %s, declared %s: %.300s", op, object, who, got, want, a.Raw)
				}
			}
			fmt.Fprintf(&out, "%-*s", len(who)+2, got)
		}
		out.WriteString("\n")
	}
	for name, op := range published {
		if !declared[name] {
			t.Errorf("%s is published and not in %s: say there who may do it", op, golden)
		}
	}
	if *update {
		if err := os.WriteFile(golden, []byte(strings.ReplaceAll(out.String(), " \n", "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.recorded(t, denied)
	s.complete(t, cells)
}

// recorded demands that each request id stands in exactly one record of a refusal.
func (s *site) recorded(t *testing.T, denied map[string]bool) {
	t.Helper()
	if len(denied) < 80 {
		t.Fatalf("only %d cells are denied", len(denied))
	}
	// A refusal at each service after all others: once both are listed, a second record of one
	// before would be too.
	for service, path := range map[string]string{"orchestrator": "/rollback/checkpoints", "control-center": "/keys/rotate"} {
		rid := "mx-later-" + service
		if a := s.send(t, service, "POST", path, s.people["viewer"].token, map[string]any{"name": "x"}, "X-Request-Id: "+
			rid); a.Status != 403 {
			t.Fatalf("POST %s as a viewer: status %d, want 403: %s", path, a.Status, a.Raw)
		}
		denied[rid] = true
		rigtest.Await(t, patience, rid+" is listed", func() bool { return len(s.refusals(t)[rid]) > 0 })
	}
	records := s.refusals(t)
	for rid := range denied {
		if ids := records[rid]; len(ids) != 1 {
			t.Errorf("%s: the denied cell has %d records, want one: %v", rid, len(ids), slices.Collect(maps.Keys(ids)))
		}
	}
}

// refusals returns the ids of all records of refusals by request id. It reads page by page, and a
// row that meanwhile moved on to the next page is one row.
func (s *site) refusals(t *testing.T) map[string]map[string]bool {
	t.Helper()
	records := map[string]map[string]bool{}
	for offset := 0; ; offset += 1000 {
		var rows []struct {
			ID, Result string
			Details    struct {
				RequestID string `json:"request_id"`
			}
		}
		s.send(t, "control-center", "GET", fmt.Sprintf("/audit/logs?limit=1000&offset=%d", offset), s.people["auditor"].token, nil).data(t,
			&rows)
		for _, r := range rows {
			rid := r.Details.RequestID
			if r.Result != "denied" {
				continue
			}
			if records[rid] == nil {
				records[rid] = map[string]bool{}
			}
			records[rid][r.ID] = true
		}
		if len(rows) < 1000 {
			return records
		}
	}
}

// cell sends the request of one cell. Objects are "-", "absent", "other" (the first
// administrator's) and "own".
func (s *site) cell(t *testing.T, op operation, object, who, header string) answer {
	t.Helper()
	tok, p := "", s.people[who]
	switch {
	case who == "service":
		tok = s.service(t)
	case p != nil:
		if tok = p.token; op.id == "logout" || op.id == "removeMFA" {
			tok = s.passing(t, p)
		}
	}
	key := nowhere
	switch {
	case op.id == "getAuditLog" || op.id == "removeKey" || object == "absent" || object == "-":
	case strings.HasSuffix(op.id, "User") && object == "other":
		key = s.people["viewer"].id
		if who == "viewer" {
			key = s.people["auditor"].id
		}
	case strings.HasSuffix(op.id, "User"):
		key = p.id
	case object == "other":
		key = s.owned(t, op.id, s.Token.Reveal())
	default:
		key = s.owned(t, op.id, tok)
	}
	var body any
	if op.method != "GET" && op.method != "DELETE" {
		body = s.body(op.id, object, who)
	}
	if op.id == "createWebhook" && op.service == "control-center" { // nobody gives a service a key here
		body.(map[string]any)["events"] = []string{"client.created"}
	}
	return s.send(t, op.service, op.method, op.url(key), tok, body, header)
}

// passing returns the token of a session that may be ended: somebody else's with the same roles and
// factors.
func (s *site) passing(t *testing.T, p *person) string {
	t.Helper()
	name := "passing-" + id.New()
	if p.second != nil {
		if err := s.hireRoot(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		return s.people[name].token
	}
	fresh, err := s.hire(t.Context(), name, p.roles...)
	if err != nil {
		t.Fatal(err)
	}
	return fresh.token
}

// body returns a good body for an operation, which for a member that must not exist names one that
// does not.
func (s *site) body(op, object, who string) any {
	switch op {
	case "login":
		return map[string]any{"username": "nobody", "password": password}
	case "refresh":
		return map[string]any{"token": "rt_nothing"}
	case "createServers":
		return map[string]any{"infra": "fast", "check_mode": true}
	case "createTaskserv":
		return map[string]any{"infra": "fast", "taskserv": "os", "check_mode": true}
	case "createCluster":
		return map[string]any{"infra": "fast", "cluster_type": "os", "check_mode": true}
	case "executeBatch":
		return map[string]any{"name": "matrix",
			"operations": []any{map[string]any{"id": "a", "type": "server_batch", "provider": "fast",
				"server_configs": []any{map[string]any{"name": "m-" + id.New()}}}}}
	case "createCheckpoint":
		return map[string]any{"name": "matrix"}
	case "executeRollback", "previewRollback":
		return map[string]any{"checkpoint_id": nowhere}
	case "createWebhook": // no such host can be, and no rollback fails here
		return map[string]any{"url": "https://receiver.invalid/hook", "events": []string{"rollback.failed"}}
	case "updateWebhook", "pauseWebhook", "rotateWebhookSecret":
		return map[string]any{}
	case "redeliverRange":
		return map[string]any{"from": 1, "to": 1}
	case "createUser":
		name := "m" + strings.ReplaceAll(id.New(), "-", "")
		return map[string]any{"username": name, "email": name + "@example.com", "password": password, "roles": []string{"viewer"}}
	case "updateUser":
		if object == "own" { // a rise for everybody but administrators
			return map[string]any{"roles": []string{"admin"}}
		}
		return map[string]any{"enabled": true}
	case "createPolicy":
		return map[string]any{"name": "m-" + id.New(), "version": "1.0.0",
			"rules": []any{map[string]any{"effect": "Deny", "resource": "servers:matrix", "action": []string{"create"}}}}
	case "updatePolicy":
		return map[string]any{"enabled": false}
	case "explainPolicy":
		return map[string]any{"roles": []string{"viewer"}, "action": "create", "resource": "servers:matrix"}
	case "checkPolicy":
		return map[string]any{"name": "m-" + id.New(), "version": "1.0.0",
			"rules":    []any{map[string]any{"effect": "Deny", "resource": "servers:matrix", "action": []string{"create"}}},
			"rehearse": map[string]any{}}
	case "revertPolicy":
		return map[string]any{"revision": 1}
	case "verifyTOTP":
		return map[string]any{"code": "000000"}
	case "createToken":
		return tokenOrder("batches:*", "read")
	case "createServiceAccount":
		return map[string]any{"name": "m-" + id.New(), "roles": []string{"viewer"}}
	case "updateServiceAccount":
		return map[string]any{"enabled": true}
	case "rotateToken":
		return map[string]any{}
	case "exchangeHeads", "copyEntries", "reportTokens":
		return map[string]any{} // well-formed and incomplete: 422 for whom it is meant
	}
	return nil
}

// owned makes an ended task or batch for the bearer of a token and returns its id.
func (s *site) owned(t *testing.T, op, tok string) string {
	t.Helper()
	if !strings.Contains(op, "Batch") {
		return s.ended(t, tok)
	}
	a := s.send(t, "orchestrator", "POST", "/batch/execute", tok, s.body("executeBatch", "", ""))
	var b struct {
		ID string `json:"batch_id"`
	}
	if a.data(t, &b); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Raw)
	}
	rigtest.Await(t, patience, "the batch has ended", func() bool {
		v, err := s.Orch(s.Token).Batch(t.Context(), b.ID)
		return err == nil && v.Status != "Pending" && v.Status != "Running"
	})
	return b.ID
}
