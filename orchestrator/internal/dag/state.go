package dag

// State is the state of a run, a task or a step. Status is the coarser one of the wire.
type State string

// The states. Nothing leads to Paused yet.
const (
	Waiting        State = "waiting" // a dependency has not ended
	Queued         State = "queued"  // ready, and waits for a free place
	Running        State = "running"
	Retrying       State = "retrying" // between two tries
	Paused         State = "paused"
	Cancelling     State = "cancelling" // told to stop and not stopped yet
	Succeeded      State = "succeeded"
	Failed         State = "failed"
	Cancelled      State = "cancelled"
	Skipped        State = "skipped"         // a dependency failed
	Undoing        State = "undoing"         // of runs and steps only: a task keeps its state until it is undone
	Undone         State = "undone"          // succeeded, then undone
	NeedsAttention State = "needs_attention" // a Find could not tell whether it took effect: a person must look
)

// Status is a state as the wire shows it (decision 14).
type Status string

// The five words of the wire.
const (
	StatusPending   Status = "Pending"
	StatusRunning   Status = "Running"
	StatusCompleted Status = "Completed"
	StatusFailed    Status = "Failed"
	StatusCancelled Status = "Cancelled"
)

// Statuses returns the five words in the order of a life.
func Statuses() []Status {
	return []Status{StatusPending, StatusRunning, StatusCompleted, StatusFailed, StatusCancelled}
}

// Status returns the word of the wire for s.
func (s State) Status() Status {
	switch s {
	case Waiting, Queued:
		return StatusPending
	case Succeeded, Undone:
		return StatusCompleted
	case Failed:
		return StatusFailed
	case Cancelled, Skipped:
		return StatusCancelled
	}
	return StatusRunning
}

// Lower returns the word in lower case, as events spell it.
func (s Status) Lower() string {
	switch s {
	case StatusPending:
		return "pending"
	case StatusRunning:
		return "running"
	case StatusCompleted:
		return "completed"
	case StatusFailed:
		return "failed"
	}
	return "cancelled"
}

// Terminal says whether only an undo can follow.
func (s State) Terminal() bool {
	switch s {
	case Succeeded, Failed, Cancelled, Skipped, Undone:
		return true
	}
	return false
}
