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

// Terminal says whether only an undo can follow.
func (s State) Terminal() bool {
	switch s {
	case Succeeded, Failed, Cancelled, Skipped, Undone:
		return true
	}
	return false
}
