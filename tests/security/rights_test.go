package security

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// slowly starts an installation whose provider takes its time.
func slowly(t *testing.T, store string) *site {
	t.Helper()
	o := rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir()}
	o.OrchestratorConfig = filepath.Join(o.Dir, "orchestrator.toml")
	if err := os.WriteFile(o.OrchestratorConfig, []byte("[providers.slow]\ndriver = \"simulated\"\nlatency = \"200ms\"\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	if store == "surrealdb" {
		rigtest.UseSurreal(t, &o)
	}
	return &site{Rig: rigtest.Start(t, o), people: map[string]*person{}}
}

// row is a batch of n servers that are made one after the other.
func row(name string, n int) map[string]any {
	var operations []map[string]any
	for i := range n {
		server := fmt.Sprintf("%s-%d", name, i)
		operations = append(operations, map[string]any{"id": server, "type": "server_batch", "provider": "slow",
			"server_configs": []map[string]any{{"name": server}}})
	}
	return map[string]any{"name": name, "parallel_limit": 1, "rollback_enabled": true, "operations": operations}
}

// counts returns how many operations of a batch have which status.
func counts(b client.BatchRun) map[string]int {
	n := map[string]int{}
	for _, op := range b.Operations {
		n[op.Status]++
	}
	return n
}

// shown reads a batch as the administrator.
func (s *site) shown(t *testing.T, id string) client.BatchRun {
	t.Helper()
	b, err := s.Orch(s.Token).Batch(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// begun submits a row as somebody and waits until its first operation is done.
func (s *site) begun(t *testing.T, who *person, n int) string {
	t.Helper()
	a := s.send(t, "orchestrator", "POST", "/batch/execute", who.token, row(who.name, n))
	var b client.BatchRun
	if a.data(t, &b); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Raw)
	}
	rigtest.Await(t, patience, "the first operation is done", func() bool { return counts(s.shown(t, b.BatchID))["Completed"] > 0 })
	return b.BatchID
}

// over waits for the end of a batch.
func (s *site) over(t *testing.T, id string) (b client.BatchRun) {
	t.Helper()
	rigtest.Await(t, patience, "the batch has ended", func() bool {
		b = s.shown(t, id)
		return b.Status != "Running"
	})
	return b
}

// TestRights_lostWhileABatchRuns is Z17: the batch of a deleted, disabled or demoted user ran all
// of its operations to the end.
// It is Z16 for a user whose rights fall while the orchestrator acts for it.
func TestRights_lostWhileABatchRuns(t *testing.T) {
	for _, store := range []string{"embedded", "surrealdb"} {
		t.Run(store, func(t *testing.T) {
			s := slowly(t, store)
			cc, no := s.CC(s.Token), false
			operator, err := s.hire(t.Context(), "adopter", "operator")
			if err != nil {
				t.Fatal(err)
			}
			lost := ""
			for _, c := range []struct {
				name, why string
				take      func(id string) error
			}{
				{"deleted", "the account of deleted was deleted", func(id string) error { return cc.DeleteUser(t.Context(), id) }},
				{"disabled", "the account of disabled was disabled",
					func(id string) error { return cc.UpdateUser(t.Context(), id, client.UserChange{Enabled: &no}) }},
				{"demoted", "demoted may no longer create batches demoted: no rule allows it any more", func(id string) error {
					return cc.UpdateUser(t.Context(), id, client.UserChange{Roles: []string{"viewer"}})
				}},
			} {
				who, err := s.hire(t.Context(), c.name, "developer")
				if err != nil {
					t.Fatal(err)
				}
				lost = s.begun(t, who, 12)
				if err := c.take(who.id); err != nil {
					t.Fatal(err)
				}
				b := s.over(t, lost)
				n := counts(b)
				if b.Status != "Cancelled" || n["Cancelled"] < 6 || n["Completed"]+n["Cancelled"] != 12 {
					t.Errorf("%s: the batch is %s: %v", c.name, b.Status, n)
				}
				for _, op := range b.Operations {
					if op.RolledBackAt != nil || op.Status == "Cancelled" && op.Error != c.why {
						t.Errorf("%s: operation %s is %s: %q", c.name, op.ID, op.Status, op.Error)
					}
				}
				s.oneEntry(t, lost, n["Cancelled"])
			}
			s.adopted(t, lost, operator)
		})
	}
}

