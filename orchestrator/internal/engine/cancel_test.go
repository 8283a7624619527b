package engine_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store/storetest"
)

// TestCancelTask_ofABatchLeavesTheOthers cancels an operation that hangs. Each commit of that fails
// in turn, before and after it took effect: the cancel is one audit entry all the same.
func TestCancelTask_ofABatchLeavesTheOthers(t *testing.T) {
	for n := range 6 {
		for _, m := range []storetest.Moment{storetest.Never, storetest.Before, storetest.After} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.block["hangs"] = true
				w.delay = time.Second
				db := storetest.Faulty(memory(), storetest.At(2+n, m))
				e := start(t, db, w)
				sub := batch(servers("a", nil, "hangs"), services("k", []string{"a"}, "kubernetes"), servers("b", nil, "one"),
					services("l", []string{"b"}, "kubernetes"))
				sub.Definition.RollbackEnabled, sub.ID = true, fresh()
				for {
					if _, err := e.Submit(scene(), sub); err == nil {
						break
					}
					<-time.After(time.Second)
				}
				task := e.view(sub.ID).Tasks[0].ID
				<-time.After(500 * time.Millisecond)
				if err := e.CancelTask(scene(), task, fresh()); err != nil {
					t.Fatalf("commit %d: %v", n, err)
				}
				v := e.ended(sub.ID)
				if statuses(v) != "Cancelled Cancelled Completed Completed" || string(v.Run.State) != "cancelled" {
					t.Errorf("commit %d: %s, run %s", n, statuses(v), v.Run.State)
				}
				if log := strings.Join(w.log(), " "); strings.Contains(log, "undo") || strings.Contains(log, "on hangs") {
					t.Errorf("the provider saw %s", log)
				}
				if err := e.CancelTask(scene(), task, fresh()); fault.CodeOf(err) != "task.ended" {
					t.Errorf("once more: %v", err)
				}
				entries := 0
				for _, entry := range stream(t, db, audit.Stream) {
					if entry["action"] == "task.cancel" && entry["resource"] == "tasks/"+task {
						entries++
					}
				}
				if entries != 1 {
					t.Errorf("commit %d: %d audit entries", n, entries)
				}
			})
		}
	}
}
