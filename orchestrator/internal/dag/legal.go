package dag

// Machine names one of the three state machines.
type Machine string

// The machines.
const (
	TaskMachine Machine = "task"
	RunMachine  Machine = "run"
	StepMachine Machine = "step"
)

// Next returns the states that may follow s, in the order of the table in the package comment.
func Next(m Machine, s State) []State {
	switch m {
	case RunMachine:
		return nextRun(s)
	case StepMachine:
		return nextStep(s)
	}
	switch s {
	case Waiting:
		return []State{Queued, Cancelled, Skipped}
	case Queued:
		return []State{Running, Cancelled}
	case Running:
		return []State{Retrying, Cancelling, NeedsAttention, Succeeded, Failed}
	case Retrying:
		return []State{Running, Cancelling, NeedsAttention}
	case NeedsAttention:
		return []State{Running, Cancelling}
	case Cancelling:
		return []State{Cancelled, Succeeded, Failed}
	case Succeeded:
		return []State{Undone}
	}
	return nil
}

func nextRun(s State) []State {
	switch s {
	case Queued:
		return []State{Running, Cancelling}
	case Running:
		return []State{Succeeded, Failed, Cancelling, Cancelled, Undoing}
	case Cancelling:
		return []State{Cancelled}
	case Undoing:
		return []State{Failed}
	}
	return nil
}

func nextStep(s State) []State {
	switch s {
	case Waiting:
		return []State{Running, Cancelled}
	case Running:
		return []State{Retrying, Succeeded, Failed, Cancelling, NeedsAttention}
	case Retrying:
		return []State{Running, Cancelling, Cancelled}
	case Cancelling:
		return []State{Succeeded, Failed, Cancelled}
	case NeedsAttention:
		return []State{Running, Cancelled}
	case Succeeded, Failed, Cancelled:
		return []State{Undoing}
	case Undoing:
		return []State{Undone, Succeeded}
	}
	return nil
}

// Legal says whether the table has an edge between two states.
func Legal(m Machine, from, to State) bool {
	for _, s := range Next(m, from) {
		if s == to {
			return true
		}
	}
	return false
}
