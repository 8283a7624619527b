package dag

import (
	"fmt"
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
