package engine

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
)

// Keep says how much history is kept (decision 45); 0 is no limit.
type Keep struct {
	Runs, Events retention.KeepRule
	Automatic    int // automatic checkpoints
	Effects      int // effects that are kept for the sake of checkpoints alone
}

// History returns the classes of the engine's history. With a run go its tasks, its definition
// and what a rollback noted of failures; of its effects those stay that a checkpoint holds back,
// and go when none does any more.
func (e *Engine) History(k Keep) []retention.Class {
	h := &history{e: e, keep: k}
	return []retention.Class{
		{Name: "runs", Next: h.quietly(h.runs), Kept: h.keptRuns},
		{Name: "tasks", Next: withTheirRuns, Kept: h.keptTasks},
		{Name: "checkpoints", Next: h.quietly(h.checkpoints), Kept: h.keptCheckpoints},
		{Name: "effects", Next: h.quietly(h.effects), Kept: h.keptEffects},
		retention.Stream(e.DB, run.EventStream, k.Events, timeOf),
	}
}

type history struct {
	e    *Engine
	keep Keep
}

// withTheirRuns is the step of what goes with runs.
func withTheirRuns(context.Context, time.Time) (retention.Step, error) { return retention.Step{}, nil }

// quietly makes steps only while no rollback is at work, and lets none begin before a step is
// settled: what a rollback has found must be there until it has ended.
func (h *history) quietly(next func(context.Context, time.Time) (retention.Step, error)) func(context.Context, time.Time) (retention.Step, error) {
	return func(ctx context.Context, now time.Time) (retention.Step, error) {
		h.e.pruning.Lock()
		if !h.e.quiet() {
			h.e.pruning.Unlock()
			return retention.Step{}, nil
		}
		s, err := next(ctx, now)
		if err != nil || s.Empty() {
			h.e.pruning.Unlock()
			return retention.Step{}, err
		}
		s.Settled = h.e.pruning.Unlock
		return s, nil
	}
}

// quiet says whether no rollback is at work, here or in what this process has not taken over yet.
func (e *Engine) quiet() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.adopted && !e.stopped && e.rollback == ""
}

// awaitPruning waits for a step that is being committed; there is no other one after it while a
// rollback is announced.
func (e *Engine) awaitPruning() {
	e.pruning.Lock()
	defer e.pruning.Unlock()
}

const (
	pruneRuns = 64  // ended runs that are looked at for one step
	pruneDocs = 512 // documents that one step removes, but for those of its first run
	mostDocs  = store.MaxWrites - 16
	atOnce    = 8 // runs that are looked at beside each other
)

