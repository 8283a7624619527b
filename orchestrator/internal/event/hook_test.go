package event

import (
	"slices"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/canonical"
)

// TestHookOf_tellsWhatTheContractNames is Q16 and Q17: which events have a webhook name, and what
// is in their data.
func TestHookOf_tellsWhatTheContractNames(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	for _, c := range []struct {
		e          Event
		name, data string
	}{
		{Event{Type: TaskStatusChanged, Status: "failed", TaskID: "t", Error: "ä"}, "task.failed", `{"error":"ä","status":"failed","task_id":"t"}`},
		{Event{Type: TaskStatusChanged, Status: "completed", TaskID: "t", Output: "o"}, "task.completed", `{"output":"o","status":"completed","task_id":"t"}`},
		{Event{Type: TaskStatusChanged, Status: "pending", TaskID: "t"}, "", ""},
		{Event{Type: BatchStatusChanged, Status: "completed", BatchID: "b", Name: "n", Done: 2, Total: 2}, "batch.completed", `{"batch_id":"b","completed":2,"failed":0,"name":"n","status":"completed","total":2}`},
		{Event{Type: OperationStatusChanged, Status: "completed"}, "", ""},
		{Event{Type: CheckpointCreated, Checkpoint: "c"}, "checkpoint.created", `{"checkpoint_id":"c"}`},
		{Event{Type: SystemHealthChanged, Status: "healthy"}, "system.health", `{"reasons":[],"status":"healthy"}`},
		{Event{Type: RollbackCompleted, Status: "failed", Rollback: "r"}, "rollback.failed", `{"completed":0,"failed":0,"rollback_id":"r","status":"failed","total":0}`},
	} {
		c.e.Time = at
		var w canonical.Writer
		c.e.Write(&w)
		h, ok := HookOf(w.Body().Bytes())
		if ok != (c.name != "") || (ok && (h.Name != c.name || string(h.Data) != c.data || !h.Time.Equal(at) ||
			HookCategory(h.Name) != c.e.Type.Category())) {
			t.Errorf("%+v: %s %s %v", c.e, h.Name, h.Data, ok)
		}
	}
	if !slices.IsSorted(Hooks{}.EventNames()) || HookCategory("webhook.test") != System {
		t.Error("names are not sorted, or an unknown one has a category")
	}
	if _, ok := HookOf([]byte("garbage")); ok {
		t.Error("garbage is an event")
	}
}
