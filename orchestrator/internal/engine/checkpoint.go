package engine

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Checkpoint is a cut: the number of a commit. What was done after it are the operations that stand since a later one.
// The document is small whatever there is, and taking it stops nobody.
type Checkpoint struct {
	CreatedAt   time.Time `json:"created_at"`
	Cut         uint64    `json:"cut"` // the last commit before it
	Description string    `json:"description"`
	EraFrom     uint64    `json:"era_from"` // operations of earlier eras ended before it,
	EraTo       uint64    `json:"era_to"`   // those of this one and later ones after it
	Hash        string    `json:"hash"`     // sum of the inventory at Cut, a checksum (store.Sum)
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Resources   int       `json:"resources"` // in the inventory at Cut
	Size        int       `json:"size"`      // bytes of this document
	V           int       `json:"v"`         // format
}

func checkpoints() store.Table[Checkpoint] {
	return store.Table[Checkpoint]{Kind: checkpointKind, ID: func(c Checkpoint) string { return c.ID },
		Index: func(c Checkpoint) []store.IndexKey { return []store.IndexKey{{Name: "era", Value: eraKey(c.EraTo)}} }}
}

// Checkpoint takes a checkpoint under the given id, a fresh one when it is empty; taking it again under the same id
// returns the first. The caller has checked the texts.
func (e *Engine) Checkpoint(ctx context.Context, checkpointID, name, description string) (Checkpoint, error) {
	if checkpointID == "" {
		checkpointID = id.New()
	}
	if err := e.eras.open(ctx, e.DB); err != nil {
		return Checkpoint{}, err
	}
	now := e.Now().UTC().Truncate(time.Microsecond)
	c := Checkpoint{CreatedAt: now, Description: description, ID: checkpointID, Name: name, V: 2}
	c.EraFrom, _ = e.eras.cut()
	page, err := e.DB.List(ctx, store.Query{Kind: resourceKind, Counts: []store.Counter{{Kind: resourceKind}}})
	if err != nil {
		return Checkpoint{}, err
	}
	_, c.EraTo = e.eras.cut()
	c.Cut, c.Resources, c.Hash = page.Rev, page.Counts[0].N, page.Counts[0].Sum.String()
	var own store.Write
	for len(own.Body) == 0 || c.Size != len(own.Body) { // its digits count too
		c.Size = len(own.Body)
		if own, err = checkpoints().Write(c, store.Absent()); err != nil {
			return Checkpoint{}, err
		}
	}
	entry := audit.Act{Action: "checkpoint.create", Resource: "checkpoints/" + c.ID, Details: map[string]any{"name": name}}.Entry(ctx, now)
	if entry.Origin == "" {
		entry.Origin = origin
	}
	body, err := entry.Encode()
	if err != nil {
		return Checkpoint{}, err
	}
	event := new(object).event(&dag.Event{Type: dag.CheckpointCreated, Time: now, Status: "created", Name: name, Checkpoint: c.ID})
	_, err = e.DB.Commit(ctx, store.Batch{Writes: []store.Write{own}, Appends: []store.Append{
		{Stream: audit.Stream, Body: body}, {Stream: EventStream, Body: event},
	}})
	if fault.Is(err, fault.Conflict) { // taken before, under this id
		return e.checkpoint(ctx, checkpointID)
	}
	if err != nil {
		return Checkpoint{}, err
	}
	audit.SceneOf(ctx).MarkRecorded()
	return c, nil
}

// Checkpoints lists checkpoints, newest first.
func (e *Engine) Checkpoints(ctx context.Context, p store.Place) (store.Window[Checkpoint], error) {
	return checkpoints().Window(ctx, e.DB, p, store.Query{})
}

// CheckpointByID returns a checkpoint and how many operations a rollback to it would undo.
func (e *Engine) CheckpointByID(ctx context.Context, checkpointID string) (Checkpoint, int, error) {
	c, err := e.checkpoint(ctx, checkpointID)
	if err != nil {
		return Checkpoint{}, 0, err
	}
	after, err := e.operationsAfter(ctx, c)
	return c, after, err
}

func (e *Engine) checkpoint(ctx context.Context, checkpointID string) (Checkpoint, error) {
	missing := fault.New(fault.NotFound, "checkpoint.unknown", "There is no checkpoint with the id %s.", clip(checkpointID))
	checkpointID = id.Canonical(checkpointID)
	if !id.Valid(checkpointID) {
		return Checkpoint{}, missing
	}
	c, err := checkpoints().Get(ctx, e.DB, checkpointID)
	if err == nil && c.Rev == 0 {
		return Checkpoint{}, missing
	}
	return c.Value, err
}
