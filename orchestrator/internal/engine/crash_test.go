package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/storetest"
)

// scenario is a batch whose third operation fails, so that it is rolled back. It is serial, so that
// its story is the same every time.
func scenario(t *testing.T, db store.DB, w *world) (events []string, ended string) {
	w.fails("do b1", dag.Result{Class: dag.Transient, Error: "busy"})
	w.fails("do bad", dag.Result{Class: dag.Permanent, Error: "no"})
	e := start(t, db, w)
	sub := batch(servers("a", nil, "a1"), servers("b", []string{"a"}, "b1"), servers("c", []string{"b"}, "bad"),
		servers("d", []string{"c"}, "d1"))
	sub.Definition.RollbackEnabled, sub.Definition.ParallelLimit = true, 1
	sub.ID = "01890000-0000-7000-8000-000000000001"
	for {
		_, err := e.Submit(scene(), sub)
		if err == nil {
			break
		}
		if !fault.Is(err, fault.Unavailable) {
			t.Fatal(err)
		}
		<-time.After(time.Second)
	}
	v := e.ended(sub.ID)
	e.stop()
	return story(t, db), string(v.Run.State) + " " + statuses(v)
}

// TestCrash_everyCommitFails lets each commit of the scenario fail in turn, before and after it
// took effect. The engine recovers by itself, and what the world sees is the same as if nothing had
// happened.
func TestCrash_everyCommitFails(t *testing.T) {
	var want, calls []string
	var end string
	commits := 0
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		db := storetest.Faulty(memory(), storetest.At(0, storetest.Never))
		want, end = scenario(t, db, w)
		calls, commits = w.log(), db.Commits()
	})
	if commits < 8 || !strings.HasPrefix(end, "failed Completed Completed Failed Cancelled") {
		t.Fatalf("the undisturbed run made %d commits and ended %s", commits, end)
	}
	for n := 1; n <= commits; n++ {
		for _, m := range []storetest.Moment{storetest.Before, storetest.After} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				got, e := scenario(t, storetest.Faulty(memory(), storetest.At(n, m)), w)
				if e != end || !slices.Equal(got, want) {
					t.Errorf("commit %d, moment %d: ended %s with\n%s\nwant %s with\n%s", n, m, e, strings.Join(got, "\n"), end,
						strings.Join(want, "\n"))
				}
				if !slices.Equal(w.log(), calls) {
					t.Errorf("commit %d, moment %d: the provider saw %v, want %v", n, m, w.log(), calls)
				}
			})
		}
	}
}

// TestCrash_restartAtEveryCommit kills the process at each commit of the scenario, before and after
// it took effect; another one takes over.
func TestCrash_restartAtEveryCommit(t *testing.T) {
	var calls []string
	var end string
	commits := 0
	run := func(t *testing.T, n int, m storetest.Moment) ([]string, string, int) {
		w := newWorld()
		w.fails("do b1", dag.Result{Class: dag.Transient, Error: "busy"})
		w.fails("do bad", dag.Result{Class: dag.Permanent, Error: "no"}, dag.Result{Class: dag.Permanent, Error: "no"})
		db := memory()
		dead := make(chan struct{})
		first := storetest.Faulty(db, func(i int, _ store.Batch) storetest.Moment {
			switch {
			case i == n:
				close(dead)
				return m
			case n > 0 && i > n:
				return storetest.Before // the process is dead
			}
			return storetest.Never
		})
		e := start(t, first, w)
		sub := batch(servers("a", nil, "a1"), servers("b", []string{"a"}, "b1"), servers("c", []string{"b"}, "bad"),
			servers("d", []string{"c"}, "d1"))
		sub.Definition.RollbackEnabled, sub.Definition.ParallelLimit = true, 1
		got := e.submit(sub)
		if n > 0 {
			<-dead
			e.stop()
			e = start(t, db, w)
		}
		v := e.ended(got.Run.ID)
		e.stop()
		return w.log(), string(v.Run.State) + " " + statuses(v), first.Commits()
	}
	synctest.Test(t, func(t *testing.T) { calls, end, commits = run(t, 0, storetest.Never) })
	for n := 2; n < commits; n++ {
		for _, m := range []storetest.Moment{storetest.Before, storetest.After} {
			synctest.Test(t, func(t *testing.T) {
				got, e, _ := run(t, n, m)
				if e != end || !slices.Equal(dedup(got), calls) {
					t.Errorf("killed at commit %d, moment %d: ended %s after %v, want %s after %v", n, m, e, got, end, calls)
				}
			})
		}
	}
}

