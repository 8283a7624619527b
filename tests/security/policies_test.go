package security

import (
	"bytes"
	"testing"

	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestExplain_rulesAreForAdministratorsOnly is Z18: an administrator reads which rule decides, by
// its id, and nobody else reads a word of a policy: not by asking, and not in a refusal.
func TestExplain_rulesAreForAdministratorsOnly(t *testing.T) {
	s := shared
	root, marker := s.people["admin+mfa"].token, "only-"+id.New()
	body := map[string]any{"name": "z18", "version": "1.0.0", "rules": []any{map[string]any{
		"effect": "Deny", "resource": "servers:z18-*", "action": []string{"create"}, "condition": "user.username != '" + marker + "'",
	}}}
	a := s.send(t, "control-center", "POST", "/policies", root, body)
	var made struct{ ID string }
	if a.data(t, &made); a.Status != 201 {
		t.Fatalf("%d %s", a.Status, a.Raw)
	}
	defer s.send(t, "control-center", "DELETE", "/policies/"+made.ID, root, nil)
	question := map[string]any{"user": "operator-1", "action": "create", "resource": "servers:z18-a"}
	var told struct {
		Allowed bool
		Rule    string
		Matched []struct{ ID, Owner, Condition string }
	}
	if a := s.send(t, "control-center", "POST", "/policies/explain", s.people["admin"].token, question); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Raw)
	} else if a.data(t, &told); told.Allowed || told.Rule != "policy:"+made.ID+"#0" || told.Matched[0].ID != told.Rule ||
		told.Matched[0].Owner != "z18" {
		t.Errorf("%s", a.Raw)
	}
	batch := map[string]any{"name": "z18", "operations": []any{map[string]any{
		"id": "a", "type": "server_batch", "provider": "fast", "server_configs": []any{map[string]any{"name": "z18-a"}},
	}}}
	rigtest.Await(t, patience, "the orchestrator denies", func() bool {
		return s.send(t, "orchestrator", "POST", "/batch/execute", s.people["operator"].token, batch).Status == 403
	})
	for _, who := range []string{"viewer", "auditor", "developer", "operator"} {
		for _, a := range []answer{
			s.send(t, "control-center", "POST", "/policies/explain", s.people[who].token, question),
			s.send(t, "control-center", "POST", "/policies/check", s.people[who].token, body),
			s.send(t, "orchestrator", "POST", "/batch/execute", s.people[who].token, batch),
		} {
			if a.Status != 403 || bytes.Contains(a.Raw, []byte(marker)) {
				t.Errorf("%s: %d %s", who, a.Status, a.Raw)
			}
		}
	}
}

// TestRehearsal_readsTheDecisionsOfBothServices lets a developer make a server, and asks what a
// draft would have said.
func TestRehearsal_readsTheDecisionsOfBothServices(t *testing.T) {
	s := shared
	server := "rehearsed-" + id.New()
	batch := map[string]any{"name": "rehearsed", "operations": []any{map[string]any{
		"id": "a", "type": "server_batch", "provider": "fast", "server_configs": []any{map[string]any{"name": server}},
	}}}
	if a := s.send(t, "orchestrator", "POST", "/batch/execute", s.people["developer"].token, batch); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Raw)
	}
	draft := map[string]any{"name": "rehearsed", "version": "1.0.0", "rehearse": map[string]any{}, "rules": []any{map[string]any{
		"effect": "Deny", "resource": "servers:" + server, "action": []string{"create"},
	}}}
	var told struct {
		Rehearsal struct {
			Decisions int
			WouldDeny int `json:"would_deny"`
			Changed   []struct {
				Username string
				InForce  bool `json:"in_force"`
				Allowed  bool
			}
		}
	}
	rigtest.Await(t, patience, "the orchestrator's decision is in the index", func() bool {
		a := s.send(t, "control-center", "POST", "/policies/check", s.people["admin"].token, draft)
		if a.data(t, &told); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Raw)
		}
		return told.Rehearsal.WouldDeny == 1
	})
	c := told.Rehearsal.Changed[0]
	if told.Rehearsal.Decisions < 2 || c.Username != "developer-1" || !c.InForce || c.Allowed {
		t.Errorf("%+v", told.Rehearsal)
	}
}
