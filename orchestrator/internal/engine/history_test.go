package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/history"
	"github.com/provisioning-platform/platform/orchestrator/internal/rollback"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

// lasting is a store that also takes what retention writes.
func lasting() store.DB {
	kinds := slices.Concat(run.Schema(), retention.Kinds(), feed.Kinds())
	return memstore.New(store.Schema{Service: "orchestrator", Kinds: kinds})
}

// allGone lets all that has ended go.
var allGone = history.Keep{Runs: retention.KeepRule{MaxAge: time.Nanosecond}, Events: retention.KeepRule{MaxAge: time.Nanosecond}}

// prune lets retention work for a minute of the bubble's clock.
func (s *started) prune(k history.Keep) {
	s.t.Helper()
	<-time.After(time.Second)
	p := &retention.Pruner{DB: s.db, Classes: history.Classes(s.db, k, s.Engine), Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	<-time.After(time.Minute)
	stop()
	if err := <-done; err != nil {
		s.t.Fatal(err)
	}
}

// rows returns how many documents of some kinds there are.
func (s *started) rows(kinds ...string) (n []int) {
	s.t.Helper()
	for _, kind := range kinds {
		page, err := s.db.List(context.Background(), store.Query{Kind: kind, Total: true})
		if err != nil {
			s.t.Fatal(err)
		}
		n = append(n, page.Total)
	}
	return n
}

// class returns what is kept of a class.
func (s *started) class(name string) retention.Kept {
	s.t.Helper()
	for _, c := range history.Classes(s.db, history.Keep{}, s.Engine) {
		if c.Name == name {
			k, err := c.Kept(context.Background())
			if err != nil {
				s.t.Fatal(err)
			}
			return k
		}
	}
	s.t.Fatalf("there is no class %s", name)
	return retention.Kept{}
}

func TestHistory_runsGoWithAllTheirDocuments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), lasting()
		e := start(t, db, w)
		var ids []string
		for i := range 6 {
			ids = append(ids, e.submit(batch(servers("a", nil, fmt.Sprint("a", i), fmt.Sprint("b", i)),
				services("k", []string{"a"}, "kubernetes"))).Run.ID, e.submit(workflow(fmt.Sprint("w", i))).Run.ID)
			e.ended(ids[len(ids)-2])
			e.ended(ids[len(ids)-1])
			<-time.After(time.Hour)
		}
		if _, err := e.Rollback(scene(), rollback.Request{Operations: []string{ids[1]}}); err != nil {
			t.Fatal(err)
		}
		w.block["slow"] = true
		active := e.submit(workflow("slow")).Run.ID
		totals := maps.Clone(e.class("runs").Ever)
		maps.Copy(totals, e.class("tasks").Ever)
		kinds := []string{"run", "task", "definition", "effect", "undo"}
		before := e.rows(kinds...)

		e.prune(history.Keep{})
		if got := e.rows(kinds...); !slices.Equal(got, before) {
			t.Errorf("without limits %v documents are left of %v", got, before)
		}
		e.prune(history.Keep{Runs: retention.KeepRule{Max: 5}})
		// with the active one; the newest is the rollback, which has no tasks
		if got := e.rows("run", "task"); !slices.Equal(got, []int{6, 2 + 1 + 2 + 1 + 1}) {
			t.Errorf("%v runs and tasks are left, want 5 ended ones and the active one", got)
		}
		for i, runID := range ids {
			_, err := run.GetTask(context.Background(), e.DB, runID)
			if i%2 == 0 {
				_, err = run.GetBatch(context.Background(), e.DB, runID)
			}
			if kept := i >= len(ids)-4; (err == nil) != kept || !kept && !fault.Is(err, fault.NotFound) {
				t.Errorf("run %d: %v", i, err)
			}
		}
		e.prune(history.Keep{Runs: retention.KeepRule{MaxAge: 90 * time.Minute, Max: 2}})
		if got := e.rows("run"); !slices.Equal(got, []int{4}) { // what is younger: a batch, a workflow, the rollback
			t.Errorf("%v runs are left, want 3 young ones and the active one", got)
		}
		e.prune(allGone)
		if got := e.rows(kinds...); !slices.Equal(got, []int{1, 1, 1, 0, 0}) {
			t.Errorf("%v documents of %v are left beside the active run", got, kinds)
		}
		now := maps.Clone(e.class("runs").Ever)
		maps.Copy(now, e.class("tasks").Ever)
		if !maps.Equal(now, totals) || totals["batch/completed"] != 6 || totals["workflow/completed"] != 6 ||
			totals["rollback/completed"] != 1 || totals["completed"] != 18 {
			t.Errorf("totals fell or rose: %v, before %v", now, totals)
		}
		if page, err := db.Read(context.Background(), run.EventStream, store.Latest, 0); err != nil || page.First != page.Head+1 {
			t.Errorf("events are kept from %d to %d, %v", page.First, page.Head, err)
		}
		if err := e.Cancel(scene(), dag.Workflow, active, id.New()); err != nil {
			t.Fatal(err)
		}
	})
}

