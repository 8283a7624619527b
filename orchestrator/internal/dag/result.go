package dag

import (
	"fmt"
	"time"

	"github.com/provisioning-platform/platform/shared/naming"
)

// Bounds of what attempts may leave in the document of a task, in bytes, so that it always fits
// into the store.
const (
	maxOutput = 4 << 10   // of a step, and of a task
	allOutput = 128 << 10 // of all steps of a task
	maxError  = 1 << 10   // of a step
	allErrors = 128 << 10
	maxFacts  = 512       // of a step, for its inverse: they have to fit into the document of an effect
	maxAbout  = 16 << 10  // of the facts of a resource
	maxParams = 256 << 10 // of all steps of a task
)

// handleResult takes the result of an attempt. It ignores one that is not in flight.
func (r *Run) handleResult(c Done) {
	if int(c.Task) >= len(r.Tasks) {
		return
	}
	t := &r.Tasks[c.Task]
	if c.Step < 0 {
		if !t.Resolved && t.State == Running && r.resolveID(c.Task) == c.ID {
			r.handleResolve(c.Task, c.Result)
		}
		return
	}
	if int(c.Step) >= len(t.Steps) || t.Steps[c.Step].Attempt != c.ID || c.ID == "" {
		return
	}
	p := &t.Steps[c.Step]
	p.Attempt = ""
	r.markStep(c.Task, c.Step)
	if p.Kind != Find {
		p.Kills = 0
		r.change.Ended = append(r.change.Ended, AttemptRecord{
			ID: c.ID, Kind: p.Kind, Task: c.Task, Number: p.Tries, Step: p.Step,
			Class: c.Result.Class, Error: naming.Clip(c.Result.Error, maxError),
		})
	}
	switch {
	case p.State == Undoing && p.Kind == Find:
		r.handleUndoFind(c.Task, c.Step, c.Result)
	case p.State == Undoing:
		r.handleUndo(c.Task, c.Step, c.Result)
	case p.Kind == Find:
		r.handleFind(c.Task, c.Step, c.Result)
	default:
		r.handleDo(c.Task, c.Step, c.Result)
	}
	r.proceedAfterStep(c.Task)
}

// proceedAfterStep goes on with a task after one of its steps has changed.
func (r *Run) proceedAfterStep(i int32) {
	switch {
	case r.Header.State == Undoing || r.Header.Kind == Rollback:
		r.proceedUndo(i)
	case r.Tasks[i].State == Cancelling:
		r.endIfStopped(i)
	default:
		r.proceed(i)
	}
}

// handleResolve takes the result of a Resolve: the steps of an operation.
func (r *Run) handleResolve(i int32, res Result) {
	t := &r.Tasks[i]
	t.Kills = 0
	r.markTask(i)
	if t.Withdrawn {
		r.endWithdrawn(i)
		return
	}
	if res.Class != OK {
		t.Resolves++
		if retryable(res.Class, r.policies[i]) && t.Resolves < r.policies[i].MaxAttempts {
			t.RetryAt, t.Wait, t.retryDue = r.startTimer(i, delay(r.policies[i], r.resolveID(i), t.Resolves, res.RetryAfter))
			r.setState(i, Retrying)
			return
		}
		t.Error = naming.Clip(reason(res), maxError)
		r.end(i, Failed)
		return
	}
	size := 0
	for _, s := range res.Steps {
		size += len(s.Name) + len(s.Target) + sizeOf(s.Params)
	}
	if len(res.Steps) > MaxSteps || size > maxParams {
		t.Error = fmt.Sprintf("the operation has %d steps of %d bytes in all; at most %d steps and %d bytes are possible: split it",
			len(res.Steps), size, MaxSteps, maxParams)
		r.end(i, Failed)
		return
	}
	t.Resolved = true
	t.Steps = make([]StepState, len(res.Steps))
	for k, s := range res.Steps {
		t.Steps[k] = StepState{State: Waiting, Step: s}
	}
	if len(t.Steps) == 0 {
		t.Output = naming.Clip(res.Output, maxOutput)
		r.end(i, Succeeded)
		return
	}
	r.proceed(i)
}

