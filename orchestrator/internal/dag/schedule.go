package dag

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/provisioning-platform/platform/shared/id"
)

// begin starts a queued task.
func (r *Run) begin(i int32) {
	t := &r.Tasks[i]
	t.StartedAt = r.nowPtr()
	if limit := r.policies[i].Timeout; limit > 0 {
		at := r.now().Add(millis(limit))
		t.Deadline = &at
		r.timers.push(at, i)
	}
	r.setState(i, Running)
	if t.Resolved {
		r.proceed(i)
	}
}

// proceed starts the steps of a running task that can start, and ends the task when its steps have.
func (r *Run) proceed(i int32) {
	if r.Header.Kind == Rollback {
		r.proceedUndo(i)
		return
	}
	t := &r.Tasks[i]
	failed := t.failedStep() != nil
	var flying, resting, held, left int
	for k := range t.Steps {
		p := &t.Steps[k]
		switch p.State {
		case Running:
			flying++
		case Retrying:
			if failed && p.Kind != Find && p.Doubt {
				r.verify(i, int32(k))
				flying++
				continue
			}
			if failed && p.Kind != Find { // the task fails anyway
				p.RetryAt = nil
				r.setStep(p, Cancelled)
				r.touch(i)
				continue
			}
			if !p.RetryAt.After(r.now()) {
				r.try(i, int32(k), p.Kind)
				flying++
			} else {
				resting++
			}
		case NeedsAttention:
			held++
		case Waiting:
			switch {
			case failed:
				r.setStep(p, Cancelled)
				r.touch(i)
			case flying < r.Header.StepLimit && !t.laneBusy(k):
				r.try(i, int32(k), Do)
				flying++
			default:
				left++
			}
		}
	}
	switch {
	case flying > 0:
		r.turn(i, Running)
	case resting > 0:
		r.turn(i, Retrying)
	case held > 0:
		r.turn(i, NeedsAttention)
	case failed:
		r.endFailed(i)
	case left == 0:
		t.Output = t.summary()
		r.end(i, Succeeded)
	}
}

// turn changes the state of a live task if it is another.
func (r *Run) turn(i int32, to State) {
	if r.Tasks[i].State != to {
		r.setState(i, to)
	}
}

// try starts an attempt at step k of task i.
func (r *Run) try(i, k int32, kind AttemptKind) {
	t := &r.Tasks[i]
	p := &t.Steps[k]
	p.Seq++
	p.Kind, p.RetryAt = kind, nil
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
	r.touch(i)
	if kind != Find {
		r.change.Begun = append(r.change.Begun, Trial{ID: p.Attempt, Kind: kind, Task: i, Number: p.Tries, Step: p.Step})
	}
}

// endFailed fails a task with the reason of its first failed step.
func (r *Run) endFailed(i int32) {
	t := &r.Tasks[i]
	p := t.failedStep()
	t.Error = p.Error
	if len(t.Steps) > 1 {
		t.Error = p.Step.Name + ": " + p.Error
	}
	r.end(i, Failed)
}

// stop tells a live task to end: steps in flight are told so by Pending, those in doubt are looked up, the others end
// here.
func (r *Run) stop(i int32) {
	t := &r.Tasks[i]
	at := r.now().Add(millis(r.policies[i].Grace))
	t.StopBy, t.RetryAt = &at, nil
	r.timers.push(at, i)
	r.setState(i, Cancelling)
	for k := range t.Steps {
		p := &t.Steps[k]
		switch p.State {
		case Waiting:
			r.setStep(p, Cancelled)
		case Retrying:
			p.RetryAt = nil
			if p.Kind == Find || p.Doubt {
				p.Finds = 0
				r.setStep(p, Cancelling)
				r.try(i, int32(k), Find)
				continue
			}
			r.setStep(p, Cancelled)
		case NeedsAttention:
			r.unclear(t, p)
			r.setStep(p, Cancelled)
		case Running:
			r.setStep(p, Cancelling)
		}
	}
	r.stopped(i)
}

// stopped ends a task that is being stopped once nothing of it is in flight.
func (r *Run) stopped(i int32) {
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

// unclear notes that nobody knows whether a step took effect; an undo will try.
func (r *Run) unclear(t *Task, p *Progress) {
	p.Stands = t.mutates(p)
	t.Attention = fmt.Sprintf("%s: whether it took effect is not known; look at the provider", p.Step.Name)
}

// tick looks at the tasks whose time has come.
func (r *Run) tick() {
	for {
		i, ok := r.timers.pop(r.now())
		if !ok {
			return
		}
		r.tickTask(i)
	}
}

func (r *Run) tickTask(i int32) {
	t := &r.Tasks[i]
	now := r.now()
	switch {
	case r.Header.State == Undoing:
		if r.entered[i] && !r.settled[i] {
			r.proceedUndo(i)
		}
	case t.State.Terminal() || t.State == Waiting || t.State == Queued:
	case t.State == Cancelling:
		for k := range t.Steps {
			if p := &t.Steps[k]; p.RetryAt != nil && !p.RetryAt.After(now) {
				r.try(i, int32(k), p.Kind)
			}
		}
		if t.StopBy != nil && !t.StopBy.After(now) {
			r.abandon(i)
		}
	case t.Deadline != nil && !t.Deadline.After(now):
		t.Expired = true
		t.Error = fmt.Sprintf("timeout: not done within %s", millis(r.policies[i].Timeout))
		r.stop(i)
	case t.RetryAt != nil && !t.RetryAt.After(now):
		t.RetryAt = nil
		r.turn(i, Running)
	case t.Resolved:
		r.proceed(i)
	}
}

// abandon ends a task that did not stop within its grace time.
func (r *Run) abandon(i int32) {
	t := &r.Tasks[i]
	for k := range t.Steps {
		if p := &t.Steps[k]; p.Attempt != "" || p.RetryAt != nil {
			if p.Kind == Do {
				r.change.Ended = append(r.change.Ended, Trial{ID: p.Attempt, Kind: Do, Task: i, Number: p.Tries, Step: p.Step, Class: UnknownOutcome, Error: "did not stop in time"})
			}
			p.Attempt, p.RetryAt = "", nil
			r.unclear(t, p)
			r.setStep(p, Cancelled)
		}
	}
	r.stopped(i)
}

func (t *Task) failedStep() *Progress {
	for k := range t.Steps {
		if t.Steps[k].State == Failed {
			return &t.Steps[k]
		}
	}
	return nil
}

// laneBusy says whether an earlier step of the same lane has not ended.
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

// mutates says whether the step changes the world.
func (t *Task) mutates(p *Progress) bool { return !t.CheckMode && p.Step.Action != "check" }

// summary says what a task has done: one line for the whole, then what its steps said, which they need not say again.
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
