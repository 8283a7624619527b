package operation

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
)

// TestServices_ofSeveralBatchesAtOnceDoNotCollide: the scripts of one task service, run for eight
// batches at the same moment, moved each other's files away.
func TestServices_ofSeveralBatchesAtOnceDoNotCollide(t *testing.T) {
	t.Parallel()
	b := localBench(t)
	servers, services := batch()
	b.perform("servers", servers)
	res := b.attempt(dag.Resolve, services, "services", dag.Step{}, nil)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j, step := range res.Steps[:2] {
				if got := b.attempt(dag.Do, services, fmt.Sprint("batch", i, j), step, nil); got.Class != dag.OK {
					t.Errorf("%s of batch %d: %+v", step.Name, i, got)
				}
			}
		})
	}
	all.Wait()
	if len(b.locks.of) != 0 {
		t.Errorf("%d locks are left", len(b.locks.of))
	}
}

// TestAlone_endsWithItsAttempt: who waits for a server is told to stop, or has no time left; both
// times nothing was begun.
func TestAlone_endsWithItsAttempt(t *testing.T) {
	t.Parallel()
	x := &Executor{}
	a := &dag.Attempt{Step: dag.Step{Target: "web-01"}}
	unlock, err := x.locks.lock(t.Context(), "web-01")
	if err != nil {
		t.Fatal(err)
	}
	never := func() (dag.Result, error) { t.Error("it was begun"); return dag.Result{}, nil }
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if res, err := x.alone(ctx, a, never); err != nil || res.Class != dag.Stopped {
		t.Errorf("%+v, %v", res, err)
	}
	ctx, stop = context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer stop()
	if res, err := x.alone(ctx, a, never); err == nil {
		t.Errorf("%+v", res)
	}
	unlock()
	if res, err := x.alone(t.Context(), a, func() (dag.Result, error) { return dag.Result{Class: dag.OK}, nil }); err != nil ||
		res.Class != dag.OK {
		t.Errorf("%+v, %v", res, err)
	}
}
