package engine_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/storetest"
)

func named(name string) func(*engine.Config) {
	return func(c *engine.Config) { c.Instance = name }
}

func TestLease_anotherProcessTakesOverWhenItHasRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		w.delay = 30 * time.Second
		a := start(t, db, w, named("a"))
		id := a.submit(workflow("s1")).Run.ID
		<-time.After(12 * time.Second)
		a.stop()
		died := time.Now()
		w.mu.Lock()
		w.delay = 0
		w.mu.Unlock()
		b := start(t, db, w, named("b"))
		v := b.ended(id)
		if took := time.Since(died); v.Run.State != dag.Succeeded || took < time.Second || took > 16*time.Second {
			t.Errorf("ended %s after %s", v.Run.State, took)
		}
	})
}

// TestLease_aCutOffProcessLosesItsRun cuts a process off the store until another has taken over:
// what it brings afterwards is not accepted, and it lets go.
func TestLease_aCutOffProcessLosesItsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		w.delay = 20 * time.Second
		var cut atomic.Bool
		a := start(t, storetest.Faulty(db, func(int, store.Batch) storetest.Moment {
			if cut.Load() {
				return storetest.Before
			}
			return storetest.Never
		}), w, named("a"))
		id := a.submit(batch(servers("x", nil, "x1"), servers("y", []string{"x"}, "y1"))).Run.ID
		<-time.After(time.Second)
		cut.Store(true)
		b := start(t, db, w, named("b"))
		<-time.After(25 * time.Second) // b looks x1 up, does not find it yet, does it
		cut.Store(false)               // a has the result of its own attempt by now
		v := b.ended(id)
		if calls := w.log(); v.Run.State != dag.Succeeded || !slices.Equal(calls, []string{"do x1", "do y1"}) {
			t.Errorf("ended %s after %v", v.Run.State, calls)
		}
	})
}
