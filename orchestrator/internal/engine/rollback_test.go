package engine_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/rollback"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/storetest"
)

func (s *started) checkpoint(name string) run.Checkpoint {
	s.t.Helper()
	c, err := s.Checkpoints.Take(scene(), run.Checkpoint{Name: name})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *started) operations(c run.Checkpoint) int {
	s.t.Helper()
	n, err := s.Checkpoints.After(context.Background(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func TestRollback_toACheckpointUndoesWhatCameAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		e := start(t, db, w)
		e.ended(e.submit(workflow("before")).Run.ID)
		c := e.checkpoint("cut")
		if c.Size == 0 || e.operations(c) != 0 {
			t.Errorf("size %d, %d operations", c.Size, e.operations(c))
		}
		one := e.submit(batch(servers("a", nil, "a1", "a2"), services("k", []string{"a"}, "kubernetes"))).Run.ID
		e.ended(one)
		two := e.submit(workflow("late")).Run.ID
		e.ended(two)
		if n := e.operations(c); n != 3 {
			t.Errorf("%d operations after it, want 3", n)
		}
		before := len(w.log())
		got, err := e.Rollback(scene(), rollback.Request{Checkpoint: c.ID})
		if err != nil || !got.Ended || got.Executed != 3 || got.Failed != 0 {
			t.Fatalf("got %+v, %v", got, err)
		}
		undos := w.log()[before:]
		if w.left() != 1 || len(undos) != 5 || slices.Index(undos, "undo a1") < slices.Index(undos, "undo kubernetes on a1") {
			t.Errorf("%d effects left after %v", w.left(), undos)
		}
		v := e.view(one)
		if statuses(v) != "Completed Completed" || v.Tasks[0].RolledBackAt == nil || v.Tasks[1].RolledBackAt == nil ||
			v.Run.Status() != dag.StatusCompleted {
			t.Errorf("the batch is %s: %s, %v", v.Run.Status(), statuses(v), v.Tasks[0].RolledBackAt)
		}
		if rows, _ := store.Collect(run.Resources().All(context.Background(), e.DB, store.Query{})); len(rows) != 1 {
			t.Errorf("inventory %v", rows)
		}
		again, err := e.Rollback(scene(), rollback.Request{Checkpoint: c.ID})
		if err != nil || again.Executed != 0 || again.Failed != 0 || !again.Ended || again.ID == got.ID {
			t.Errorf("again: %+v, %v", again, err)
		}
		if list, _ := run.ListTasks(context.Background(), e.DB, "", store.Place{Limit: 100}); list.Total != 4 {
			t.Errorf("%d tasks listed, want 4: nodes of a rollback are none", list.Total)
		}
		lines := story(t, db)
		if !slices.Contains(lines, "RollbackStarted <nil> running") || !slices.Contains(lines, "RollbackCompleted <nil> completed") {
			t.Errorf("no start or end of the rollback in %v", lines)
		}
	})
}

func TestRollback_byOperationIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		e := start(t, memory(), w)
		sub := batch(servers("a", nil, "a1"), servers("b", []string{"a"}, "b1"), servers("c", []string{"b"}, "c1"), servers("x", nil, "x1"))
		first := e.submit(sub)
		e.ended(first.Run.ID)
		other := e.submit(batch(servers("x", nil, "x2")))
		e.ended(other.Run.ID)
		refused := func(kind fault.Kind, says string, q rollback.Request) {
			t.Helper()
			if _, err := e.Rollback(scene(), q); !fault.Is(err, kind) || !strings.Contains(err.Error(), says) {
				t.Errorf("%v: %v", q, err)
			}
		}
		refused(fault.NotFound, "ghost", rollback.Request{Operations: []string{"c", "ghost"}})
		refused(fault.Invalid, other.Run.ID, rollback.Request{Operations: []string{"x"}})
		refused(fault.Conflict, "demo/b", rollback.Request{Operations: []string{"a"}})
		refused(fault.NotFound, "checkpoint", rollback.Request{Checkpoint: other.Run.ID})
		before := len(w.log())
		got, err := e.Rollback(scene(), rollback.Request{Operations: []string{"b", first.Tasks[2].ID, "b", other.Run.ID + "/x"}})
		if err != nil || got.Executed != 3 {
			t.Fatalf("got %+v, %v", got, err)
		}
		if undos := w.log()[before:]; slices.Index(undos, "undo c1") > slices.Index(undos, "undo b1") || len(undos) != 3 {
			t.Errorf("calls %v", undos)
		}
		got, err = e.Rollback(scene(), rollback.Request{Operations: []string{"x"}}) // the other one is undone
		if err != nil || got.Executed != 1 || w.left() != 1 {
			t.Errorf("got %+v, %v, %d left", got, err, w.left())
		}
	})
}

