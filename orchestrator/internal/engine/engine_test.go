package engine_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

func TestSubmit_runsABatchInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		e := start(t, db, w)
		got := e.submit(batch(servers("web", nil, "web-01", "web-02"), services("k8s", []string{"web"}, "containerd", "kubernetes")))
		if got.Run.Status() != dag.StatusRunning || got.Tasks[1].Operation != "k8s" {
			t.Fatalf("accepted as %s, %v", got.Run.Status(), got.Tasks)
		}
		v := e.ended(got.Run.ID)
		if v.Run.State != dag.Succeeded || statuses(v) != "Completed Completed" {
			t.Fatalf("ended as %s: %s", v.Run.State, statuses(v))
		}
		calls := w.log()
		for _, server := range []string{"web-01", "web-02"} {
			a, b, c := slices.Index(calls, "do "+server), slices.Index(calls, "do containerd on "+server), slices.Index(calls,
				"do kubernetes on "+server)
			if a < 0 || b < a || c < b {
				t.Errorf("order on %s is wrong: %v", server, calls)
			}
		}
		if out := v.Tasks[0].Output; !strings.HasPrefix(out, "Successfully created 2 servers") {
			t.Errorf("output %q", out)
		}
		rows, err := store.Collect(run.Resources().All(context.Background(), e.DB, store.Query{}))
		if err != nil || len(rows) != 6 {
			t.Errorf("inventory has %d rows (%v), want 6", len(rows), err)
		}
		want := []string{
			"BatchStatusChanged demo running", "TaskStatusChanged web running", "OperationStatusChanged web running",
			"BatchStatusChanged demo completed", "TaskStatusChanged k8s completed", "OperationStatusChanged k8s completed",
		}
		lines := story(t, db)
		for _, line := range want {
			if !slices.Contains(lines, line) {
				t.Errorf("no event %q in %v", line, lines)
			}
		}
	})
}

func TestSubmit_auditsIntentAndOutcomeOfEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		w.fails("do web-01", dag.Result{Class: dag.Transient, Error: "busy"})
		e := start(t, db, w)
		e.ended(e.submit(workflow("web-01")).Run.ID)
		var lines []string
		var decision any
		for _, m := range stream(t, db, audit.Stream) {
			lines = append(lines, m["action"].(string)+" "+m["phase"].(string)+" "+m["result"].(string))
			if m["phase"] == "event" {
				decision = m["id"]
			} else if d := m["details"].(map[string]any); d["decision"] != decision || m["actor"].(map[string]any)["username"] != "alice" ||
				m["resource"] != "servers/web-01" {
				t.Errorf("entry %v does not name its decision, actor and resource", m)
			}
		}
		want := []string{
			"server.create event success", "server.create intent success", "server.create outcome failure",
			"server.create intent success", "server.create outcome success",
		}
		if !slices.Equal(lines, want) {
			t.Errorf("audit says\n%s", strings.Join(lines, "\n"))
		}
	})
}

func TestRetry_delaysGrowAndPermanentFailuresAreFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.fails("do a", dag.Result{Class: dag.Transient, Error: "x"}, dag.Result{Class: dag.Transient, Error: "x"})
		w.fails("do b", dag.Result{Class: dag.Permanent, Error: "bad plan"})
		e := start(t, memory(), w)
		began := time.Now()
		v := e.ended(e.submit(workflow("a")).Run.ID)
		if took := time.Since(began); v.Run.State != dag.Succeeded || took < 7500*time.Millisecond || took > 16*time.Second {
			t.Errorf("ended %s after %s", v.Run.State, took)
		}
		v = e.ended(e.submit(workflow("b")).Run.ID)
		if v.Tasks[0].Error != "bad plan" || v.Tasks[0].Status() != dag.StatusFailed {
			t.Errorf("ended %s with %q", v.Tasks[0].Status(), v.Tasks[0].Error)
		}
	})
}

