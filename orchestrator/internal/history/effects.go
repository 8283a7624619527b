package history

import (
	"context"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
)

// When a run is pruned, the effects stay that a rollback or a restore to a checkpoint needs. When
// that checkpoint goes or becomes record only, one walk over all effects (run.Sweep) deletes those
// that no other checkpoint needs.

// neededEffects is where the tally of retention counts the effects of pruned runs that a checkpoint
// needs. This number falls again when they are deleted.
const neededEffects = "held_effects"

// cuts are the cuts of all checkpoints that are not record only, ascending.
type cuts []uint64

// cuts reads them.
func (h *history) cuts(ctx context.Context) (c cuts, err error) {
	for row, err := range run.Checkpoints().All(ctx, h.db, store.Query{}) {
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

// need says whether a checkpoint needs an effect. An effect that stands since a commit is undone by
// a rollback to an earlier cut. An effect that was undone by the commit undone stood at the cuts in
// between, and a restore to one of those lists its resources again.
func (c cuts) need(since, undone uint64) bool {
	if undone == 0 {
		return len(c) > 0 && c[0] < since
	}
	at, _ := slices.BinarySearch(c, since)
	return at < len(c) && c[at] < undone
}

// judge returns the deletions of the effects of one operation that no checkpoint needs, and how
// many are needed.
func (c cuts) judge(operation []store.Row[dag.Effect]) (writes []store.Write, needed int64) {
	var since uint64 // of the operation, while it stands
	for _, row := range operation {
		if row.Value.Progress.Applied && row.Value.Era != 0 {
			since = run.EffectOf(row).Since
		}
	}
	for _, row := range operation {
		x := &row.Value
		keep := c.need(x.Since, row.Rev)
		if x.Progress.Applied {
			keep = since == 0 || c.need(since, 0) // without a lead nobody knows since when it stands
		}
		if keep {
			needed++
			continue
		}
		writes = append(writes, store.Write{Key: run.Effects().Key(x.ID), Expect: store.At(row.Rev), Action: store.Delete})
	}
	return writes, needed
}

// operations divides rows of effects, which are in the order of their ids, by operation.
func operations(rows []store.Row[dag.Effect]) (all [][]store.Row[dag.Effect]) {
	last := ""
	for i := range rows {
		task, _ := rows[i].Value.TaskAndStep()
		if task != last || i == 0 {
			all = append(all, nil)
		}
		last = task
		all[len(all)-1] = append(all[len(all)-1], rows[i])
	}
	return all
}

// effects returns the next step of the Sweep. When there is nothing to sweep, it looks whether
// checkpoints need too much.
func (h *history) effects(ctx context.Context, now time.Time) (retention.Step, error) {
	row, err := run.Sweeps().Get(ctx, h.db, run.SweepID)
	if err != nil {
		return retention.Step{}, err
	}
	sweep := row.Value
	if ended := h.rollbacks.RollbackEnded(); h.undone.Swap(false) || ended {
		sweep.Removed++ // no checkpoint needs what a rollback has undone, unless it stood at its cut
	}
	if sweep.Freed == sweep.Removed {
		return h.recordOnly(ctx, now)
	}
	if sweep.After == "" {
		sweep.Walks = sweep.Removed
	}
	all, more, err := h.page(ctx, sweep.After)
	if err != nil {
		return retention.Step{}, err
	}
	s := retention.Step{}
	if s.Batch.Writes, err = h.ofPrunedRuns(ctx, all); err != nil {
		return retention.Step{}, err
	}
	deleted := int64(len(s.Batch.Writes))
	if last := len(all) - 1; last >= 0 {
		sweep.After = all[last][len(all[last])-1].Value.ID
	}
	if !more {
		sweep.After, sweep.Freed = "", sweep.Walks
	}
	sweep.ID = run.SweepID
	own, err := run.Sweeps().Write(sweep, store.At(row.Rev))
	s.Batch.Writes = append(s.Batch.Writes, own)
	s.Pruned = map[string]int64{"effects": deleted, neededEffects: -deleted}
	return s, err
}

// page returns whole operations of the effects behind an id, and whether there are more.
func (h *history) page(ctx context.Context, after string) (all [][]store.Row[dag.Effect], more bool, err error) {
	rows, page, err := run.Effects().List(ctx, h.db, store.Query{After: store.Cursor{ID: after}, Limit: pruneDocs})
	if err != nil {
		return nil, false, err
	}
	all = operations(rows)
	if page.More && len(all) > 1 { // the last one may go on behind the page
		all = all[:len(all)-1]
	} else if page.More {
		task, _ := rows[0].Value.TaskAndStep()
		all[0], err = store.Collect(run.Effects().All(ctx, h.db, store.Query{Prefix: task + "."}))
	}
	return all, page.More, err
}

// ofPrunedRuns returns the deletions of the effects of operations whose run was pruned and that no
// checkpoint needs.
func (h *history) ofPrunedRuns(ctx context.Context, operations [][]store.Row[dag.Effect]) (writes []store.Write, err error) {
	cuts, err := h.cuts(ctx)
	if err != nil {
		return nil, err
	}
	for _, operation := range operations {
		of, err := run.Headers().Get(ctx, h.db, operation[0].Value.Run)
		if err != nil {
			return nil, err
		}
		if of.Rev == 0 {
			unneeded, _ := cuts.judge(operation)
			writes = append(writes, unneeded...)
		}
	}
	return writes, nil
}

func (h *history) keptEffects(ctx context.Context) (retention.Kept, error) {
	pruned, err := retention.Pruned(ctx, h.db)
	if err != nil {
		return retention.Kept{}, err
	}
	rows, _, err := run.Effects().List(ctx, h.db, store.Query{Limit: 1})
	k := retention.Kept{Rows: int(pruned[neededEffects])}
	if k.Rows > 0 && len(rows) > 0 {
		k.Oldest = rows[0].Value.Recorded.At
	}
	return k, err
}
