package dag

import "time"

// Now is a moment as a process sees it (decision 41). Wall is stored and shown, and somebody may
// set that clock in either direction. Up is the time since the process began; it never steps, so
// all waits end by it.
type Now struct {
	Wall time.Time
	Up   time.Duration // above 0
}

// Command is something that can happen to a run.
type Command interface{ command() }

// Start begins a queued run.
type Start struct{}

// TakeOver tells a run that a new process drives it. The outcome of each attempt that was in flight
// is unknown, and a Find asks for it.
type TakeOver struct{}

// Halt tells a run that its process is about to end in order. An attempt that is in flight then
// counts neither as a try nor as a kill (decision 40).
type Halt struct{}

// Done is the result of an attempt. A result of an attempt that is no longer in flight changes
// nothing.
type Done struct {
	Ref
	ID     string
	Result Result
}

// Cancel ends a run: tasks that have not started never start, running ones are told to stop, and
// what is done stays. The same ID again is no conflict, so a caller may repeat the command.
type Cancel struct {
	ID     string
	By     string // username
	Reason string
}

// CancelTask ends one task of a batch (decision 64): one that has not started never starts, a
// running one is told to stop, and what is done stays. Tasks that depend on it end, too, the others
// go on. The same ID again is no conflict.
type CancelTask struct {
	Task int32 // its index
	ID   string
	By   string // username
}

// Tick tells a run that time has passed, which ends waits for retries, timeouts and grace times.
type Tick struct{}

func (Start) command()      {}
func (TakeOver) command()   {}
func (Halt) command()       {}
func (Done) command()       {}
func (Cancel) command()     {}
func (CancelTask) command() {}
func (Tick) command()       {}

// Ref names a step of a run by its indexes. Step is -1 for a Resolve.
type Ref struct {
	Task int32
	Step int32
}

// Launch is an attempt that is due and how long it may take.
type Launch struct {
	Ref
	Attempt Attempt
	Timeout time.Duration
}

// Due is what the engine has to do for a run. Pending computes it from the state.
type Due struct {
	Start []Launch      // attempts in flight by the state; the engine starts those that it does not know
	Stop  []string      // ids of attempts that are to stop
	Never []Launch      // the attempts of Stop; one that the engine does not know never began, and its result is Stopped
	At    time.Duration // in Now.Up: when the engine has to apply a Tick; 0 when there is no timer
}
