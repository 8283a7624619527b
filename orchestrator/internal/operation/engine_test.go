package operation

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/rollback"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

// TestEngine_referenceBatchAndBack runs the batch of the API reference through the engine on local
// servers, with a restart of the engine in between, and rolls it back to a checkpoint.
func TestEngine_referenceBatchAndBack(t *testing.T) {
	t.Parallel()
	b := localBench(t)
	db := memstore.New(store.Schema{Service: "orchestrator", Kinds: run.Schema()})
	ctx := audit.WithContext(t.Context(), &audit.Context{Actor: audit.Actor{Sub: "u1", Username: "alice"},
		Decision: &audit.DecisionRecord{Allowed: true, Policy: 1, Rule: "r"}, Origin: "orchestrator"})
	begin := func() (*engine.Engine, func()) {
		x := New(b.Config)
		e := engine.New(engine.Config{DB: db, Executor: x, Lease: 200 * time.Millisecond})
		x.Inventory = run.Inventory{DB: e.DB}
		b.Executor = x
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		stop := func() { cancel(); <-done; done <- nil }
		t.Cleanup(stop)
		return e, stop
	}
	e, stop := begin()
	eventually(t, func() bool { _, err := e.Checkpoints.Take(ctx, run.Checkpoint{Name: "before"}); return err == nil })
	points, err := e.Checkpoints.List(ctx, store.Place{Limit: 1}, nil)
	if err != nil || len(points.Rows) != 1 {
		t.Fatal(points, err)
	}
	servers, services := batch()
	services.Targets = nil // the engine finds those of the dependencies
	got, err := e.Submit(ctx, engine.Submission{Definition: dag.Definition{Kind: dag.Batch, Name: "multi_cloud_deployment",
		RollbackEnabled: true, ParallelLimit: 5,
		Nodes: []dag.Node{{ID: "upcloud_servers", Operation: servers},
			{ID: "aws_taskservs", Operation: services, Dependencies: []string{"upcloud_servers"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		rows, _ := store.Collect(run.Resources().All(ctx, e.DB, store.Query{}))
		return len(rows) > 2
	})
	stop() // in the middle of the task services
	e, _ = begin()
	var view run.Batch
	eventually(t, func() bool {
		view, err = run.GetBatch(ctx, e.DB, got.Run.ID)
		return err == nil && view.Run.State.Terminal()
	})
	if view.Run.State != dag.Succeeded {
		t.Fatalf("batch: %+v", view)
	}
	if out := view.Tasks[1].Output; !strings.Contains(out, "Successfully installed 6 task services") {
		t.Errorf("output: %s", out)
	}
	rows, err := store.Collect(run.Resources().All(ctx, e.DB, store.Query{}))
	if err != nil || len(rows) != 8 {
		t.Errorf("inventory: %v %v", rows, err)
	}
	var back rollback.Summary
	eventually(t, func() bool {
		back, err = e.Rollback(ctx, rollback.Request{Checkpoint: points.Rows[0].Value.ID})
		return err == nil
	})
	if back.Executed != 2 || back.Failed != 0 {
		t.Errorf("rollback: %+v", back)
	}
	if rows, _ := store.Collect(run.Resources().All(ctx, e.DB, store.Query{})); len(rows) != 0 {
		t.Errorf("left in the inventory: %v", rows)
	}
	for name, d := range b.Providers {
		if list, err := d.List(ctx); err != nil || len(list) != 0 {
			t.Errorf("left at %s: %v %v", name, list, err)
		}
	}
}

func eventually(t *testing.T, ask func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !ask() {
		select {
		case <-deadline:
			t.Fatal("waited too long")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
