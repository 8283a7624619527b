package dag

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
