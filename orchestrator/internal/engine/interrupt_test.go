package engine_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/storetest"
)

// strict is a batch whose second operation may be tried once, on a server that would be destroyed
// if it failed.
func strict() engine.Submission {
	sub := batch(servers("a", nil, "a1"), servers("b", []string{"a"}, "b1"))
	sub.Definition.RollbackEnabled = true
	sub.Definition.Policy.MaxAttempts = 1
	return sub
}

// atWork waits until the step is at work.
func (s *started) atWork(runID string, task int) {
	s.t.Helper()
	s.until(runID, func(v run.Batch) bool {
		p := v.Tasks[task].Steps
		return len(p) > 0 && p[0].Attempt != "" && p[0].Kind == dag.Do && !p[0].Halted
	})
	synctest.Wait()
}

func TestStop_aPlannedRestartUsesUpNoAttemptAndDestroysNoGoodServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		w.block["b1"] = true
		e := start(t, db, w)
		id := e.submit(strict()).Run.ID
		for range 100 {
			e.atWork(id, 1)
			e.stop()
			e = start(t, db, w)
		}
		e.atWork(id, 1)
		e.stop()
		w.mu.Lock()
		w.block["b1"] = false
		w.mu.Unlock()
		v := start(t, db, w).ended(id)
		if calls := w.log(); v.Run.State != dag.Succeeded || !slices.Equal(calls, []string{"do a1", "do b1"}) ||
			v.Tasks[1].Steps[0].Kills != 0 {
			t.Errorf("ended %s (%s) after %v", v.Run.State, v.Run.Error, calls)
		}
	})
}

// mortal is a store that a killed process reaches no more.
type mortal struct {
	store.DB
	dead atomic.Bool
}

func (m *mortal) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	if m.dead.Load() {
		return store.Receipt{}, store.ErrUnavailable
	}
	return m.DB.Commit(ctx, b)
}

func TestKill_whatKillsItsOrchestratorFailsAfter20(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		w.block["b1"] = true
		var id string
		for kills := 0; ; kills++ {
			m := &mortal{DB: db}
			e := start(t, m, w)
			if id == "" {
				id = e.submit(strict()).Run.ID
			}
			if kills == 20 {
				v := e.ended(id)
				if want := "its orchestrator died 20 times while this ran"; v.Run.State != dag.Failed || v.Tasks[1].Error != want {
					t.Errorf("ended %s: %q", v.Run.State, v.Tasks[1].Error)
				}
				if w.left() != 0 {
					t.Error("what the failed batch had made was not undone")
				}
				return
			}
			e.atWork(id, 1)
			m.dead.Store(true)
			e.stop()
		}
	})
}

// TestStop_thatCannotBeNotedCountsAsAKill stops while the store is away: nothing is lost by that
// but the note.
func TestStop_thatCannotBeNotedCountsAsAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		w.block["b1"] = true
		m := &mortal{DB: db}
		e := start(t, m, w)
		id := e.submit(strict()).Run.ID
		e.atWork(id, 1)
		m.dead.Store(true)
		began := time.Now()
		e.stop()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the stop took %s", took)
		}
		w.mu.Lock()
		w.block["b1"] = false
		w.mu.Unlock()
		if v := start(t, db, w).ended(id); v.Run.State != dag.Succeeded {
			t.Errorf("ended %s: %s", v.Run.State, v.Run.Error)
		}
	})
}

