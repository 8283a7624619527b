package dag_test

import (
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/fault"
)

// TestCancelTask_endsWhatDependsOnItAndNothingElse cancels the second of four operations, of which
// the third depends on it; nothing is undone although the batch would roll back.
func TestCancelTask_endsWhatDependsOnItAndNothingElse(t *testing.T) {
	t.Parallel()
	d := dag.Definition{Kind: dag.Batch, Name: "b", ParallelLimit: 1, RollbackEnabled: true,
		Nodes: []dag.Node{op("a"), op("b"), op("c", "b"), op("d")}}
	h := hand(t, d)
	h.next(dag.Do, dag.OK)
	h.resolve(dag.Step{Action: "server.create", Name: "web"})
	h.apply(dag.CancelTask{Task: 1, ID: "1", By: "dana"})
	due := dag.Pending(h.run)
	if len(due.Stop) != 1 || len(due.Start) != 0 {
		t.Fatalf("stopped %v, started %v", due.Stop, due.Start)
	}
	h.apply(dag.CancelTask{Task: 1, ID: "1", By: "dana"}) // again
	if err := dag.Apply(h.run, dag.CancelTask{Task: 1, ID: "2", By: "eve"}, h.now); fault.CodeOf(err) != "task.cancelling" {
		t.Errorf("%v", err)
	}
	h.apply(dag.Done{Ref: due.Never[0].Ref, ID: due.Never[0].Attempt.ID, Result: dag.Result{Class: dag.Stopped, Error: "stopped"}})
	h.next(dag.Do, dag.OK)
	r := h.run.Header
	if h.states() != "succeeded cancelled cancelled succeeded" || r.State != dag.Cancelled || r.Error != "operation b was cancelled" {
		t.Fatalf("%s, run %s %q", h.states(), r.State, r.Error)
	}
	if b, c := h.run.Tasks[1].Error, h.run.Tasks[2].Error; b != "cancelled by dana" || !strings.Contains(c, "operation b") {
		t.Errorf("%q, %q", b, c)
	}
	if !h.run.Tasks[0].HasEffects() {
		t.Error("something was undone")
	}
	if err := dag.Apply(h.run, dag.CancelTask{Task: 0, ID: "3", By: "eve"}, h.now); fault.CodeOf(err) != "task.ended" {
		t.Errorf("%v", err)
	}
}

func TestCancelTask_beforeItBeganOfABatchThatWaits(t *testing.T) {
	t.Parallel()
	d := dag.Definition{Kind: dag.Batch, Name: "b", Nodes: []dag.Node{op("a"), op("b", "a"), op("c")}}
	for i := range d.Nodes {
		d.Nodes[i].TaskID = "task-" + d.Nodes[i].ID
	}
	h := &byHand{t: t, now: began, nodes: d.Nodes, run: dag.New("run", d, dag.Grant{}, began)}
	h.run.Quota = 100
	h.apply(dag.CancelTask{Task: 0, ID: "1", By: "dana"})
	h.apply(dag.Start{})
	h.next(dag.Do, dag.OK)
	if h.states() != "cancelled cancelled succeeded" || h.run.Header.State != dag.Cancelled {
		t.Errorf("%s, run %s", h.states(), h.run.Header.State)
	}
}

// TestCancelTask_aFailureElsewhereStillFailsTheBatch: what was done is undone then, as without the
// cancel.
func TestCancelTask_aFailureElsewhereStillFailsTheBatch(t *testing.T) {
	t.Parallel()
	d := dag.Definition{Kind: dag.Batch, Name: "b", ParallelLimit: 1, RollbackEnabled: true,
		Nodes: []dag.Node{op("a"), op("b"), op("c")}}
	h := hand(t, d)
	h.next(dag.Do, dag.OK)
	h.resolve(dag.Step{Action: "server.create", Name: "web"})
	h.apply(dag.CancelTask{Task: 2, ID: "1", By: "dana"})
	h.next(dag.Do, dag.Permanent)
	h.next(dag.Find, dag.NotFoundClass)
	h.next(dag.Undo, dag.OK)
	if h.states() != "undone failed cancelled" || h.run.Header.State != dag.Failed {
		t.Errorf("%s, run %s", h.states(), h.run.Header.State)
	}
}
