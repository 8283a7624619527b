package event

import "github.com/provisioning-platform/platform/shared/canonical"

// Write appends the event to w as one JSON object. Its members are those of the wire in their
// order, so it is not canonical: metadata comes last.
func (e *Event) Write(w *canonical.Writer) {
	w.Begin()
	e.writeData(w)
	w.Always("event_type", string(e.Type))
	w.Instant("timestamp", e.Time)
	e.writeMetadata(w)
	w.End()
}

func (e *Event) writeData(w *canonical.Writer) {
	w.Object("data")
	w.Text("batch_id", e.BatchID)
	w.Text("checkpoint_id", e.Checkpoint)
	switch e.Type {
	case WorkflowProgress:
		w.Number("completed_steps", int64(e.Done))
		w.Text("current_step", e.Step)
	case BatchStatusChanged, RollbackCompleted:
		w.Number("completed", int64(e.Done))
	}
	w.Text("delivery_id", e.Delivery)
	w.Text("error", e.Error)
	switch e.Type {
	case BatchStatusChanged, RollbackCompleted:
		w.Number("failed", int64(e.Failed))
	}
	w.Text("infra", e.Infra)
	w.Text("name", e.Name)
	w.Text("operation_id", e.Operation)
	w.Text("output", e.Output)
	switch e.Type {
	case OperationStatusChanged, WorkflowProgress:
		w.Float("progress", float64(e.Progress)/100)
	}
	if e.Type == SystemHealthChanged {
		w.List("reasons", e.Reasons)
	}
	w.Text("rollback_id", e.Rollback)
	w.Text("status", e.Status)
	w.Text("task_id", e.TaskID)
	switch e.Type {
	case BatchStatusChanged, RollbackStarted, RollbackCompleted, RightsWithdrawn:
		w.Number("total", int64(e.Total))
	case WorkflowProgress:
		w.Number("total_steps", int64(e.Total))
		workflow := e.BatchID
		if workflow == "" {
			workflow = e.TaskID
		}
		w.Text("workflow_id", workflow)
	case WebhookPaused, WebhookDeadLetter:
		w.Text("webhook_id", e.Webhook)
	}
	w.End()
}

// writeMetadata repeats the texts of data that somebody filters or routes by (contract I16).
func (e *Event) writeMetadata(w *canonical.Writer) {
	w.Object("metadata")
	w.Text("batch_id", e.BatchID)
	w.Text("checkpoint_id", e.Checkpoint)
	w.Text("infra", e.Infra)
	w.Text("rollback_id", e.Rollback)
	w.Text("status", e.Status)
	w.Text("task_id", e.TaskID)
	w.End()
}

// Labels are what a watcher filters an event by.
type Labels struct {
	Category string
	Type     string
	TaskID   string // empty for none
	BatchID  string // empty for none
	Infra    string // empty for none
}

// LabelsOf reads the bytes that Write has written.
func LabelsOf(body []byte) Labels {
	l := Labels{Category: System}
	for name, value := range canonical.Members(body) {
		switch name {
		case "event_type":
			l.Type, _ = canonical.Text(value)
			l.Category = Type(l.Type).Category()
		case "metadata":
			for name, value := range canonical.Members(value) {
				switch name {
				case "batch_id":
					l.BatchID, _ = canonical.Text(value)
				case "infra":
					l.Infra, _ = canonical.Text(value)
				case "task_id":
					l.TaskID, _ = canonical.Text(value)
				}
			}
		}
	}
	return l
}