// wide runs a batch of 120 operations in layers of 40, on a store that takes its time, so that
// results come during commits, and kills the engine at commit n when kill is set. Operations of a
// layer end up to ten times spread apart. It returns the events in the order of the text, for
// operations of a layer end in any order.
func wide(t *testing.T, n int, m storetest.Moment, kill bool, spread time.Duration, change ...func(*engine.Config)) (events, calls []string,
	ended string, commits int) {
	w, db := newWorld(), memory()
	w.delay, w.spread = time.Millisecond, spread
	dead := make(chan struct{})
	first := storetest.Faulty(db, func(i int, _ store.Batch) storetest.Moment {
		<-time.After(time.Millisecond)
		switch {
		case i == n && kill:
			close(dead)
			return m
		case i == n:
			return m
		case n > 0 && i > n && kill:
			return storetest.Before // the process is dead
		}
		return storetest.Never
	})
	e := start(t, first, w, change...)
	var nodes []dag.Node
	for i := range 120 {
		var deps []string
		if above := i - i%40 - 40; above >= 0 {
			deps = []string{fmt.Sprint("op", above+i%40), fmt.Sprint("op", above+(i+1)%40)}
		}
		nodes = append(nodes, servers(fmt.Sprint("op", i), deps, fmt.Sprint("server", i)))
	}
	sub := batch(nodes...)
	sub.Definition.ParallelLimit = 200
	got := e.submit(sub)
	if kill {
		select {
		case <-dead:
		case <-time.After(time.Minute): // it came to fewer commits this time
		}
		e.stop()
		e = start(t, db, w)
	}
	v := e.ended(got.Run.ID)
	e.stop()
	events, calls = story(t, db), w.log()
	slices.Sort(events)
	slices.Sort(calls)
	return events, calls, string(v.Run.State), first.Commits()
}

// TestWide_whatTimeBringsWaitsForTheCommitOnItsWay: with a lease that is to be renewed while a
// commit is on its way, the run must wait for that, and not look again and again.
func TestWide_whatTimeBringsWaitsForTheCommitOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, calls, end, _ := wide(t, 0, storetest.Never, false, 3*time.Millisecond, func(c *engine.Config) { c.Lease = time.Millisecond })
		if end != "succeeded" || len(calls) != 120 {
			t.Errorf("ended %s after %d calls", end, len(calls))
		}
	})
}

// TestCrash_everyCommitOfAWideBatch fails each commit in turn, and kills the engine there: what the
// world sees is the same as if nothing had happened, though results come while it fails.
func TestCrash_everyCommitOfAWideBatch(t *testing.T) {
	var want, calls []string
	var end string
	commits := 0
	synctest.Test(t, func(t *testing.T) {
		want, calls, end, commits = wide(t, 0, storetest.Never, false, 200*time.Microsecond)
	})
	if commits < 6 || end != "succeeded" || len(calls) != 120 {
		t.Fatalf("the undisturbed run made %d commits and ended %s after %d calls", commits, end, len(calls))
	}
	for n := 2; n < commits; n++ {
		for _, m := range []storetest.Moment{storetest.Before, storetest.After} {
			for _, kill := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					got, did, e, _ := wide(t, n, m, kill, 200*time.Microsecond)
					if e != end || !slices.Equal(got, want) || !slices.Equal(did, calls) {
						t.Errorf("commit %d, moment %d, killed %v: ended %s with %d events and %d calls, want %s with %d and %d", n, m,
							kill, e, len(got), len(did), end, len(want), len(calls))
					}
				})
			}
		}
	}
}

// dedup leaves out the repeats of an undo that a kill caused: it is keyed by its tag and harmless.
func dedup(calls []string) []string {
	var out []string
	for _, c := range calls {
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

// refusing is a store that refuses every commit with a certain word in a document, as it would one
// that is too large.
type refusing struct{ store.DB }

func (d refusing) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	for _, w := range b.Writes {
		if strings.Contains(string(w.Body), "poison") {
			return store.Receipt{}, fault.New(fault.Invalid, "store.too_large", "too large")
		}
	}
	return d.DB.Commit(ctx, b)
}

func TestCrash_aResultThatCannotBeStoredFailsItsTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.fails("do a", dag.Result{Class: dag.OK, Output: "poison"})
		e := start(t, refusing{memory()}, w)
		v := e.ended(e.submit(workflow("a")).Run.ID)
		if v.Tasks[0].Status() != dag.StatusFailed || !strings.Contains(v.Tasks[0].Error, "cannot be stored") {
			t.Errorf("ended %s: %q", v.Tasks[0].Status(), v.Tasks[0].Error)
		}
	})
}
