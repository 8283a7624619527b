package dag

// AtWork says whether step ref of that task is at work on something that others may want too: an
// attempt at it runs, it is being undone, or its effect is in doubt. A step that rests after a
// clean refusal is not. The task is named because a run goes on to other tasks.
func AtWork(r *Run, ref Ref, task string) bool {
	if int(ref.Task) >= len(r.Tasks) {
		return false
	}
	t := &r.Tasks[ref.Task]
	if t.ID != task || int(ref.Step) >= len(t.Steps) {
		return false
	}
	switch p := &t.Steps[ref.Step]; p.State {
	case Running, Retrying, Cancelling:
		return p.Attempt != "" || p.OutcomeUnknown || p.Kind == Find
	case Undoing, NeedsAttention:
		return true
	}
	return false
}
