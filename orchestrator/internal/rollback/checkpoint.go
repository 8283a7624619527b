package rollback

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Checkpoints takes checkpoints and counts what was done after them. Taking one stops nobody.
type Checkpoints struct {
	DB   store.DB
	Eras *Eras
	Now  func() time.Time

	unverified atomic.Bool // see LoadVerification
}

// Take stores a checkpoint of now with the id (a fresh one when empty), the texts, which the caller
// has checked, and the origin of c. Taking it again under the same id returns the first. History
// keeps a limited number of automatic ones.
func (s *Checkpoints) Take(ctx context.Context, c run.Checkpoint) (run.Checkpoint, error) {
	c, own, err := s.take(ctx, c)
	if err != nil {
		return run.Checkpoint{}, err
	}
	entry, err := run.Entry(ctx, audit.EntryDraft{Action: "checkpoint.create", Resource: "checkpoints/" + c.ID,
		Details: map[string]any{"name": c.Name}}, c.CreatedAt).Encode()
	if err != nil {
		return run.Checkpoint{}, err
	}
	settled, err := audit.ContextOf(ctx).Settlement(audit.Success)
	if err != nil {
		return run.Checkpoint{}, err
	}
	_, err = s.DB.Commit(ctx, store.Batch{Writes: append(settled, own), Appends: []store.Append{
		{Stream: audit.Stream, Body: entry},
		created(&c),
	}})
	if fault.Is(err, fault.Conflict) { // taken before, under this id
		return s.Get(ctx, c.ID)
	}
	if err != nil {
		return run.Checkpoint{}, err
	}
	audit.ContextOf(ctx).MarkRecorded()
	return c, nil
}

// take returns a checkpoint of now and the write that stores it.
func (s *Checkpoints) take(ctx context.Context, c run.Checkpoint) (run.Checkpoint, store.Write, error) {
	if c.ID == "" {
		c.ID = id.New()
	}
	if err := s.Eras.Open(ctx, s.DB); err != nil {
		return c, store.Write{}, err
	}
	c.CreatedAt, c.V = s.Now().UTC().Truncate(time.Microsecond), 3
	c.EraFrom, _ = s.Eras.boundary()
	page, err := s.DB.List(ctx, store.Query{Kind: run.Resources().Kind, Counts: []store.CounterKey{{Kind: run.Resources().Kind},
		running(dag.Batch), running(dag.Workflow), running(dag.Rollback)}})
	if err != nil {
		return c, store.Write{}, err
	}
	_, c.EraTo = s.Eras.boundary()
	c.Cut, c.Resources, c.Hash = page.Rev, page.Counts[0].N, page.Counts[0].Sum.String()
	c.Underway = page.Counts[1].N + page.Counts[2].N + page.Counts[3].N
	c.Checksum = store.Sum{}.String() // as long as the real one, for Size
	var own store.Write
	for len(own.Body) == 0 || c.Size != len(own.Body) { // the digits of Size count too
		c.Size = len(own.Body)
		if own, err = run.Checkpoints().Write(c, store.Absent()); err != nil {
			return c, store.Write{}, err
		}
	}
	if c.Checksum, err = c.Digest(); err != nil {
		return c, store.Write{}, err
	}
	own, err = run.Checkpoints().Write(c, store.Absent())
	return c, own, err
}

// running is the counter of the runs of a kind that have not ended.
func running(k dag.Kind) store.CounterKey {
	return store.CounterKey{Kind: run.Headers().Kind, Index: "status", Value: run.StatusKey(k, dag.StatusRunning)}
}

// created is the event of a checkpoint that was taken.
func created(c *run.Checkpoint) store.Append {
	return run.Event(&event.Event{Type: event.CheckpointCreated, Time: c.CreatedAt, Status: "created", Name: c.Name, Checkpoint: c.ID})
}

// List lists checkpoints, newest first: all, or only those that were taken automatically or by a
// person.
func (s *Checkpoints) List(ctx context.Context, p store.Place, automatic *bool) (store.Window[run.Checkpoint], error) {
	q := store.Query{}
	if automatic != nil {
		q = store.Query{Index: "made", Exact: true, Prefix: run.MadeByPerson}
		if *automatic {
			q.Prefix = run.MadeAutomatically
		}
	}
	return run.Checkpoints().Window(ctx, s.DB, p, q)
}

// Get returns the checkpoint with that id, or a fault of kind NotFound.
func (s *Checkpoints) Get(ctx context.Context, checkpointID string) (run.Checkpoint, error) {
	checkpointID = id.Canonical(checkpointID)
	if !id.Valid(checkpointID) {
		return run.Checkpoint{}, unknownCheckpoint()
	}
	c, err := run.Checkpoints().Get(ctx, s.DB, checkpointID)
	if err == nil && c.Rev == 0 {
		return run.Checkpoint{}, unknownCheckpoint()
	}
	return c.Value, err
}

// Delete deletes a checkpoint. Package history then deletes the effects that no other checkpoint
// needs. Deleting it again is a fault of kind NotFound.
func (s *Checkpoints) Delete(ctx context.Context, checkpointID string) error {
	c, err := s.Get(ctx, checkpointID)
	if err != nil {
		return err
	}
	act := audit.EntryDraft{Action: "checkpoint.delete", Resource: "checkpoints/" + c.ID, Details: map[string]any{"name": c.Name}}
	_, err = audit.Update(ctx, s.DB, &act, func(tx *store.Tx) error {
		row, err := run.Checkpoints().Load(tx, c.ID)
		if err != nil {
			return err
		}
		if row.Rev == 0 {
			return unknownCheckpoint()
		}
		run.Checkpoints().Remove(tx, c.ID)
		deleted := run.Event(&event.Event{Type: event.CheckpointDeleted, Time: s.Now(), Status: "deleted", Name: c.Name, Checkpoint: c.ID})
		tx.Append(deleted.Stream, deleted.Body)
		sweep, err := run.Sweeps().Load(tx, run.SweepID)
		if err != nil {
			return err
		}
		sweep.Value.ID = run.SweepID
		sweep.Value.Removed++
		return run.Sweeps().Save(tx, sweep.Value)
	})
	return err
}

func unknownCheckpoint() error {
	return fault.New(fault.NotFound, "checkpoint.unknown",
		"There is no checkpoint with this id; GET /rollback/checkpoints lists those there are.")
}
