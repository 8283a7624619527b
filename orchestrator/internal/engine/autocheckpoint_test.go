package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/store"
)

// TestCheckpointInterval_takesOneForSoManyOperations runs a batch of five operations one by one.
func TestCheckpointInterval_takesOneForSoManyOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, db := newWorld(), memory()
		w.delay = 2 * time.Second
		e := start(t, db, w)
		sub := batch(servers("a", nil, "a1"), servers("b", nil, "b1"), servers("c", nil, "c1"), servers("d", nil, "d1"),
			servers("e", nil, "e1"))
		sub.Definition.ParallelLimit, sub.Definition.CheckpointInterval = 1, 2
		e.ended(e.submit(sub).Run.ID)
		e.stop()
		only := true
		list, err := e.Checkpoints.List(t.Context(), store.Place{Limit: 10}, &only)
		if err != nil || len(list.Rows) != 2 || list.Rows[0].Value.Name != "demo after 4 operations" || list.Rows[0].Value.Resources != 4 {
			t.Errorf("%+v %v", list.Rows, err)
		}
		only = false
		if list, err = e.Checkpoints.List(t.Context(), store.Place{Limit: 10}, &only); err != nil || len(list.Rows) != 0 {
			t.Errorf("taken by a person: %+v %v", list.Rows, err)
		}
		entries := 0
		for _, entry := range stream(t, db, audit.Stream) {
			if entry["action"] == "checkpoint.create" {
				entries++
			}
		}
		if entries != 2 {
			t.Errorf("%d audit entries", entries)
		}
	})
}
