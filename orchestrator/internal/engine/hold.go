package engine

import (
	"context"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
)

// A checkpoint holds back the effects that a rollback or a restore to it needs, when their runs
// are pruned. When it goes, or becomes record only, those that no other one needs are found by
// one walk over all effects.

// cuts are the cuts of all checkpoints that hold something back, ascending.
type cuts []uint64

// need says whether a checkpoint needs an effect: one that stands since a commit is undone by a
// rollback to an earlier cut; one that was undone by the commit undone stood at the cuts in
// between, and a restore to those lists its resources again.
func (c cuts) need(since, undone uint64) bool {
	if undone == 0 {
		return len(c) > 0 && c[0] < since
	}
	at, _ := slices.BinarySearch(c, since)
	return at < len(c) && c[at] < undone
}

// cuts reads them.
func (h *history) cuts(ctx context.Context) (c cuts, err error) {
	for row, err := range run.Rows(ctx, h.e.DB, run.Checkpoints(), store.Query{}) {
		if err != nil {
			return nil, err
		}
		if !row.Value.RecordOnly {
			c = append(c, row.Value.Cut)
		}
	}
	slices.Sort(c)
	return c, nil
}

// release counts a checkpoint that holds nothing back any more, inside the transaction that makes
// it so.
func release(tx *store.Tx) error {
	row, err := run.Sweeps().Load(tx, run.SweepID)
	if err != nil {
		return err
	}
	row.Value.ID = run.SweepID
	row.Value.Removed++
	return run.Sweeps().Save(tx, row.Value)
}

// heldName is where the tally counts effects whose run was pruned and that a checkpoint holds
// back: a number that falls again when they are freed.
const heldName = "held_effects"

// operations sorts rows of effects, which stand in the order of their ids, into operations.
func operations(rows []store.Row[dag.Effect]) (all [][]store.Row[dag.Effect]) {
	last := ""
	for i := range rows {
		task, _ := rows[i].Value.Place()
		if task != last || i == 0 {
			all = append(all, nil)
		}
		last = task
		all[len(all)-1] = append(all[len(all)-1], rows[i])
	}
	return all
}

// judge returns the deletions of the effects of one operation that nobody needs, and how many are
// needed.
func (c cuts) judge(operation []store.Row[dag.Effect]) (writes []store.Write, held int64) {
	var since uint64 // of the operation, while it stands
	for _, row := range operation {
		if row.Value.Progress.Applied && row.Value.Era != 0 {
			since = run.EffectOf(row).Since
		}
	}
	for _, row := range operation {
		x := &row.Value
		needed := c.need(x.Since, row.Rev)
		if x.Progress.Applied {
			needed = since == 0 || c.need(since, 0) // without a lead nothing is known
		}
		if needed {
			held++
			continue
		}
		writes = append(writes, store.Write{Key: run.Effects().Key(x.ID), Expect: store.At(row.Rev), Action: store.Delete})
	}
	return writes, held
}

// effectRows returns the effects of a run, or of one operation with its task's id and a dot.
func (h *history) effectRows(ctx context.Context, prefix string) (all []store.Row[dag.Effect], err error) {
	return run.All(ctx, h.e.DB, run.Effects(), store.Query{Prefix: prefix})
}

// effects returns the next step of the walk that frees what no checkpoint holds back any more, or
// has a checkpoint hold back nothing when all of them hold back too much.
func (h *history) effects(ctx context.Context, now time.Time) (retention.Step, error) {
	row, err := run.Sweeps().Get(ctx, h.e.DB, run.SweepID)
	if err != nil {
		return retention.Step{}, err
	}
	walk := row.Value
	if h.e.undidSomething() {
		walk.Removed++ // what a rollback has undone is held no longer either
	}
	if walk.Freed == walk.Removed {
		return h.recordOnly(ctx, now)
	}
	if walk.After == "" {
		walk.Walks = walk.Removed
	}
	cuts, err := h.cuts(ctx)
	if err != nil {
		return retention.Step{}, err
	}
	rows, page, err := run.Effects().List(ctx, h.e.DB, store.Query{After: store.Cursor{ID: walk.After}, Limit: pruneDocs})
	if err != nil {
		return retention.Step{}, err
	}
	all := operations(rows)
	if page.More && len(all) > 1 { // the last one may go on behind the page
		all = all[:len(all)-1]
	} else if page.More {
		task, _ := rows[0].Value.Place()
		if all[0], err = h.effectRows(ctx, task+"."); err != nil {
			return retention.Step{}, err
		}
	}
	s := retention.Step{}
	freed := int64(0)
	for _, operation := range all {
		walk.After = operation[len(operation)-1].Value.ID
		of, err := run.Headers().Get(ctx, h.e.DB, operation[0].Value.Run)
		if err != nil {
			return s, err
		}
		if of.Rev != 0 {
			continue
		}
		writes, _ := cuts.judge(operation)
		s.Batch.Writes, freed = append(s.Batch.Writes, writes...), freed+int64(len(writes))
	}
	if !page.More {
		walk.After, walk.Freed = "", walk.Walks
	}
	walk.ID = run.SweepID
	own, err := run.Sweeps().Write(walk, store.At(row.Rev))
	s.Batch.Writes = append(s.Batch.Writes, own)
	s.Pruned = map[string]int64{"effects": freed, heldName: -freed}
	return s, err
}

// recordOnly returns the step after which the oldest checkpoint holds nothing back, if all of
// them together hold back more effects than the limit: one that a person made stays as a record.
func (h *history) recordOnly(ctx context.Context, now time.Time) (retention.Step, error) {
	if h.keep.Effects == 0 {
		return retention.Step{}, nil
	}
	pruned, err := retention.Pruned(ctx, h.e.DB)
	if err != nil || pruned[heldName] <= int64(h.keep.Effects) {
		return retention.Step{}, err
	}
	for row, err := range run.Rows(ctx, h.e.DB, run.Checkpoints(), store.Query{}) {
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

// undidSomething says whether a rollback has ended since it was last asked.
func (e *Engine) undidSomething() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	undid := e.undid
	e.undid = false
	return undid
}

// lookAtEffects has retention walk over the effects.
func (e *Engine) lookAtEffects() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.undid = true
}

func (h *history) keptEffects(ctx context.Context) (retention.Kept, error) {
	pruned, err := retention.Pruned(ctx, h.e.DB)
	if err != nil {
		return retention.Kept{}, err
	}
	rows, _, err := run.Effects().List(ctx, h.e.DB, store.Query{Limit: 1})
	k := retention.Kept{Rows: int(pruned[heldName])}
	if k.Rows > 0 && len(rows) > 0 {
		k.Oldest = rows[0].Value.Recorded.At
	}
	return k, err
}

// HeldOperations returns how many operations that stand were done after a checkpoint and before
// the next one: what can be undone or freed with it and not with a later one. A record holds
// none.
func (e *Engine) HeldOperations(ctx context.Context, c run.Checkpoint) (int, error) {
	if c.RecordOnly {
		return 0, nil
	}
	if err := e.eras.open(ctx, e.DB); err != nil {
		return 0, err
	}
	newer := run.Checkpoint{Cut: store.Latest, EraFrom: e.eras.last() + 1, EraTo: e.eras.last() + 1}
	rows, _, err := run.Checkpoints().List(ctx, e.DB, store.Query{After: store.Cursor{ID: c.ID}, Limit: 1})
	if err != nil {
		return 0, err
	}
	if len(rows) > 0 {
		newer = rows[0].Value
	}
	return e.operationsBetween(ctx, c, newer)
}
