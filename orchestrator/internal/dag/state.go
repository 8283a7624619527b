package dag

// State is where a run, a task or a step is. It is finer than what the wire shows; see Status.
type State string

// The states. Paused is reserved; nothing leads there yet.
const (
	Waiting        State = "waiting"         // a dependency has not ended
	Queued         State = "queued"          // could run; no place free
	Running        State = "running"         //
	Retrying       State = "retrying"        // between two tries
	Paused         State = "paused"          //
	Cancelling     State = "cancelling"      // told to stop, not stopped yet
	Succeeded      State = "succeeded"       //
	Failed         State = "failed"          //
	Cancelled      State = "cancelled"       //
	Skipped        State = "skipped"         // a dependency failed
	Undoing        State = "undoing"         // runs and steps only: a task that is being undone stays what it was
	Undone         State = "undone"          // done, and undone
	NeedsAttention State = "needs_attention" // nobody can tell whether it took effect; a person must look
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

// Status returns the wire's word for s.
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

// Lower returns the word in lower case, as events and snapshots spell it.
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

// Terminal says whether nothing follows but an undo.
func (s State) Terminal() bool {
	switch s {
	case Succeeded, Failed, Cancelled, Skipped, Undone:
		return true
	}
	return false
}
