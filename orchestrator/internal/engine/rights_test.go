package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/rollback"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
)

// rights are those of one submitter: everything until they are taken away.
type rights struct {
	mu      sync.Mutex
	version uint64
	refused string // why; empty: nothing is refused
	unknown bool   // nobody can tell
	asked   int    // Submitter was called
}

func (r *rights) Changed() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.version
}

func (r *rights) Submitter(context.Context, dag.Grant) (engine.Submitter, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	if r.unknown {
		return nil, fault.New(fault.Unavailable, "rights.unknown", "not heard yet")
	}
	d := authz.Decision{Allowed: r.refused == "", Rule: fmt.Sprint("rule", r.version), Version: r.version}
	why := r.refused
	return func(_ *dag.Header, op *dag.Operation) (*audit.DecisionRecord, string) {
		act := &authz.Act{Subject: authz.Subject{ID: "u1", Roles: []string{"operator"}}}
		for _, s := range op.Servers {
			act.Asked = append(act.Asked, authz.Asked{Action: "create", Resource: authz.Resource{Type: "servers", Name: s.Name}})
		}
		return audit.NewDecision(act, d, -1), why
	}, nil
}

// change sets what is refused from now on.
func (r *rights) change(refused string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.version++
	r.refused = refused
}

func with(r *rights) func(*engine.Config) { return func(c *engine.Config) { c.Rights = r } }

// row is a batch of n operations that run one after the other.
func row(n int) engine.Submission {
	var nodes []dag.Node
	for i := range n {
		nodes = append(nodes, servers(fmt.Sprint("op", i), nil, fmt.Sprint("s", i)))
	}
	sub := batch(nodes...)
	sub.Definition.ParallelLimit, sub.Definition.RollbackEnabled = 1, true
	return sub
}

// TestRights_aDeletedSubmittersBatchDoesNotRunToItsEnd is Z17: it ran 60 of 60 operations.
func TestRights_aDeletedSubmittersBatchDoesNotRunToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db, r := newWorld(), memory(), &rights{version: 7}
		w.delay = 10 * time.Second
		e := start(t, db, w, with(r))
		id := e.submit(row(60)).Run.ID
		<-time.After(25 * time.Second) // two are done, the third is at work
		r.change("the account of alice was deleted")
		v := e.ended(id)
		if calls := w.log(); !slices.Equal(calls, []string{"do s0", "do s1", "do s2"}) {
			t.Errorf("the provider saw %v", calls)
		}
		if c := v.Run.Counts; v.Run.State != dag.Cancelled || c.Completed != 3 || c.Cancelled != 57 ||
			v.Run.Error != "the account of alice was deleted" {
			t.Errorf("ended %s %+v: %s", v.Run.State, c, v.Run.Error)
		}
		for _, task := range v.Tasks[3:] {
			if task.Status() != dag.StatusCancelled || !strings.Contains(task.Error, "was deleted") {
				t.Fatalf("%s is %s: %q", task.Operation, task.Status(), task.Error)
			}
		}
		events := 0
		for _, line := range story(t, db) {
			if strings.HasPrefix(line, "RightsWithdrawn demo cancelled") {
				events++
			}
		}
		var entries []map[string]any
		fresh := map[string]bool{}
		for _, m := range stream(t, db, "audit") {
			switch {
			case m["action"] == "batch.withdraw":
				entries = append(entries, m)
			case m["phase"] == "intent":
				d := m["decision"].(map[string]any)
				fresh[fmt.Sprint(d["policy"], d["rule"], d["subject"].(map[string]any)["roles"])] = true
			}
		}
		if events != 1 || len(entries) != 1 {
			t.Fatalf("%d events and %d entries, want one each", events, len(entries))
		}
		m := entries[0]
		d := m["details"].(map[string]any)
		if m["result"] != "denied" || m["resource"] != "batches/"+id || d["submitter"] != "u1" || fmt.Sprint(d["tasks"]) != "57" ||
			m["decision"].(map[string]any)["allowed"] != false {
			t.Errorf("entry %v", m)
		}
		if !fresh["7rule7[operator]"] || len(fresh) != 1 {
			t.Errorf("the intents stand on %v", fresh)
		}
	})
}

