package engine

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

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
	Planned  int // operations that it undoes, as counted when it began
	Executed int // operations undone
	Failed   int // operations that could not be undone
	Duration time.Duration
	Failures []RollbackFailure // the first store.MaxPage
}

// RollbackFailure is an operation that could not be undone.
type RollbackFailure struct {
	Task  string
	Name  string
	Error string
}

// errRollback is the answer while another rollback runs.
var errRollback = fault.New(fault.Conflict, "rollback.running", "Another rollback is running; wait until it has ended.")

// Rollback undoes what the request names and waits for the end. The request is judged before
// anything is stopped; then the rollback is stored, and goes on when the caller leaves or the
// process dies. One rollback runs at a time; new submissions wait for its end.
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
	e.rollback = q.ID // what is submitted from now on is held back
	life := e.ctx
	scene := *audit.ContextOf(ctx) // the request's own belongs to its goroutine
	type outcome struct {
		r   *runner
		err error
	}
	begun := make(chan outcome, 1)
	e.work.Go(func() { // the caller may leave; what it began goes on
		detached, cancel := context.WithCancel(audit.WithContext(context.WithoutCancel(ctx), &scene))
		defer cancel()
		defer context.AfterFunc(life, cancel)()
		e.awaitPruning()
		r, err := e.beginRollback(detached, q)
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
		audit.ContextOf(ctx).MarkRecorded()
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
	if !id.Valid(rollbackID) {
		return RollbackResult{}, run.Unknown(dag.Rollback, rollbackID)
	}
	h, err := run.GetHeader(ctx, e.DB, dag.Rollback, rollbackID)
	if err != nil {
		return RollbackResult{}, err
	}
	res := RollbackResult{ID: h.ID, Ended: h.State.Terminal(), Planned: h.Undo.Planned, Executed: h.Counts.Completed, Failed: h.Counts.Failed}
	end := e.Now()
	if h.CompletedAt != nil {
		end = *h.CompletedAt
	}
	res.Duration = max(0, end.Sub(h.CreatedAt))
	if h.Counts.Failed == 0 {
		return res, nil
	}
	rows, _, err := run.Failures().List(ctx, e.DB, store.Query{Prefix: id.Family(rollbackID), Limit: store.MaxPage})
	for _, row := range rows {
		if f := row.Value; f.Run == rollbackID {
			res.Failures = append(res.Failures, RollbackFailure{Task: f.Task, Name: f.Name, Error: f.Error})
		}
	}
	return res, err
}

// beginRollback judges a request and stores the rollback.
func (e *Engine) beginRollback(ctx context.Context, q RollbackRequest) (*runner, error) {
	act := audit.Act{Action: "rollback.execute", Resource: "rollbacks/" + q.ID}
	var plan dag.UndoPlan
	var lists []run.Slice[string]
	switch {
	case q.Checkpoint != "":
		act.Resource = "checkpoints/" + q.Checkpoint
		c, err := e.checkpoint(ctx, q.Checkpoint)
		if err != nil {
			return nil, err
		}
		if c.RecordOnly {
			return nil, fault.New(fault.Conflict, "checkpoint.record_only",
				"What a rollback to the checkpoint %s would need is not kept any more ([retention] checkpoint_effects); it is a record only. Use a later checkpoint or name operations.", c.Name)
		}
		plan = dag.UndoPlan{Cut: c.Cut, Era: c.EraFrom, EraTo: c.EraTo}
		if plan.Planned, err = e.operationsAfter(ctx, c); err != nil {
			return nil, err
		}
	case len(q.Operations) == 0:
		return nil, fault.New(fault.Invalid, "rollback.nothing_named", "Name a checkpoint or at least one operation.")
	default:
		leads, err := e.undoSet(ctx, q)
		if err != nil {
			return nil, err
		}
		lists = e.divideIntoWaves(q.ID, leads)
		plan = dag.UndoPlan{Listed: true, Planned: len(leads), Waves: len(lists)}
	}
	act.Details = map[string]any{"operations": plan.Planned, "rollback": q.ID}
	return e.submitRollback(ctx, q, plan, lists, act)
}

// divideIntoWaves cuts the leads of operations, in the order in which they are undone, into waves.
func (e *Engine) divideIntoWaves(rollbackID string, leads []dag.Effect) (lists []run.Slice[string]) {
	found := e.Wave // in the last wave
	for i := range leads {
		if found >= e.Wave {
			lists, found = append(lists, run.Slice[string]{ID: run.SliceID(rollbackID, len(lists)+1)}), 0
		}
		last := &lists[len(lists)-1]
		last.Items, found = append(last.Items, leads[i].ID), found+leads[i].Of
	}
	return lists
}

// maxLists is how many waves are stored in one commit.
const maxLists = 64

// submitRollback stores a rollback and launches it. The waves that it names go first: without it
// they mean nothing.
func (e *Engine) submitRollback(ctx context.Context, q RollbackRequest, plan dag.UndoPlan, lists []run.Slice[string], act audit.Act) (*runner, error) {
	now := e.now()
	body, grant, err := granted(ctx, act, dag.Grant{}, now.Wall)
	if err != nil {
		return nil, err
	}
	var writes []store.Write
	for i, l := range lists {
		w, err := run.Waves().Write(l, store.Any())
		if err != nil {
			return nil, err
		}
		if writes = append(writes, w); len(writes) == maxLists && i+1 < len(lists) {
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
	r.own(dag.NewRollback(q.ID, plan, e.Policy, grant, q.Checkpoint, now), 0)
	err = r.first(ctx, writes, body, now)
	if err := e.admit(ctx, r, false, err); err != nil {
		if fault.Is(err, fault.Conflict) {
			return nil, known
		}
		return nil, err
	}
	return r, nil
}