// oneEntry demands one audit entry of the rights that were lost, with the decision.
func (s *site) oneEntry(t *testing.T, batch string, cancelled int) {
	t.Helper()
	var rows []struct {
		Result  string          `json:"result"`
		Details json.RawMessage `json:"details"`
	}
	rigtest.Await(t, patience, "the entry is listed", func() bool {
		s.send(t, "control-center", "GET", "/audit/logs?action=batch.withdraw&resource=batches/"+batch, s.Token.Reveal(), nil).data(t,
			&rows)
		return len(rows) > 0
	})
	if len(rows) != 1 || rows[0].Result != "denied" || !strings.Contains(string(rows[0].Details), fmt.Sprintf(`"tasks":%d`, cancelled)) {
		t.Errorf("entries %+v", rows)
	}
}

// adopted lets people of each kind try to go on with a batch, and the operator do it, once.
func (s *site) adopted(t *testing.T, old string, operator *person) {
	t.Helper()
	path := "/batch/operations/" + old + "/adopt"
	for _, role := range []string{"viewer", "auditor", "developer"} {
		who, err := s.hire(t.Context(), "not-"+role, role)
		if err != nil {
			t.Fatal(err)
		}
		if a := s.send(t, "orchestrator", "POST", path, who.token, nil); a.Status != 403 {
			t.Errorf("as %s: %d %s", role, a.Status, a.Raw)
		}
	}
	before := s.shown(t, old)
	a := s.send(t, "orchestrator", "POST", path, operator.token, nil, "Idempotency-Key: adopt-1")
	var b client.BatchRun
	if a.data(t, &b); a.Status != 200 || b.Resumes != old || len(b.Operations) != counts(before)["Cancelled"] {
		t.Fatalf("%d %s", a.Status, a.Raw)
	}
	if a := s.send(t, "orchestrator", "POST", path, operator.token, nil, "Idempotency-Key: adopt-1"); a.Status != 200 ||
		!strings.Contains(string(a.Raw), b.BatchID) {
		t.Errorf("the same request again: %d %s", a.Status, a.Raw)
	}
	if a := s.send(t, "orchestrator", "POST", path, operator.token, nil); a.Status != 409 || !strings.Contains(string(a.Raw), b.BatchID) {
		t.Errorf("another one: %d %s", a.Status, a.Raw)
	}
	if a := s.send(t, "orchestrator", "POST", "/batch/operations/"+b.BatchID+"/adopt", operator.token, nil); a.Status != 409 {
		t.Errorf("of a batch at work: %d %s", a.Status, a.Raw)
	}
	if end := s.over(t, b.BatchID); end.Status != "Completed" {
		t.Errorf("the new batch is %s: %v", end.Status, counts(end))
	}
	after := s.shown(t, old)
	if after.Status != "Cancelled" || after.AdoptedBy != b.BatchID || fmt.Sprint(counts(after)) != fmt.Sprint(counts(before)) {
		t.Errorf("the old batch is %s, adopted by %q: %v", after.Status, after.AdoptedBy, counts(after))
	}
}

// TestRights_ofASilentControlCenterAreTheLastKnownOnes: a batch goes on while nobody can say
// anything new.
func TestRights_ofASilentControlCenterAreTheLastKnownOnes(t *testing.T) {
	s := slowly(t, "embedded")
	who, err := s.hire(t.Context(), "developer-1", "developer")
	if err != nil {
		t.Fatal(err)
	}
	id := s.begun(t, who, 6)
	if err := s.ControlCenter.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Orchestrator.Kill(); err != nil { // and after a restart alone
		t.Fatal(err)
	}
	if err := s.Orchestrator.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b := s.over(t, id); b.Status != "Completed" {
		t.Errorf("the batch is %s: %v", b.Status, counts(b))
	}
}
