package event

import (
	"cmp"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/instant"
)

// hook is a name of webhooks for events of one type and status; a status of "" is any.
type hook struct {
	name   string
	of     Type
	status string
}

// hooks are the events that webhooks know (contract Q16).
var hooks = []hook{
	{"batch.cancelled", BatchStatusChanged, "cancelled"},
	{"batch.completed", BatchStatusChanged, "completed"},
	{"batch.failed", BatchStatusChanged, "failed"},
	{"batch.started", BatchStatusChanged, "running"},
	{"checkpoint.created", CheckpointCreated, ""},
	{"rollback.completed", RollbackCompleted, "completed"},
	{"rollback.failed", RollbackCompleted, "failed"},
	{"system.health", SystemHealthChanged, ""},
	{"task.cancelled", TaskStatusChanged, "cancelled"},
	{"task.completed", TaskStatusChanged, "completed"},
	{"task.failed", TaskStatusChanged, "failed"},
	{"task.started", TaskStatusChanged, "running"},
}

// Hooks is the names that a webhook can ask for.
type Hooks struct{}

// EventNames returns the names of all events that a webhook can ask for, sorted.
func (Hooks) EventNames() []string {
	names := make([]string, 0, len(hooks))
	for _, h := range hooks {
		names = append(names, h.name)
	}
	return names
}

// Hook is an event as a webhook tells it.
type Hook struct {
	Name string
	Time time.Time
	Data []byte // the member "data" of the event; its caller does not change it
}

// HookOf reads the bytes that Write has written; it says false for an event that webhooks do not
// know.
func HookOf(body []byte) (Hook, bool) {
	var h Hook
	var of, status, at string
	for name, value := range canonical.Members(body) {
		switch name {
		case "data":
			h.Data = value
		case "event_type":
			of, _ = canonical.Text(value)
		case "timestamp":
			at, _ = canonical.Text(value)
		}
	}
	for name, value := range canonical.Members(h.Data) {
		if name == "status" {
			status, _ = canonical.Text(value)
		}
	}
	for _, k := range hooks {
		if string(k.of) == of && (k.status == "" || k.status == status) {
			t, err := time.Parse(instant.Layout, at)
			h.Name, h.Time = k.name, t
			return h, err == nil
		}
	}
	return h, false
}

// HookCategory returns the category of a webhook's event; System for what this package does not
// know.
func HookCategory(name string) string {
	if i := slices.IndexFunc(hooks, func(k hook) bool { return k.name == name }); i >= 0 {
		return hooks[i].of.Category()
	}
	return System
}

// RunOf returns the run that the data of an event tells of, and its task when it is one that runs
// in a batch; "" for none.
func RunOf(data []byte) (runID, taskID string) {
	var batch, rollback, task string
	for name, value := range canonical.Members(data) {
		switch name {
		case "batch_id":
			batch, _ = canonical.Text(value)
		case "rollback_id":
			rollback, _ = canonical.Text(value)
		case "task_id":
			task, _ = canonical.Text(value)
		}
	}
	if rollback != "" || batch == "" && task == "" {
		return rollback, ""
	}
	return cmp.Or(batch, task), task
}
