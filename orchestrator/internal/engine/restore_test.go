package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/rollback"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// inventory returns the documents of the inventory, one a line.
func (s *started) inventory() string {
	s.t.Helper()
	var lines []string
	for _, d := range every(s.t, s.db, "resource") {
		lines = append(lines, string(d.Body))
	}
	return strings.Join(lines, "\n")
}

// statistics returns the statistics of rollbacks.
func (s *started) statistics() rollback.Statistics {
	s.t.Helper()
	got, err := rollback.StatisticsOf(context.Background(), s.db)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

// TestRestore_anyCheckpointInAnyOrder makes and undoes things at random, with checkpoints between,
// and restores checkpoints at random: each time the inventory is byte for byte what it was, and no
// provider is asked.
func TestRestore_anyCheckpointInAnyOrder(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w, db := newWorld(), memory()
		e := start(t, db, w)
		then := map[string]string{}
		var points, batches []string
		point := func() {
			<-time.After(time.Second)
			c := e.checkpoint(fmt.Sprint("c", len(points)))
			points, then[c.ID] = append(points, c.ID), e.inventory()
		}
		point()
		for n := range 60 {
			switch rng.IntN(5) {
			case 0:
				if len(batches) > 0 {
					undone := batches[rng.IntN(len(batches))] + "/a"
					if _, err := e.Rollback(scene(), rollback.Request{Operations: []string{undone}, Cascade: true}); err != nil {
						t.Fatal(err)
					}
				}
			case 1:
				id := points[rng.IntN(len(points))]
				calls := len(w.log())
				got, err := e.Restore(scene(), id)
				if err != nil {
					t.Fatalf("step %d, seed %d: %v", n, seed, err)
				}
				if now := e.inventory(); now != then[id] {
					t.Fatalf("step %d, seed %d: the inventory is\n%s\nwant\n%s", n, seed, now, then[id])
				}
				if len(w.log()) != calls {
					t.Fatalf("the provider was asked: %v", w.log()[calls:])
				}
				if v := e.statistics().Verification; !v.Unverified || v.Checkpoint != id || v.Unfinished {
					t.Fatalf("%+v", v)
				}
				if before, err := e.Checkpoints.Get(t.Context(), got.Before); err != nil || !before.Automatic {
					t.Fatalf("the checkpoint before: %+v %v", before, err)
				}
			default:
				name := fmt.Sprint("s", rng.IntN(8))
				id := e.submit(batch(servers("a", nil, name, name+"b"), services("k", []string{"a"}, "kubernetes"))).Run.ID
				e.ended(id)
				batches = append(batches, id)
			}
			if rng.IntN(2) == 0 {
				point()
			}
		}
		e.stop()
	})
}

func TestRestore_whileSomethingRunsIsRefusedAndChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		w.block["hangs"] = true
		e := start(t, db, w)
		c := e.checkpoint("cut")
		e.ended(e.submit(workflow("web")).Run.ID)
		id := e.submit(workflow("hangs")).Run.ID
		before := e.inventory()
		if _, err := e.Restore(scene(), c.ID); fault.CodeOf(err) != "restore.running" || !strings.Contains(err.Error(), id) {
			t.Errorf("%v", err)
		}
		if e.inventory() != before || e.statistics().Verification.Unverified {
			t.Error("something was changed")
		}
		if err := e.Cancel(scene(), dag.Workflow, id, fresh()); err != nil {
			t.Fatal(err)
		}
		e.ended(id)
		if _, err := e.Restore(scene(), c.ID); err != nil {
			t.Error(err)
		}
		e.ended(e.submit(workflow("later")).Run.ID) // new runs begin again
	})
}

func TestRestore_ofADamagedCheckpointIsRefusedAndChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		e := start(t, db, w)
		c, whole := e.checkpoint("cut"), e.checkpoint("whole")
		e.ended(e.submit(workflow("web")).Run.ID)
		before := e.inventory()
		row, err := run.Checkpoints().Get(t.Context(), db, c.ID)
		if err != nil {
			t.Fatal(err)
		}
		row.Value.Cut += 3
		damaged, err := run.Checkpoints().Write(row.Value, store.Any())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Commit(t.Context(), store.Batch{Writes: []store.Write{damaged}}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Restore(scene(), c.ID); fault.CodeOf(err) != "checkpoint.damaged" {
			t.Errorf("%v", err)
		}
		web, err := run.Resources().Get(t.Context(), db, "p/server/web")
		if err != nil {
			t.Fatal(err)
		}
		if e.inventory() != before || web.Rev == 0 || e.statistics().Verification.Unverified {
			t.Error("something was changed")
		}
		if _, err := e.Restore(scene(), whole.ID); err != nil || e.inventory() != "" {
			t.Errorf("of the whole one: %v, %s", err, e.inventory())
		}
	})
}