func TestRights_theIntentOfAnAttemptHoldsTheDecisionOfThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db, r := newWorld(), memory(), &rights{version: 7}
		w.delay = 10 * time.Second
		e := start(t, db, w, with(r))
		id := e.submit(row(3)).Run.ID
		<-time.After(15 * time.Second)
		r.change("") // still allowed, by another rule
		e.ended(id)
		var rules []string
		for _, m := range stream(t, db, "audit") {
			if m["phase"] == "intent" {
				rules = append(rules, fmt.Sprint(m["decision"].(map[string]any)["rule"]))
			}
		}
		if !slices.Equal(rules, []string{"rule7", "rule7", "rule8"}) || r.asked > 4 {
			t.Errorf("rules %v, asked %d times", rules, r.asked)
		}
	})
}

// TestRights_theDecisionOnManyServersIsRecordedOnce: an operation over many servers has as many
// attempts, and each could name them all.
func TestRights_theDecisionOnManyServersIsRecordedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db, r := newWorld(), memory(), &rights{version: 7}
		e := start(t, db, w, with(r))
		e.ended(e.submit(batch(servers("op", nil, "a", "b", "c", "d"))).Run.ID)
		first, refer := "", 0
		for _, m := range stream(t, db, "audit") {
			if m["phase"] != "intent" {
				continue
			}
			d := m["decision"].(map[string]any)
			switch list, _ := d["resources"].([]any); {
			case first == "" && len(list) == 4 && d["subject"] != nil:
				first = m["id"].(string)
			case len(list) == 0 && d["of"] == first && first != "" && d["rule"] == "rule7":
				refer++
			default:
				t.Errorf("decision %v", d)
			}
		}
		if refer != 3 {
			t.Errorf("%d intents refer to the first", refer)
		}
	})
}

// TestRights_hold also when nobody can tell what they are: nothing starts, nothing ends.
func TestRights_whatCannotBeToldStartsNothingAndEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db, r := newWorld(), memory(), &rights{}
		w.delay = 10 * time.Second
		e := start(t, db, w, with(r))
		id := e.submit(row(3)).Run.ID
		<-time.After(5 * time.Second)
		r.mu.Lock()
		r.unknown = true
		r.mu.Unlock()
		r.change("")
		<-time.After(time.Minute)
		if calls := w.log(); len(calls) != 1 || e.view(id).Run.State != dag.Running {
			t.Fatalf("%v, %s", calls, e.view(id).Run.State)
		}
		if _, err := e.Submit(scene(), row(1)); !fault.Is(err, fault.Unavailable) {
			t.Errorf("a submission: %v", err)
		}
		r.mu.Lock()
		r.unknown = false
		r.mu.Unlock()
		if v := e.ended(id); v.Run.State != dag.Succeeded {
			t.Errorf("ended %s", v.Run.State)
		}
	})
}

// TestRights_areAskedAfterARestart takes them away while no process is there.
func TestRights_areAskedAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db, r := newWorld(), memory(), &rights{}
		w.block["s1"] = true
		e := start(t, db, w, with(r))
		id := e.submit(row(4)).Run.ID
		e.atWork(id, 1)
		e.stop()
		r.change("alice may no longer create servers")
		v := start(t, db, w, with(r)).ended(id)
		if calls := w.log(); v.Run.State != dag.Cancelled || statuses(v) != "Completed Cancelled Cancelled Cancelled" ||
			!slices.Equal(calls, []string{"do s0"}) {
			t.Errorf("ended %s: %s after %v", v.Run.State, statuses(v), calls)
		}
	})
}

func TestRights_aRollbackThatBeganGoesToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db, r := newWorld(), memory(), &rights{}
		w.delay = 10 * time.Second
		e := start(t, db, w, with(r))
		id := e.submit(row(3)).Run.ID
		e.ended(id)
		go func() {
			<-time.After(5 * time.Second)
			r.change("gone")
		}()
		res, err := e.Rollback(scene(), rollback.Request{Operations: []string{id + "/op0", id + "/op1", id + "/op2"}})
		if err != nil || res.Executed != 3 || res.Failed != 0 || w.left() != 0 {
			t.Errorf("%+v %v, %d left", res, err, w.left())
		}
	})
}

// withdrawn returns an engine and a batch of 4 operations of which two are left.
func withdrawn(t *testing.T, w *world, r *rights) (*started, string) {
	db := memory()
	w.delay = 10 * time.Second
	e := start(t, db, w, with(r))
	id := e.submit(row(4)).Run.ID
	<-time.After(15 * time.Second)
	r.change("gone")
	e.ended(id)
	r.change("")
	return e, id
}

func everything(dag.Definition) error { return nil }

func TestResume_goesOnWithWhatIsLeftOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		e, id := withdrawn(t, w, &rights{})
		var made, refused atomic.Int32
		var resumed engine.Submitted
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				got, err := e.Resume(scene(), id, engine.Submission{}, everything)
				switch {
				case err == nil:
					made.Add(1)
					resumed = got
				case fault.CodeOf(err) == "batch.adopted":
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if made.Load() != 1 || refused.Load() != 7 {
			t.Fatalf("%d adopted it, %d were told that it was adopted", made.Load(), refused.Load())
		}
		v := e.ended(resumed.Run.ID)
		if v.Run.State != dag.Succeeded || v.Run.Resumes != id || len(v.Tasks) != 2 || v.Tasks[0].Operation != "op2" {
			t.Errorf("%+v", v)
		}
		old := e.view(id)
		if old.Run.State != dag.Cancelled || old.Run.AdoptedBy != resumed.Run.ID ||
			statuses(old) != "Completed Completed Cancelled Cancelled" {
			t.Errorf("the old batch is %s, adopted by %s: %s", old.Run.State, old.Run.AdoptedBy, statuses(old))
		}
		if calls := w.log(); !slices.Equal(calls, []string{"do s0", "do s1", "do s2", "do s3"}) {
			t.Errorf("the provider saw %v", calls)
		}
		again, err := e.Resume(scene(), id, engine.Submission{ID: resumed.Run.ID}, everything)
		if err != nil || again.Run.ID != resumed.Run.ID || len(again.Tasks) != 2 {
			t.Errorf("the same request again: %+v %v", again, err)
		}
	})
}

func TestResume_refusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), &rights{}
		e, id := withdrawn(t, w, r)
		denied := fault.New(fault.Denied, "authz.denied", "no")
		if _, err := e.Resume(scene(), id, engine.Submission{}, func(d dag.Definition) error {
			if len(d.Nodes) != 2 {
				t.Errorf("asked about %d operations", len(d.Nodes))
			}
			return denied
		}); !fault.Is(err, fault.Denied) || e.view(id).Run.AdoptedBy != "" {
			t.Errorf("by somebody who may not: %v", err)
		}
		whole := e.submit(row(2)).Run.ID
		if _, err := e.Resume(scene(), whole, engine.Submission{}, everything); fault.CodeOf(err) != "batch.not_ended" {
			t.Errorf("of one at work: %v", err)
		}
		e.ended(whole)
		if _, err := e.Resume(scene(), whole, engine.Submission{}, everything); fault.CodeOf(err) != "batch.nothing_to_adopt" {
			t.Errorf("of one that completed: %v", err)
		}
		task := e.submit(workflow("a")).Run.ID
		for _, unknown := range []string{task, "01890000-0000-7000-8000-00000000dead", "x"} {
			if _, err := e.Resume(scene(), unknown, engine.Submission{}, everything); !fault.Is(err, fault.NotFound) {
				t.Errorf("%s: %v", unknown, err)
			}
		}
	})
}

