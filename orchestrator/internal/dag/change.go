package dag

import "github.com/provisioning-platform/platform/orchestrator/internal/event"

// Change is what must be committed together.
type Change struct {
	Tasks     []int32 // indexes of changed Tasks, each once; none of a rollback, whose effects say all
	Effects   []Ref   // steps whose effects are to be written, each once
	Origins   []int32 // of a rollback: indexes of Tasks whose origins changed, each once
	Failures  []Failure
	Events    []event.Event
	Begun     []AttemptRecord // attempts that start when this is committed
	Ended     []AttemptRecord // attempts that came to a result
	Resources []Resource
	Withdrawn []Withdrawal
	Finished  []int32 // tasks that came to their end
}

// Empty says whether there is nothing to commit.
func (c *Change) Empty() bool {
	return len(c.Tasks)+len(c.Effects)+len(c.Origins)+len(c.Events)+len(c.Begun)+len(c.Ended)+len(c.Resources) == 0
}

// AttemptRecord is an attempt in a Change: what the audit log is to say about it.
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
