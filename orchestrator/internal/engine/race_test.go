package engine_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/rollback"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// slow is a store whose calls can be held up: a read after it has read, a commit before it commits.
type slow struct {
	store.DB
	get    func(store.Key)
	list   func(store.Query) // before it reads
	listed func(store.Query)
	commit func(store.Batch)
}

func (s *slow) Get(ctx context.Context, k store.Key) (store.Doc, error) {
	d, err := s.DB.Get(ctx, k)
	if s.get != nil {
		s.get(k)
	}
	return d, err
}

func (s *slow) List(ctx context.Context, q store.Query) (store.Page, error) {
	if s.list != nil {
		s.list(q)
	}
	page, err := s.DB.List(ctx, q)
	if s.listed != nil {
		s.listed(q)
	}
	return page, err
}

func (s *slow) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	if s.commit != nil {
		s.commit(b)
	}
	return s.DB.Commit(ctx, b)
}

// holdUp delays the first call about a document.
func holdUp(kind, id string) func(store.Key) {
	var held atomic.Bool // the engine reads too, at moments of its own
	return func(k store.Key) {
		if k.Kind == kind && (id == "" || k.ID == id) && held.CompareAndSwap(false, true) {
			<-time.After(time.Minute)
		}
	}
}

func TestCancel_ofARunThatEndsMeanwhileSaysThatItHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), &slow{DB: memory()}
		w.delay = 10 * time.Second
		e := start(t, db, w)
		id := e.submit(workflow("s1")).Run.ID
		<-time.After(time.Second)
		db.get = holdUp("run", id)
		if err := e.Cancel(scene(), dag.Workflow, id, fresh()); !fault.Is(err, fault.Conflict) {
			t.Errorf("cancel: %v", err)
		}
	})
}

func TestRollback_whileARunEndsIsNoStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hold atomic.Bool // when the rollback has seen it at work, and before it is cancelled
		w, db := newWorld(), &slow{DB: memory(), listed: func(q store.Query) {
			if q.Index == "active" && hold.CompareAndSwap(true, false) {
				<-time.After(time.Minute)
			}
		}}
		w.delay = 10 * time.Second
		e := start(t, db, w)
		c := e.checkpoint("cut")
		e.submit(workflow("s1"))
		<-time.After(time.Second)
		hold.Store(true)
		if got, err := e.Rollback(scene(), rollback.Request{Checkpoint: c.ID}); err != nil || got.Executed != 1 {
			t.Errorf("rollback: %+v, %v", got, err)
		}
	})
}

// TestRollback_doesNotCancelWhatIsSubmittedMeanwhile submits while the rollback looks at its
// checkpoint.
func TestRollback_doesNotCancelWhatIsSubmittedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), &slow{DB: memory()}
		e := start(t, db, w)
		synctest.Wait()
		c := e.checkpoint("cut")
		db.get = holdUp("checkpoint", c.ID)
		done := make(chan error, 1)
		go func() {
			_, err := e.Rollback(scene(), rollback.Request{Checkpoint: c.ID})
			done <- err
		}()
		<-time.After(59 * time.Second)
		db.commit = func(store.Batch) { <-time.After(5 * time.Second) }
		id := e.submit(workflow("new")).Run.ID
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		v := e.until(id, func(v run.Batch) bool { return v.Tasks[0].State.Terminal() })
		if v.Tasks[0].State != dag.Succeeded {
			t.Errorf("the submission is %s: %s", v.Tasks[0].State, v.Tasks[0].Error)
		}
	})
}

// TestRollback_beforeUnfinishedRunsAreTakenOverIsRefused asks while the list of what a crash has
// left is being read: what is in it would go on beside the rollback.
func TestRollback_beforeUnfinishedRunsAreTakenOverIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), &slow{DB: memory()}
		e := start(t, db, w)
		c := e.checkpoint("cut")
		w.delay = 10 * time.Second
		id := e.submit(workflow("s1")).Run.ID
		<-time.After(time.Second)
		e.stop()
		db.list = func(q store.Query) {
			if q.Index == "active" {
				<-time.After(time.Second)
			}
		}
		e = start(t, db, w)
		synctest.Wait()
		if _, err := e.Rollback(scene(), rollback.Request{Checkpoint: c.ID}); !fault.Is(err, fault.Unavailable) {
			t.Errorf("at once: %v", err)
		}
		<-time.After(2 * time.Second)
		if _, err := e.Rollback(scene(), rollback.Request{Checkpoint: c.ID}); err != nil {
			t.Error(err)
		}
		if v := e.view(id); v.Tasks[0].State != dag.Cancelled || w.left() != 0 {
			t.Errorf("the run is %s, %d effects", v.Tasks[0].State, w.left())
		}
	})
}