// TestResume_doesNotGoOnWithWhatARollbackIsUndoing adopts a batch while a rollback undoes what the
// operations left depend on. They were run after it, although a second later the answer was
// batch.not_adoptable.
func TestResume_doesNotGoOnWithWhatARollbackIsUndoing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := newWorld(), &rights{}
		w.delay = 10 * time.Second
		e := start(t, memory(), w, with(r))
		id := e.submit(batch(servers("first", nil, "s0"), servers("second", []string{"first"}, "s1"))).Run.ID
		<-time.After(5 * time.Second)
		r.change("gone")
		e.ended(id)
		r.change("")
		undone := make(chan error, 1)
		go func() {
			_, err := e.Rollback(scene(), rollback.Request{Operations: []string{id + "/first"}})
			undone <- err
		}()
		<-time.After(5 * time.Second) // the undo is at work
		if _, err := e.Resume(scene(), id, engine.Submission{}, everything); fault.CodeOf(err) != "rollback.running" {
			t.Errorf("while the rollback runs: %v", err)
		}
		if err := <-undone; err != nil {
			t.Fatal(err)
		}
		if _, err := e.Resume(scene(), id, engine.Submission{}, everything); fault.CodeOf(err) != "batch.not_adoptable" {
			t.Errorf("after it: %v", err)
		}
		<-time.After(time.Minute)
		if calls := w.log(); slices.Contains(calls, "do s1") || e.view(id).Run.AdoptedBy != "" {
			t.Errorf("the provider saw %v, adopted by %q", calls, e.view(id).Run.AdoptedBy)
		}
	})
}

// TestResume_aRollbackThatBeginsInBetween begins one after the batch was found adoptable.
func TestResume_aRollbackThatBeginsInBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		e, id := withdrawn(t, w, &rights{})
		undone := make(chan error, 1)
		_, err := e.Resume(scene(), id, engine.Submission{}, func(dag.Definition) error {
			go func() {
				_, err := e.Rollback(scene(), rollback.Request{Operations: []string{id + "/op0"}})
				undone <- err
			}()
			<-time.After(5 * time.Second)
			return nil
		})
		if fault.CodeOf(err) != "rollback.running" || e.view(id).Run.AdoptedBy != "" {
			t.Errorf("%v, adopted by %q", err, e.view(id).Run.AdoptedBy)
		}
		if err := <-undone; err != nil {
			t.Fatal(err)
		}
		got, err := e.Resume(scene(), id, engine.Submission{}, everything)
		if err != nil {
			t.Fatal(err)
		}
		if v := e.ended(got.Run.ID); v.Run.State != dag.Succeeded {
			t.Errorf("ended %s", v.Run.State)
		}
	})
}

// TestResume_whatItStandsOnIsNotTakenAway: a rollback of an operation that a resumed batch went on
// from took the ground from under the new batch; it is refused, or takes the new batch along.
func TestResume_whatItStandsOnIsNotTakenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, id := withdrawn(t, newWorld(), &rights{})
		got, err := e.Resume(scene(), id, engine.Submission{}, everything)
		if err != nil {
			t.Fatal(err)
		}
		if v := e.ended(got.Run.ID); v.Run.State != dag.Succeeded {
			t.Fatalf("ended %s", v.Run.State)
		}
		ground := rollback.Request{Operations: []string{id + "/op0"}}
		if _, err := e.Rollback(scene(), ground); fault.CodeOf(err) != "rollback.needed" {
			t.Fatalf("the ground of the new batch: %v", err)
		}
		ground.Cascade = true
		r, err := e.Rollback(scene(), ground)
		if err != nil || r.Failed != 0 {
			t.Fatalf("with all that stands on it: %+v, %v", r, err)
		}
		for _, op := range e.view(got.Run.ID).Tasks {
			if op.RolledBackAt == nil {
				t.Errorf("%s of the new batch still stands", op.Name)
			}
		}
	})
}