// TestRestore_ofWhatTheStoreHasLostIsRefusedAndChangesNothing: an inventory that does not have the
// sum of its checkpoint is not made the one of now.
func TestRestore_ofWhatTheStoreHasLostIsRefusedAndChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		e := start(t, db, w)
		e.ended(e.submit(workflow("web")).Run.ID)
		c := e.checkpoint("cut")
		var lost store.Batch
		for _, kind := range []string{run.Effects().Kind, run.Resources().Kind} {
			for d, err := range store.All(t.Context(), db, store.Query{Kind: kind}) {
				if err != nil {
					t.Fatal(err)
				}
				lost.Writes = append(lost.Writes, store.Write{Key: d.Key, Expect: store.Any(), Action: store.Delete})
			}
		}
		if len(lost.Writes) < 2 {
			t.Fatalf("%d documents are lost", len(lost.Writes))
		}
		if _, err := db.Commit(t.Context(), lost); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Restore(scene(), c.ID); fault.CodeOf(err) != "checkpoint.not_rebuilt" || e.statistics().Verification.Unverified {
			t.Errorf("%v", err)
		}
	})
}

// TestRestore_ofACheckpointTakenInTheMiddleYieldsNoHalfOperation takes one while an operation has
// made one of its two servers.
func TestRestore_ofACheckpointTakenInTheMiddleYieldsNoHalfOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		w.delay, w.spread = time.Second, time.Second
		e := start(t, db, w)
		e.ended(e.submit(workflow("whole")).Run.ID)
		before := e.inventory()
		sub := batch(servers("a", nil, "one", "two"))
		sub.Definition.StepLimit = 1
		id := e.submit(sub).Run.ID
		for e.inventory() == before {
			<-time.After(100 * time.Millisecond)
		}
		c := e.checkpoint("half")
		if c.Underway != 1 || c.Resources != 2 {
			t.Errorf("%+v", c)
		}
		e.ended(id)
		if _, err := e.Restore(scene(), c.ID); err != nil || e.inventory() != before {
			t.Errorf("%v:\n%s\nwant\n%s", err, e.inventory(), before)
		}
	})
}

// TestReconcile_asksTheProvidersAndClearsTheMark restores a checkpoint from before a server that is
// still there; another one has vanished outside.
func TestReconcile_asksTheProvidersAndClearsTheMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		e := start(t, db, w)
		e.ended(e.submit(workflow("vanishes")).Run.ID)
		c := e.checkpoint("cut")
		e.ended(e.submit(workflow("stays")).Run.ID)
		if _, err := e.Restore(scene(), c.ID); err != nil || strings.Contains(e.inventory(), "stays") {
			t.Fatal(err, e.inventory())
		}
		w.mu.Lock()
		for tag, name := range w.effects {
			if name == "vanishes" {
				delete(w.effects, tag)
			}
		}
		w.effects["of somebody else"] = "foreign"
		w.mu.Unlock()
		got, err := e.Checkpoints.Reconcile(scene(), w, func(rollback.Reconciled) {})
		if err != nil || !got.Verified || got.Checked != 1 || !slices.Equal(got.Removed, []string{"p/server/vanishes"}) ||
			!slices.Equal(got.Added, []string{"p/server/stays"}) || !slices.Equal(got.Unlisted, []string{"p/server/foreign"}) {
			t.Errorf("%+v %v", got, err)
		}
		if inventory := e.inventory(); strings.Contains(inventory, "vanishes") || !strings.Contains(inventory, "stays") {
			t.Error(inventory)
		}
		if v := e.statistics().Verification; v.Unverified || v.ReconciledAt == nil {
			t.Errorf("%+v", v)
		}
		then := e.inventory()
		after := e.checkpoint("after")
		if _, err := e.Restore(scene(), c.ID); err != nil || !strings.Contains(e.inventory(), "vanishes") {
			t.Errorf("back before: %v\n%s", err, e.inventory())
		}
		if _, err := e.Restore(scene(), after.ID); err != nil || e.inventory() != then {
			t.Errorf("forth: %v\n%s\nwant\n%s", err, e.inventory(), then)
		}
	})
}

// mute is a provider that does not answer.
type mute struct{ *world }

func (mute) Servers(context.Context, string) ([]dag.Resource, error) {
	return nil, fault.New(fault.Unavailable, "down", "The provider is down.")
}

