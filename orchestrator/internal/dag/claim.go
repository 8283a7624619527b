package dag

// AtWork says whether step ref of a task is at work on a name that other runs may want too: an
// attempt at it runs, it is being undone, or its effect is in doubt. A step that waits for its next
// try after a clean refusal is not. task is the id of the task, because the same ref names another
// task once a rollback has taken its next wave.
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
