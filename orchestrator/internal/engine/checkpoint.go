package engine

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/naming"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
)

// Checkpoint takes a checkpoint under the given id, a fresh one when it is empty; taking it again under the same id
// returns the first. The caller has checked the texts.
func (e *Engine) Checkpoint(ctx context.Context, checkpointID, name, description string) (run.Checkpoint, error) {
	if checkpointID == "" {
		checkpointID = id.New()
	}
	return e.storeCheckpoint(ctx, run.Checkpoint{ID: checkpointID, Name: name, Description: description})
}

// AutomaticCheckpoint takes a checkpoint that nobody asked for: of these retention keeps a number.
func (e *Engine) AutomaticCheckpoint(ctx context.Context, name string) (run.Checkpoint, error) {
	return e.storeCheckpoint(ctx, run.Checkpoint{ID: id.New(), Name: name, Automatic: true})
}

// cut takes a checkpoint of which id, texts and origin are known.
func (e *Engine) storeCheckpoint(ctx context.Context, c run.Checkpoint) (run.Checkpoint, error) {
	if err := e.eras.open(ctx, e.DB); err != nil {
		return run.Checkpoint{}, err
	}
	now := e.Now().UTC().Truncate(time.Microsecond)
	c.CreatedAt, c.V = now, 2
	c.EraFrom, _ = e.eras.boundary()
	page, err := e.DB.List(ctx, store.Query{Kind: run.Resources().Kind, Counts: []store.Counter{{Kind: run.Resources().Kind}}})
	if err != nil {
		return run.Checkpoint{}, err
	}
	_, c.EraTo = e.eras.boundary()
	c.Cut, c.Resources, c.Hash = page.Rev, page.Counts[0].N, page.Counts[0].Sum.String()
	var own store.Write
	for len(own.Body) == 0 || c.Size != len(own.Body) { // its digits count too
		c.Size = len(own.Body)
		if own, err = run.Checkpoints().Write(c, store.Absent()); err != nil {
			return run.Checkpoint{}, err
		}
	}
	entry := run.Entry(ctx, audit.Act{Action: "checkpoint.create", Resource: "checkpoints/" + c.ID, Details: map[string]any{"name": c.Name}}, now)
	body, err := entry.Encode()
	if err != nil {
		return run.Checkpoint{}, err
	}
	event := run.Event(&dag.Event{Type: dag.CheckpointCreated, Time: now, Status: "created", Name: c.Name, Checkpoint: c.ID})
	_, err = e.DB.Commit(ctx, store.Batch{Writes: []store.Write{own}, Appends: []store.Append{
		{Stream: audit.Stream, Body: body}, event,
	}})
	if fault.Is(err, fault.Conflict) { // taken before, under this id
		return e.checkpoint(ctx, c.ID)
	}
	if err != nil {
		return run.Checkpoint{}, err
	}
	audit.ContextOf(ctx).MarkRecorded()
	return c, nil
}

// Checkpoints lists checkpoints, newest first.
func (e *Engine) Checkpoints(ctx context.Context, p store.Place) (store.Window[run.Checkpoint], error) {
	return run.Checkpoints().Window(ctx, e.DB, p, store.Query{})
}

// CheckpointByID returns a checkpoint and how many operations a rollback to it would undo.
func (e *Engine) CheckpointByID(ctx context.Context, checkpointID string) (run.Checkpoint, int, error) {
	c, err := e.checkpoint(ctx, checkpointID)
	if err != nil {
		return run.Checkpoint{}, 0, err
	}
	after, err := e.operationsAfter(ctx, c)
	return c, after, err
}

func (e *Engine) checkpoint(ctx context.Context, checkpointID string) (run.Checkpoint, error) {
	checkpointID = id.Canonical(checkpointID)
	if !id.Valid(checkpointID) {
		return run.Checkpoint{}, unknownCheckpoint(checkpointID)
	}
	c, err := run.Checkpoints().Get(ctx, e.DB, checkpointID)
	if err == nil && c.Rev == 0 {
		return run.Checkpoint{}, unknownCheckpoint(checkpointID)
	}
	return c.Value, err
}

