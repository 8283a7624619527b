package engine

import (
	"context"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Resume submits, as a new batch of whoever asks now, exactly the operations of a batch that ended
// because its submitter lost the right to them (decision 39). It asks allow about them first. The
// old batch stays as it ended; the commit of the new one notes in the old header which batch
// adopted it, so that this happens once. While a rollback runs, Resume is refused: the new batch
// takes dependencies as met that the rollback may be about to undo.
func (e *Engine) Resume(ctx context.Context, batchID string, s Submission, allow func(dag.Definition) error) (Submitted, error) {
	if !id.Valid(batchID) {
		return Submitted{}, run.Unknown(dag.Batch)
	}
	busy := e.rollbackMayRun()
	old, rev, err := run.Load(ctx, e.DB, batchID, e.now())
	switch {
	case err != nil:
		return Submitted{}, err
	case old == nil || old.Header.Kind != dag.Batch:
		return Submitted{}, run.Unknown(dag.Batch)
	case old.Header.AdoptedBy != "" && old.Header.AdoptedBy == s.ID: // by this request, which lost its answer
		return e.submitted(ctx, s.ID)
	case old.Header.AdoptedBy != "":
		return Submitted{}, adopted(old.Header.AdoptedBy)
	case busy: // it may undo what the operations left depend on
		return Submitted{}, errRollback
	}
	if s.Definition, err = dag.Resume(old); err != nil {
		return Submitted{}, err
	}
	if err := allow(s.Definition); err != nil {
		return Submitted{}, err
	}
	s.resumes = store.Row[dag.Header]{Value: old.Header, Rev: rev}
	got, err := e.Submit(ctx, s)
	if fault.Is(err, fault.Unavailable) || fault.Is(err, fault.Conflict) { // somebody else may have been first
		if h, lost := run.GetHeader(ctx, e.DB, dag.Batch, batchID); lost == nil && h.AdoptedBy != "" && h.AdoptedBy != s.ID {
			return Submitted{}, adopted(h.AdoptedBy)
		}
	}
	return got, err
}

func adopted(by string) error {
	return fault.New(fault.Conflict, "batch.adopted", "This batch was adopted before: batch %s goes on with it.", by)
}

// rollbackMayRun says whether a rollback runs, or may run.
func (e *Engine) rollbackMayRun() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.startsWait()
}
