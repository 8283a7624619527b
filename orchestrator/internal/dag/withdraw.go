package dag

import (
	"fmt"

	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/shared/fault"
)

// Withdrawal says that the submitter has lost the right to what is left of a run (decision 39).
type Withdrawal struct {
	Task   int32  // index of the task whose start was refused
	Tasks  int    // tasks that have ended by it, or will after the step that they are at
	Reason string // of the refusal
}

// allowed asks whether the submitter may begin the next step of task i now. After a refusal it
// withdraws all tasks that May refuses at this moment.
func (r *Run) allowed(i int32) bool {
	if r.Tasks[i].Withdrawn {
		return false
	}
	why := r.refusal(i)
	if why != "" {
		r.withdraw(i, why)
	}
	return why == ""
}

// refusal returns why the submitter may not do task i now, "" when they may. An undo needs no
// right.
func (r *Run) refusal(i int32) string {
	if r.May == nil || r.Header.Kind == Rollback {
		return ""
	}
	return r.May(i, &r.nodes[i].Operation)
}

// withdraw ends the refused tasks that have not begun, and those that depend on them. A task that
// has begun ends with the step that it is at, and nothing is undone.
func (r *Run) withdraw(first int32, why string) {
	h := &r.Header
	w := Withdrawal{Task: first, Reason: why}
	h.Withdrawn, h.Error = true, why
	var begun []int32
	for i := range r.Tasks {
		t := &r.Tasks[i]
		if t.State.Terminal() || t.State == Cancelling || t.Withdrawn {
			continue
		}
		reason := why
		if int32(i) != first {
			if reason = r.refusal(int32(i)); reason == "" {
				continue
			}
		}
		if t.State == Waiting || t.State == Queued {
			w.Tasks += 1 + r.drop(int32(i), reason)
			continue
		}
		if r.hasUnbegunWork(int32(i)) {
			w.Tasks++
		}
		t.Withdrawn, t.Error = true, reason
		r.markTask(int32(i))
		begun = append(begun, int32(i))
	}
	r.pruneReady()
	r.change.Withdrawn = append(r.change.Withdrawn, w)
	r.emit(event.Event{
		Type: event.RightsWithdrawn, Status: StatusCancelled.Lower(), TaskID: r.taskID(), BatchID: r.batchID(), Name: h.Name, Error: why,
		Infra: r.infra(&r.Tasks[first]),
		Total: w.Tasks,
	})
	for _, i := range begun {
		switch t := &r.Tasks[i]; {
		case i == first: // the caller of allowed goes on with it
		case t.Resolved:
			r.proceed(i)
		case t.State == Retrying:
			r.endWithdrawn(i)
		}
	}
}

// drop ends a task that has not begun, and all that depend on it. It returns how many dependents
// those are.
func (r *Run) drop(i int32, why string) (dependents int) {
	r.Tasks[i].Withdrawn, r.Tasks[i].Error = true, why
	r.end(i, Cancelled)
	return r.dropDependents(i)
}

// dropDependents ends the tasks that wait for task i, which was withdrawn, and returns how many
// those are.
func (r *Run) dropDependents(i int32) (n int) {
	for _, d := range r.dependents[i] {
		if r.Tasks[d].State == Waiting || r.Tasks[d].State == Queued {
			n += 1 + r.drop(d, fmt.Sprintf("not run because operation %s, which it depends on, was not: %s", r.Tasks[i].Operation,
				r.Tasks[i].Error))
		}
	}
	return n
}

// endWithdrawn ends a task that has begun and has no attempt in flight.
func (r *Run) endWithdrawn(i int32) {
	r.transition(i, Cancelling)
	r.end(i, Cancelled)
	r.dropDependents(i)
}

// pruneReady removes the tasks from ready that are no longer queued.
func (r *Run) pruneReady() {
	left := r.ready[:0:0]
	for _, i := range r.ready {
		if r.Tasks[i].State == Queued {
			left = append(left, i)
		}
	}
	r.ready = left
}

// hasUnbegunWork says whether some step of task i has not begun.
func (r *Run) hasUnbegunWork(i int32) bool {
	t := &r.Tasks[i]
	for k := range t.Steps {
		if p := &t.Steps[k]; p.State == Waiting || p.State == Retrying && p.Kind == Do {
			return true
		}
	}
	return !t.Resolved
}

// wouldBegin says whether proceed would begin a step of task i now, or try one again.
func (r *Run) wouldBegin(i int32) bool {
	for k := range r.Tasks[i].Steps {
		switch p := &r.Tasks[i].Steps[k]; {
		case p.State == Waiting, p.State == Retrying && p.Kind == Do && p.retryDue <= r.up:
			return true
		}
	}
	return false
}

// anyWithdrawn says whether a task of the run ended because its submitter may no longer do it.
func (r *Run) anyWithdrawn() bool {
	for i := range r.Tasks {
		if t := &r.Tasks[i]; t.Withdrawn && t.State == Cancelled {
			return true
		}
	}
	return false
}

// Resume returns the definition of the operations of a batch that were withdrawn. A dependency that
// has completed counts as met. A fault says why there is nothing to go on with.
func Resume(r *Run) (Definition, error) {
	h := &r.Header
	if !r.Done() {
		return Definition{}, fault.New(fault.Conflict, "batch.not_ended",
			"This batch has not ended: what is at work goes on to the end of its step. Wait for that, then adopt it.")
	}
	d := Definition{
		CheckpointInterval: h.CheckpointInterval, PreserveSuccessful: h.PreserveSuccessful,
		Kind: h.Kind, Name: h.Name, ParallelLimit: h.ParallelLimit, Policy: h.Policy, RollbackEnabled: h.RollbackEnabled,
		StepLimit: h.StepLimit, StorageBackend: h.StorageBackend, Version: h.Version,
	}
	for i := range r.Tasks {
		if t := &r.Tasks[i]; !t.Withdrawn || t.State != Cancelled {
			continue
		}
		n := r.nodes[i]
		if n.Operation.Targets == nil {
			n.Operation.Targets = r.defaultTargets(int32(i))
		}
		n.Dependencies = nil
		for _, dep := range r.deps[i] {
			switch t := &r.Tasks[dep]; {
			case t.Withdrawn && t.State == Cancelled:
				n.Dependencies = append(n.Dependencies, r.nodes[dep].ID)
			case t.RolledBackAt != nil || !r.satisfied(dep):
				return Definition{}, fault.New(fault.Conflict, "batch.not_adoptable",
					"Operation %s cannot go on: %s, which it depends on, is not there (it was undone or did not complete). Submit the "+
						"batch anew.", n.ID, r.nodes[dep].ID)
			}
		}
		d.Nodes = append(d.Nodes, n)
	}
	if len(d.Nodes) == 0 {
		return d, fault.New(fault.Conflict, "batch.nothing_to_adopt",
			"No operation of this batch ended because its submitter lost the right to it, so there is nothing to adopt.")
	}
	return d, nil
}