func TestTimeout_ofAnOperationStopsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.block["slow"] = true
		e := start(t, memory(), w)
		sub := workflow("slow")
		sub.Definition.Policy.Timeout = 30_000
		v := e.ended(e.submit(sub).Run.ID)
		if v.Tasks[0].Status() != dag.StatusFailed || !strings.Contains(v.Tasks[0].Error, "timeout") {
			t.Errorf("ended %s with %q", v.Tasks[0].Status(), v.Tasks[0].Error)
		}
	})
}

func TestBatch_failureSkipsDependentsAndRollsBack(t *testing.T) {
	for _, rollback := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w, db := newWorld(), memory()
			w.fails("do bad", dag.Result{Class: dag.Permanent, Error: "no such plan"})
			e := start(t, db, w)
			sub := batch(servers("a", nil, "a1", "a2"), servers("b", []string{"a"}, "b1"), servers("c", []string{"b"}, "bad"),
				servers("d", []string{"c"}, "d1"))
			sub.Definition.RollbackEnabled = rollback
			v := e.ended(e.submit(sub).Run.ID)
			if v.Run.Status() != dag.StatusFailed || statuses(v) != "Completed Completed Failed Cancelled" {
				t.Fatalf("ended %s: %s", v.Run.Status(), statuses(v))
			}
			if !strings.Contains(v.Tasks[3].Error, "c") {
				t.Errorf("the skipped operation does not name the cause: %q", v.Tasks[3].Error)
			}
			calls := w.log()
			if !rollback {
				if w.left() != 3 || v.Tasks[0].RolledBackAt != nil {
					t.Errorf("something was undone: %v", calls)
				}
				return
			}
			undos := calls[slices.Index(calls, "undo b1"):]
			if w.left() != 0 || len(undos) != 3 || v.Tasks[0].RolledBackAt == nil || v.Tasks[1].RolledBackAt == nil {
				t.Errorf("left %d, calls %v", w.left(), calls)
			}
			rows, _ := store.Collect(run.Resources().All(context.Background(), e.DB, store.Query{}))
			if len(rows) != 0 {
				t.Errorf("inventory still has %v", rows)
			}
			if lines := story(t, db); !slices.Contains(lines, "RollbackCompleted demo completed") {
				t.Errorf("no end of the rollback in %v", lines)
			}
		})
	}
}

func TestParallelLimit_isKept(t *testing.T) {
	for _, limit := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.delay = time.Second
			e := start(t, memory(), w)
			sub := batch()
			for _, name := range strings.Fields("a b c d e f g") {
				sub.Definition.Nodes = append(sub.Definition.Nodes, servers(name, nil, name))
			}
			sub.Definition.ParallelLimit = limit
			e.ended(e.submit(sub).Run.ID)
			if w.peak != limit {
				t.Errorf("%d operations at once, the limit is %d", w.peak, limit)
			}
		})
	}
}

func TestMaxTasks_boundsAllRunsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.delay = time.Second
		e := start(t, memory(), w, func(c *engine.Config) { c.MaxTasks = 4 })
		var ids []string
		for range 20 {
			ids = append(ids, e.submit(workflow("s")).Run.ID)
		}
		for _, id := range ids {
			e.ended(id)
		}
		if w.peak != 4 {
			t.Errorf("%d tasks at once, the limit is 4", w.peak)
		}
	})
}

