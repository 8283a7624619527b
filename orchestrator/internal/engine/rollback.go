package engine

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// maxUndone bounds the operations of one rollback.
const maxUndone = 20_000

// RollbackRequest names what to undo: everything completed after a checkpoint, or certain operations by task id,
// "<batch id>/<operation id>" or an operation id that only one batch has.
type RollbackRequest struct {
	ID         string // of the rollback; fresh when empty
	Checkpoint string
	Operations []string
	Cascade    bool // also undo what depends on the operations named
}

// RollbackResult is what a rollback came to.
type RollbackResult struct {
	ID       string
	Ended    bool
	Executed int // operations undone
	Failed   int // operations that could not be undone
	Duration time.Duration
	Failures []RollbackFailure
}

// RollbackFailure is an operation that could not be undone.
type RollbackFailure struct {
	Task  string
	Name  string
	Error string
}

// errRollback is the answer while another rollback runs.
var errRollback = fault.New(fault.Conflict, "rollback.running", "Another rollback is running; wait until it has ended.")

// Rollback undoes what the request names and waits for the end. It is durable: when the caller leaves or the
// process dies, it goes on. One rollback runs at a time; new submissions wait for its end.
func (e *Engine) Rollback(ctx context.Context, q RollbackRequest) (RollbackResult, error) {
	if q.ID == "" {
		q.ID = id.New()
	}
	if known, err := e.rejoin(ctx, q.ID); known {
		if err != nil {
			return RollbackResult{ID: q.ID}, err
		}
		return e.outcome(ctx, q.ID)
	}
	e.mu.Lock()
	switch {
	case !e.adopted || e.stopped:
		e.mu.Unlock()
		return RollbackResult{}, errStopping
	case e.rollback != "":
		e.mu.Unlock()
		return RollbackResult{}, errRollback
	}
	e.rollback = q.ID
	live := slices.Collect(maps.Values(e.runs)) // what comes from now on is held back
	life := e.ctx
	scene := *audit.SceneOf(ctx) // the request's own belongs to its goroutine
	type outcome struct {
		r   *runner
		err error
	}
	begun := make(chan outcome, 1)
	e.work.Go(func() { // the caller may leave; what it began goes on
		detached, cancel := context.WithCancel(audit.WithScene(context.WithoutCancel(ctx), &scene))
		defer cancel()
		defer context.AfterFunc(life, cancel)()
		r, err := e.beginRollback(detached, q, live)
		if err != nil {
			e.mu.Lock()
			if e.rollback == q.ID && e.runs[q.ID] == nil {
				e.freeRollback()
			}
			e.mu.Unlock()
		}
		begun <- outcome{r, err}
	})
	e.mu.Unlock()
	select {
	case o := <-begun:
		if o.err != nil {
			return RollbackResult{}, o.err
		}
		audit.SceneOf(ctx).MarkRecorded()
		select {
		case <-o.r.ended:
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	return e.outcome(ctx, q.ID)
}

// outcome returns what a rollback came to after it was waited for, and a fault when it has not ended.
func (e *Engine) outcome(ctx context.Context, rollbackID string) (RollbackResult, error) {
	if err := ctx.Err(); err != nil {
		return RollbackResult{ID: rollbackID}, fault.New(fault.Unavailable, "rollback.pending", "The rollback %s goes on; its end was not waited for.", rollbackID).Because(err)
	}
	got, err := e.RollbackByID(ctx, rollbackID)
	if err == nil && !got.Ended {
		err = fault.New(fault.Unavailable, "rollback.pending", "The orchestrator is stopping; the rollback %s goes on when it is back.", rollbackID)
	}
	return got, err
}

// adoptWithin is how often rejoin looks whether somebody has taken up a rollback that nobody runs yet.
const adoptWithin = 100 * time.Millisecond

// rejoin waits for a rollback that a request with the same id began before, for example in a process that was killed
// before it could answer; known is false when there is none.
func (e *Engine) rejoin(ctx context.Context, rollbackID string) (known bool, err error) {
	for {
		h, err := e.header(ctx, dag.Rollback, rollbackID)
		switch {
		case fault.Is(err, fault.NotFound):
			return false, nil
		case err != nil:
			return true, err
		}
		audit.SceneOf(ctx).MarkRecorded() // by the request that began it
		e.mu.Lock()
		r, life := e.runs[rollbackID], e.ctx
		e.mu.Unlock()
		switch {
		case h.State.Terminal():
			return true, nil
		case life == nil:
			return true, errStopping
		case r != nil:
			select {
			case <-r.ended:
			case <-ctx.Done():
			}
			return true, nil
		}
		again := time.NewTimer(adoptWithin) // just started, or another process owns it
		select {
		case <-again.C:
		case <-life.Done():
			again.Stop()
			return true, errStopping
		case <-ctx.Done():
			again.Stop()
			return true, nil
		}
	}
}

// RollbackByID returns what a rollback has come to so far.
func (e *Engine) RollbackByID(ctx context.Context, rollbackID string) (RollbackResult, error) {
	h, err := e.header(ctx, dag.Rollback, rollbackID)
	if err != nil {
		return RollbackResult{}, err
	}
	res := RollbackResult{ID: h.ID, Ended: h.State.Terminal(), Executed: h.Counts.Completed, Failed: h.Counts.Failed}
	end := e.Now()
	if h.CompletedAt != nil {
		end = *h.CompletedAt
	}
	res.Duration = max(0, end.Sub(h.CreatedAt))
	if h.Counts.Failed == 0 {
		return res, nil
	}
	nodes, err := e.tasksOf(ctx, undos(), rollbackID)
	for i := range nodes {
		if nodes[i].State == dag.Failed {
			res.Failures = append(res.Failures, RollbackFailure{Task: nodes[i].Undoes, Name: nodes[i].Name, Error: nodes[i].Error})
		}
	}
	return res, err
}

// Rollbacks lists the headers of rollbacks, newest first.
func (e *Engine) Rollbacks(ctx context.Context, p store.Place) (store.Window[dag.Header], error) {
	return headers().Window(ctx, e.DB, p, store.Query{Index: "kind", Prefix: string(dag.Rollback), Exact: true})
}

// beginRollback finds what is to be undone and submits it as a run; live are the runs there were when it was asked for.
func (e *Engine) beginRollback(ctx context.Context, q RollbackRequest, live []*runner) (*runner, error) {
	var chosen []dag.Task
	var err error
	act := audit.Act{Action: "rollback.execute", Resource: "rollbacks/" + q.ID}
	if q.Checkpoint != "" {
		act.Resource = "checkpoints/" + q.Checkpoint
		c, err := e.checkpoint(ctx, q.Checkpoint)
		if err != nil {
			return nil, err
		}
		if err := e.quiesce(ctx, live); err != nil {
			return nil, err
		}
		if chosen, err = e.effectsAfter(ctx, c); err != nil {
			return nil, err
		}
	} else if len(q.Operations) == 0 {
		return nil, fault.New(fault.Invalid, "rollback.nothing_named", "Name a checkpoint or at least one operation.")
	} else if chosen, err = e.choose(ctx, q); err != nil {
		return nil, err
	}
	if len(chosen) > maxUndone {
		return nil, fault.New(fault.Conflict, "rollback.too_large", "%d operations would be undone, at most %d are in one rollback; undo a part by operation ids first.", len(chosen), maxUndone)
	}
	act.Details = map[string]any{"operations": len(chosen), "rollback": q.ID}
	nodes, err := e.undoing(ctx, q.ID, chosen)
	if err != nil {
		return nil, err
	}
	d := dag.Definition{Kind: dag.Rollback, Name: "rollback", Nodes: nodes, ParallelLimit: dag.DefaultParallel, Policy: e.Policy}
	accepted, err := e.submit(ctx, Submission{ID: q.ID, Definition: d, Act: act}, chosen, q.Checkpoint)
	if err != nil {
		return nil, err
	}
	if accepted == nil {
		return nil, fault.New(fault.Conflict, "rollback.known", "There is a rollback with the id %s already.", q.ID)
	}
	return accepted.runner, nil
}

// quiesce cancels what has begun and waits for its end.
func (e *Engine) quiesce(ctx context.Context, live []*runner) error {
	for _, r := range live {
		h, err := headers().Get(ctx, e.DB, r.id)
		if err != nil {
			return err
		}
		if r.kind == dag.Rollback || h.Value.State == dag.Queued {
			continue // a queued run has done nothing and goes on afterwards
		}
		if err := e.cancel(ctx, r, "cancelled by a rollback"); err != nil && !fault.Is(err, fault.Conflict) {
			return err
		}
		select {
		case <-r.ended:
		case <-ctx.Done():
			return store.ErrUnavailable.Because(ctx.Err())
		}
	}
	return nil
}
