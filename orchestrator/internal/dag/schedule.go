package dag

import (
	"strconv"
	"strings"

	"github.com/provisioning-platform/platform/shared/id"
)

// begin starts a queued task.
func (r *Run) begin(i int32) {
	t := &r.Tasks[i]
	t.StartedAt = r.nowPointer()
	t.countedUntil = r.up
	if limit := r.policies[i].Timeout; limit > 0 {
		r.timers.push(r.up+millis(limit), i)
	}
	r.setState(i, Running)
	if t.Resolved {
		r.proceed(i)
	}
}

// proceed starts the steps of a running task that can start. It ends the task when all its steps
// have ended.
func (r *Run) proceed(i int32) {
	if r.Header.Kind == Rollback {
		r.proceedUndo(i)
		return
	}
	t := &r.Tasks[i]
	failed := t.failedStep() != nil
	over := failed || r.wouldBegin(i) && !r.allowed(i) || t.Withdrawn // no further step begins
	var flying, resting, held, left int
	for k := range t.Steps {
		p := &t.Steps[k]
		switch p.State {
		case Running:
			flying++
		case Retrying:
			if over && p.Kind != Find && p.OutcomeUnknown {
				r.verify(i, int32(k), failed)
				flying++
				continue
			}
			if over && p.Kind != Find {
				p.RetryAt, p.Wait = nil, 0
				r.setStep(p, Cancelled)
				r.markTask(i)
				continue
			}
			if p.retryDue <= r.up {
				r.beginAttempt(i, int32(k), p.Kind)
				flying++
			} else {
				resting++
			}
		case NeedsAttention:
			held++
		case Waiting:
			switch {
			case over:
				r.setStep(p, Cancelled)
				r.markTask(i)
			case flying < r.Header.StepLimit && !t.laneBusy(k):
				r.beginAttempt(i, int32(k), Do)
				flying++
			default:
				left++
			}
		}
	}
	switch {
	case flying > 0:
		r.transition(i, Running)
	case resting > 0:
		r.transition(i, Retrying)
	case held > 0:
		r.transition(i, NeedsAttention)
	case failed:
		r.endFailed(i)
	case t.Withdrawn && t.DoneSteps() < len(t.Steps):
		r.endWithdrawn(i)
	case left == 0:
		t.Withdrawn = false
		t.Output = t.summary()
		r.end(i, Succeeded)
	}
}

// transition changes the state of a task that has not ended, unless it has that state.
func (r *Run) transition(i int32, to State) {
	if r.Tasks[i].State != to {
		r.setState(i, to)
	}
}

// beginAttempt begins an attempt at step k of task i.
func (r *Run) beginAttempt(i, k int32, kind AttemptKind) {
	t := &r.Tasks[i]
	p := &t.Steps[k]
	p.Seq++
	p.Kind, p.RetryAt, p.Wait = kind, nil, 0
	p.Attempt = id.Derived(t.ID, strconv.Itoa(int(k)), strconv.Itoa(p.Seq))
	switch kind {
	case Do:
		p.Tries++
		r.setStep(p, Running)
	case Undo:
		p.Tries++
		r.setStep(p, Undoing)
	case Find:
		if p.State != Undoing && p.State != Cancelling {
			r.setStep(p, Running)
		}
	}
	r.markStep(i, k)
	if kind != Find {
		r.change.Begun = append(r.change.Begun, AttemptRecord{ID: p.Attempt, Kind: kind, Task: i, Number: p.Tries, Step: p.Step})
	}
}

// markStep has the progress of step k of task i stored: in the document of the task, in a rollback
// in that of the effect.
func (r *Run) markStep(i, k int32) {
	r.markTask(i)
	if r.Header.Kind == Rollback {
		r.markEffect(i, k)
	}
}

// outcomeUnknown ends the question whether a step took effect without an answer. An undo will try
// to remove the effect.
func (r *Run) outcomeUnknown(i, k int32) {
	t := &r.Tasks[i]
	p := &t.Steps[k]
	p.OutcomeUnknown = true
	if t.mutates(p) {
		p.Recorded.At = r.now()
		r.setApplied(i, k, true)
	}
	t.Attention = t.doubts()
}

// doubts returns the note for a person on the first step that has ended with an unknown outcome.
func (t *Task) doubts() string {
	for k := range t.Steps {
		if p := &t.Steps[k]; p.OutcomeUnknown && p.Applied {
			return p.Step.Name + ": whether it took effect is not known; look at the provider"
		}
	}
	return ""
}

// laneBusy says whether a step of the same lane that stands before step k has not ended.
func (t *Task) laneBusy(k int) bool {
	lane := t.Steps[k].Step.lane()
	for j := range k {
		switch t.Steps[j].State {
		case Waiting, Running, Retrying, NeedsAttention:
			if t.Steps[j].Step.lane() == lane {
				return true
			}
		}
	}
	return false
}

// mutates says whether a step changes the world.
func (t *Task) mutates(p *StepState) bool { return !t.CheckMode && p.Step.Action != "check" }

// summary returns the output of a task: one line for the whole, then the output of its steps, which
// it takes out of them.
func (t *Task) summary() string {
	var lines []string
	if !t.CheckMode && len(t.Steps) > 0 {
		noun, done := "step", "Successfully did"
		switch t.Steps[0].Step.Action {
		case "server.create":
			noun, done = "server", "Successfully created"
		case "server.delete":
			noun, done = "server", "Successfully deleted"
		case "taskserv.install":
			noun, done = "task service", "Successfully installed"
		case "taskserv.remove":
			noun, done = "task service", "Successfully removed"
		}
		if len(t.Steps) != 1 {
			noun += "s"
		}
		lines = append(lines, done+" "+strconv.Itoa(len(t.Steps))+" "+noun)
	}
	size := 0
	for k := range t.Steps {
		if out := t.Steps[k].Output; out != "" && size+len(out) < maxOutput {
			lines = append(lines, out)
			size += len(out)
		}
		t.Steps[k].Output = ""
	}
	return strings.Join(lines, "\n")
}

// advance starts ready tasks as long as there are places, and ends the run when all tasks have
// ended.
func (r *Run) advance() {
	limit := min(r.Header.ParallelLimit, r.Quota)
	switch r.Header.State {
	case Running:
		for len(r.ready) > 0 && r.busy < limit {
			i := r.ready[0]
			r.ready = r.ready[1:]
			if r.allowed(i) {
				r.begin(i)
			}
		}
	case Undoing:
		for len(r.ready) > 0 && (r.busy < limit || !r.undoDue(r.ready[0])) {
			i := r.ready[0]
			r.ready = r.ready[1:]
			r.beginUndo(i)
		}
	}
	if r.unfinished == 0 && !r.Done() && r.Header.State != Queued && r.Header.Kind != Rollback {
		r.finish()
	}
}

// Want returns how many more tasks the run would start now if Quota allowed it.
func (r *Run) Want() int {
	if r.Header.State != Running && r.Header.State != Undoing {
		return 0
	}
	return max(0, min(len(r.ready), r.Header.ParallelLimit-r.busy))
}

// Busy returns how many tasks hold a place of parallel_limit.
func (r *Run) Busy() int { return r.busy }
