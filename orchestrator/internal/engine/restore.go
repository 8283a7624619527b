package engine

import (
	"context"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/rollback"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Restore makes the inventory what it was at a checkpoint and asks no provider
// (rollback.Checkpoints.Restore). It returns a fault of kind Conflict while a run is underway. Runs
// that were submitted and have not begun are cancelled; those that are submitted meanwhile begin
// when it has ended.
func (e *Engine) Restore(ctx context.Context, checkpointID string) (rollback.Restored, error) {
	if _, err := e.Checkpoints.Get(ctx, checkpointID); err != nil {
		return rollback.Restored{}, err
	}
	known, end, err := e.exclude()
	if err != nil {
		return rollback.Restored{}, err
	}
	defer end()
	e.awaitPruning()
	if err := e.Checkpoints.Restorable(ctx, checkpointID); err != nil { // before anything is cancelled for it
		return rollback.Restored{}, err
	}
	if err := e.supersede(ctx, known); err != nil {
		return rollback.Restored{}, err
	}
	return e.Checkpoints.Restore(ctx, checkpointID)
}

// exclude keeps rollbacks and new runs from beginning until end is called. known are the ids of the
// runs that this process has.
func (e *Engine) exclude() (known map[string]bool, end func(), err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case !e.tookOver || e.stopped:
		return nil, nil, errStopping
	case e.rollbackID != "":
		return nil, nil, errRollback
	}
	known = map[string]bool{}
	for runID := range e.runs {
		known[runID] = true
	}
	own := id.New()
	e.rollbackID = own
	return known, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.rollbackID == own {
			e.startWaiting()
		}
	}, nil
}

// supersede refuses while one of the known runs, or one of another process, is underway, and
// cancels those that have not begun.
func (e *Engine) supersede(ctx context.Context, known map[string]bool) error {
	var pending []*runner
	for row, err := range run.Headers().All(ctx, e.DB, store.Query{Index: "active"}) {
		if err != nil {
			return err
		}
		h, r := &row.Value, e.lookup(row.Value.ID)
		switch {
		case h.State != dag.Queued || h.Kind == dag.Rollback || r == nil:
			return busy(h.Kind, h.ID)
		case known[h.ID]:
			pending = append(pending, r)
		}
		delete(known, h.ID)
	}
	for runID := range known { // ended, or on its way to the store
		h, err := run.Headers().Get(ctx, e.DB, runID)
		if err != nil {
			return err
		}
		if h.Rev == 0 || !h.Value.State.Terminal() {
			return busy(dag.Workflow, runID)
		}
	}
	scene := *audit.ContextOf(ctx)
	scene.Settle = nil // the commit of the restore settles the key of the request
	for _, r := range pending {
		err := e.cancel(audit.WithContext(ctx, &scene), r, id.New(), "superseded by restore")
		if err != nil && !fault.Is(err, fault.Conflict) {
			return err
		}
	}
	return nil
}

// busy is the refusal of a restore while a run is underway.
func busy(k dag.Kind, runID string) error {
	return fault.New(fault.Conflict, "restore.running",
		"A restore needs that nothing runs, and the %s %s has not ended; wait for its end or cancel it.", run.Singular(k), runID)
}
