package dag

import "fmt"

// maxKills is how often in a row a kill may interrupt the tries of one step (decision 40). Without
// it a step that kills its orchestrator would be begun for ever.
const maxKills = 20

var killedText = fmt.Sprintf("its orchestrator died %d times while this ran", maxKills)

// resolving says whether an attempt to resolve is in flight.
func (t *Task) resolving() bool { return t.State == Running && !t.Resolved }

// halt marks each attempt in flight as interrupted by an ordered end of the process.
func (r *Run) halt() {
	for i := range r.Tasks {
		t := &r.Tasks[i]
		if t.resolving() {
			t.Halted = true
			r.markTask(int32(i))
		}
		for k := range t.Steps {
			if p := &t.Steps[k]; p.Attempt != "" {
				p.Halted = true
				r.markStep(int32(i), int32(k))
			}
		}
	}
}

// takeOver replaces each attempt that the end of its process has interrupted by a Find, which asks
// whether it took effect.
func (r *Run) takeOver() {
	for i := range r.Tasks {
		t := &r.Tasks[i]
		if t.resolving() {
			r.markTask(int32(i))
			if !interrupted(&t.Halted, &t.Kills) && t.Kills >= maxKills {
				t.Error = killedText
				r.end(int32(i), Failed)
			}
			continue
		}
		settled := false
		for k := range t.Steps {
			settled = r.resumeStep(int32(i), int32(k)) || settled
		}
		if settled {
			r.proceedAfterStep(int32(i))
		}
	}
}

// interrupted counts a kill, and returns whether the process ended in order instead, which counts
// as none.
func interrupted(halted *bool, kills *int) bool {
	if *halted {
		*halted = false
		return true
	}
	*kills++
	return false
}

// resumeStep handles a step that a new process finds in flight or held for a person. It returns
// whether the step has ended by that.
func (r *Run) resumeStep(i, k int32) (settled bool) {
	t := &r.Tasks[i]
	p := &t.Steps[k]
	held := p.State == NeedsAttention && !t.State.Terminal()
	if p.Attempt == "" {
		if held {
			p.Finds, t.Attention = 0, t.doubts()
			r.beginAttempt(i, k, Find)
			r.transition(i, Running)
		}
		return false
	}
	if p.Kind != Find {
		p.Tries = max(0, p.Tries-1) // an interrupted try does not count
	}
	again := interrupted(&p.Halted, &p.Kills) || p.Kills < maxKills
	p.Finds = 0
	asks := p.State == Cancelling || p.State == Undoing || t.mutates(p)
	switch {
	case asks && (again || p.Kind != Find):
		r.beginAttempt(i, k, Find)
		return false
	case !asks && again && r.allowed(i):
		r.beginAttempt(i, k, Do)
		return false
	}
	p.Attempt = ""
	r.markStep(i, k)
	switch {
	case !asks && again:
		r.setStep(p, Cancelling)
		r.setStep(p, Cancelled)
	case p.State == Undoing:
		r.giveUpUndo(i, k)
	case asks: // maxKills processes died during the Find itself
		p.Finds = r.policies[i].MaxAttempts
		r.handleFind(i, k, Result{Class: UnknownOutcome, Error: killedText})
	default:
		p.Error = killedText
		r.setStep(p, Failed)
	}
	return true
}

// giveUpUndo ends the undo of an effect after maxKills kills. The effect stays.
func (r *Run) giveUpUndo(i, k int32) {
	p := &r.Tasks[i].Steps[k]
	p.UndoError = killedText
	r.markEffect(i, k)
	r.setStep(p, Succeeded)
}