// runs returns the step that removes the runs that ended first.
func (h *history) runs(ctx context.Context, now time.Time) (retention.Step, error) {
	s := retention.Step{Pruned: map[string]int64{}}
	if !h.keep.Runs.Limited() {
		return s, nil
	}
	rows, page, err := run.Headers().List(ctx, h.e.DB, store.Query{Index: "ended", Limit: pruneRuns, Counts: runCounts(dag.StatusCompleted, dag.StatusFailed, dag.StatusCancelled)})
	if err != nil {
		return s, err
	}
	ended := 0
	for _, c := range page.Counts {
		ended += c.N
	}
	excess := h.keep.Runs.Excess(ended)
	if excess == 0 || len(rows) == 0 || !h.keep.Runs.Over(run.EndOf(&rows[0].Value), now) {
		return s, nil
	}
	cuts, err := h.cuts(ctx)
	if err != nil {
		return s, err
	}
	for due := h.due(rows[:min(len(rows), excess)], now); len(due) > 0; due = due[min(atOnce, len(due)):] {
		for _, one := range h.each(ctx, due[:min(atOnce, len(due))], cuts) {
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

// due returns those of the oldest runs that may go.
func (h *history) due(rows []store.Row[dag.Header], now time.Time) []store.Row[dag.Header] {
	for i := range rows {
		if !h.keep.Runs.Over(run.EndOf(&rows[i].Value), now) {
			return rows[:i]
		}
	}
	return rows
}

// removal is the step that removes one run, or why it cannot be made.
type removal struct {
	step retention.Step
	err  error
}

// each makes the steps of some runs beside each other: a store over a network answers one
// question in the time of many.
func (h *history) each(ctx context.Context, rows []store.Row[dag.Header], cuts cuts) []removal {
	out := make([]removal, len(rows))
	var work sync.WaitGroup
	for i := range rows {
		work.Go(func() { out[i].step, out[i].err = h.run(ctx, rows[i], cuts) })
	}
	work.Wait()
	return out
}

// runCounts are the counters of all kinds of runs with these statuses.
func runCounts(statuses ...dag.Status) (all []store.Counter) {
	for _, kind := range []dag.Kind{dag.Batch, dag.Rollback, dag.Workflow} {
		for _, status := range statuses {
			all = append(all, store.Counter{Kind: run.Headers().Kind, Index: "status", Value: run.StatusKey(kind, status)})
		}
	}
	return all
}

// run returns the step that removes a run and all that goes with it. One with more documents than
// a commit takes loses effects first, which nobody is shown, or, of a rollback, its failures.
func (h *history) run(ctx context.Context, row store.Row[dag.Header], cuts cuts) (retention.Step, error) {
	s := retention.Step{Pruned: map[string]int64{}}
	head := store.Write{Key: run.Headers().Key(row.Value.ID), Expect: store.At(row.Rev), Action: store.Delete}
	own := id.Family(row.Value.ID)
	rows, err := h.effectRows(ctx, own)
	if err != nil {
		return s, err
	}
	first, held := []store.Write{}, int64(0)
	for _, operation := range operations(rows) {
		if operation[0].Value.Run == row.Value.ID {
			writes, needed := cuts.judge(operation)
			first, held = append(first, writes...), held+needed
		}
	}
	gone := len(first)
	if row.Value.Kind == dag.Rollback {
		h.e.lookAtEffects() // it may have ended in another process, which did not any more
		undo, err := h.docs(ctx, run.Failures().Kind, own)
		if err != nil {
			return s, err
		}
		first = append(first, undo...)
	}
	if len(first) > pruneDocs {
		head.Action = store.Check
		s.Batch.Writes = append(first[:min(len(first), mostDocs)], head)
		s.Pruned["effects"] = int64(min(gone, mostDocs))
		return s, nil
	}
	parts, err := h.definition(ctx, &row.Value)
	if err != nil {
		return s, err
	}
	s.Batch.Writes = append(first, parts...)
	for t, err := range run.Rows(ctx, h.e.DB, run.Tasks(), store.Query{Prefix: own}) {
		if err != nil {
			return s, err
		}
		if t.Value.Run == row.Value.ID {
			s.Batch.Writes = append(s.Batch.Writes, store.Write{Key: run.Tasks().Key(t.Value.ID), Expect: store.At(t.Rev), Action: store.Delete})
			s.Pruned["tasks/"+string(t.Value.Status())]++
		}
	}
	s.Batch.Writes = append(s.Batch.Writes, head)
	s.Pruned["runs/"+run.StatusKey(row.Value.Kind, row.Value.Status())]++
	s.Pruned["effects"], s.Pruned[heldName] = int64(gone), held
	return s, nil
}

// definition returns the deletions of the slices of a run's definition, whose ids are known, or
// of a rollback's waves.
func (h *history) definition(ctx context.Context, of *dag.Header) (writes []store.Write, err error) {
	if of.Kind == dag.Rollback {
		return h.docs(ctx, run.Definitions().Kind, of.ID+".")
	}
	for n := range of.Slices {
		key := run.Definitions().Key(run.SliceID(of.ID, n))
		writes = append(writes, store.Write{Key: key, Expect: store.Any(), Action: store.Delete})
	}
	return writes, nil
}

// docs returns the deletions of all documents of a kind whose ids begin so.
func (h *history) docs(ctx context.Context, kind, prefix string) (writes []store.Write, err error) {
	q := store.Query{Kind: kind, Prefix: prefix, Limit: store.MaxPage}
	for {
		page, err := h.e.DB.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, d := range page.Docs {
			writes = append(writes, store.Write{Key: d.Key, Expect: store.At(d.Rev), Action: store.Delete})
		}
		if !page.More {
			return writes, nil
		}
		q.After = page.Next
	}
}

func (h *history) keptRuns(ctx context.Context) (retention.Kept, error) {
	q := store.Query{Index: "ended", Limit: 1, Counts: runCounts(dag.Statuses()...)}
	rows, page, err := run.Headers().List(ctx, h.e.DB, q)
	if err != nil {
		return retention.Kept{}, err
	}
	k := retention.Kept{}
	for _, c := range page.Counts {
		k.Rows += c.N
	}
	if len(rows) > 0 {
		k.Oldest = run.EndOf(&rows[0].Value)
	}
	k.Ever, err = h.ever(ctx, "runs/", q.Counts, page.Counts)
	return k, err
}

func (h *history) keptTasks(ctx context.Context) (retention.Kept, error) {
	q := store.Query{Kind: run.Tasks().Kind, Limit: 1}
	for _, status := range dag.Statuses() {
		q.Counts = append(q.Counts, store.Counter{Kind: run.Tasks().Kind, Index: "status", Value: string(status)})
	}
	rows, page, err := run.Tasks().List(ctx, h.e.DB, q)
	if err != nil {
		return retention.Kept{}, err
	}
	k := retention.Kept{}
	for _, c := range page.Counts {
		k.Rows += c.N
	}
	if len(rows) > 0 {
		k.Oldest = rows[0].Value.CreatedAt
	}
	k.Ever, err = h.ever(ctx, "tasks/", q.Counts, page.Counts)
	return k, err
}

// ever adds what was pruned to what is there.
func (h *history) ever(ctx context.Context, class string, counters []store.Counter, now []store.Count) (map[string]int64, error) {
	pruned, err := retention.Pruned(ctx, h.e.DB)
	all := map[string]int64{}
	for i, c := range counters {
		all[strings.ToLower(c.Value)] = int64(now[i].N) + pruned[class+c.Value]
	}
	return all, err
}

// timeOf reads the time of an event.
func timeOf(event []byte) (time.Time, bool) {
	for name, value := range canonical.Members(event) {
		if name == "timestamp" {
			text, ok := canonical.Text(value)
			at, err := time.Parse(time.RFC3339Nano, text)
			return at, ok && err == nil
		}
	}
	return time.Time{}, false
}
