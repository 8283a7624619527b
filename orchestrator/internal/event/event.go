// Package event owns what the orchestrator tells watchers: the types of events and their categories
// (contract Q16), the members of an event, and its bytes. Package dag says which events a change
// has, package run appends their bytes to the stream "events", and shared/watch sends them.
//
// The one rule: the bytes are final. A frame of the WebSocket is what Write has written, up to its
// last brace, and behind it the sequence and the epoch, which nobody knows before the commit.
package event

import "time"

// Type is the name of an event on the wire.
type Type string

// The types of the contract (Q16). CheckpointDeleted, CheckpointRecordOnly, TaskRolledBack,
// RightsWithdrawn and those of webhooks are ours.
const (
	TaskStatusChanged      Type = "TaskStatusChanged"
	OperationStatusChanged Type = "OperationStatusChanged"
	BatchStatusChanged     Type = "BatchStatusChanged"
	WorkflowProgress       Type = "WorkflowProgress"
	CheckpointCreated      Type = "CheckpointCreated"
	CheckpointDeleted      Type = "CheckpointDeleted"
	CheckpointRecordOnly   Type = "CheckpointRecordOnly" // what a rollback to it needs is not kept any more
	RollbackStarted        Type = "RollbackStarted"
	RollbackCompleted      Type = "RollbackCompleted"
	TaskRolledBack         Type = "TaskRolledBack"
	RightsWithdrawn        Type = "RightsWithdrawn"
	WebhookPaused          Type = "WebhookPaused"     // by the service itself; error says why
	WebhookDeadLetter      Type = "WebhookDeadLetter" // a delivery is given up; name is its event, error says why
	SystemHealthChanged    Type = "SystemHealthChanged"
)

// Types returns the names of all types.
func Types() []string {
	var names []string
	for _, t := range []Type{TaskStatusChanged, OperationStatusChanged, BatchStatusChanged, WorkflowProgress, CheckpointCreated,
		CheckpointDeleted, CheckpointRecordOnly, RollbackStarted, RollbackCompleted, TaskRolledBack, RightsWithdrawn, WebhookPaused,
		WebhookDeadLetter, SystemHealthChanged} {
		names = append(names, string(t))
	}
	return names
}

// The categories that a watcher asks for (contract Q16).
const (
	Task     = "task"
	Batch    = "batch"
	Progress = "progress"
	Rollback = "rollback"
	System   = "system"
)

// Categories returns all categories.
func Categories() []string { return []string{Task, Batch, Progress, Rollback, System} }

// Resource returns the type of the resources that a category of events is about: who may read them
// may read the events. It is empty for a text that is no category.
func Resource(category string) string {
	switch category {
	case Task, Progress:
		return "tasks"
	case Batch:
		return "batches"
	case Rollback:
		return "rollbacks"
	case System:
		return "state"
	}
	return ""
}

// Category returns the category of a type. A type that this package does not know is for those who
// may see the system's own events.
func (t Type) Category() string {
	switch t {
	case TaskStatusChanged:
		return Task
	case BatchStatusChanged, OperationStatusChanged, RightsWithdrawn:
		return Batch
	case WorkflowProgress:
		return Progress
	case CheckpointCreated, CheckpointDeleted, CheckpointRecordOnly, RollbackStarted, RollbackCompleted, TaskRolledBack:
		return Rollback
	}
	return System
}

// Event is one thing that happened. Which members are set depends on the type.
type Event struct {
	Type Type
	Time time.Time

	Status     string // lower case
	TaskID     string
	BatchID    string
	Infra      string // that the work of a task is on; empty for the operations of a batch
	Name       string
	Operation  string // id of the operation in its batch
	Error      string
	Output     string   // of a task that completed
	Rollback   string   // rollback id; the batch's own for an automatic rollback
	Checkpoint string   // checkpoint id
	Webhook    string   // Webhook…: webhook id
	Delivery   string   // WebhookDeadLetter: delivery id
	Reasons    []string // SystemHealthChanged: why the service is degraded
	Step       string   // WorkflowProgress: the current one
	Progress   int      // hundredths of a percent
	Done       int      // steps; RollbackCompleted: operations undone
	Failed     int      // RollbackCompleted: operations that could not be undone
	Total      int      // steps; Rollback…: operations; RightsWithdrawn: tasks that end for it
}
