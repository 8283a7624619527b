package conformance

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/driver"
	"github.com/provisioning-platform/platform/shared/store/surrealstore"
)

// restores holds the end of section 3.7: what a restore does, the statistics, and who may.
var restores = []behaviour{
	{96, "a_restore_gives_the_inventory_back_and_asks_no_provider", func(t *testing.T, e *env) {
		f := e.fresh()
		first := f.execute(f.batch("kept", opNamed("a", "fast", f.name("kept"))))
		f.batchEnded(first)
		cp := f.checkpoint("cut")
		f.batchEnded(f.execute(f.batch("later", opNamed("a", "fast", f.name("later")), opNamed("b", "upcloud", f.name("local")))))
		if r := f.undo(first + "/a"); r.OperationsExecuted != 1 {
			t.Fatalf("%+v", r)
		}
		calls := f.recorded()
		a := f.want(f.orch("admin", "POST", "/rollback/restore/"+cp, nil), 200)
		if want := fmt.Sprintf("%q", "State restored from checkpoint "+cp); string(a.Data) != want {
			t.Errorf("the answer is %s, want %s", a.Data, want)
		}
		if now := f.recorded(); now != calls {
			t.Errorf("the providers saw %s", strings.TrimPrefix(now, calls))
		}
		was, is := f.shown(cp), f.shown(f.checkpoint("after"))
		if is.Hash != was.Hash || is.Resources != was.Resources || was.Resources != 1 {
			t.Errorf("the inventory has %d resources (%s), want %d (%s)", is.Resources, is.Hash, was.Resources, was.Hash)
		}
		var tasks []client.Task
		if f.want(f.orch("viewer", "GET", "/tasks", nil), 200).into(t, &tasks); len(tasks) != 3 {
			t.Errorf("%d tasks are listed, want 3: %+v", len(tasks), tasks)
		}
		if b := f.batchEnded(first); b.Operations[0].RolledBackAt == nil {
			t.Errorf("the history forgot that it was undone: %+v", b)
		}
		if !f.statistics().Unverified {
			t.Error("a restored inventory counts as verified")
		}
		var r client.Reconciled
		f.want(f.orch("operator", "POST", "/rollback/reconcile", nil), 200).into(t, &r)
		if !r.Verified || len(r.Removed) != 1 || len(r.Added) != 2 {
			t.Errorf("%+v", r)
		}
		if s := f.statistics(); s.Unverified || s.ReconciledAt == nil {
			t.Errorf("%+v", s)
		}
	}},
	{97, "no_restore_while_tasks_run_and_nothing_is_rewound", func(t *testing.T, e *env) {
		f := e.fresh()
		cp := f.checkpoint("early")
		later := f.checkpoint("later")
		f.batchEnded(f.execute(f.batch("undone", op("a"))))
		f.rollTo(later)
		id := f.submit("hang")
		f.await(10*time.Second, "the task runs", func() bool {
			task, err := f.Orch(f.tokens["viewer"]).Task(t.Context(), id)
			return err == nil && task.Status == "Running"
		})
		if a := f.want(f.orch("admin", "POST", "/rollback/restore/"+cp, nil), 409); !strings.Contains(a.Error, id) {
			t.Errorf("the refusal does not name the task: %s", a.Error)
		}
		if f.statistics().Unverified {
			t.Error("a refused restore marks the inventory")
		}
		f.want(f.orch("admin", "POST", "/tasks/"+id+"/cancel", nil), 200)
		f.ended(id)
		f.want(f.orch("admin", "POST", "/rollback/restore/01890000-0000-7000-8000-000000000000", nil), 404)
		entries := f.logSize()
		f.want(f.orch("admin", "POST", "/rollback/restore/"+cp, nil), 200)
		var rows []client.Checkpoint
		f.want(f.orch("viewer", "GET", "/rollback/checkpoints", nil), 200).into(t, &rows)
		if len(rows) != 3 || !rows[0].Automatic || rows[1].ID != later || rows[2].ID != cp {
			t.Errorf("the checkpoints are %+v", rows)
		}
		var past []client.Rollback
		if f.want(f.orch("viewer", "GET", "/rollback/executions", nil), 200).into(t, &past); len(past) != 1 {
			t.Errorf("the rollbacks are %+v", past)
		}
		f.await(10*time.Second, "the audit log went on", func() bool { return f.logSize() > entries })
	}},
	{98, "a_damaged_checkpoint_is_refused_and_nothing_changes", func(t *testing.T, e *env) {
		f := e.fresh()
		f.batchEnded(f.execute(f.batch("before", op("a"))))
		cp, whole := f.checkpoint("damaged"), f.checkpoint("whole")
		f.batchEnded(f.execute(f.batch("after", op("a"))))
		if code, err := f.Orchestrator.Stop(); err != nil || code != 0 {
			t.Fatal(code, err)
		}
		f.damage(cp)
		if err := f.Orchestrator.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := f.shown(f.checkpoint("live"))
		a := f.want(f.orch("admin", "POST", "/rollback/restore/"+cp, nil), 409, 500)
		if !strings.Contains(a.Error, "damaged") {
			t.Errorf("the text does not say what is wrong: %s", a.Error)
		}
		if after := f.shown(f.checkpoint("live")); after.Hash != before.Hash || after.Resources != 2 || f.statistics().Unverified {
			t.Errorf("the live state has changed: %+v, was %+v", after, before)
		}
		f.want(f.orch("admin", "POST", "/rollback/restore/"+whole, nil), 200)
	}},
	{99, "statistics_count_checkpoints_and_rollbacks", func(t *testing.T, e *env) {
		f := e.fresh()
		if s := f.statistics(); s.TotalCheckpoints != 0 || s.TotalRollbacks != 0 || s.SuccessRate != 100 || s.AverageRollbackTime != 0 {
			t.Errorf("of a new installation: %+v", s)
		}
		cp := f.checkpoint("one")
		f.checkpoint("two")
		f.batchEnded(f.execute(f.batch("fine", opNamed("a", "slow", f.name("slow")))))
		f.rollTo(cp)
		f.batchEnded(f.execute(f.batch("stuck", opNamed("a", "stuck", f.name("stuck")))))
		f.rollTo(cp)
		s := f.statistics()
		if s.TotalCheckpoints != 2 || s.TotalRollbacks != 2 || s.SuccessRate != 50 || s.AverageRollbackTime < 0.1 ||
			s.AverageRollbackTime > 60 {
			t.Errorf("%+v", s)
		}
	}},
	{100, "who_may_not_is_refused_and_may_read", func(t *testing.T, e *env) {
		cp := e.checkpoint("rights")
		for path, body := range map[string]any{"/rollback/checkpoints": map[string]any{"name": "n"},
			"/rollback/execute": map[string]any{"checkpoint_id": cp}, "/rollback/restore/" + cp: nil, "/rollback/reconcile": nil} {
			for _, role := range []string{"viewer", "auditor", "developer"} {
				e.want(e.orch(role, "POST", path, body), 403)
			}
		}
		e.want(e.orch("operator", "POST", "/rollback/restore/"+cp, nil), 403)
		e.createUser("admin-without-factor", "admin")
		single := e.login("admin-without-factor", password)
		e.tokens["admin without factor"] = single
		e.want(e.orch("admin without factor", "POST", "/rollback/restore/"+cp, nil), 403)
		for _, path := range []string{"/rollback/checkpoints", "/rollback/checkpoints/" + cp, "/rollback/executions",
			"/rollback/statistics"} {
			e.want(e.orch("viewer", "GET", path, nil), 200)
		}
	}},
}