// handleDo takes the result of a Do.
func (r *Run) handleDo(i, k int32, res Result) {
	t := &r.Tasks[i]
	p := &t.Steps[k]
	policy := r.policies[i]
	stopping := t.State == Cancelling
	if (res.Class == TimedOut || res.Class == Transient) && t.mutates(p) {
		p.OutcomeUnknown = true
	}
	switch class := res.Class; {
	case class == OK:
		r.applyStep(i, k, res)
	case class == UnknownOutcome && t.mutates(p):
		p.Finds = 0
		r.beginAttempt(i, k, Find)
	case class == Stopped && stopping && !p.OutcomeUnknown:
		r.setStep(p, Cancelled)
	case (retryable(class, policy) || class == UnknownOutcome) && !stopping && p.Tries < policy.MaxAttempts:
		p.Error = naming.Clip(reason(res), min(maxError, allErrors/len(t.Steps)))
		r.scheduleRetry(i, k, Do, res)
	case p.OutcomeUnknown || t.mutates(p) && class != UnknownOutcome && class != Stopped:
		// A refused step may have taken effect all the same.
		p.Error = naming.Clip(reason(res), min(maxError, allErrors/len(t.Steps)))
		r.verify(i, k, true)
	default:
		p.Error = naming.Clip(reason(res), min(maxError, allErrors/len(t.Steps)))
		if stopping && class == UnknownOutcome {
			r.setStep(p, Cancelled)
			return
		}
		r.setStep(p, Failed)
	}
}

// record keeps what an attempt has recorded. It leaves out facts above maxFacts and tells a person
// so.
func (r *Run) record(t *Task, p *StepState, res Result) {
	p.Recorded = Recorded{At: r.now(), Facts: res.Facts}
	if sizeOf(res.Facts) > maxFacts {
		p.Recorded.Facts = nil
		t.Attention = fmt.Sprintf("%s: the provider recorded more than %d bytes of facts; they are not kept, and an undo has to do without",
			p.Step.Name, maxFacts)
	}
	for _, c := range res.Resources {
		if sizeOf(c.Facts) > maxAbout {
			c.Facts = nil
		}
		c.Origin = ResourceOrigin{Task: t.ID, Infra: r.infra(t), Waited: r.nodes[t.Number].Operation.Wait}
		p.Recorded.Made = append(p.Recorded.Made, c)
	}
	r.change.Resources = append(r.change.Resources, p.Recorded.Made...)
}

func sizeOf(m map[string]string) int {
	n := 0
	for k, v := range m {
		n += len(k) + len(v) + 6
	}
	return n
}

// verify begins a Find for a step that is not tried again, so that an undo knows whether there is
// an effect. failed says that the step fails whatever the answer is.
func (r *Run) verify(i, k int32, failed bool) {
	p := &r.Tasks[i].Steps[k]
	p.Ended, p.Finds = failed, 0
	r.beginAttempt(i, k, Find)
}

// handleFind takes the result of a Find: whether a step took effect.
func (r *Run) handleFind(i, k int32, res Result) {
	t := &r.Tasks[i]
	p := &t.Steps[k]
	policy := r.policies[i]
	stopping := t.State == Cancelling
	clear := res.Class == OK || res.Class == NotFoundClass
	refused := p.Ended && !p.OutcomeUnknown // the refusal holds unless this Find sees the effect
	if !clear && !refused {
		p.Finds++
		if p.Finds < policy.MaxAttempts {
			r.scheduleRetry(i, k, Find, res)
			return
		}
	}
	if res.Class == NotFoundClass {
		p.OutcomeUnknown = false
	}
	switch {
	case p.Ended: // the step had timed out or was refused
		switch {
		case res.Class == OK:
			p.OutcomeUnknown = false
			r.record(t, p, res)
			r.setApplied(i, k, true)
		case !clear && !refused:
			r.outcomeUnknown(i, k)
		}
		r.setStep(p, Failed)
	case res.Class == OK:
		r.applyStep(i, k, res)
	case stopping:
		if !clear {
			r.outcomeUnknown(i, k)
		}
		r.setStep(p, Cancelled)
	case res.Class == NotFoundClass && p.Kills >= maxKills:
		p.Error = killedText
		r.setStep(p, Failed)
	case res.Class == NotFoundClass && p.Tries < policy.MaxAttempts:
		if r.allowed(i) {
			r.beginAttempt(i, k, Do)
			return
		}
		r.setStep(p, Cancelling)
		r.setStep(p, Cancelled)
	case res.Class == NotFoundClass:
		p.Error = "interrupted before it took effect, and there are no tries left"
		r.setStep(p, Failed)
	default:
		t.Attention = fmt.Sprintf("%s: whether it took effect cannot be told (%s); look at the provider, then cancel, or restart the "+
			"orchestrator to look again", p.Step.Name, naming.Clip(reason(res), 200))
		r.setStep(p, NeedsAttention)
	}
}

// startTimer sets a timer of task i that ends after d. It returns the stored time of its end, its
// length in milliseconds, and its end in Now.Up.
func (r *Run) startTimer(i int32, d time.Duration) (at *time.Time, wait int64, due time.Duration) {
	wall := r.now().Add(d)
	due = r.up + d
	r.timers.push(due, i)
	return &wall, d.Milliseconds(), due
}

func reason(res Result) string {
	if res.Error != "" {
		return res.Error
	}
	return "failed without a reason (" + string(res.Class) + ")"
}