func TestRollback_cascadeTakesDependentsAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		e := start(t, memory(), w)
		e.ended(e.submit(batch(servers("a", nil, "a1"))).Run.ID)
		sub := batch(services("k", nil, "kubernetes")) // another batch, on the same server
		sub.Definition.Nodes[0].Operation.Targets = []string{"a1"}
		e.ended(e.submit(sub).Run.ID)
		if _, err := e.Rollback(scene(), rollback.Request{Operations: []string{"a"}}); !fault.Is(err, fault.Conflict) {
			t.Errorf("without cascade: %v", err)
		}
		got, err := e.Rollback(scene(), rollback.Request{Operations: []string{"a"}, Cascade: true})
		if calls := w.log(); err != nil || got.Executed != 2 || !slices.Equal(calls[2:], []string{"undo kubernetes on a1", "undo a1"}) {
			t.Errorf("got %+v, %v, %v", got, err, calls)
		}
	})
}

// TestRollback_aServerIsNotUndoneFromUnderAnotherBatch: the server's own batch has a dependent of
// it, and so has another batch. The other one's was forgotten.
func TestRollback_aServerIsNotUndoneFromUnderAnotherBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		e := start(t, memory(), w)
		on := func(id string, deps []string, service string) dag.Node {
			n := services(id, deps, service)
			n.Operation.Targets = []string{"a1"}
			return n
		}
		e.ended(e.submit(batch(servers("a", nil, "a1"), on("k", []string{"a"}, "kubernetes"))).Run.ID)
		e.ended(e.submit(batch(on("r", nil, "redis"))).Run.ID)
		_, err := e.Rollback(scene(), rollback.Request{Operations: []string{"a", "k"}})
		if fault.CodeOf(err) != "rollback.needed" || !strings.Contains(err.Error(), "server a1") {
			t.Errorf("without cascade: %v", err)
		}
		got, err := e.Rollback(scene(), rollback.Request{Operations: []string{"a"}, Cascade: true})
		if calls := w.log(); err != nil || got.Executed != 3 || len(calls) != 6 || calls[5] != "undo a1" {
			t.Errorf("got %+v, %v, %v", got, err, calls)
		}
	})
}

// TestRollback_aFailedUndoKeepsItsPlaceBeforeACheckpoint: what could not be undone is written again
// after a checkpoint, but stands since before it, in this process and in the next.
func TestRollback_aFailedUndoKeepsItsPlaceBeforeACheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		e := start(t, db, w)
		e.ended(e.submit(batch(servers("a", nil, "a1"))).Run.ID)
		e.ended(e.submit(batch(servers("b", nil, "b1"))).Run.ID)
		c := e.checkpoint("cut")
		for range 2 { // the second finds it as the first has left it
			w.fails("undo a1", dag.Result{Class: dag.Permanent, Error: "no"})
			if got, err := e.Rollback(scene(), rollback.Request{Operations: []string{"a"}}); err != nil || got.Failed != 1 {
				t.Fatalf("got %+v, %v", got, err)
			}
			if n := e.operations(c); n != 0 {
				t.Errorf("%d operations after the checkpoint, want none", n)
			}
		}
		got, err := e.Rollback(scene(), rollback.Request{Checkpoint: c.ID})
		if err != nil || got.Executed != 0 || w.left() != 2 {
			t.Errorf("got %+v, %v, %d left", got, err, w.left())
		}
	})
}

