package rollback

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Summary is what a rollback came to.
type Summary struct {
	ID         string
	Checkpoint string // that it goes back to; empty when operations were named
	By         string // username of who asked for it
	Begun      time.Time
	Ended      bool
	Planned    int // operations that it undoes, as counted when it began
	Executed   int // operations undone
	Failed     int // operations that could not be undone
	Duration   time.Duration
	Failures   []run.Failure // the first store.MaxPage
}

// ResultOf returns what a rollback has come to until now, or a fault of kind NotFound.
func ResultOf(ctx context.Context, db store.DB, rollbackID string, now time.Time) (Summary, error) {
	if !id.Valid(rollbackID) {
		return Summary{}, run.Unknown(dag.Rollback)
	}
	h, err := run.GetHeader(ctx, db, dag.Rollback, rollbackID)
	if err != nil {
		return Summary{}, err
	}
	res := summary(&h, now)
	if h.Counts.Failed == 0 {
		return res, nil
	}
	rows, _, err := run.Failures().List(ctx, db, store.Query{Prefix: id.Family(rollbackID), Limit: store.MaxPage})
	for _, row := range rows {
		if row.Value.Run == rollbackID {
			res.Failures = append(res.Failures, row.Value)
		}
	}
	return res, err
}

// summary sums up the header of a rollback.
func summary(h *dag.Header, now time.Time) Summary {
	res := Summary{ID: h.ID, Checkpoint: h.Checkpoint, By: h.Grant.Username, Begun: h.CreatedAt, Ended: h.State.Terminal(),
		Planned: h.Undo.Planned, Executed: h.Counts.Completed, Failed: h.Counts.Failed}
	if h.CompletedAt != nil {
		now = *h.CompletedAt
	}
	res.Duration = max(0, now.Sub(h.CreatedAt))
	return res
}

// List lists rollbacks, newest first, without their failures.
func List(ctx context.Context, db store.DB, p store.Place, now time.Time) (store.Window[Summary], error) {
	headers, err := run.Headers().Window(ctx, db, p, store.Query{Index: "kind", Prefix: string(dag.Rollback), Exact: true})
	w := store.Window[Summary]{Total: headers.Total, Inexact: headers.Inexact, Next: headers.Next}
	for i := range headers.Rows {
		w.Rows = append(w.Rows, store.Row[Summary]{Value: summary(&headers.Rows[i].Value, now), Rev: headers.Rows[i].Rev})
	}
	return w, err
}
