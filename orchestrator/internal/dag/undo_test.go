package dag_test

import (
	"fmt"
	"testing"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
)

// TestRollback_ofMoreOperationsThanACommitHoldsIsWrittenInParts undoes many independent tasks and loads the run anew
// after each turn, from what was written.
func TestRollback_ofMoreOperationsThanACommitHoldsIsWrittenInParts(t *testing.T) {
	t.Parallel()
	const many = 5000
	now := began
	d := dag.Definition{Kind: dag.Rollback, Name: "rollback"}
	var origins []dag.Task
	for i := range many {
		id := fmt.Sprintf("task-%d", i)
		steps := []dag.Progress{{Stands: true, State: dag.Succeeded, Step: dag.Step{Action: "server.create", Name: id}}}
		origins = append(origins, dag.Task{ID: id, State: dag.Succeeded, CompletedAt: &now.Wall, Steps: steps})
		d.Nodes = append(d.Nodes, dag.Node{ID: id, OnFailure: dag.OnFailureContinue, TaskID: "undo-" + id, Undo: id})
	}
	run := dag.New("run", d, dag.Grant{}, origins, now)
	if err := dag.Apply(run, dag.Start{}, now); err != nil {
		t.Fatal(err)
	}
	stored := map[int32]dag.Task{}
	most, turns := 0, 0
	for ; !run.Done(); turns++ {
		run.Quota = many
		due := dag.Pending(run)
		for _, l := range due.Start {
			if err := dag.Apply(run, dag.Done{Ref: l.Ref, ID: l.Attempt.ID, Result: dag.Result{Class: dag.OK}}, now); err != nil {
				t.Fatal(err)
			}
		}
		if len(due.Start) == 0 {
			_ = dag.Apply(run, dag.Tick{}, now)
		}
		c := run.Take()
		most = max(most, len(c.Tasks))
		for _, i := range c.Tasks {
			stored[i] = run.Tasks[i]
		}
		if turns%500 == 0 && !run.Done() {
			tasks := dag.Fresh(run.Header, d.Nodes, run.Origins)
			for i, task := range stored {
				tasks[i] = task
			}
			run = dag.Load(run.Header, d.Nodes, tasks, run.Origins, now)
		}
	}
	if run.Header.State != dag.Succeeded || run.Header.Counts.Completed != many || most > 2*dag.DefaultParallel {
		t.Errorf("ended %s after %d turns, %+v, at most %d tasks in a commit", run.Header.State, turns, run.Header.Counts, most)
	}
}

// TestApply_undoThatIsKilledOftenerThanItHasTriesIsFinished ends the process in the middle of the same undo again and
// again; only what the provider refuses may use up its tries.
func TestApply_undoThatIsKilledOftenerThanItHasTriesIsFinished(t *testing.T) {
	t.Parallel()
	h := hand(t, two())
	h.next(dag.Do, dag.OK)
	h.next(dag.Do, dag.Permanent) // the second operation fails, so the first is undone
	for range 2 * dag.DefaultPolicy().MaxAttempts {
		if due := dag.Pending(h.run); len(due.Start) != 1 || due.Start[0].Attempt.Kind != dag.Undo {
			t.Fatalf("due: %+v", due.Start)
		}
		h.apply(dag.Adopt{})
		h.next(dag.Find, dag.OK) // the server still stands
	}
	h.next(dag.Undo, dag.OK)
	if task := h.run.Tasks[0]; h.run.Header.State != dag.Failed || task.Standing() || task.RolledBackAt == nil {
		t.Errorf("ended %s, task %+v", h.run.Header.State, task)
	}
}