func TestReconcile_aProviderThatDoesNotAnswerLeavesTheMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		e := start(t, db, w)
		e.ended(e.submit(workflow("web")).Run.ID)
		c := e.checkpoint("cut")
		if _, err := e.Restore(scene(), c.ID); err != nil {
			t.Fatal(err)
		}
		before := e.inventory()
		got, err := e.Checkpoints.Reconcile(scene(), mute{w}, func(rollback.Reconciled) {})
		if err != nil || got.Verified || !slices.Equal(got.Unanswered, []string{"p: The provider is down."}) {
			t.Errorf("%+v %v", got, err)
		}
		if e.inventory() != before || !e.statistics().Verification.Unverified {
			t.Error("what nobody could tell was changed")
		}
	})
}

func TestStatistics_countRollbacksForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		e := start(t, db, w)
		if got := e.statistics(); got.Rollbacks != 0 || got.Average != 0 {
			t.Errorf("%+v", got)
		}
		c := e.checkpoint("cut")
		w.delay = 2 * time.Second
		for n := range 2 {
			if n == 1 {
				w.fails("undo web", dag.Result{Class: dag.Permanent, Error: "no"})
			}
			e.ended(e.submit(workflow("web")).Run.ID)
			if _, err := e.Rollback(scene(), rollback.Request{Checkpoint: c.ID}); err != nil {
				t.Fatal(err)
			}
		}
		got := e.statistics()
		if got.Checkpoints != 1 || got.Rollbacks != 2 || got.Succeeded != 1 || got.Average < time.Second || got.Average > 5*time.Second {
			t.Errorf("%+v", got)
		}
		list, err := rollback.List(t.Context(), db, store.Place{Limit: 10}, time.Now())
		if err != nil || len(list.Rows) != 2 || list.Rows[0].Value.Failed != 1 || list.Rows[1].Value.Executed != 1 ||
			list.Rows[1].Value.By != "alice" || list.Rows[1].Value.Checkpoint != c.ID {
			t.Errorf("%+v %v", list, err)
		}
		entries := 0
		for _, entry := range stream(t, db, audit.Stream) {
			if entry["action"] == "rollback.execute" {
				entries++
			}
		}
		if entries != 2 {
			t.Errorf("%d audit entries", entries)
		}
	})
}

// TestPreview_isWhatARollbackThenDoes compares the two, and that the preview changes nothing.
func TestPreview_isWhatARollbackThenDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		e := start(t, db, w)
		e.ended(e.submit(workflow("before")).Run.ID)
		c := e.checkpoint("cut")
		id := e.submit(batch(servers("a", nil, "a1", "a2"), services("k", []string{"a"}, "kubernetes"))).Run.ID
		e.ended(id)
		later := e.checkpoint("later")
		calls, story := len(w.log()), len(stream(t, db, run.EventStream))
		foresee := func(s dag.Step, _ map[string]string, recreate bool) (bool, string) {
			if s.Name == "a2" && !recreate {
				return false, "it is stuck"
			}
			return recreate, ""
		}
		for _, q := range []rollback.Request{{Checkpoint: c.ID}, {Operations: []string{id + "/a"}, Cascade: true}} {
			n, list, err := e.Preview(scene(), q, foresee)
			if err != nil || n != 2 || len(list) != 2 || list[0].Lead.Operation != "k" || list[1].Lead.Operation != "a" {
				t.Fatalf("%d %+v %v", n, list, err)
			}
			if s := list[1].Steps; len(s) != 2 || s[0].Step.Name != "a2" || s[0].Why != "it is stuck" || s[1].Why != "" {
				t.Errorf("%+v", s)
			}
		}
		_, list, err := e.Preview(scene(), rollback.Request{Checkpoint: c.ID, Recreate: true}, foresee)
		if err != nil || len(list) != 2 || !list[1].Steps[0].Again || list[1].Steps[0].Why != "" {
			t.Errorf("with recreate: %+v %v", list, err)
		}
		alone := rollback.Request{Operations: []string{id + "/a"}}
		if _, _, err := e.Preview(scene(), alone, foresee); fault.CodeOf(err) != "rollback.needed" {
			t.Errorf("without what needs it: %v", err)
		}
		if len(w.log()) != calls || len(stream(t, db, run.EventStream)) != story {
			t.Error("a preview did something")
		}
		for _, ids := range [][2]string{{c.ID, later.ID}, {later.ID, c.ID}} {
			d, err := e.Checkpoints.Diff(t.Context(), ids[0], ids[1])
			if err != nil || d.From.ID != c.ID || d.Count != 2 || len(d.Leads) != 2 || d.Leads[0].Operation != "a" {
				t.Errorf("%+v %v", d, err)
			}
		}
	})
}
