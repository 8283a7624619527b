package dag

import "fmt"

// fail fails the run because task i has failed: no further task starts, and each task that will not
// run gets an error that says why.
func (r *Run) fail(i int32) {
	h, t := &r.Header, &r.Tasks[i]
	if h.Kind == Batch {
		mode := r.nodes[i].OnFailure
		h.RollBack = h.RollBack || mode == OnFailureRollback || mode == "" && h.RollbackEnabled
	}
	if h.FailedBy != "" || h.State != Running {
		return
	}
	h.FailedBy = t.Operation
	if h.FailedBy == "" {
		h.FailedBy = t.Name
	}
	h.Error = t.Error
	if h.Kind == Batch {
		h.Error = fmt.Sprintf("operation %s failed: %s", h.FailedBy, t.Error)
	}
	r.ready = nil
	queue := append([]int32(nil), r.dependents[i]...)
	for len(queue) > 0 {
		d := queue[0]
		queue = queue[1:]
		if r.Tasks[d].State != Waiting { // none is Queued: that one would not depend on task i
			continue
		}
		r.Tasks[d].Error = fmt.Sprintf("not run because operation %s, which it depends on, failed", h.FailedBy)
		r.end(d, Skipped)
		queue = append(queue, r.dependents[d]...)
	}
	for d := range r.Tasks {
		if s := r.Tasks[d].State; s == Waiting || s == Queued {
			r.Tasks[d].Error = fmt.Sprintf("not started because operation %s failed", h.FailedBy)
			r.end(int32(d), Cancelled)
		}
	}
}

// soft says whether the run goes on when task i fails.
func (r *Run) soft(i int32) bool {
	return r.Header.Kind == Rollback || r.nodes[i].OnFailure == OnFailureContinue
}

// endFailed fails a task with the error of its first failed step.
func (r *Run) endFailed(i int32) {
	t := &r.Tasks[i]
	p := t.failedStep()
	t.Error = p.Error
	if len(t.Steps) > 1 {
		t.Error = p.Step.Name + ": " + p.Error
	}
	r.end(i, Failed)
}

func (t *Task) failedStep() *StepState {
	for k := range t.Steps {
		if t.Steps[k].State == Failed {
			return &t.Steps[k]
		}
	}
	return nil
}

// What a batch does when an operation fails.
const (
	OnFailureFail     = "fail"     // no further operation starts; the batch fails
	OnFailureContinue = "continue" // siblings and dependents go on as if it had succeeded
	OnFailureRollback = "rollback" // as fail, and the batch undoes what was done
)
