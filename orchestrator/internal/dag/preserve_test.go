package dag_test

import (
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
)

// TestPreserveSuccessful_onlyWhatFailedIsUndone lets the second operation fail with one of its two
// servers made.
func TestPreserveSuccessful_onlyWhatFailedIsUndone(t *testing.T) {
	t.Parallel()
	d := dag.Definition{Kind: dag.Batch, Name: "b", ParallelLimit: 1, StepLimit: 1, RollbackEnabled: true, PreserveSuccessful: true,
		Nodes: []dag.Node{op("a"), op("b", "a")}}
	h := hand(t, d)
	h.next(dag.Do, dag.OK)
	h.resolve(dag.Step{Action: "server.create", Name: "s1"}, dag.Step{Action: "server.create", Name: "s2"})
	h.next(dag.Do, dag.OK)
	h.next(dag.Do, dag.Permanent)
	h.next(dag.Find, dag.NotFoundClass)
	if l := h.next(dag.Undo, dag.OK); l.Attempt.Step.Name != "s1" {
		t.Errorf("%s is undone", l.Attempt.Step.Name)
	}
	if h.states() != "succeeded failed" || h.run.Header.State != dag.Failed || !h.run.Tasks[0].HasEffects() ||
		h.run.Tasks[1].HasEffects() {
		t.Errorf("%s, run %s", h.states(), h.run.Header.State)
	}
}

// TestCheckpointInterval_atMostOneASecondAndTenABatch completes 30 operations, one every 600 ms.
func TestCheckpointInterval_atMostOneASecondAndTenABatch(t *testing.T) {
	t.Parallel()
	d := dag.Definition{Kind: dag.Batch, Name: "b", ParallelLimit: 1, CheckpointInterval: 1}
	for i := range 30 {
		d.Nodes = append(d.Nodes, op(string(rune('a'+i))))
	}
	h := hand(t, d)
	due := 0
	for range d.Nodes {
		h.wait(600 * time.Millisecond)
		h.next(dag.Do, dag.OK)
		if h.run.Take().Checkpoint {
			due++
		}
	}
	if due != 10 || h.run.Header.AutoCheckpoints != 10 || h.run.Header.State != dag.Succeeded {
		t.Errorf("%d were due, run %s", due, h.run.Header.State)
	}
}
