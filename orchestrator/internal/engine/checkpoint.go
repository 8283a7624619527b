package engine

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
)

// Checkpoint is a cut: the number of a commit. What was done after it are the operations that stand
// since a later one. The document is small whatever there is, and taking it stops nobody.
//
// It holds back what a rollback to it needs, when the runs that did it are pruned, unless it is
// record only.
type Checkpoint struct {
	Automatic   bool      `json:"automatic,omitempty"` // nobody asked for it
	CreatedAt   time.Time `json:"created_at"`
	Cut         uint64    `json:"cut"` // the last commit before it
	Description string    `json:"description"`
	EraFrom     uint64    `json:"era_from"` // operations of earlier eras ended before it,
	EraTo       uint64    `json:"era_to"`   // those of this one and later ones after it
	Hash        string    `json:"hash"`     // sum of the inventory at Cut, a checksum (store.Sum)
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	RecordOnly  bool      `json:"record_only,omitempty"` // what a rollback to it would need is not kept
	Resources   int       `json:"resources"`             // in the inventory at Cut
	Size        int       `json:"size"`                  // bytes of this document
	V           int       `json:"v"`                     // format
}

func checkpoints() store.Table[Checkpoint] {
	return store.Table[Checkpoint]{Kind: checkpointKind, ID: func(c Checkpoint) string { return c.ID },
		Index: func(c Checkpoint) []store.IndexKey {
			made := store.IndexKey{Name: "made", Value: byPerson}
			if c.Automatic {
				made.Value = byItself
			}
			return []store.IndexKey{{Name: "era", Value: eraKey(c.EraTo)}, made}
		}}
}

// Values of the index "made".
const (
	byPerson = "by_person"
	byItself = "automatically"
)

// Checkpoint takes a checkpoint under the given id, a fresh one when it is empty; taking it again under the same id
// returns the first. The caller has checked the texts.
func (e *Engine) Checkpoint(ctx context.Context, checkpointID, name, description string) (Checkpoint, error) {
	if checkpointID == "" {
		checkpointID = id.New()
	}
	return e.storeCheckpoint(ctx, Checkpoint{ID: checkpointID, Name: name, Description: description})
}

// AutomaticCheckpoint takes a checkpoint that nobody asked for: of these retention keeps a number.
func (e *Engine) AutomaticCheckpoint(ctx context.Context, name string) (Checkpoint, error) {
	return e.storeCheckpoint(ctx, Checkpoint{ID: id.New(), Name: name, Automatic: true})
}

// cut takes a checkpoint of which id, texts and origin are known.
func (e *Engine) storeCheckpoint(ctx context.Context, c Checkpoint) (Checkpoint, error) {
	if err := e.eras.open(ctx, e.DB); err != nil {
		return Checkpoint{}, err
	}
	now := e.Now().UTC().Truncate(time.Microsecond)
	c.CreatedAt, c.V = now, 2
	c.EraFrom, _ = e.eras.boundary()
	page, err := e.DB.List(ctx, store.Query{Kind: resourceKind, Counts: []store.Counter{{Kind: resourceKind}}})
	if err != nil {
		return Checkpoint{}, err
	}
	_, c.EraTo = e.eras.boundary()
	c.Cut, c.Resources, c.Hash = page.Rev, page.Counts[0].N, page.Counts[0].Sum.String()
	var own store.Write
	for len(own.Body) == 0 || c.Size != len(own.Body) { // its digits count too
		c.Size = len(own.Body)
		if own, err = checkpoints().Write(c, store.Absent()); err != nil {
			return Checkpoint{}, err
		}
	}
	entry := audit.Act{Action: "checkpoint.create", Resource: "checkpoints/" + c.ID, Details: map[string]any{"name": c.Name}}.Entry(ctx, now)
	if entry.Origin == "" {
		entry.Origin = origin
	}
	body, err := entry.Encode()
	if err != nil {
		return Checkpoint{}, err
	}
	event := new(encoder).event(&dag.Event{Type: dag.CheckpointCreated, Time: now, Status: "created", Name: c.Name, Checkpoint: c.ID})
	_, err = e.DB.Commit(ctx, store.Batch{Writes: []store.Write{own}, Appends: []store.Append{
		{Stream: audit.Stream, Body: body}, {Stream: EventStream, Body: event},
	}})
	if fault.Is(err, fault.Conflict) { // taken before, under this id
		return e.checkpoint(ctx, c.ID)
	}
	if err != nil {
		return Checkpoint{}, err
	}
	audit.ContextOf(ctx).MarkRecorded()
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
	checkpointID = id.Canonical(checkpointID)
	if !id.Valid(checkpointID) {
		return Checkpoint{}, unknownCheckpoint(checkpointID)
	}
	c, err := checkpoints().Get(ctx, e.DB, checkpointID)
	if err == nil && c.Rev == 0 {
		return Checkpoint{}, unknownCheckpoint(checkpointID)
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
		row, err := checkpoints().Load(tx, c.ID)
		if err != nil {
			return err
		}
		if row.Rev == 0 {
			return unknownCheckpoint(c.ID)
		}
		checkpoints().Remove(tx, c.ID)
		tx.Append(EventStream, new(encoder).event(&dag.Event{Type: dag.CheckpointDeleted, Time: e.Now(), Status: "deleted", Name: c.Name, Checkpoint: c.ID}))
		return release(tx)
	})
	return err
}