// TestRollback_anUndoThatAlwaysFailsEnds is X07: the undo is tried a few times, the answer names
// exactly what is left, and when the fault is mended a second call goes on with that alone.
func TestRollback_anUndoThatAlwaysFailsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		e := start(t, memory(), w)
		c := e.checkpoint("cut")
		for _, name := range []string{"a", "b", "c"} {
			e.ended(e.submit(workflow(name)).Run.ID)
		}
		w.fails("undo b", slices.Repeat([]dag.Result{{Class: dag.Transient, Error: "busy"}}, 1000)...)
		got, err := e.Rollback(scene(), rollback.Request{Checkpoint: c.ID})
		if err != nil || got.Executed != 2 || got.Failed != 1 || len(got.Failures) != 1 || e.operations(c) != 1 || w.left() != 1 {
			t.Fatalf("got %+v, %v, %d left", got, err, w.left())
		}
		w.mu.Lock()
		tries := 1000 - len(w.trouble["undo b"])
		delete(w.trouble, "undo b")
		w.mu.Unlock()
		if tries < 2 || tries > 20 {
			t.Errorf("%d tries", tries)
		}
		got, err = e.Rollback(scene(), rollback.Request{Checkpoint: c.ID})
		if err != nil || got.Executed != 1 || got.Failed != 0 || w.left() != 0 {
			t.Errorf("after the repair %+v, %v, %d left", got, err, w.left())
		}
	})
}

func TestRollback_oneFailsTheOthersGoOnAndASecondCallRetriesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		e := start(t, memory(), w)
		c := e.checkpoint("cut")
		for _, name := range []string{"a", "b", "c"} {
			e.ended(e.submit(workflow(name)).Run.ID)
		}
		w.fails("undo b", dag.Result{Class: dag.Permanent, Error: "irreversible: the server was deleted"})
		got, err := e.Rollback(scene(), rollback.Request{Checkpoint: c.ID})
		if err != nil || got.Executed != 2 || got.Failed != 1 || len(got.Failures) != 1 ||
			!strings.Contains(got.Failures[0].Error, "irreversible") {
			t.Fatalf("got %+v, %v", got, err)
		}
		if n := e.operations(c); n != 1 {
			t.Errorf("%d operations left", n)
		}
		before := len(w.log())
		got, err = e.Rollback(scene(), rollback.Request{Checkpoint: c.ID})
		if err != nil || got.Executed != 1 || got.Failed != 0 || len(w.log()) != before+1 || w.left() != 0 {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestRollback_oneAtATimeAndSubmissionsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		e := start(t, memory(), w)
		c := e.checkpoint("cut")
		e.ended(e.submit(workflow("a")).Run.ID)
		w.mu.Lock()
		w.delay = 10 * time.Second
		w.mu.Unlock()
		live := e.submit(batch(servers("one", nil, "s1"), servers("two", []string{"one"}, "s2"))).Run.ID
		<-time.After(15 * time.Second) // one is done, two is at work
		done := make(chan error, 1)
		go func() {
			got, err := e.Rollback(scene(), rollback.Request{Checkpoint: c.ID})
			if err == nil && got.Executed != 2 {
				t.Errorf("got %+v", got)
			}
			done <- err
		}()
		<-time.After(time.Second)
		if _, err := e.Rollback(scene(), rollback.Request{Checkpoint: c.ID}); !fault.Is(err, fault.Conflict) {
			t.Errorf("a second rollback: %v", err)
		}
		held := e.submit(workflow("new")).Run.ID
		<-time.After(5 * time.Second)
		if v := e.view(held); v.Tasks[0].Status() != dag.StatusPending {
			t.Errorf("a submission during the rollback is %s", v.Tasks[0].Status())
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if v := e.view(live); v.Run.Status() != dag.StatusCancelled || v.Tasks[0].RolledBackAt == nil {
			t.Errorf("the running batch is %s", v.Run.Status())
		}
		if v := e.until(held, func(v run.Batch) bool { return v.Tasks[0].State.Terminal() }); v.Tasks[0].Status() != dag.StatusCompleted ||
			w.left() != 1 {
			t.Errorf("the held one ended %s, %d effects", v.Tasks[0].Status(), w.left())
		}
	})
}

