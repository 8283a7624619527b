package dag

import "time"

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
