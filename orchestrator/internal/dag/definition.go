package dag

import (
	"time"

	"github.com/provisioning-platform/platform/shared/naming"
)

// Kind says what a run is.
type Kind string

// The kinds. A Workflow is one task, and both have the same id; a Batch is many operations with
// dependencies; a Rollback undoes tasks of other runs.
const (
	Workflow Kind = "workflow"
	Batch    Kind = "batch"
	Rollback Kind = "rollback"
)

// What a batch does when an operation fails.
const (
	OnFailureFail     = "fail"     // no further operation starts; the batch fails
	OnFailureContinue = "continue" // siblings and dependents go on as if it had succeeded
	OnFailureRollback = "rollback" // as fail, and the batch undoes what was done
)

// Policy bounds the tries of a node. Durations are whole milliseconds, and 0 means the default.
// Fields stand in the order of their JSON names, as in every type of this package that is stored.
type Policy struct {
	AttemptTimeout int64 `json:"attempt_timeout_ms,omitempty"` // of one try
	Grace          int64 `json:"grace_ms,omitempty"`           // how long a stopped try may take to end
	InitialDelay   int64 `json:"initial_delay_ms,omitempty"`   // before the second try; doubles with each further one
	MaxAttempts    int   `json:"max_attempts,omitempty"`
	MaxDelay       int64 `json:"max_delay_ms,omitempty"`
	RetryTimeouts  bool  `json:"retry_timeouts,omitempty"` // a try that timed out is made again
	Timeout        int64 `json:"timeout_ms,omitempty"`     // of the whole operation with all its tries; default none
}

// DefaultPolicy returns what holds where neither the node nor the definition says otherwise.
func DefaultPolicy() Policy {
	return Policy{AttemptTimeout: 30 * 60_000, Grace: 10_000, InitialDelay: 5_000, MaxAttempts: 3, MaxDelay: 300_000}
}

// Or returns p with the fields of d where p has none.
func (p Policy) Or(d Policy) Policy {
	if p.AttemptTimeout == 0 {
		p.AttemptTimeout = d.AttemptTimeout
	}
	if p.Grace == 0 {
		p.Grace = d.Grace
	}
	if p.InitialDelay == 0 {
		p.InitialDelay = d.InitialDelay
	}
	if p.MaxAttempts == 0 {
		p.MaxAttempts = d.MaxAttempts
	}
	if p.MaxDelay == 0 {
		p.MaxDelay = d.MaxDelay
	}
	p.RetryTimeouts = p.RetryTimeouts || d.RetryTimeouts
	if p.Timeout == 0 {
		p.Timeout = d.Timeout
	}
	return p
}

func millis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// Node is one operation of a definition. Command and Args are for display; nothing runs them.
type Node struct {
	Args         []string  `json:"args,omitempty"`
	Command      string    `json:"command,omitempty"`
	Dependencies []string  `json:"dependencies,omitempty"` // ids of nodes of this definition
	ID           string    `json:"id"`                     // what the caller named it; a workflow's only node may be empty
	Name         string    `json:"name,omitempty"`         // of the task; default "<batch name>/<id>"
	OnFailure    string    `json:"on_failure,omitempty"`   // default fail, or rollback when the batch says so
	Operation    Operation `json:"operation"`
	Policy       *Policy   `json:"policy,omitempty"` // what differs from the definition's
	TaskID       string    `json:"task_id,omitempty"`
}

// Definition is what was submitted. It never changes, and it is stored apart from the header of the
// run.
type Definition struct {
	Kind            Kind
	Name            string
	Nodes           []Node
	ParallelLimit   int // operations running at once; 0 means DefaultParallel
	Policy          Policy
	RollbackEnabled bool
	StepLimit       int // steps of one operation running at once; 0 means DefaultSteps
	StorageBackend  string
	Version         string
}

// Defaults and limits of a definition.
const (
	DefaultParallel   = 5
	DefaultSteps      = 4
	DefaultOperations = 2000
	MaxSteps          = 256        // steps of one operation
	MaxOperationID    = naming.Max // bytes
)