// recorded is what the simulated providers have recorded of mutating calls.
func (e *env) recorded() string {
	e.t.Helper()
	raw, err := os.ReadFile(e.calls)
	if err != nil && !os.IsNotExist(err) {
		e.t.Fatal(err)
	}
	return string(raw)
}

// shown returns a checkpoint as the API shows it.
func (e *env) shown(id string) client.Checkpoint {
	e.t.Helper()
	var c client.Checkpoint
	e.want(e.orch("viewer", "GET", "/rollback/checkpoints/"+id, nil), 200).into(e.t, &c)
	return c
}

func (e *env) statistics() client.RollbackStatistics {
	e.t.Helper()
	var s client.RollbackStatistics
	e.want(e.orch("viewer", "GET", "/rollback/statistics", nil), 200).into(e.t, &s)
	return s
}

// logSize is the number of entries of the orchestrator's audit log under its newest signed head.
func (e *env) logSize() string {
	e.t.Helper()
	return string(e.want(e.orch("auditor", "GET", "/audit/checkpoint", nil), 200).Data)
}

// damage changes one digit of a checkpoint in the store of the stopped orchestrator.
func (e *env) damage(checkpoint string) {
	e.t.Helper()
	db := e.openStore()
	defer func() {
		if err := db.Close(); err != nil {
			e.t.Error(err)
		}
	}()
	doc, err := db.Get(e.t.Context(), store.Key{Kind: "checkpoint", ID: checkpoint})
	if err != nil || !doc.Exists() {
		e.t.Fatal("there is no such checkpoint: ", err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(doc.Body, &members); err != nil {
		e.t.Fatal(err)
	}
	body := strings.Replace(string(doc.Body), `"cut":`+string(members["cut"]), `"cut":`+string(members["cut"])+"1", 1)
	index := doc.Index
	_, err = store.Update(e.t.Context(), db, func(tx *store.Tx) error {
		tx.Put(doc.Key, index, []byte(body))
		return nil
	})
	if err != nil {
		e.t.Fatal(err)
	}
}

// openStore opens the store of the stopped orchestrator; a database without its lease, which would
// outlive this by as long as the test goes on.
func (e *env) openStore() store.DB {
	e.t.Helper()
	schema := store.Schema{Service: "orchestrator", Kinds: []store.Kind{{Name: "checkpoint", Indexes: []string{"era", "made"},
		Counted: []string{"made"}}}}
	if !e.surreal {
		db, err := driver.Open(e.t.Context(), driver.Options{Dir: filepath.Join(e.Dir, "orchestrator"), Log: obs.Discard(), Schema: schema})
		if err != nil {
			e.t.Fatal(err)
		}
		return db
	}
	password, err := os.ReadFile(filepath.Join(e.Dir, "store-password"))
	if err != nil {
		e.t.Fatal(err)
	}
	at, err := url.Parse(e.OrchestratorStore)
	if err != nil {
		e.t.Fatal(err)
	}
	db, err := surrealstore.Open(e.t.Context(), surrealstore.Options{URL: at, Password: secret.New(string(password)), Sync: "every",
		Log: obs.Discard(), Schema: schema})
	if err != nil {
		e.t.Fatal(err)
	}
	return db
}
