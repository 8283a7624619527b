// Package history says what retention may prune of the orchestrator: ended runs, automatic
// checkpoints, events, and effects that no checkpoint needs any more (decision 45).
//
// It owns the classes of history and the Sweep over the effects. Package shared/retention commits
// the steps that it makes; package run has the documents.
package history

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
)

// Keep says how much history is kept; 0 is no limit.
type Keep struct {
	Runs, Events retention.KeepRule
	Automatic    int // automatic checkpoints
	Effects      int // effects that are kept for the sake of checkpoints alone
}

// Rollbacks is what history asks of whoever runs rollbacks.
type Rollbacks interface {
	// PauseRollbacks keeps rollbacks from beginning until resume is called. ok is false while one
	// is at work: what it has found must stay until it has ended.
	PauseRollbacks() (resume func(), ok bool)
	// RollbackEnded says whether a rollback has ended since it was last asked.
	RollbackEnded() bool
}

// Classes returns the classes of history in a store. With a run go its tasks, its definition and
// the failures of a rollback. Of its effects those stay that a checkpoint needs; they go when no
// checkpoint needs them any more.
func Classes(db store.DB, k Keep, r Rollbacks) []retention.Class {
	h := &history{db: db, keep: k, rollbacks: r}
	none := func(context.Context, time.Time) (retention.Step, error) { return retention.Step{}, nil }
	return []retention.Class{
		{Name: "runs", Next: h.paused(h.runs), Kept: h.keptRuns},
		{Name: "tasks", Next: none, Kept: h.keptTasks}, // they go with their runs
		{Name: "checkpoints", Next: h.paused(h.checkpoints), Kept: h.keptCheckpoints},
		{Name: "effects", Next: h.paused(h.effects), Kept: h.keptEffects},
		retention.Stream(db, run.EventStream, k.Events, timeOf),
	}
}

type history struct {
	db        store.DB
	keep      Keep
	rollbacks Rollbacks
	undone    atomic.Bool // a pruned run was a rollback, which may have ended in another process: sweep the effects
}

// paused makes steps only while no rollback is at work, and lets none begin before a step is
// committed.
func (h *history) paused(next func(context.Context, time.Time) (retention.Step, error)) func(context.Context,
	time.Time) (retention.Step, error) {
	return func(ctx context.Context, now time.Time) (retention.Step, error) {
		resume, ok := h.rollbacks.PauseRollbacks()
		if !ok {
			return retention.Step{}, nil
		}
		s, err := next(ctx, now)
		if err != nil || s.Empty() {
			resume()
			return retention.Step{}, err
		}
		s.Settled = resume
		return s, nil
	}
}

func (h *history) keptRuns(ctx context.Context) (retention.Kept, error) {
	q := store.Query{Index: "ended", Limit: 1, Counts: runCounts(dag.Statuses()...)}
	rows, page, err := run.Headers().List(ctx, h.db, q)
	if err != nil {
		return retention.Kept{}, err
	}
	k := retention.Kept{Rows: sum(page.Counts)}
	if len(rows) > 0 {
		k.Oldest = run.EndOf(&rows[0].Value)
	}
	k.Ever, err = h.ever(ctx, "runs/", q.Counts, page.Counts)
	return k, err
}

func (h *history) keptTasks(ctx context.Context) (retention.Kept, error) {
	q := store.Query{Limit: 1}
	for _, status := range dag.Statuses() {
		q.Counts = append(q.Counts, store.CounterKey{Kind: run.Tasks().Kind, Index: "status", Value: string(status)})
	}
	rows, page, err := run.Tasks().List(ctx, h.db, q)
	if err != nil {
		return retention.Kept{}, err
	}
	k := retention.Kept{Rows: sum(page.Counts)}
	if len(rows) > 0 {
		k.Oldest = rows[0].Value.CreatedAt
	}
	k.Ever, err = h.ever(ctx, "tasks/", q.Counts, page.Counts)
	return k, err
}

// runCounts are the counters of all kinds of runs with these statuses.
func runCounts(statuses ...dag.Status) (all []store.CounterKey) {
	for _, kind := range []dag.Kind{dag.Batch, dag.Rollback, dag.Workflow} {
		for _, status := range statuses {
			all = append(all, store.CounterKey{Kind: run.Headers().Kind, Index: "status", Value: run.StatusKey(kind, status)})
		}
	}
	return all
}

func sum(counts []store.Count) (n int) {
	for _, c := range counts {
		n += c.N
	}
	return n
}

// ever returns by status how many rows of a class there are or were: what was pruned and what is
// there.
func (h *history) ever(ctx context.Context, class string, counters []store.CounterKey, now []store.Count) (map[string]int64, error) {
	pruned, err := retention.Pruned(ctx, h.db)
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
