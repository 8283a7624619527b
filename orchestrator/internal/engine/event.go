package engine

import (
	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
)

// event returns the bytes of an event: canonical JSON, written by hand because a task has several. What goes over the
// wire has metadata too; that repeats members of data (contract I16), so package watch puts it in.
func (o *encoder) event(e *dag.Event) []byte {
	o.Begin()
	o.data(e)
	o.Always("event_type", string(e.Type))
	o.Instant("timestamp", e.Time)
	o.End()
	return o.Body().Bytes()
}

func (o *encoder) data(e *dag.Event) {
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