// TestHistory_rollbackWorksBehindPruning takes a checkpoint, makes and partly undoes things,
// prunes every run, restarts, and rolls back.
func TestHistory_rollbackWorksBehindPruning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), lasting()
		e := start(t, db, w)
		old := e.submit(batch(servers("old", nil, "old1", "old2"))).Run.ID
		e.ended(old)
		c := e.checkpoint("cut")
		var last string
		for i := range 5 {
			last = e.submit(batch(servers("a", nil, fmt.Sprint("a", i), fmt.Sprint("b", i)),
				services("k", []string{"a"}, "kubernetes"))).Run.ID
			e.ended(last)
		}
		if _, err := e.Rollback(scene(), rollback.Request{Operations: []string{last + "/k"}}); err != nil {
			t.Fatal(err)
		}
		want := e.operations(c)
		later := e.checkpoint("later")
		for c, want := range map[run.Checkpoint]int{c: 9, later: 0} {
			if held, err := e.Checkpoints.UntilNext(context.Background(), c); err != nil || held != want {
				t.Errorf("%s holds %d operations, %v; want %d", c.Name, held, err, want)
			}
		}
		e.prune(allGone)
		// Of five batches of four effects each the two of the operation that was undone go too,
		// and so do those before the checkpoint.
		if got := e.rows("run", "task", "definition", "effect"); !slices.Equal(got, []int{0, 0, 0, 18}) || e.class("effects").Rows != 18 {
			t.Errorf("%v documents are left, %+v held", got, e.class("effects"))
		}
		if n := e.operations(c); n != want || n != 9 {
			t.Errorf("%d operations after the checkpoint, %d before pruning", n, want)
		}
		e.stop()
		e = start(t, db, w)
		e.prune(allGone) // and again, which changes nothing
		got, err := e.Rollback(scene(), rollback.Request{Checkpoint: c.ID})
		if err != nil || got.Executed != 9 || got.Failed != 0 {
			t.Fatalf("%+v, %v", got, err)
		}
		if w.left() != 2 {
			t.Errorf("%d things are left in the world, want the 2 from before the checkpoint", w.left())
		}
		e.prune(allGone)
		// The later checkpoint could be restored: what stood then and was undone since stays.
		if got := e.rows("run", "task", "definition", "undo", "effect"); !slices.Equal(got, []int{0, 0, 0, 0, 18}) ||
			e.class("effects").Rows != 18 {
			t.Errorf("%v documents are left, %+v held", got, e.class("effects"))
		}
		if err := e.Checkpoints.Delete(scene(), later.ID); err != nil {
			t.Fatal(err)
		}
		e.prune(allGone)
		if got := e.rows("effect")[0]; got != 0 || e.class("effects").Rows != 0 {
			t.Errorf("%d effects are left, %+v held", got, e.class("effects"))
		}
	})
}

// TestHistory_oneOperationIsUndoneBehindPruning names an operation whose run is gone.
func TestHistory_oneOperationIsUndoneBehindPruning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), lasting()
		e := start(t, db, w)
		e.checkpoint("cut")
		run := e.submit(batch(servers("a", nil, "a1"), services("k", []string{"a"}, "kubernetes"))).Run.ID
		e.ended(run)
		e.prune(allGone)
		if _, err := e.Rollback(scene(), rollback.Request{Operations: []string{run + "/a"}}); !fault.Is(err, fault.Conflict) {
			t.Errorf("what stands on it is forgotten: %v", err)
		}
		got, err := e.Rollback(scene(), rollback.Request{Operations: []string{run + "/a"}, Cascade: true})
		if err != nil || got.Executed != 2 || w.left() != 0 {
			t.Errorf("%+v, %v, %d left", got, err, w.left())
		}
	})
}

// TestHistory_deletingACheckpointFreesWhatOnlyItHeldBack has three checkpoints, effects between
// them, and one that was made before and undone after the second.
func TestHistory_deletingACheckpointFreesWhatOnlyItHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), lasting()
		e := start(t, db, w)
		first := e.checkpoint("first")
		e.ended(e.submit(workflow("a1", "a2")).Run.ID)
		undone := e.submit(workflow("b1", "b2", "b3")).Run.ID
		e.ended(undone)
		second := e.checkpoint("second")
		e.ended(e.submit(workflow("c1")).Run.ID)
		if _, err := e.Rollback(scene(), rollback.Request{Operations: []string{undone}}); err != nil {
			t.Fatal(err)
		}
		third := e.checkpoint("third")
		e.ended(e.submit(workflow("d1")).Run.ID)
		e.prune(allGone)
		for i, c := range []struct {
			gone string
			want int
		}{
			{"", 2 + 3 + 1 + 1},   // b is needed to restore the second
			{first.ID, 3 + 1 + 1}, // a stood before all that are left
			{second.ID, 1},        // nobody restores b, and c stood before the third
			{third.ID, 0},
		} {
			if c.gone != "" {
				if err := e.Checkpoints.Delete(scene(), c.gone); err != nil {
					t.Fatal(err)
				}
				if err := e.Checkpoints.Delete(scene(), c.gone); !fault.Is(err, fault.NotFound) {
					t.Errorf("deleted twice: %v", err)
				}
				e.prune(allGone)
			}
			if got := e.rows("effect")[0]; got != c.want || e.class("effects").Rows != c.want {
				t.Errorf("step %d: %d effects are left and %d counted, want %d", i, got, e.class("effects").Rows, c.want)
			}
		}
		if e.rows("checkpoint")[0] != 0 {
			t.Error("checkpoints are left")
		}
		said := 0
		for _, entry := range stream(t, db, "audit") {
			if entry["action"] == "checkpoint.delete" {
				said++
			}
		}
		if said != 3 {
			t.Errorf("%d audit entries about deleted checkpoints, want 3", said)
		}
	})
}

