package dag_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
)

// perform is the provider.
func (w *world) perform(l dag.Launch) dag.Result {
	a := l.Attempt
	if l.Step >= 0 && w.run.Tasks[l.Task].Steps[l.Step].Attempt != a.ID {
		w.blurred[a.Tag] = true // abandoned, and at work all the same
	}
	bad := w.rng.Float64() < w.trouble || a.Kind == dag.Find && w.rng.Float64() < w.blind
	fail := func(c dag.Class) dag.Result { return dag.Result{Class: c, Error: "trouble: " + string(c)} }
	switch a.Kind {
	case dag.Resolve:
		if bad {
			return fail([]dag.Class{dag.Transient, dag.Permanent, dag.Throttled}[w.rng.IntN(3)])
		}
		steps := make([]dag.Step, w.rng.IntN(6))
		for k := range steps {
			steps[k] = dag.Step{Action: "taskserv.install", Name: fmt.Sprintf("s%d", k), Target: fmt.Sprintf("web-%d", w.rng.IntN(4))}
		}
		return dag.Result{Class: dag.OK, Steps: steps}
	case dag.Find:
		switch {
		case bad:
			return fail([]dag.Class{dag.Transient, dag.UnknownOutcome}[w.rng.IntN(2)])
		case w.effects[a.Tag]:
			return dag.Result{Class: dag.OK}
		}
		return dag.Result{Class: dag.NotFoundClass}
	case dag.Undo:
		if bad {
			return fail([]dag.Class{dag.Transient, dag.Permanent, dag.UnknownOutcome}[w.rng.IntN(3)])
		}
		if tag := a.Facts["tag"]; tag != "" && tag != a.Tag {
			w.t.Fatalf("the undo of %s has the facts of %s", a.Tag, tag)
		}
		delete(w.effects, a.Tag)
		w.undone = append(w.undone, a.Tag)
		return dag.Result{Class: dag.OK}
	}
	if w.stop[a.ID] && w.rng.IntN(2) == 0 {
		return fail(dag.Stopped)
	}
	if bad {
		c := []dag.Class{dag.Transient, dag.Throttled, dag.Quota, dag.Auth, dag.ConflictClass, dag.Permanent, dag.TimedOut,
			dag.UnknownOutcome, dag.Stopped}[w.rng.IntN(9)]
		if w.blind > 0 && w.rng.IntN(2) == 0 { // some steps of a task are held, others wait for their next try
			c = []dag.Class{dag.Throttled, dag.UnknownOutcome}[w.rng.IntN(2)]
		}
		if (c == dag.TimedOut || c == dag.UnknownOutcome || c == dag.Transient) && w.rng.IntN(2) == 0 {
			w.effects[a.Tag] = true
		}
		result := fail(c)
		if c == dag.Throttled {
			result.RetryAfter = time.Minute
		}
		return result
	}
	w.effects[a.Tag] = true
	return dag.Result{Class: dag.OK, Output: "did " + a.Step.Name, Facts: map[string]string{"tag": a.Tag}}
}

// randomBatch returns a batch of n operations with random edges to earlier ones.
func randomBatch(rng *rand.Rand, n int) dag.Definition {
	d := dag.Definition{Kind: dag.Batch, Name: "b", ParallelLimit: 1 + rng.IntN(6), RollbackEnabled: rng.IntN(2) == 0}
	d.Policy = dag.Policy{InitialDelay: 100, MaxAttempts: []int{0, 1, 2}[rng.IntN(3)], MaxDelay: 1000}
	for i := range n {
		node := dag.Node{ID: fmt.Sprintf("op%d", i), Operation: dag.Operation{Type: "servers", Verb: "create"}}
		for range min(i, rng.IntN(3)) {
			if dep := fmt.Sprintf("op%d", rng.IntN(i)); !slices.Contains(node.Dependencies, dep) {
				node.Dependencies = append(node.Dependencies, dep)
			}
		}
		if rng.IntN(5) == 0 {
			node.OnFailure = []string{dag.OnFailureContinue, dag.OnFailureFail, dag.OnFailureRollback}[rng.IntN(3)]
		}
		if rng.IntN(10) == 0 {
			node.Policy = &dag.Policy{Timeout: 1500, RetryTimeouts: rng.IntN(2) == 0}
		}
		d.Nodes = append(d.Nodes, node)
	}
	return d
}