// TestCancel_stopsWhatRunsAndKeepsWhatIsDone is X11 for what has not started: nothing starts after
// the cancel.
func TestCancel_stopsWhatRunsAndKeepsWhatIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.block["slow"] = true
		e := start(t, memory(), w)
		id := e.submit(batch(servers("a", nil, "a1"), servers("b", []string{"a"}, "slow"), servers("c", []string{"b"}, "c1"))).Run.ID
		e.until(id, func(v run.Batch) bool { return v.Tasks[1].Status() == dag.StatusRunning })
		if err := e.Cancel(scene(), dag.Batch, id, fresh()); err != nil {
			t.Fatal(err)
		}
		v := e.ended(id)
		if v.Run.Status() != dag.StatusCancelled || statuses(v) != "Completed Cancelled Cancelled" || w.left() != 1 {
			t.Errorf("ended %s: %s, %d effects", v.Run.Status(), statuses(v), w.left())
		}
		if err := e.Cancel(scene(), dag.Batch, id, fresh()); !fault.Is(err, fault.Conflict) {
			t.Errorf("a second cancel: %v", err)
		}
		command := fresh()
		other := e.submit(batch(servers("d", nil, "slow"))).Run.ID
		for range 2 { // the repeat comes when the batch has ended
			if err := e.Cancel(scene(), dag.Batch, other, command); err != nil {
				t.Errorf("a repeat of the cancel that cancelled it: %v", err)
			}
			e.ended(other)
		}
		if err := e.Cancel(scene(), dag.Batch, v.Tasks[0].ID, fresh()); !fault.Is(err, fault.NotFound) {
			t.Errorf("cancel of an unknown batch: %v", err)
		}
	})
}

// TestRestart_looksUpWhatWasInFlight is X05, reduced: 1 of 500 crashes between start and result.
func TestRestart_looksUpWhatWasInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		w.delay = 10 * time.Second
		e := start(t, db, w)
		id := e.submit(batch(servers("a", nil, "a1"), servers("b", []string{"a"}, "b1"))).Run.ID
		<-time.After(15 * time.Second) // a is done, b is at work
		e.stop()
		w.delay = 0
		e = start(t, db, w)
		v := e.ended(id)
		if calls := w.log(); v.Run.State != dag.Succeeded || !slices.Equal(calls, []string{"do a1", "do b1"}) {
			t.Errorf("ended %s after %v", v.Run.State, calls)
		}
	})
}

func TestUnknownOutcome_isLookedUpNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.fails("do a", dag.Result{Class: dag.UnknownOutcome, Error: "lost"})
		e := start(t, memory(), w)
		v := e.ended(e.submit(workflow("a")).Run.ID)
		if v.Run.State != dag.Succeeded || len(w.log()) != 1 {
			t.Errorf("ended %s after %v", v.Run.State, w.log())
		}
	})
}

func TestSubmit_refusesWithAllFaultsAtOnce(t *testing.T) {
	e := start(t, memory(), newWorld())
	_, err := e.Submit(scene(), batch(servers("a", []string{"ghost"}, "x"), servers("a", nil)))
	if f := fault.Of(err); f == nil || f.Kind != fault.Invalid || len(f.Fields) != 3 {
		t.Fatalf("got %#v", err)
	}
	w, err := run.ListTasks(context.Background(), e.DB, "", store.Place{Limit: 10})
	if err != nil || w.Total != 0 {
		t.Errorf("%d tasks (%v) after a refusal", w.Total, err)
	}
}

func TestSubmit_sameIDIsTheSameRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		e := start(t, memory(), w)
		first := e.submit(workflow("a"))
		e.ended(first.Run.ID)
		again := workflow("a")
		again.ID = first.Run.ID
		if got := e.submit(again); got.Tasks[0].ID != first.Run.ID || len(w.log()) != 1 {
			t.Errorf("submitted again: %v, %v", got, w.log())
		}
	})
}

func TestTasks_pagesStayStableWhileTasksArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, memory(), newWorld())
		for range 20 {
			e.ended(e.submit(workflow("a")).Run.ID)
		}
		seen := map[string]bool{}
		p := store.Place{Limit: 7, Offset: 2} // a bare offset begins such a walk too
		for {
			w, err := run.ListTasks(context.Background(), e.DB, dag.StatusCompleted, p)
			if err != nil || w.Total < 20 {
				t.Fatalf("total %d (%v), want 20 and more", w.Total, err)
			}
			for _, row := range w.Rows {
				if seen[row.Value.ID] {
					t.Fatalf("task %s twice", row.Value.ID)
				}
				seen[row.Value.ID] = true
			}
			if p.After = w.Next; p.After == "" {
				break
			}
			e.ended(e.submit(workflow("new")).Run.ID)
		}
		if len(seen) != 18 {
			t.Errorf("saw %d tasks", len(seen))
		}
	})
}