// TestStop_inTheMiddleOfACommit stops a wide batch at each of its commits, which is on its way
// beside the attempts at work.
func TestStop_inTheMiddleOfACommit(t *testing.T) {
	for n := 2; n < 12; n++ {
		synctest.Test(t, func(t *testing.T) {
			w, db := newWorld(), memory()
			w.delay, w.spread = time.Millisecond, 200*time.Microsecond
			reached := make(chan struct{})
			first := storetest.Faulty(db, func(i int, _ store.Batch) storetest.Moment {
				if i == n {
					close(reached)
				}
				<-time.After(time.Millisecond)
				return storetest.Never
			})
			sub := batch()
			for i := range 100 {
				name := "s" + strings.Repeat("x", i)
				sub.Definition.Nodes = append(sub.Definition.Nodes, servers(name, nil, name))
			}
			sub.Definition.ParallelLimit, sub.Definition.Policy.MaxAttempts = 200, 1
			e := start(t, first, w)
			id := e.submit(sub).Run.ID
			select {
			case <-reached:
			case <-time.After(time.Minute):
			}
			e.stop()
			v := start(t, db, w).ended(id)
			if v.Run.State != dag.Succeeded {
				t.Errorf("stopped at commit %d it ended %s: %s", n, v.Run.State, v.Run.Error)
			}
			for _, task := range v.Tasks {
				if task.Steps[0].Kills != 0 {
					t.Errorf("stopped at commit %d, %s counts %d kills", n, task.Name, task.Steps[0].Kills)
				}
			}
		})
	}
}

// TestClock_aStepNeitherFailsNorStallsNorRepeats sets the wall clock by an hour while one operation
// works within its 10 minutes and another waits for its next try.
// It is D07 for tasks, reduced: 4 of 2,000 jumps, each of an hour.
func TestClock_aStepNeitherFailsNorStallsNorRepeats(t *testing.T) {
	for _, step := range []time.Duration{-time.Hour, time.Hour} {
		for _, restart := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w, db := newWorld(), memory()
				w.delay = 30 * time.Second
				w.fails("do b1", dag.Result{Class: dag.Throttled, Error: "busy"})
				var skew atomic.Int64
				clock := func(c *engine.Config) {
					c.Now = func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }
				}
				e := start(t, db, w, clock)
				sub := batch(servers("a", nil, "a1"), servers("b", nil, "b1"))
				sub.Definition.RollbackEnabled = true
				sub.Definition.Policy = dag.Policy{InitialDelay: 60_000, Timeout: 600_000}
				began := time.Now()
				id := e.submit(sub).Run.ID
				<-time.After(5 * time.Second)
				skew.Store(int64(step))
				<-time.After(30 * time.Second) // a has ended, b waits
				skew.Store(0)
				if restart {
					e.stop()
					skew.Store(int64(step))
					e = start(t, db, w, clock)
				}
				v := e.ended(id)
				took := time.Since(began)
				calls := w.log()
				slices.Sort(calls)
				if v.Run.State != dag.Succeeded || took > 150*time.Second || !slices.Equal(calls, []string{"do a1", "do b1"}) {
					t.Errorf("step %s, restart %v: ended %s (%s) after %s with %v", step, restart, v.Run.State, v.Run.Error, took, calls)
				}
			})
		}
	}
}

// TestClock_aStepDoesNotMoveALease: of two processes on one store, one has its clock set; neither
// takes over what the other drives, nor waits for an hour when the other is gone.
// It is D07 for leases, reduced like the test above.
func TestClock_aStepDoesNotMoveALease(t *testing.T) {
	for _, step := range []time.Duration{-time.Hour, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			w, db := newWorld(), memory()
			w.delay = time.Minute
			a := start(t, db, w, named("a"), func(c *engine.Config) { c.Now = func() time.Time { return time.Now().Add(step) } })
			b := start(t, db, w, named("b"))
			id := a.submit(workflow("s1")).Run.ID
			<-time.After(30 * time.Second)
			if owner := a.owner(id); owner != "a" {
				t.Fatalf("%s drives it", owner)
			}
			a.stop()
			stopped := time.Now()
			w.mu.Lock()
			w.delay = 0
			w.mu.Unlock()
			v := b.ended(id)
			if took := time.Since(stopped); v.Run.State != dag.Succeeded || took > 20*time.Second {
				t.Errorf("ended %s, %s after the other process", v.Run.State, took)
			}
		})
	}
}

// owner returns which process drives a run.
func (s *started) owner(runID string) string {
	s.t.Helper()
	d, err := s.db.Get(context.Background(), store.Key{Kind: "run", ID: runID})
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(d.Body), `"owner":"`)
	owner, _, _ := strings.Cut(rest, `"`)
	return owner
}
