package history

import (
	"context"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
)

const (
	pruneRuns = 64  // ended runs that are looked at for one step
	pruneDocs = 512 // documents that one step removes, but for those of its first run
	mostDocs  = store.MaxWrites - 16
	atOnce    = 8 // runs that are looked at beside each other
)

// runs returns the step that removes the runs that ended first.
func (h *history) runs(ctx context.Context, now time.Time) (retention.Step, error) {
	s := retention.Step{Pruned: map[string]int64{}}
	due, err := h.dueRuns(ctx, now)
	if err != nil || len(due) == 0 {
		return s, err
	}
	cuts, err := h.cuts(ctx)
	if err != nil {
		return s, err
	}
	for ; len(due) > 0; due = due[min(atOnce, len(due)):] {
		for _, one := range h.removals(ctx, due[:min(atOnce, len(due))], cuts) {
			n := len(s.Batch.Writes)
			if one.err != nil || n > 0 && n+len(one.step.Batch.Writes) > pruneDocs {
				return s, one.err
			}
			s.Batch.Writes = append(s.Batch.Writes, one.step.Batch.Writes...)
			for name, n := range one.step.Pruned {
				s.Pruned[name] += n
			}
		}
	}
	return s, nil
}

// dueRuns returns the oldest runs that may go, at most pruneRuns.
func (h *history) dueRuns(ctx context.Context, now time.Time) ([]store.Row[dag.Header], error) {
	if !h.keep.Runs.Limited() {
		return nil, nil
	}
	ended := runCounts(dag.StatusCompleted, dag.StatusFailed, dag.StatusCancelled)
	rows, page, err := run.Headers().List(ctx, h.db, store.Query{Index: "ended", Limit: pruneRuns, Counts: ended})
	if err != nil {
		return nil, err
	}
	rows = rows[:min(len(rows), h.keep.Runs.Excess(sum(page.Counts)))]
	for i := range rows {
		if !h.keep.Runs.Over(run.EndOf(&rows[i].Value), now) {
			return rows[:i], nil
		}
	}
	return rows, nil
}

// removal is the step that removes one run, or why it cannot be made.
type removal struct {
	step retention.Step
	err  error
}

// removals makes the steps of some runs beside each other: a store over a network answers many
// questions in the time of one.
func (h *history) removals(ctx context.Context, rows []store.Row[dag.Header], cuts cuts) []removal {
	out := make([]removal, len(rows))
	var work sync.WaitGroup
	for i := range rows {
		work.Go(func() { out[i].step, out[i].err = h.remove(ctx, rows[i], cuts) })
	}
	work.Wait()
	return out
}

// remove returns the step that removes a run and all that goes with it. A run with more documents
// than a commit takes first loses effects, which nobody is shown, and, of a rollback, its failures.
func (h *history) remove(ctx context.Context, row store.Row[dag.Header], cuts cuts) (retention.Step, error) {
	s := retention.Step{Pruned: map[string]int64{}}
	of, own := &row.Value, id.Family(row.Value.ID)
	writes, needed, err := h.unneeded(ctx, of.ID, cuts)
	if err != nil {
		return s, err
	}
	effects := len(writes)
	if of.Kind == dag.Rollback {
		h.undone.Store(true)
		failures, err := h.deletions(ctx, run.Failures().Kind, own)
		if err != nil {
			return s, err
		}
		writes = append(writes, failures...)
	}
	head := store.Write{Key: run.Headers().Key(of.ID), Expect: store.At(row.Rev), Action: store.Delete}
	if len(writes) > pruneDocs {
		head.Action = store.Check
		s.Batch.Writes = append(writes[:min(len(writes), mostDocs)], head)
		s.Pruned["effects"] = int64(min(effects, mostDocs))
		return s, nil
	}
	definition, err := h.definition(ctx, of)
	if err != nil {
		return s, err
	}
	writes = append(writes, definition...)
	for t, err := range run.Tasks().All(ctx, h.db, store.Query{Prefix: own}) {
		if err != nil {
			return s, err
		}
		if t.Value.Run == of.ID {
			writes = append(writes, store.Write{Key: run.Tasks().Key(t.Value.ID), Expect: store.At(t.Rev), Action: store.Delete})
			s.Pruned["tasks/"+string(t.Value.Status())]++
		}
	}
	s.Batch.Writes = append(writes, head)
	s.Pruned["runs/"+run.StatusKey(of.Kind, of.Status())]++
	s.Pruned["effects"], s.Pruned[neededEffects] = int64(effects), needed
	return s, nil
}

// unneeded returns the deletions of the effects of a run that no checkpoint needs, and how many are
// needed.
func (h *history) unneeded(ctx context.Context, runID string, cuts cuts) (writes []store.Write, needed int64, err error) {
	rows, err := store.Collect(run.Effects().All(ctx, h.db, store.Query{Prefix: id.Family(runID)}))
	if err != nil {
		return nil, 0, err
	}
	for _, operation := range operations(rows) {
		if operation[0].Value.Run == runID {
			more, n := cuts.judge(operation)
			writes, needed = append(writes, more...), needed+n
		}
	}
	return writes, needed, nil
}

// definition returns the deletions of the slices of a run's definition, whose ids are known, or of
// a rollback's waves.
func (h *history) definition(ctx context.Context, of *dag.Header) (writes []store.Write, err error) {
	if of.Kind == dag.Rollback {
		return h.deletions(ctx, run.Waves().Kind, of.ID+".")
	}
	for n := range of.Slices {
		writes = append(writes, store.Write{Key: run.Definitions().Key(run.SliceID(of.ID, n)), Expect: store.Any(), Action: store.Delete})
	}
	return writes, nil
}

// deletions returns the deletions of all documents of a kind whose ids begin with prefix.
func (h *history) deletions(ctx context.Context, kind, prefix string) (writes []store.Write, err error) {
	for d, err := range store.All(ctx, h.db, store.Query{Kind: kind, Prefix: prefix}) {
		if err != nil {
			return nil, err
		}
		writes = append(writes, store.Write{Key: d.Key, Expect: store.At(d.Rev), Action: store.Delete})
	}
	return writes, nil
}
