package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Checkpoint is a cut: a position in the stream of events, the inventory at that moment (stored in slices) and
// its hash. What was completed after it are the tasks that stand since a later commit than its own.
type Checkpoint struct {
	CreatedAt   time.Time `json:"created_at"`
	Description string    `json:"description"`
	Events      uint64    `json:"events"` // last sequence before it
	Hash        string    `json:"hash"`   // SHA-256 of the inventory slices
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Resources   int       `json:"resources"`
	Size        int       `json:"size"` // bytes stored
	Slices      int       `json:"slices"`
	V           int       `json:"v"` // format
}

func checkpoints() store.Table[Checkpoint] {
	return store.Table[Checkpoint]{Kind: checkpointKind, ID: func(c Checkpoint) string { return c.ID }}
}

// Checkpoint takes a checkpoint under the given id, a fresh one when it is empty; taking it again under the same id
// returns the first. The caller has checked the texts.
func (e *Engine) Checkpoint(ctx context.Context, checkpointID, name, description string) (Checkpoint, error) {
	if checkpointID == "" {
		checkpointID = id.New()
	}
	e.cut.enter(looking) // no effect and no resource changes between the look and the commit
	defer e.cut.leave(looking)
	now := e.Now().UTC().Truncate(time.Microsecond)
	c := Checkpoint{CreatedAt: now, Description: description, ID: checkpointID, Name: name, V: 1}
	head, err := e.DB.Read(ctx, EventStream, store.Latest, 0)
	if err != nil {
		return Checkpoint{}, err
	}
	c.Events = head.Head
	rows, err := e.Resources(ctx)
	if err != nil {
		return Checkpoint{}, err
	}
	c.Resources = len(rows)
	writes, err := inventorySlices(c.ID, rows)
	if err != nil {
		return Checkpoint{}, err
	}
	hash := sha256.New()
	for _, w := range writes {
		hash.Write(w.Body)
		c.Size += len(w.Body)
	}
	c.Slices, c.Hash = len(writes), hex.EncodeToString(hash.Sum(nil))
	own, err := checkpoints().Write(c, store.Absent())
	if err != nil {
		return Checkpoint{}, err
	}
	c.Size += len(own.Body)
	if own, err = checkpoints().Write(c, store.Absent()); err != nil {
		return Checkpoint{}, err
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
	_, err = e.DB.Commit(ctx, store.Batch{Writes: append(writes, own), Appends: []store.Append{
		{Stream: audit.Stream, Body: body}, {Stream: EventStream, Body: event},
	}})
	if fault.Is(err, fault.Conflict) { // taken before, under this id
		earlier, err := e.checkpoint(ctx, checkpointID)
		return earlier.Value, err
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
	after, err := e.effectsAfter(ctx, c)
	return c.Value, len(after), err
}

func (e *Engine) checkpoint(ctx context.Context, checkpointID string) (store.Row[Checkpoint], error) {
	missing := fault.New(fault.NotFound, "checkpoint.unknown", "There is no checkpoint with the id %s.", clip(checkpointID))
	checkpointID = id.Canonical(checkpointID)
	if !id.Valid(checkpointID) {
		return store.Row[Checkpoint]{}, missing
	}
	c, err := checkpoints().Get(ctx, e.DB, checkpointID)
	if err == nil && c.Rev == 0 {
		return c, missing
	}
	return c, err
}

// skew is how far the clock may have been set back between an effect and a checkpoint.
const skew = time.Minute

// effectsAfter returns the tasks whose effects stand since after the checkpoint.
func (e *Engine) effectsAfter(ctx context.Context, c store.Row[Checkpoint]) ([]dag.Task, error) {
	rows, err := e.effectsSince(ctx, c.Value.CreatedAt.Add(-skew))
	younger := rows[:0]
	for _, row := range rows {
		if row.Stood > c.Rev {
			younger = append(younger, row)
		}
	}
	return younger, err
}

// effectsSince returns the tasks whose effects stand and that ended at that time or later, oldest first.
func (e *Engine) effectsSince(ctx context.Context, from time.Time) ([]dag.Task, error) {
	var all []dag.Task
	q := store.Query{Index: "stands", After: store.Cursor{Value: stampOf(from)}, Limit: store.MaxPage}
	for {
		rows, page, err := tasks().List(ctx, e.DB, q)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			all = append(all, taskOf(row))
		}
		if !page.More {
			return all, nil
		}
		q.After = page.Next
	}
}

// inventorySlices cuts the inventory into documents.
func inventorySlices(owner string, rows []Resource) ([]store.Write, error) {
	const most, room = 200, 150 << 10 // rows, and bytes of text, which JSON may make six times as long
	var writes []store.Write
	for first := true; first || len(rows) > 0; first = false {
		n := 0
		for size := 0; n < min(most, len(rows)) && (n == 0 || size < room); n++ {
			size += textOf(rows[n])
		}
		part := slice[Resource]{ID: sliceID(owner, len(writes)), Items: append([]Resource{}, rows[:n]...)}
		w, err := parts[Resource](inventoryKind).Write(part, store.Absent())
		if err != nil {
			return nil, err
		}
		writes, rows = append(writes, w), rows[n:]
	}
	return writes, nil
}

func textOf(r Resource) int {
	n := len(r.Name) + len(r.Provider)
	for k, v := range r.Facts {
		n += len(k) + len(v)
	}
	return n
}
