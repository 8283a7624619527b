package engine

import (
	"context"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// Cancel ends a batch or a workflow: what has not started never starts, what runs is told to stop,
// what is done stays. When it returns nil, the cancel is stored and nothing more starts. Who
// cancels comes from the audit.Context of ctx. It returns a fault of kind NotFound for an unknown
// run, Conflict for one that has ended, and Unavailable when it may not be stored. commandID is a
// fresh id, or that of an earlier call: when that one cancelled the run, Cancel returns nil again.
func (e *Engine) Cancel(ctx context.Context, kind dag.Kind, runID, commandID string) error {
	r := e.lookup(runID) // before the header is read: a run that ends in between is found ended
	h, err := run.GetHeader(ctx, e.DB, kind, runID)
	if err != nil {
		return err
	}
	if r != nil {
		if err := e.cancel(ctx, r, commandID, ""); !fault.Is(err, fault.Conflict) {
			return err
		}
		if h, err = run.GetHeader(ctx, e.DB, kind, runID); err != nil { // by which command it ended
			return err
		}
	}
	if !h.State.Terminal() {
		return errStopping // not taken over yet, or just ending
	}
	return dag.Apply(dag.Load(h, nil, nil, e.now()), dag.Cancel{ID: commandID}, e.now())
}

// CancelTask ends one task. One of a batch ends alone: the tasks that depend on it end, too, the
// others go on, and nothing is undone (decision 64). Apart from that it is as Cancel.
func (e *Engine) CancelTask(ctx context.Context, taskID, commandID string) error {
	t, err := run.GetTask(ctx, e.DB, taskID)
	if err != nil {
		return err
	}
	if !t.Batch {
		return e.Cancel(ctx, dag.Workflow, taskID, commandID)
	}
	r := e.lookup(t.Run)
	if t, err = run.GetTask(ctx, e.DB, taskID); err != nil { // again: a run that ended in between has no runner
		return err
	}
	if r != nil {
		act := audit.EntryDraft{Action: "task.cancel", Resource: "tasks/" + taskID, Details: map[string]any{"batch": t.Run}}
		refused := e.command(ctx, r, act, func(by string) dag.Command {
			return dag.CancelTask{Task: int32(t.Number), ID: commandID, By: by}
		})
		if !fault.Is(refused, fault.Conflict) {
			return refused
		}
		if t, err = run.GetTask(ctx, e.DB, taskID); err != nil {
			return err
		}
		if !t.State.Terminal() {
			return refused
		}
	}
	switch {
	case !t.State.Terminal():
		return errStopping
	case t.CancelID == commandID:
		return nil
	}
	return fault.New(fault.Conflict, "task.ended", "This task has already ended (%s) and cannot be cancelled.", t.Status())
}

// cancel cancels a run and waits until that is committed.
func (e *Engine) cancel(ctx context.Context, r *runner, commandID, why string) error {
	act := audit.EntryDraft{Action: run.Singular(r.kind) + ".cancel", Resource: run.Plural(r.kind) + "/" + r.id}
	return e.command(ctx, r, act, func(by string) dag.Command { return dag.Cancel{ID: commandID, By: by, Reason: why} })
}

// command posts a command of somebody with its audit entry and waits until it is committed.
func (e *Engine) command(ctx context.Context, r *runner, act audit.EntryDraft, of func(by string) dag.Command) error {
	scene := audit.ContextOf(ctx)
	body, err := run.Entry(ctx, act, e.Now()).Encode()
	if err != nil {
		return err
	}
	by := scene.Actor.Username
	if by == "" {
		by = "the orchestrator"
	}
	settled, err := scene.Settlement(audit.Success)
	if err != nil {
		return err
	}
	for i := range settled { // A refused write would be tried again for ever, and nobody else writes the key of a request that runs.
		settled[i].Expect = store.Any()
	}
	m := message{command: of(by), entry: body, writes: settled, reply: make(chan error, 1)}
	r.post(m)
	select {
	case err := <-m.reply:
		if err == nil {
			scene.MarkRecorded()
		}
		return err
	case <-ctx.Done():
		return fault.New(fault.Unavailable, "engine.cancel_pending",
			"The cancel was not confirmed in time; look at the %s before trying again.", r.kind).Because(ctx.Err())
	}
}
