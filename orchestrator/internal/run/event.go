package run

import (
	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/store"
)

// Event returns the append of one event to EventStream. The caller owns it.
func Event(e *dag.Event) store.Append { return new(Encoder).Event(e) }

// Event returns the append of an event to EventStream, as canonical JSON. On the wire an event also has metadata; that
// repeats members of data (contract I16), so package watch adds it.
func (o *Encoder) Event(e *dag.Event) store.Append {
	o.Begin()
	o.data(e)
	o.Always("event_type", string(e.Type))
	o.Instant("timestamp", e.Time)
	o.End()
	return store.Append{Stream: EventStream, Body: o.Body().Bytes()}
}

func (o *Encoder) data(e *dag.Event) {
	o.Object("data")
	o.Text("batch_id", e.BatchID)
	o.Text("checkpoint_id", e.Checkpoint)
	switch e.Type {
	case dag.WorkflowProgress:
		o.Number("completed_steps", int64(e.Done))
		o.Text("current_step", e.Step)
	case dag.BatchStatusChanged, dag.RollbackCompleted:
		o.Number("completed", int64(e.Done))
	}
	o.Text("error", e.Error)
	switch e.Type {
	case dag.BatchStatusChanged, dag.RollbackCompleted:
		o.Number("failed", int64(e.Failed))
	}
	o.Text("name", e.Name)
	o.Text("operation_id", e.Operation)
	o.Text("output", e.Output)
	switch e.Type {
	case dag.OperationStatusChanged, dag.WorkflowProgress:
		o.Float("progress", float64(e.Progress)/100)
	}
	o.Text("rollback_id", e.Rollback)
	o.Text("status", e.Status)
	o.Text("task_id", e.TaskID)
	switch e.Type {
	case dag.BatchStatusChanged, dag.RollbackStarted, dag.RollbackCompleted, dag.RightsWithdrawn:
		o.Number("total", int64(e.Total))
	case dag.WorkflowProgress:
		o.Number("total_steps", int64(e.Total))
		workflow := e.BatchID
		if workflow == "" {
			workflow = e.TaskID
		}
		o.Text("workflow_id", workflow)
	}
	o.End()
}
