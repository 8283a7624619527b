package dag

import (
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
	CheckpointInterval int // completed operations between two automatic checkpoints; 0 takes none
	Kind               Kind
	Name               string
	Nodes              []Node
	ParallelLimit      int // operations running at once; 0 means DefaultParallel
	Policy             Policy
	PreserveSuccessful bool // what a failed batch undoes leaves out the operations that succeeded
	RollbackEnabled    bool
	StepLimit          int // steps of one operation running at once; 0 means DefaultSteps
	StorageBackend     string
	Version            string
}

// Defaults and limits of a definition.
const (
	DefaultParallel   = 5
	DefaultSteps      = 4
	DefaultOperations = 2000
	MaxSteps          = 256        // steps of one operation
	MaxOperationID    = naming.Max // bytes
)
