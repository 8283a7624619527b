package dag

import "time"

// Now is a moment as a process sees it (decision 41). Wall is stored and shown; somebody may set
// that clock, in either direction. Up is the time since the process began and never steps: it alone
// ends waits.
type Now struct {
	Wall time.Time
	Up   time.Duration // above 0
}

// Command is what can happen to a run.
type Command interface{ command() }

// Start lets a queued run begin.
type Start struct{}

// Adopt tells a run that its process is a new one: whatever was in flight has an unknown outcome
// and is looked up.
type Adopt struct{}

// Halt tells a run that its process is about to end in order. What is in flight then is cut off by
// that, and counts neither as a try nor as a kill (decision 40).
type Halt struct{}

// Done reports what an attempt came to. A report on an attempt that is not in flight any more
// changes nothing.
type Done struct {
	Ref
	ID     string
	Result Result
}

// Cancel ends a run: what has not started never starts, what runs is told to stop, what is done
// stays. ID makes it repeatable: the same command again is no conflict.
type Cancel struct {
	ID     string
	By     string // username
	Reason string
}

// Tick lets a run see that time has passed: retries that are due, deadlines, the end of a grace
// time.
type Tick struct{}

func (Start) command()  {}
func (Adopt) command()  {}
func (Halt) command()   {}
func (Done) command()   {}
func (Cancel) command() {}
func (Tick) command()   {}

// Ref is the place of an attempt in its run. Step is -1 for a Resolve.
type Ref struct {
	Task int32
	Step int32
}

// Launch is an attempt that is due, with the time it may take.
type Launch struct {
	Ref
	Attempt Attempt
	Timeout time.Duration
}

// Due is what a run waits for, computed from its state.
type Due struct {
	Start []Launch      // attempts in flight by the state; those the engine does not know of are to be started
	Stop  []string      // ids of attempts that are to stop
	Never []Launch      // those of Stop: if the engine does not know one, it never began and is reported Stopped
	At    time.Duration // of Now.Up: when to Tick; 0 when there is no timer
}
