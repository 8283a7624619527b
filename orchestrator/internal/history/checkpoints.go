package history

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
)

// checkpoints returns the step that deletes the oldest automatic checkpoint when there are more
// than Keep.Automatic.
func (h *history) checkpoints(ctx context.Context, now time.Time) (retention.Step, error) {
	if h.keep.Automatic == 0 {
		return retention.Step{}, nil
	}
	rows, page, err := run.Checkpoints().List(ctx, h.db, store.Query{Index: "made", Prefix: run.MadeAutomatically,
		Exact: true, Total: true, Limit: 1})
	if err != nil || page.Total <= h.keep.Automatic {
		return retention.Step{}, err
	}
	return h.drop(ctx, rows[0], now)
}

// recordOnly returns the step that takes from the oldest checkpoint what it needs, when more than
// Keep.Effects effects are kept for checkpoints alone: an automatic one is deleted, one that a
// person made stays as a record.
func (h *history) recordOnly(ctx context.Context, now time.Time) (retention.Step, error) {
	if h.keep.Effects == 0 {
		return retention.Step{}, nil
	}
	pruned, err := retention.Pruned(ctx, h.db)
	if err != nil || pruned[neededEffects] <= int64(h.keep.Effects) {
		return retention.Step{}, err
	}
	for row, err := range run.Checkpoints().All(ctx, h.db, store.Query{}) {
		switch {
		case err != nil:
			return retention.Step{}, err
		case row.Value.RecordOnly:
		case row.Value.Automatic:
			return h.drop(ctx, row, now)
		default:
			return h.retire(ctx, row, now)
		}
	}
	return retention.Step{}, nil
}

// drop returns the step that deletes a checkpoint.
func (h *history) drop(ctx context.Context, row store.Row[run.Checkpoint], now time.Time) (retention.Step, error) {
	own := store.Write{Key: run.Checkpoints().Key(row.Value.ID), Expect: store.At(row.Rev), Action: store.Delete}
	s, err := h.without(ctx, row.Value, own, event.Event{Type: event.CheckpointDeleted, Time: now, Status: "deleted"}, "checkpoint.delete")
	s.Pruned = map[string]int64{"checkpoints": 1}
	return s, err
}

// retire returns the step that makes a checkpoint record only.
func (h *history) retire(ctx context.Context, row store.Row[run.Checkpoint], now time.Time) (retention.Step, error) {
	c := row.Value
	c.RecordOnly = true
	own, err := run.Checkpoints().Write(c, store.At(row.Rev))
	if err != nil {
		return retention.Step{}, err
	}
	return h.without(ctx, c, own, event.Event{Type: event.CheckpointRecordOnly, Time: now, Status: "record_only"}, "checkpoint.record_only")
}

// without returns the step after which a checkpoint needs nothing: its own write, the count that
// starts a Sweep, the event and the audit entry.
func (h *history) without(ctx context.Context, c run.Checkpoint, own store.Write, e event.Event, action string) (retention.Step, error) {
	e.Name, e.Checkpoint = c.Name, c.ID
	sweep, err := run.Sweeps().Get(ctx, h.db, run.SweepID)
	if err != nil {
		return retention.Step{}, err
	}
	sweep.Value.ID = run.SweepID
	sweep.Value.Removed++
	counted, err := run.Sweeps().Write(sweep.Value, store.At(sweep.Rev))
	if err != nil {
		return retention.Step{}, err
	}
	entry, err := run.Entry(ctx, audit.EntryDraft{Action: action, Resource: "checkpoints/" + c.ID,
		Details: map[string]any{"name": c.Name}}, e.Time).Encode()
	if err != nil {
		return retention.Step{}, err
	}
	return retention.Step{Batch: store.Batch{Writes: []store.Write{own, counted}, Appends: []store.Append{
		{Stream: audit.Stream, Body: entry}, run.Event(&e),
	}}}, nil
}

func (h *history) keptCheckpoints(ctx context.Context) (retention.Kept, error) {
	rows, page, err := run.Checkpoints().List(ctx, h.db, store.Query{Limit: 1, Total: true})
	k := retention.Kept{Rows: page.Total}
	if len(rows) > 0 {
		k.Oldest = rows[0].Value.CreatedAt
	}
	return k, err
}
