package state

import (
	"context"
	"maps"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
)

// Totals counts workflows: single tasks and batches, not rollbacks, since the store was made. What
// was pruned is counted too, so a total never falls (contract Q19).
type Totals struct {
	Active    int64 // pending and running
	Completed int64
	Failed    int64
	Cancelled int64
	// Snapshots is how many snapshots are kept for good: the first of each workflow that was not
	// pruned, the last of each that has ended, and those of failures. What a workflow shows beside
	// them while it runs is not counted.
	Snapshots int64
}

// All returns the number of workflows.
func (t Totals) All() int64 { return t.Active + t.Completed + t.Failed + t.Cancelled }

// kinds are the kinds of runs that are workflows.
var kinds = []dag.Kind{dag.Workflow, dag.Batch}

// CountWorkflows returns the totals. It reads counters of one moment and the tally of what was
// pruned, again when something was pruned in between.
func CountWorkflows(ctx context.Context, db store.DB) (Totals, error) {
	q := store.Query{Kind: run.Headers().Kind}
	for _, kind := range kinds {
		for _, status := range dag.Statuses() {
			q.Counts = append(q.Counts, store.CounterKey{Kind: q.Kind, Index: "status", Value: run.StatusKey(kind, status)})
		}
	}
	q.Counts = append(q.Counts, store.CounterKey{Kind: run.Tasks().Kind, Index: "status", Value: string(dag.StatusFailed)})
	pruned, err := retention.Pruned(ctx, db)
	for {
		if err != nil {
			return Totals{}, err
		}
		page, err := db.List(ctx, q)
		if err != nil {
			return Totals{}, err
		}
		again, err := retention.Pruned(ctx, db)
		if err != nil || maps.Equal(pruned, again) {
			return totalsOf(q.Counts, page.Counts, pruned), err
		}
		pruned = again
	}
}

// totalsOf adds up what the counters of CountWorkflows say.
func totalsOf(keys []store.CounterKey, counts []store.Count, pruned map[string]int64) (t Totals) {
	failedWorkflows, n := int64(0), 0
	for _, kind := range kinds {
		for _, status := range dag.Statuses() {
			here := int64(counts[n].N)
			ever := here + pruned["runs/"+keys[n].Value]
			n++
			t.Snapshots += 2 * here
			switch status {
			case dag.StatusCompleted:
				t.Completed += ever
			case dag.StatusFailed:
				t.Failed += ever
			case dag.StatusCancelled:
				t.Cancelled += ever
			default:
				t.Active += ever
				t.Snapshots -= here // it has no last one yet
			}
			if kind == dag.Workflow && status == dag.StatusFailed {
				failedWorkflows = here // the failure of a single task is its last snapshot
			}
		}
	}
	t.Snapshots += int64(counts[n].N) - failedWorkflows
	return t
}

// AverageDuration returns how long workflows took from their start to their end: the mean of those
// among the last store.MaxPage runs that ended, 0 when there is none.
func AverageDuration(ctx context.Context, db store.DB) (time.Duration, error) {
	rows, _, err := run.Headers().List(ctx, db, store.Query{Index: "ended", Reverse: true, Limit: store.MaxPage})
	var sum, n time.Duration
	for i := range rows {
		if h := &rows[i].Value; h.Kind != dag.Rollback && h.StartedAt != nil {
			sum += max(0, run.EndOf(h).Sub(*h.StartedAt))
			n++
		}
	}
	return sum / max(1, n), err
}
