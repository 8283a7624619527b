package dag

import "github.com/provisioning-platform/platform/orchestrator/internal/event"

func (r *Run) emit(e event.Event) {
	e.Time = r.Header.UpdatedAt
	r.change.Events = append(r.change.Events, e)
}

func (r *Run) batchID() string {
	if r.Header.Kind == Batch {
		return r.Header.ID
	}
	return ""
}

// taskID returns the id of the only task of a workflow, "" for other runs.
func (r *Run) taskID() string {
	if r.Header.Kind == Workflow {
		return r.Header.ID
	}
	return ""
}

// infra returns the infra that a task works on, "" for a task of a batch and of a rollback.
func (r *Run) infra(t *Task) string {
	if r.Header.Kind == Rollback {
		return ""
	}
	return r.nodes[t.Number].Operation.Infra
}

// emitTask emits the status of a task, in a batch that of its operation too. The nodes of a
// rollback are no tasks on the wire.
func (r *Run) emitTask(t *Task) {
	if r.Header.Kind == Rollback {
		return
	}
	status := t.Status().Lower()
	r.emit(event.Event{
		Type: event.TaskStatusChanged, Status: status, TaskID: t.ID, BatchID: r.batchID(), Name: t.Name, Operation: t.Operation,
		Infra: r.infra(t), Error: t.Error, Output: t.Output,
	})
	if r.Header.Kind == Batch {
		r.emit(event.Event{
			Type: event.OperationStatusChanged, Status: status, TaskID: t.ID, BatchID: r.Header.ID, Operation: t.Operation,
			Progress: t.Progress,
		})
	}
}

// emitRun emits the status of a batch or rollback.
func (r *Run) emitRun() {
	h := &r.Header
	switch h.Kind {
	case Batch:
		r.emit(event.Event{
			Type: event.BatchStatusChanged, Status: h.Status().Lower(), BatchID: h.ID, Name: h.Name, Error: h.Error,
			Done: h.Counts.Completed, Failed: h.Counts.Failed, Total: h.Counts.Total(),
		})
	case Rollback:
		if !h.State.Terminal() {
			r.emit(event.Event{Type: event.RollbackStarted, Status: "running", Rollback: h.ID, Checkpoint: h.Checkpoint,
				Total: h.Undo.Planned})
			return
		}
		r.emit(event.Event{
			Type: event.RollbackCompleted, Status: h.Status().Lower(), Rollback: h.ID, Checkpoint: h.Checkpoint,
			Done: h.Counts.Completed, Failed: h.Counts.Failed, Total: h.Counts.Total(),
		})
	}
}
