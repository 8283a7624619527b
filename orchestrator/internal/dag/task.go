package dag

import (
	"strings"
	"time"
)

// Task is the stored document of one node: all that the wire shows of it, and its steps. Times are
// UTC. What is not exported is not stored: points of Now.Up, which mean something in this process
// only.
type Task struct {
	Args         []string    `json:"args"`
	Attention    string      `json:"attention,omitempty"` // what a person should look at
	Batch        bool        `json:"batch,omitempty"`     // the run is a batch; else its id equals the task's
	CheckMode    bool        `json:"check_mode,omitempty"`
	Command      string      `json:"command"`
	CompletedAt  *time.Time  `json:"completed_at,omitempty"`
	CreatedAt    time.Time   `json:"created_at"`
	Dependencies []string    `json:"dependencies"`  // task ids
	Era          uint64      `json:"era,omitempty"` // of its effects, once it has ended; see Effect
	Error        string      `json:"error,omitempty"`
	Expired      bool        `json:"expired,omitempty"` // its time is used up; being stopped for that
	Halted       bool        `json:"halted,omitempty"`  // the try to resolve was cut off by an ordered stop
	ID           string      `json:"id"`
	Kills        int         `json:"kills,omitempty"` // how often in a row a kill has cut off a try to resolve
	Name         string      `json:"name"`
	Number       int         `json:"number"`              // place in the definition
	Operation    string      `json:"operation,omitempty"` // id of the node in its batch
	Output       string      `json:"output,omitempty"`
	Progress     int         `json:"progress,omitempty"` // in hundredths of a percent; never falls
	Resolved     bool        `json:"resolved,omitempty"` // Steps are known
	Resolves     int         `json:"resolves,omitempty"` // failed tries to resolve
	RetryAt      *time.Time  `json:"retry_at,omitempty"` // of the next try to resolve
	RolledBackAt *time.Time  `json:"rolled_back_at,omitempty"`
	Run          string      `json:"run"`
	Spent        int64       `json:"spent_ms,omitempty"` // of the time that the policy gives it, while a process was there
	StartedAt    *time.Time  `json:"started_at,omitempty"`
	State        State       `json:"state"`
	Steps        []StepState `json:"steps,omitempty"`
	AppliedRev   uint64      `json:"stood,omitempty"` // the commit since which its effects stand, if a later one has written it again
	Type         string      `json:"type,omitempty"`  // of the operation
	User         string      `json:"user,omitempty"`
	Wait         int64       `json:"wait_ms,omitempty"`   // how long the wait is that RetryAt ends
	Withdrawn    bool        `json:"withdrawn,omitempty"` // ended, or will, because its submitter may no longer do it

	retryDue     time.Duration // the end of that wait
	stopDue      time.Duration // Cancelling: when waiting for its end is over
	countedUntil time.Duration // what came after this is not in Spent yet
}

// StepState is a step and what became of it. What it recorded is stored with its effect only.
type StepState struct {
	Attempt        string      `json:"attempt,omitempty"` // id of the try in flight
	OutcomeUnknown bool        `json:"doubt,omitempty"`   // an earlier try may have taken effect
	Ended          bool        `json:"ended,omitempty"`   // the verdict is in; a Find only asks whether the effect stands
	Error          string      `json:"error,omitempty"`
	Finds          int         `json:"finds,omitempty"`  // Finds in a row without an answer
	Halted         bool        `json:"halted,omitempty"` // the try in flight was cut off by an ordered stop
	Kills          int         `json:"kills,omitempty"`  // how often a kill has cut off a try since one ended by itself
	Kind           AttemptKind `json:"kind,omitempty"`   // of the try in flight or waiting for RetryAt
	Output         string      `json:"output,omitempty"`
	Recorded       Recorded    `json:"-"`
	RetryAt        *time.Time  `json:"retry_at,omitempty"`
	Seq            int         `json:"seq,omitempty"`    // tries of any kind so far; numbers the attempt ids
	Applied        bool        `json:"stands,omitempty"` // there is an effect to undo
	State          State       `json:"state"`
	Step           Step        `json:"step"`
	Tries          int         `json:"tries,omitempty"`      // Do or Undo tries so far
	UndoError      string      `json:"undo_error,omitempty"` // why the effect could not be undone
	Wait           int64       `json:"wait_ms,omitempty"`    // how long the wait is that RetryAt ends

	retryDue time.Duration // the end of that wait
}

// Status returns the wire's word for the task's state.
func (t *Task) Status() Status { return t.State.Status() }

// HasEffects says whether the task has ended and has effects that an undo would remove.
func (t *Task) HasEffects() bool {
	if !t.State.Terminal() {
		return false
	}
	for i := range t.Steps {
		if t.Steps[i].Applied {
			return true
		}
	}
	return false
}

// CurrentStep returns the name of the first step that is at work, else of the last one that ended,
// else the task's own name.
func (t *Task) CurrentStep() string {
	last := t.Name
	for i := range t.Steps {
		switch t.Steps[i].State {
		case Running, Retrying, Cancelling, Undoing, NeedsAttention:
			return t.Steps[i].Step.Name
		case Waiting:
		default:
			last = t.Steps[i].Step.Name
		}
	}
	return last
}

// DoneSteps returns how many steps have succeeded (or succeeded and were undone).
func (t *Task) DoneSteps() int {
	n := 0
	for i := range t.Steps {
		switch t.Steps[i].State {
		case Succeeded, Undoing, Undone:
			n++
		}
	}
	return n
}

// Servers returns the names of the servers that the standing steps made, and of those they only
// work on.
func (t *Task) Servers() (made, used []string) {
	for i := range t.Steps {
		p := &t.Steps[i]
		switch {
		case !p.Applied:
		case strings.HasPrefix(p.Step.Action, "server."):
			made = append(made, p.Step.Name)
		case p.Step.Target != "":
			used = append(used, p.Step.Target)
		}
	}
	return made, used
}

// lane is what orders steps inside a task: steps of one lane run in the order of the list.
func (s *Step) lane() string {
	if s.Target != "" {
		return s.Target
	}
	return s.Name
}
