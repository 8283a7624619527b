package dag

import "time"

// EventType is the name of an event on the wire.
type EventType string

// The event types of the orchestrator (contract Q16); TaskRolledBack and RightsWithdrawn are ours.
const (
	TaskStatusChanged      EventType = "TaskStatusChanged"
	OperationStatusChanged EventType = "OperationStatusChanged"
	BatchStatusChanged     EventType = "BatchStatusChanged"
	WorkflowProgress       EventType = "WorkflowProgress"
	CheckpointCreated      EventType = "CheckpointCreated"
	CheckpointDeleted      EventType = "CheckpointDeleted"
	CheckpointRecordOnly   EventType = "CheckpointRecordOnly" // what a rollback to it needs is not kept any more
	RollbackStarted        EventType = "RollbackStarted"
	RollbackCompleted      EventType = "RollbackCompleted"
	TaskRolledBack         EventType = "TaskRolledBack"
	RightsWithdrawn        EventType = "RightsWithdrawn"
)

// Event is one thing that happened, in the order it happened. Which members are set depends on the
// type; the engine gives it its bytes.
type Event struct {
	Type EventType
	Time time.Time

	Status     string // lower case
	TaskID     string
	BatchID    string
	Name       string
	Operation  string // id of the operation in its batch
	Error      string
	Output     string // of a task that completed
	Rollback   string // rollback id; the batch's own for an automatic rollback
	Checkpoint string
	Step       string // WorkflowProgress: the current one
	Progress   int    // hundredths of a percent
	Done       int    // steps; RollbackCompleted: operations undone
	Failed     int    // RollbackCompleted: operations that could not be undone
	Total      int    // steps; Rollback…: operations; RightsWithdrawn: tasks that end for it
}

func (r *Run) emit(e Event) {
	e.Time = r.Header.UpdatedAt
	r.change.Events = append(r.change.Events, e)
}

func (r *Run) batchID() string {
	if r.Header.Kind == Batch {
		return r.Header.ID
	}
	return ""
}

// taskID returns the id of the only task of a workflow.
func (r *Run) taskID() string {
	if r.Header.Kind == Workflow {
		return r.Header.ID
	}
	return ""
}

// emitTask announces the status of a task, and of its operation when it is in a batch. The nodes of
// a rollback are no tasks of the wire.
func (r *Run) emitTask(t *Task) {
	if r.Header.Kind == Rollback {
		return
	}
	status := t.Status().Lower()
	r.emit(Event{Type: TaskStatusChanged, Status: status, TaskID: t.ID, BatchID: r.batchID(), Name: t.Name, Operation: t.Operation, Error: t.Error, Output: t.Output})
	if r.Header.Kind == Batch {
		r.emit(Event{Type: OperationStatusChanged, Status: status, TaskID: t.ID, BatchID: r.Header.ID, Operation: t.Operation, Progress: t.Progress})
	}
}

// emitProgress announces a step that ended inside a task of several.
func (r *Run) emitProgress(t *Task) {
	if r.Header.Kind == Rollback || len(t.Steps) < 2 {
		return
	}
	r.emit(Event{
		Type: WorkflowProgress, Status: t.Status().Lower(), TaskID: t.ID, BatchID: r.batchID(), Name: t.Name, Operation: t.Operation,
		Progress: t.Progress, Step: t.CurrentStep(), Done: t.DoneSteps(), Total: len(t.Steps),
	})
}

// emitRun announces the status of a batch or rollback.
func (r *Run) emitRun() {
	h := &r.Header
	switch h.Kind {
	case Batch:
		r.emit(Event{Type: BatchStatusChanged, Status: h.Status().Lower(), BatchID: h.ID, Name: h.Name, Error: h.Error, Done: h.Counts.Completed, Failed: h.Counts.Failed, Total: h.Counts.Total()})
	case Rollback:
		if !h.State.Terminal() {
			r.emit(Event{Type: RollbackStarted, Status: "running", Rollback: h.ID, Checkpoint: h.Checkpoint, Total: h.Undo.Planned})
			return
		}
		r.emit(Event{Type: RollbackCompleted, Status: h.Status().Lower(), Rollback: h.ID, Checkpoint: h.Checkpoint, Done: h.Counts.Completed, Failed: h.Counts.Failed, Total: h.Counts.Total()})
	}
}
