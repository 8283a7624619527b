package dag

import "github.com/provisioning-platform/platform/orchestrator/internal/event"

// Change is what one commit has to store.
type Change struct {
	Tasks      []int32 // indexes of changed Tasks, each once; empty for a rollback, which stores effects only
	Effects    []Ref   // steps whose effects are to be written, each once
	Origins    []int32 // of a rollback: indexes of Tasks whose UndoOperation.Origin changed, each once
	Failures   []Failure
	Events     []event.Event
	Begun      []AttemptRecord // attempts that start when this is committed
	Ended      []AttemptRecord // attempts that have a result
	Resources  []Resource
	Withdrawn  []Withdrawal
	Finished   []int32 // indexes of the tasks that ended
	Checkpoint bool    // an automatic checkpoint is due
}

// Empty says whether a change has nothing to store.
func (c *Change) Empty() bool {
	return len(c.Tasks)+len(c.Effects)+len(c.Origins)+len(c.Events)+len(c.Begun)+len(c.Ended)+len(c.Resources) == 0
}

// AttemptRecord is what the audit log says about an attempt.
type AttemptRecord struct {
	ID     string
	Kind   AttemptKind
	Task   int32
	Number int
	Step   Step
	Class  Class // of an ended one
	Error  string
}

// Take returns what has changed since the last Take and forgets it. The caller commits it as one.
func (r *Run) Take() Change {
	c := r.change
	for _, i := range c.Tasks {
		r.dirty[i] = false
	}
	for _, i := range c.Origins {
		r.dirtyOrigins[i] = false
	}
	clear(r.marked)
	r.change = Change{}
	return c
}