// TestRollback_aRepeatJoinsTheFirst is the request whose answer was lost: its repeat has the same
// id and gets the same outcome, while the rollback runs, after a restart in the middle, and after
// the end.
func TestRollback_aRepeatJoinsTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		e := start(t, db, w)
		c := e.checkpoint("cut")
		e.ended(e.submit(batch(servers("a", nil, "a1"), servers("z", []string{"a"}, "z1"))).Run.ID)
		w.mu.Lock()
		w.delay = 10 * time.Second
		w.mu.Unlock()
		q := rollback.Request{ID: id.Derived("the rollback"), Checkpoint: c.ID}
		short, cancel := context.WithTimeout(scene(), 5*time.Second)
		defer cancel()
		if _, err := e.Rollback(short, q); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("the first was not cut short: %v", err)
		}
		e.stop()
		e = start(t, db, w)
		synctest.Wait()
		for range 2 {
			if got, err := e.Rollback(scene(), q); err != nil || got.ID != q.ID || got.Executed != 2 || got.Failed != 0 || !got.Ended {
				t.Errorf("a repeat: %+v, %v", got, err)
			}
		}
		if w.left() != 0 {
			t.Errorf("%d effects left", w.left())
		}
	})
}

// TestRollback_restartAtEveryCommit kills the process at each commit of a rollback; the next one
// finishes it.
func TestRollback_restartAtEveryCommit(t *testing.T) {
	for n := 1; n <= 8; n++ {
		for _, m := range []storetest.Moment{storetest.Before, storetest.After} {
			synctest.Test(t, func(t *testing.T) {
				w, db := newWorld(), memory()
				w.delay = time.Second
				e := start(t, db, w)
				c := e.checkpoint("cut")
				e.ended(e.submit(batch(servers("a", nil, "a1"), services("k", []string{"a"}, "x", "y"), servers("z", nil, "z1"))).Run.ID)
				e.stop()
				var dead bool
				e = start(t, storetest.Faulty(db, func(i int, _ store.Batch) storetest.Moment {
					switch {
					case i == n:
						dead = true
						return m
					case i > n:
						return storetest.Before
					}
					return storetest.Never
				}), w)
				<-time.After(time.Second)
				ctx, cancel := context.WithTimeout(scene(), time.Minute)
				defer cancel()
				_, err := e.Rollback(ctx, rollback.Request{Checkpoint: c.ID})
				if err == nil && dead && m == storetest.Before {
					t.Errorf("commit %d: a rollback without its end stored was reported", n)
				}
				e.stop()
				e = start(t, db, w)
				<-time.After(time.Minute)
				if _, err := e.Rollback(scene(), rollback.Request{Checkpoint: c.ID}); err != nil {
					t.Errorf("commit %d moment %d: %v", n, m, err)
				}
				v, err := run.ListBatches(context.Background(), e.DB, "", store.Place{Limit: 1})
				if err != nil || w.left() != 0 || e.view(v.Rows[0].Value.ID).Tasks[0].RolledBackAt == nil || e.operations(c) != 0 {
					t.Errorf("commit %d moment %d: %d effects left, %v", n, m, w.left(), w.log())
				}
				undos := slices.DeleteFunc(w.log(), func(c string) bool { return strings.HasPrefix(c, "do ") })
				if len(dedup(undos)) != len(undos) {
					t.Errorf("commit %d moment %d: undone twice: %v", n, m, undos)
				}
			})
		}
	}
}