func unknownCheckpoint(checkpointID string) error {
	return fault.New(fault.NotFound, "checkpoint.unknown", "There is no checkpoint with the id %s.", clip(checkpointID))
}

// checkpoints returns the step that deletes the oldest automatic checkpoints above their number.
func (h *history) checkpoints(ctx context.Context, now time.Time) (retention.Step, error) {
	s := retention.Step{}
	if h.keep.Automatic == 0 {
		return s, nil
	}
	rows, page, err := checkpoints().List(ctx, h.e.DB, store.Query{Index: "made", Prefix: byItself, Exact: true, Total: true, Limit: 1})
	if err != nil || page.Total <= h.keep.Automatic {
		return s, err
	}
	return h.drop(ctx, rows[0], now)
}

// drop returns the step that deletes a checkpoint.
func (h *history) drop(ctx context.Context, row store.Row[Checkpoint], now time.Time) (retention.Step, error) {
	own := store.Write{Key: checkpoints().Key(row.Value.ID), Expect: store.At(row.Rev), Action: store.Delete}
	return h.without(ctx, row, own, dag.Event{Type: dag.CheckpointDeleted, Time: now, Status: "deleted"}, "checkpoint.delete")
}

// retire returns the step that makes a checkpoint record only.
func (h *history) retire(ctx context.Context, row store.Row[Checkpoint], now time.Time) (retention.Step, error) {
	c := row.Value
	c.RecordOnly = true
	w, err := checkpoints().Write(c, store.At(row.Rev))
	if err != nil {
		return retention.Step{}, err
	}
	return h.without(ctx, row, w, dag.Event{Type: dag.CheckpointRecordOnly, Time: now, Status: "record_only"}, "checkpoint.record_only")
}

// without returns the step after which a checkpoint holds nothing back, with its event and its
// audit entry.
func (h *history) without(ctx context.Context, row store.Row[Checkpoint], own store.Write, event dag.Event, action string) (retention.Step, error) {
	s := retention.Step{}
	c := row.Value
	event.Name, event.Checkpoint = c.Name, c.ID
	held, err := holds().Get(ctx, h.e.DB, holdID)
	if err != nil {
		return s, err
	}
	held.Value.ID = holdID
	held.Value.Removed++
	counted, err := holds().Write(held.Value, store.At(held.Rev))
	if err != nil {
		return s, err
	}
	entry := audit.Act{Action: action, Resource: "checkpoints/" + c.ID, Details: map[string]any{"name": c.Name}}.Entry(ctx, event.Time)
	if entry.Origin == "" {
		entry.Origin = origin
	}
	body, err := entry.Encode()
	if err != nil {
		return s, err
	}
	s.Batch = store.Batch{Writes: []store.Write{own, counted}, Appends: []store.Append{
		{Stream: audit.Stream, Body: body}, {Stream: EventStream, Body: new(encoder).event(&event)},
	}}
	if own.Action == store.Delete {
		s.Pruned = map[string]int64{"checkpoints": 1}
	}
	return s, nil
}

func (h *history) keptCheckpoints(ctx context.Context) (retention.Kept, error) {
	rows, page, err := checkpoints().List(ctx, h.e.DB, store.Query{Limit: 1, Total: true})
	k := retention.Kept{Rows: page.Total}
	if len(rows) > 0 {
		k.Oldest = rows[0].Value.CreatedAt
	}
	return k, err
}
