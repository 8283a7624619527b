package engine

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/store"
)

// encodeEvent returns the bytes of an event: canonical JSON. metadata is a flat map of texts, the status and the ids
// with the same values as in data (contract I16). It is written by hand because a task has several.
func encodeEvent(e *dag.Event) []byte {
	o := object{b: make([]byte, 0, 512)}
	o.b = append(o.b, `{"data":`...)
	o.data(e)
	o.b = append(o.b, `,"event_type":"`...)
	o.b = append(o.b, e.Type...)
	o.b = append(o.b, `","metadata":`...)
	o.metadata(e)
	o.b = append(o.b, `,"timestamp":"`...)
	o.b = e.Time.UTC().AppendFormat(o.b, time.RFC3339Nano)
	return append(o.b, `"}`...)
}

// object appends members in bytewise order of their names.
type object struct {
	b    []byte
	open bool
}

func (o *object) data(e *dag.Event) {
	o.begin()
	o.text("batch_id", e.BatchID)
	o.text("checkpoint_id", e.Checkpoint)
	switch e.Type {
	case dag.WorkflowProgress:
		o.number("completed_steps", e.Done)
		o.text("current_step", e.Step)
	case dag.BatchStatusChanged, dag.RollbackCompleted:
		o.number("completed", e.Done)
	}
	o.text("error", e.Error)
	switch e.Type {
	case dag.BatchStatusChanged, dag.RollbackCompleted:
		o.number("failed", e.Failed)
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
		o.number("total", e.Total)
	case dag.WorkflowProgress:
		o.number("total_steps", e.Total)
		workflow := e.BatchID
		if workflow == "" {
			workflow = e.TaskID
		}
		o.text("workflow_id", workflow)
	}
	o.end()
}

func (o *object) metadata(e *dag.Event) {
	o.begin()
	o.text("batch_id", e.BatchID)
	o.text("checkpoint_id", e.Checkpoint)
	o.text("rollback_id", e.Rollback)
	o.text("status", e.Status)
	o.text("task_id", e.TaskID)
	o.end()
}

func (o *object) begin() { o.b, o.open = append(o.b, '{'), false }

func (o *object) end() { o.b = append(o.b, '}') }

func (o *object) name(name string) {
	if o.open {
		o.b = append(o.b, ',')
	}
	o.open = true
	o.b = append(o.b, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, `":`...)
}

// text appends a member, nothing when it is empty.
func (o *object) text(name, value string) {
	if value == "" {
		return
	}
	o.name(name)
	for i := 0; i < len(value); i++ {
		if c := value[i]; c < 0x20 || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			if quoted, err := store.Canonical(value); err == nil {
				o.b = append(o.b, quoted...)
				return
			}
		}
	}
	o.b = append(o.b, '"')
	o.b = append(o.b, value...)
	o.b = append(o.b, '"')
}

func (o *object) number(name string, value int) {
	o.name(name)
	o.b = strconv.AppendInt(o.b, int64(value), 10)
}

// percent appends hundredths of a percent as a percentage.
func (o *object) percent(name string, hundredths int) {
	o.name(name)
	o.b = strconv.AppendFloat(o.b, float64(hundredths)/100, 'f', -1, 64)
}
