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

// cancel posts the command with its audit entry and waits until it is committed.
func (e *Engine) cancel(ctx context.Context, r *runner, commandID, why string) error {
	scene := audit.ContextOf(ctx)
	entry := run.Entry(ctx, audit.EntryDraft{Action: run.Singular(r.kind) + ".cancel", Resource: run.Plural(r.kind) + "/" + r.id}, e.Now())
	body, err := entry.Encode()
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
	m := message{command: dag.Cancel{ID: commandID, By: by, Reason: why}, entry: body, writes: settled, reply: make(chan error, 1)}
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
