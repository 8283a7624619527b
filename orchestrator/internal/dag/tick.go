package dag

import (
	"fmt"
	"time"
)

// tick visits the tasks whose timers have ended.
func (r *Run) tick() {
	for {
		i, ok := r.timers.pop(r.up)
		if !ok {
			return
		}
		r.tickTask(i)
	}
}

func (r *Run) tickTask(i int32) {
	t := &r.Tasks[i]
	switch {
	case r.Header.State == Undoing:
		if r.entered[i] && !r.settled[i] {
			r.proceedUndo(i)
		}
	case t.State.Terminal() || t.State == Waiting || t.State == Queued:
	case t.State == Cancelling:
		for k := range t.Steps {
			if p := &t.Steps[k]; p.RetryAt != nil && p.retryDue <= r.up {
				r.beginAttempt(i, int32(k), p.Kind)
			}
		}
		if t.stopDue <= r.up {
			r.abandon(i)
		}
	case r.timeLeft(i) <= 0:
		t.Expired = true
		t.Error = fmt.Sprintf("timeout: not done within %s", millis(r.policies[i].Timeout))
		r.cancelTask(i)
	case t.RetryAt != nil && t.retryDue <= r.up:
		t.RetryAt, t.Wait = nil, 0
		r.transition(i, Running)
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
				r.change.Ended = append(r.change.Ended, AttemptRecord{
					ID: p.Attempt, Kind: Do, Task: i, Number: p.Tries, Step: p.Step, Class: UnknownOutcome, Error: "did not stop in time",
				})
			}
			p.Attempt, p.RetryAt, p.Wait = "", nil, 0
			r.outcomeUnknown(i, int32(k))
			r.setStep(p, Cancelled)
		}
	}
	r.endIfStopped(i)
}

// countTime adds the time since the last call to Spent, in whole milliseconds.
func (t *Task) countTime(up time.Duration) {
	if t.StartedAt == nil || t.State.Terminal() {
		return
	}
	whole := (up - t.countedUntil).Truncate(time.Millisecond)
	t.Spent += whole.Milliseconds()
	t.countedUntil += whole
}

// timeLeft returns how much of its timeout a task has left, 1 for a task without a timeout.
func (r *Run) timeLeft(i int32) time.Duration {
	t, limit := &r.Tasks[i], r.policies[i].Timeout
	if limit == 0 {
		return 1
	}
	return millis(limit-t.Spent) - (r.up - t.countedUntil)
}
