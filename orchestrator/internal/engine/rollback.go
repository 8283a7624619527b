package engine

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/rollback"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/trace"
)

// errRollback is the answer while another rollback runs.
var errRollback = fault.New(fault.Conflict, "rollback.running", "Another rollback is running; wait until it has ended.").
	After(5 * time.Second)

// Rollback undoes what the request names and waits for the end. The request is judged before
// anything is stopped; then the rollback is stored, and goes on when the caller leaves or the
// process dies. One rollback runs at a time; new submissions wait for its end.
func (e *Engine) Rollback(ctx context.Context, q rollback.Request) (rollback.Summary, error) {
	if q.ID == "" {
		q.ID = id.New()
	}
	if known, err := e.rejoin(ctx, q.ID); known {
		if err != nil {
			return rollback.Summary{ID: q.ID}, err
		}
		return e.outcome(ctx, q.ID)
	}
	begun, err := e.announce(ctx, q)
	if err != nil {
		return rollback.Summary{}, err
	}
	select {
	case b := <-begun:
		if b.err != nil {
			return rollback.Summary{}, b.err
		}
		audit.ContextOf(ctx).MarkRecorded()
		select {
		case <-b.r.ended:
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	return e.outcome(ctx, q.ID)
}

// Preview says what Rollback would undo (rollback.Planner.Preview).
func (e *Engine) Preview(ctx context.Context, q rollback.Request, foresee rollback.ForeseeUndo) (int, []rollback.Previewed, error) {
	return e.planner.Preview(ctx, q, foresee)
}

// begunRollback is the runner of a rollback that was stored, or why it was not.
type begunRollback struct {
	r   *runner
	err error
}

// announce makes runs that are submitted from now on wait, and begins a rollback, which goes on
// when the caller leaves.
func (e *Engine) announce(ctx context.Context, q rollback.Request) (<-chan begunRollback, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case !e.tookOver || e.stopped:
		return nil, errStopping
	case e.rollbackID != "":
		return nil, errRollback
	}
	e.rollbackID = q.ID
	life := e.ctx
	scene := *audit.ContextOf(ctx) // a copy: that of the request belongs to its goroutine
	begun := make(chan begunRollback, 1)
	e.work.Go(func() {
		detached, cancel := context.WithCancel(audit.WithContext(context.WithoutCancel(ctx), &scene))
		defer cancel()
		defer context.AfterFunc(life, cancel)()
		e.awaitPruning()
		r, err := e.beginRollback(detached, q)
		if err != nil {
			e.mu.Lock()
			if e.rollbackID == q.ID && e.runs[q.ID] == nil {
				e.startWaiting()
			}
			e.mu.Unlock()
		}
		begun <- begunRollback{r, err}
	})
	return begun, nil
}

// outcome returns what a rollback came to after it was waited for, and a fault when it has not
// ended.
func (e *Engine) outcome(ctx context.Context, rollbackID string) (rollback.Summary, error) {
	if err := ctx.Err(); err != nil {
		return rollback.Summary{ID: rollbackID}, fault.New(fault.Unavailable, "rollback.pending",
			"The rollback %s goes on; its end was not waited for.", rollbackID).Because(err)
	}
	got, err := rollback.ResultOf(ctx, e.DB, rollbackID, e.Now())
	if err == nil && !got.Ended {
		err = fault.New(fault.Unavailable, "rollback.pending",
			"The orchestrator is stopping; the rollback %s goes on when it is back.", rollbackID)
	}
	return got, err
}

// takeOverWithin is how often rejoin looks whether a process has taken over a rollback that nobody
// runs yet.
const takeOverWithin = 100 * time.Millisecond

// rejoin waits for a rollback that a request with the same id began before, for example in a
// process that was killed before it could answer; known is false when there is none.
func (e *Engine) rejoin(ctx context.Context, rollbackID string) (known bool, err error) {
	for {
		h, err := run.GetHeader(ctx, e.DB, dag.Rollback, rollbackID)
		switch {
		case fault.Is(err, fault.NotFound):
			return false, nil
		case err != nil:
			return true, err
		}
		audit.ContextOf(ctx).MarkRecorded() // by the request that began it
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
		if !clock.Pause(ctx, takeOverWithin, life.Done()) { // just started, or another process owns it
			return true, nil
		}
		if life.Err() != nil {
			return true, errStopping
		}
	}
}

// beginRollback judges a request and stores the rollback.
func (e *Engine) beginRollback(ctx context.Context, q rollback.Request) (*runner, error) {
	act := audit.EntryDraft{Action: "rollback.execute", Resource: "rollbacks/" + q.ID}
	if q.Checkpoint != "" {
		act.Resource = "checkpoints/" + q.Checkpoint
	}
	plan, err := e.planner.Plan(ctx, q)
	if err != nil {
		return nil, err
	}
	act.Details = map[string]any{"operations": plan.Planned, "recreate": q.Recreate, "rollback": q.ID}
	return e.submitRollback(ctx, q, plan, act)
}

// maxWaves is how many waves are stored in one commit.
const maxWaves = 64

// submitRollback stores a rollback and launches it. Its waves are stored first: without the header
// they mean nothing.
func (e *Engine) submitRollback(ctx context.Context, q rollback.Request, plan rollback.Plan, act audit.EntryDraft) (*runner, error) {
	now := e.now()
	body, grant, err := granted(ctx, act, dag.Grant{}, now.Wall)
	if err != nil {
		return nil, err
	}
	var writes []store.Write
	for i, wave := range plan.Waves {
		w, err := run.Waves().Write(wave, store.Any())
		if err != nil {
			return nil, err
		}
		if writes = append(writes, w); len(writes) == maxWaves && i+1 < len(plan.Waves) {
			if _, err := e.DB.Commit(ctx, store.Batch{Writes: writes}); err != nil {
				return nil, err
			}
			writes = nil
		}
	}
	r := e.newRunner(q.ID, dag.Rollback)
	added, _, err := e.register(r)
	if err != nil {
		return nil, err
	}
	known := fault.New(fault.Conflict, "rollback.known", "There is a rollback with the id %s already.", q.ID)
	if !added {
		return nil, known
	}
	fresh := dag.NewRollback(q.ID, plan.UndoPlan, e.Policy, grant, q.Checkpoint, now)
	fresh.Header.Trace = trace.At(ctx).String()
	r.own(fresh, 0)
	err = r.first(ctx, writes, body, now)
	if err := e.admit(ctx, r, false, err); err != nil {
		if fault.Is(err, fault.Conflict) {
			return nil, known
		}
		return nil, err
	}
	return r, nil
}