// TestHistory_theOldestCheckpointBecomesRecordOnly limits what checkpoints hold back.
func TestHistory_theOldestCheckpointBecomesRecordOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), lasting()
		e := start(t, db, w)
		var made []run.Checkpoint
		for i := range 4 {
			made = append(made, e.checkpoint(fmt.Sprint("c", i)))
			e.ended(e.submit(workflow(fmt.Sprint("x", i), fmt.Sprint("y", i), fmt.Sprint("z", i))).Run.ID)
		}
		limited := allGone
		limited.Effects, limited.Events = 7, retention.KeepRule{}
		e.prune(limited)
		if got := e.rows("effect", "checkpoint"); !slices.Equal(got, []int{6, 4}) {
			t.Errorf("%v effects and checkpoints are left, want 6 and 4", got)
		}
		for i, c := range made {
			got, err := e.Checkpoints.Get(context.Background(), c.ID)
			if err != nil || got.RecordOnly != (i < 2) {
				t.Errorf("checkpoint %d: %+v, %v", i, got, err)
			}
		}
		if _, err := e.Rollback(scene(), rollback.Request{Checkpoint: made[0].ID}); fault.CodeOf(err) != "checkpoint.record_only" {
			t.Errorf("a rollback to a record: %v", err)
		}
		if lines := story(t, db); !slices.Contains(lines, "CheckpointRecordOnly c0 record_only") ||
			!slices.Contains(lines, "CheckpointRecordOnly c1 record_only") ||
			slices.Contains(lines, "CheckpointRecordOnly c2 record_only") {
			t.Errorf("events %v", lines)
		}
		got, err := e.Rollback(scene(), rollback.Request{Checkpoint: made[2].ID})
		if err != nil || got.Executed != 2 || w.left() != 6 {
			t.Errorf("to one that is none: %+v, %v, %d left", got, err, w.left())
		}
	})
}

// TestHistory_ofAutomaticCheckpointsTheNewestStay keeps two, beside that of a person.
func TestHistory_ofAutomaticCheckpointsTheNewestStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := lasting()
		e := start(t, db, newWorld())
		e.checkpoint("mine")
		for i := range 5 {
			if _, err := e.Checkpoints.Take(scene(), run.Checkpoint{Name: fmt.Sprint("auto", i), Automatic: true}); err != nil {
				t.Fatal(err)
			}
		}
		e.prune(history.Keep{Automatic: 2})
		list, err := e.Checkpoints.List(context.Background(), store.Place{Limit: 10}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, c := range list.Rows {
			names = append(names, c.Value.Name)
		}
		if !slices.Equal(names, []string{"auto4", "auto3", "mine"}) {
			t.Errorf("left are %v", names)
		}
	})
}

// TestHistory_standsStillWhileARollbackIsAtWork prunes again and again while a slow rollback
// undoes what it prunes.
func TestHistory_standsStillWhileARollbackIsAtWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), lasting()
		e := start(t, db, w)
		c := e.checkpoint("cut")
		for i := range 20 {
			e.ended(e.submit(workflow(fmt.Sprint("a", i))).Run.ID)
		}
		w.delay = time.Minute
		done := make(chan error, 1)
		go func() {
			got, err := e.Rollback(scene(), rollback.Request{Checkpoint: c.ID})
			if err == nil && (got.Executed != 20 || got.Failed != 0) {
				err = fmt.Errorf("%+v", got)
			}
			done <- err
		}()
		<-time.After(30 * time.Second)
		if err := e.Checkpoints.Delete(scene(), c.ID); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			e.prune(allGone)
			if got := e.rows("run", "effect"); !slices.Equal(got, []int{21, 20}) {
				t.Errorf("%v runs and effects while the rollback is at work", got)
			}
		}
		if err := <-done; err != nil || w.left() != 0 {
			t.Errorf("%v, %d left", err, w.left())
		}
		e.prune(allGone)
		if got := e.rows("run", "task", "effect"); !slices.Equal(got, []int{0, 0, 0}) {
			t.Errorf("%v documents are left afterwards", got)
		}
	})
}