// DeleteCheckpoint deletes a checkpoint; what only it held back is freed in the background.
// Deleting it again is not found.
func (e *Engine) DeleteCheckpoint(ctx context.Context, checkpointID string) error {
	c, err := e.checkpoint(ctx, checkpointID)
	if err != nil {
		return err
	}
	act := audit.Act{Action: "checkpoint.delete", Resource: "checkpoints/" + c.ID, Details: map[string]any{"name": c.Name}}
	_, err = audit.Update(ctx, e.DB, &act, func(tx *store.Tx) error {
		row, err := run.Checkpoints().Load(tx, c.ID)
		if err != nil {
			return err
		}
		if row.Rev == 0 {
			return unknownCheckpoint(c.ID)
		}
		run.Checkpoints().Remove(tx, c.ID)
		event := run.Event(&dag.Event{Type: dag.CheckpointDeleted, Time: e.Now(), Status: "deleted", Name: c.Name, Checkpoint: c.ID})
		tx.Append(event.Stream, event.Body)
		return release(tx)
	})
	return err
}

func unknownCheckpoint(checkpointID string) error {
	return fault.New(fault.NotFound, "checkpoint.unknown", "There is no checkpoint with the id %s.", naming.Clip(checkpointID, 64))
}

// checkpoints returns the step that deletes the oldest automatic checkpoints above their number.
func (h *history) checkpoints(ctx context.Context, now time.Time) (retention.Step, error) {
	s := retention.Step{}
	if h.keep.Automatic == 0 {
		return s, nil
	}
	rows, page, err := run.Checkpoints().List(ctx, h.e.DB, store.Query{Index: "made", Prefix: run.MadeAutomatically, Exact: true, Total: true, Limit: 1})
	if err != nil || page.Total <= h.keep.Automatic {
		return s, err
	}
	return h.drop(ctx, rows[0], now)
}

// drop returns the step that deletes a checkpoint.
func (h *history) drop(ctx context.Context, row store.Row[run.Checkpoint], now time.Time) (retention.Step, error) {
	own := store.Write{Key: run.Checkpoints().Key(row.Value.ID), Expect: store.At(row.Rev), Action: store.Delete}
	return h.without(ctx, row, own, dag.Event{Type: dag.CheckpointDeleted, Time: now, Status: "deleted"}, "checkpoint.delete")
}

// retire returns the step that makes a checkpoint record only.
func (h *history) retire(ctx context.Context, row store.Row[run.Checkpoint], now time.Time) (retention.Step, error) {
	c := row.Value
	c.RecordOnly = true
	w, err := run.Checkpoints().Write(c, store.At(row.Rev))
	if err != nil {
		return retention.Step{}, err
	}
	return h.without(ctx, row, w, dag.Event{Type: dag.CheckpointRecordOnly, Time: now, Status: "record_only"}, "checkpoint.record_only")
}

// without returns the step after which a checkpoint holds nothing back, with its event and its
// audit entry.
func (h *history) without(ctx context.Context, row store.Row[run.Checkpoint], own store.Write, event dag.Event, action string) (retention.Step, error) {
	s := retention.Step{}
	c := row.Value
	event.Name, event.Checkpoint = c.Name, c.ID
	held, err := run.Sweeps().Get(ctx, h.e.DB, run.SweepID)
	if err != nil {
		return s, err
	}
	held.Value.ID = run.SweepID
	held.Value.Removed++
	counted, err := run.Sweeps().Write(held.Value, store.At(held.Rev))
	if err != nil {
		return s, err
	}
	entry := run.Entry(ctx, audit.Act{Action: action, Resource: "checkpoints/" + c.ID, Details: map[string]any{"name": c.Name}}, event.Time)
	body, err := entry.Encode()
	if err != nil {
		return s, err
	}
	s.Batch = store.Batch{Writes: []store.Write{own, counted}, Appends: []store.Append{
		{Stream: audit.Stream, Body: body}, run.Event(&event),
	}}
	if own.Action == store.Delete {
		s.Pruned = map[string]int64{"checkpoints": 1}
	}
	return s, nil
}

func (h *history) keptCheckpoints(ctx context.Context) (retention.Kept, error) {
	rows, page, err := run.Checkpoints().List(ctx, h.e.DB, store.Query{Limit: 1, Total: true})
	k := retention.Kept{Rows: page.Total}
	if len(rows) > 0 {
		k.Oldest = rows[0].Value.CreatedAt
	}
	return k, err
}
