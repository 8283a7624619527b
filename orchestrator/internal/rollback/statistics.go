package rollback

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/store"
)

// Statistics sums up checkpoints and rollbacks.
type Statistics struct {
	Checkpoints  int // that there are, automatic ones included
	Rollbacks    int // that have ended, ever
	Succeeded    int // of Rollbacks
	Average      time.Duration
	Verification run.Verification
}

// StatisticsOf reads the statistics from counters, whatever was pruned.
func StatisticsOf(ctx context.Context, db store.DB) (Statistics, error) {
	kind := run.Checkpoints().Kind
	page, err := db.List(ctx, store.Query{Kind: kind, Counts: []store.CounterKey{
		{Kind: kind, Index: "made", Value: run.MadeByPerson}, {Kind: kind, Index: "made", Value: run.MadeAutomatically}}})
	if err != nil {
		return Statistics{}, err
	}
	totals, err := run.AllRollbackTotals().Get(ctx, db, run.RollbackTotalsID)
	if err != nil {
		return Statistics{}, err
	}
	s := Statistics{Checkpoints: page.Counts[0].N + page.Counts[1].N, Rollbacks: totals.Value.Ended, Succeeded: totals.Value.Succeeded}
	if s.Rollbacks > 0 {
		s.Average = time.Duration(totals.Value.Millis) * time.Millisecond / time.Duration(s.Rollbacks)
	}
	verified, err := run.Verifications().Get(ctx, db, run.VerificationID)
	s.Verification = verified.Value
	return s, err
}

// CountEnded returns the write that counts a rollback that ends. One rollback runs at a time, so
// nobody else writes that document.
func CountEnded(ctx context.Context, db store.DB, h *dag.Header) (store.Write, error) {
	row, err := run.AllRollbackTotals().Get(ctx, db, run.RollbackTotalsID)
	if err != nil {
		return store.Write{}, err
	}
	t := row.Value
	t.ID, t.Ended = run.RollbackTotalsID, t.Ended+1
	if h.Counts.Failed == 0 {
		t.Succeeded++
	}
	t.Millis += max(0, run.EndOf(h).Sub(h.CreatedAt).Milliseconds())
	return run.AllRollbackTotals().Write(t, store.At(row.Rev))
}
