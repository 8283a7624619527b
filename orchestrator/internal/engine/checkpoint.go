package engine

import (
	"context"
	"fmt"

	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/naming"
)

// maxCheckpointName is the bytes of a batch's name in the name of its checkpoints.
const maxCheckpointName = 200

// checkpoint takes the automatic checkpoint that is due, beside the run. One that cannot be taken
// is left out: nothing depends on it.
func (r *runner) checkpoint(ctx context.Context) {
	h, e := r.run.Header, r.e
	c := run.Checkpoint{Automatic: true, Description: "taken by itself while batch " + h.ID + " ran",
		Name: fmt.Sprintf("%s after %d operations", naming.Clip(h.Name, maxCheckpointName), h.Counts.Completed)}
	ctx = audit.WithContext(context.WithoutCancel(ctx), &audit.Context{Actor: audit.Actor{Sub: "service:" + run.Origin}})
	e.work.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, commitWait)
		defer cancel()
		if _, err := e.Checkpoints.Take(ctx, c); err != nil {
			e.Log.Warn("engine: an automatic checkpoint could not be taken", "run", h.ID, "error", err)
		}
	})
}
