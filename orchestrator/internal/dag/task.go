package dag

import (
	"strings"
	"time"
)

// Task is the stored document of one node: what the wire shows of it, and its steps. Times are UTC.
// Fields that are not exported are points of Now.Up; they are not stored, because they mean nothing
// in another process.
type Task struct {
	Args         []string    `json:"args"`
	Attention    string      `json:"attention,omitempty"` // what a person should look at
	Batch        bool        `json:"batch,omitempty"`     // the run is a batch; else its id equals the task's
	CancelID     string      `json:"cancel_id,omitempty"` // CancelTask.ID of the command that cancelled it, or what it depends on
	CheckMode    bool        `json:"check_mode,omitempty"`
	Command      string      `json:"command"`
	CompletedAt  *time.Time  `json:"completed_at,omitempty"`
	CreatedAt    time.Time   `json:"created_at"`
	Dependencies []string    `json:"dependencies"`  // task ids
	Era          uint64      `json:"era,omitempty"` // Effect.Era of its effects, once it has ended
	Error        string      `json:"error,omitempty"`
	Expired      bool        `json:"expired,omitempty"` // its timeout has passed, so it is stopped
	Halted       bool        `json:"halted,omitempty"`  // an ordered stop interrupted the Resolve in flight
	ID           string      `json:"id"`
	Kills        int         `json:"kills,omitempty"` // Resolves in a row that a kill has interrupted
	Name         string      `json:"name"`
	Number       int         `json:"number"`              // index in the definition
	Operation    string      `json:"operation,omitempty"` // id of the node in its batch
	Output       string      `json:"output,omitempty"`
	Progress     int         `json:"progress,omitempty"` // in hundredths of a percent; never falls
	Resolved     bool        `json:"resolved,omitempty"` // Steps are known
	Resolves     int         `json:"resolves,omitempty"` // failed Resolves
	RetryAt      *time.Time  `json:"retry_at,omitempty"` // of the next Resolve
	RolledBackAt *time.Time  `json:"rolled_back_at,omitempty"`
	Run          string      `json:"run"`
	Spent        int64       `json:"spent_ms,omitempty"` // time used of Policy.Timeout, while a process was there
	StartedAt    *time.Time  `json:"started_at,omitempty"`
	State        State       `json:"state"`
	Steps        []StepState `json:"steps,omitempty"`
	AppliedRev   uint64      `json:"stood,omitempty"` // Effect.Since of its effects; 0: the revision of this document
	Type         string      `json:"type,omitempty"`  // of the operation
	User         string      `json:"user,omitempty"`
	Wait         int64       `json:"wait_ms,omitempty"`   // length of the wait that ends at RetryAt
	Withdrawn    bool        `json:"withdrawn,omitempty"` // it ends because the submitter has lost the right to it

	retryDue     time.Duration // RetryAt in Now.Up
	stopDue      time.Duration // of Cancelling: the end of the grace time
	countedUntil time.Duration // Spent includes the time up to here
}

// StepState is a step and its progress. The document of its effect holds what it recorded.
type StepState struct {
	Attempt        string      `json:"attempt,omitempty"` // id of the attempt in flight
	OutcomeUnknown bool        `json:"doubt,omitempty"`   // an earlier try may have taken effect
	Ended          bool        `json:"ended,omitempty"`   // the step has failed; a Find only asks whether there is an effect
	Error          string      `json:"error,omitempty"`
	Finds          int         `json:"finds,omitempty"`  // Finds in a row without an answer
	Halted         bool        `json:"halted,omitempty"` // an ordered stop interrupted the attempt in flight
	Kills          int         `json:"kills,omitempty"`  // attempts that a kill has interrupted since one ended by itself
	Kind           AttemptKind `json:"kind,omitempty"`   // of the attempt in flight or waiting for RetryAt
	Output         string      `json:"output,omitempty"`
	Recorded       Recorded    `json:"-"`
	RetryAt        *time.Time  `json:"retry_at,omitempty"`
	Seq            int         `json:"seq,omitempty"`    // attempts of any kind so far; part of the attempt ids
	Applied        bool        `json:"stands,omitempty"` // there is an effect to undo
	State          State       `json:"state"`
	Step           Step        `json:"step"`
	Tries          int         `json:"tries,omitempty"`      // Dos or Undos so far
	UndoError      string      `json:"undo_error,omitempty"` // why the effect could not be undone
	Wait           int64       `json:"wait_ms,omitempty"`    // length of the wait that ends at RetryAt

	retryDue time.Duration // RetryAt in Now.Up
}

// Status returns the word of the wire for the state of the task.
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

// CurrentStep returns the name of the first step that is at work, else of the last one that has
// ended, else of the task.
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

// DoneSteps returns how many steps have succeeded, undone ones included.
func (t *Task) DoneSteps() int {
	n := 0
	for i := range t.Steps {
		if t.Steps[i].Done() {
			n++
		}
	}
	return n
}

// Done says whether the step has succeeded, also when it was undone since.
func (p *StepState) Done() bool {
	return p.State == Succeeded || p.State == Undoing || p.State == Undone
}

// Servers returns the names of the servers that steps with an effect made, and of those that they
// only worked on.
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

// lane returns the lane of a step. Steps of one lane run one after the other, in the order of the
// list.
func (s *Step) lane() string {
	if s.Target != "" {
		return s.Target
	}
	return s.Name
}