// TestRollback_ofAnOperationWhoseBatchGoesOnIsRefused: two runs would write the same task, and what
// waits for it would start on nothing.
func TestRollback_ofAnOperationWhoseBatchGoesOnIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		e := start(t, memory(), w)
		w.block["b1"] = true
		id := e.submit(batch(servers("a", nil, "a1"), servers("b", []string{"a"}, "b1"))).Run.ID
		e.until(id, func(v run.Batch) bool { return v.Tasks[0].State.Terminal() })
		q := rollback.Request{Operations: []string{id + "/a"}}
		if _, err := e.Rollback(scene(), q); !fault.Is(err, fault.Conflict) {
			t.Errorf("rollback: %v", err)
		}
		if err := e.Cancel(scene(), dag.Batch, id, fresh()); err != nil {
			t.Fatal(err)
		}
		e.ended(id)
		if got, err := e.Rollback(scene(), q); err != nil || got.Executed != 1 {
			t.Errorf("after its end: %+v, %v", got, err)
		}
	})
}

// deaf ignores the end of its context when it makes one server.
type deaf struct {
	*world
	name string
	end  chan struct{}
}

func (d deaf) Execute(ctx context.Context, a dag.Attempt) dag.Result {
	if a.Kind == dag.Do && a.Step.Name == d.name {
		<-d.end
	}
	return d.world.Execute(ctx, a)
}

func TestAttempt_thatNeverEndsDoesNotHoldUpOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := deaf{world: newWorld(), name: "s1", end: make(chan struct{})}
		e := start(t, memory(), x, func(c *engine.Config) {
			c.MaxSteps, c.Policy = 1, dag.Policy{AttemptTimeout: 60_000, MaxAttempts: 1}
		})
		stuck := e.submit(workflow("s1")).Run.ID
		<-time.After(time.Second)
		other := e.submit(workflow("s2")).Run.ID
		ended := func(v run.Batch) bool { return v.Tasks[0].State.Terminal() }
		if v := e.until(other, ended); v.Tasks[0].State != dag.Succeeded {
			t.Errorf("the other is %s", v.Tasks[0].State)
		}
		if v := e.until(stuck, ended); v.Tasks[0].State != dag.Failed {
			t.Errorf("the stuck one is %s", v.Tasks[0].State)
		}
		close(x.end)
	})
}

// TestResult_thatComesDuringACommitDoesNotStartItsAttemptAgain runs 60 steps whose results arrive
// one after the other while each commit takes 5 ms, so that many of them come during a commit.
// world fails the test when it is asked to make an attempt twice.
func TestResult_thatComesDuringACommitDoesNotStartItsAttemptAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.delay, w.spread = time.Millisecond, 700*time.Microsecond
		db := &slow{DB: memory(), commit: func(store.Batch) { <-time.After(5 * time.Millisecond) }}
		e := start(t, db, w)
		var nodes []dag.Node
		for i := range 20 {
			a, b, c := fmt.Sprint("a", i), fmt.Sprint("b", i), fmt.Sprint("c", i)
			nodes = append(nodes, servers(fmt.Sprint("op", i), nil, a, b, c))
		}
		sub := batch(nodes...)
		sub.Definition.ParallelLimit = 20
		accepted, err := e.Submit(scene(), sub)
		if err != nil {
			t.Fatal(err)
		}
		if run := e.ended(accepted.Run.ID).Run; run.State != dag.Succeeded {
			t.Errorf("the batch ended %v", run.State)
		}
		if w.peak <= 16 {
			t.Errorf("%d steps at once: too few for results that come during a commit", w.peak)
		}
	})
}
