package engine

import (
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
)

// event returns the bytes of an event: canonical JSON, written by hand because a task has several. What goes over the
// wire has metadata too; that repeats members of data (contract I16), so package watch puts it in.
func (o *object) event(e *dag.Event) []byte {
	start := len(o.b)
	o.b = append(o.b, `{"data":`...)
	o.data(e)
	o.b = append(o.b, `,"event_type":"`...)
	o.b = append(o.b, e.Type...)
	o.b = append(o.b, `","timestamp":"`...)
	o.b = e.Time.UTC().AppendFormat(o.b, time.RFC3339Nano)
	o.b = append(o.b, `"}`...)
	return o.since(start)
}

func (o *object) data(e *dag.Event) {
	o.begin()
	o.text("batch_id", e.BatchID)
	o.text("checkpoint_id", e.Checkpoint)
	switch e.Type {
	case dag.WorkflowProgress:
		o.number("completed_steps", int64(e.Done))
		o.text("current_step", e.Step)
	case dag.BatchStatusChanged, dag.RollbackCompleted:
		o.number("completed", int64(e.Done))
	}
	o.text("error", e.Error)
	switch e.Type {
	case dag.BatchStatusChanged, dag.RollbackCompleted:
		o.number("failed", int64(e.Failed))
	}
	o.text("name", e.Name)
	o.text("operation_id", e.Operation)
	o.text("output", e.Output)
	switch e.Type {
	case dag.OperationStatusChanged, dag.WorkflowProgress:
		o.percent("progress", e.Progress)
	}
	o.text("rollback_id", e.Rollback)
	o.text("status", e.Status)
	o.text("task_id", e.TaskID)
	switch e.Type {
	case dag.BatchStatusChanged, dag.RollbackStarted, dag.RollbackCompleted:
		o.number("total", int64(e.Total))
	case dag.WorkflowProgress:
		o.number("total_steps", int64(e.Total))
		workflow := e.BatchID
		if workflow == "" {
			workflow = e.TaskID
		}
		o.text("workflow_id", workflow)
	}
	o.end()
}
