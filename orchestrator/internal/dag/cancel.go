package dag

import (
	"fmt"

	"github.com/provisioning-platform/platform/shared/fault"
)

// cancel ends the tasks that have not started and tells the others to stop.
func (r *Run) cancel(c Cancel) error {
	h := &r.Header
	if h.CancelID != "" && h.CancelID == c.ID {
		return nil
	}
	what := string(h.Kind)
	switch h.State {
	case Queued, Running:
	case Undoing:
		return fault.New(fault.Conflict, what+".rolling_back",
			"This %s has failed and is being rolled back; it ends by itself and cannot be cancelled.", what)
	case Cancelling:
		return fault.New(fault.Conflict, what+".cancelling", "This %s is already being cancelled.", what)
	default:
		return fault.New(fault.Conflict, what+".ended", "This %s has already ended (%s) and cannot be cancelled.", what, h.Status())
	}
	if h.Kind == Rollback {
		return fault.New(fault.Conflict, "rollback.not_cancellable",
			"A rollback cannot be cancelled; it goes on until everything was tried.")
	}
	h.CancelID, h.CancelledBy = c.ID, c.By
	h.Error = c.Reason
	if h.Error == "" {
		h.Error = "cancelled by " + c.By
	}
	r.setRun(Cancelling)
	r.ready = nil
	for i := range r.Tasks {
		switch t := &r.Tasks[i]; t.State {
		case Waiting, Queued:
			t.Error = h.Error + " before it started"
			r.end(int32(i), Cancelled)
		case Running, Retrying, NeedsAttention:
			t.Error = h.Error
			r.cancelTask(int32(i))
		}
	}
	return nil
}

// cancelOne cancels one task of a batch.
func (r *Run) cancelOne(c CancelTask) error {
	if int(c.Task) >= len(r.Tasks) || r.Header.Kind != Batch {
		return fault.New(fault.Conflict, "task.not_cancellable", "This task is no operation of a batch.")
	}
	t := &r.Tasks[c.Task]
	if t.CancelID != "" && t.CancelID == c.ID {
		return nil
	}
	switch {
	case t.State.Terminal():
		return fault.New(fault.Conflict, "task.ended", "This task has already ended (%s) and cannot be cancelled.", t.Status())
	case t.State == Cancelling:
		return fault.New(fault.Conflict, "task.cancelling", "This task is already being cancelled.")
	}
	t.CancelID, t.Error = c.ID, "cancelled by "+c.By
	if t.State == Waiting || t.State == Queued {
		t.Error += " before it started"
		r.end(c.Task, Cancelled)
		r.pruneReady()
		return nil
	}
	r.cancelTask(c.Task)
	return nil
}

// cancelDependents ends the tasks that wait for task i, which somebody has cancelled.
func (r *Run) cancelDependents(i int32) {
	for _, d := range r.dependents[i] {
		if t := &r.Tasks[d]; t.State == Waiting {
			t.CancelID = r.Tasks[i].CancelID
			t.Error = fmt.Sprintf("not run because operation %s, which it depends on, was cancelled", r.Tasks[i].Operation)
			r.end(d, Cancelled)
		}
	}
}

// noteCancelled says whether somebody has cancelled a task of the run, and notes the first one as
// the reason of its end.
func (r *Run) noteCancelled() bool {
	for i := range r.Tasks {
		if t := &r.Tasks[i]; t.CancelID != "" && t.State == Cancelled {
			r.Header.Withdrawn, r.Header.Error = false, fmt.Sprintf("operation %s was cancelled", t.Operation)
			return true
		}
	}
	return false
}

// cancelTask stops a task that has not ended. Pending lists its attempts in flight to be stopped, a
// Find asks for the steps in doubt, the other steps end here.
func (r *Run) cancelTask(i int32) {
	t := &r.Tasks[i]
	t.RetryAt, t.Wait, t.Withdrawn = nil, 0, false
	r.startGrace(i)
	r.setState(i, Cancelling)
	for k := range t.Steps {
		p := &t.Steps[k]
		switch p.State {
		case Waiting:
			r.setStep(p, Cancelled)
		case Retrying:
			p.RetryAt, p.Wait = nil, 0
			if p.Kind == Find || p.OutcomeUnknown {
				p.Finds = 0
				r.setStep(p, Cancelling)
				r.beginAttempt(i, int32(k), Find)
				continue
			}
			r.setStep(p, Cancelled)
		case NeedsAttention:
			r.outcomeUnknown(i, int32(k))
			r.setStep(p, Cancelled)
		case Running:
			r.setStep(p, Cancelling)
		}
	}
	r.endIfStopped(i)
}

// startGrace sets until when a task that was told to stop may go on.
func (r *Run) startGrace(i int32) {
	t := &r.Tasks[i]
	t.stopDue = r.up + millis(r.policies[i].Grace)
	r.timers.push(t.stopDue, i)
}

// endIfStopped ends a task that was told to stop once none of its attempts is in flight.
func (r *Run) endIfStopped(i int32) {
	t := &r.Tasks[i]
	whole := t.Resolved
	for k := range t.Steps {
		if t.Steps[k].Attempt != "" || t.Steps[k].RetryAt != nil {
			return
		}
		whole = whole && t.Steps[k].State == Succeeded
	}
	switch {
	case whole:
		t.Output = t.summary()
		r.end(i, Succeeded)
	case t.Expired:
		r.end(i, Failed)
	default:
		r.end(i, Cancelled)
	}
}
