package engine

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// A rollback is stored before anything is stopped or undone. What it has to do next follows from
// its header alone: while it is queued, cancel what has begun; then wave by wave find what stands,
// store which operations these are, and undo them.

// beginWave begins the next wave of a rollback; it tries until it succeeds. It returns false when
// another process owns the run or ctx has ended.
func (r *runner) beginWave(ctx context.Context) bool {
	for try := 1; ; try++ {
		m, err := r.nextWave(ctx)
		switch {
		case ctx.Err() != nil || err == nil && m == nil:
			return false
		case err == nil:
			return r.step(ctx, []message{*m})
		}
		r.e.Log.Error("engine: the next wave of a rollback cannot be made; trying again", "run", r.id, "error", err)
		if !backOff(ctx, try) {
			return false
		}
	}
}

// nextWave returns the command that begins the next wave; nil when another process owns the run.
func (r *runner) nextWave(ctx context.Context) (*message, error) {
	h := &r.run.Header
	if h.State == dag.Queued && !h.Undo.Listed {
		if ours, err := r.quiesce(ctx); !ours || err != nil {
			return nil, err
		}
	}
	wave, writes, err := r.e.planner.Next(ctx, h)
	return &message{command: wave, writes: writes}, err
}

// lookRuns is how often a rollback that waits for runs to end looks for those that no process has
// taken over yet.
const lookRuns = 100 * time.Millisecond

// quiesce cancels what has begun and waits for its end. A queued run has done nothing and goes on
// afterwards. ours is false when another process owns the rollback.
func (r *runner) quiesce(ctx context.Context) (ours bool, err error) {
	for {
		busy, err := r.e.underway(ctx)
		if err != nil || len(busy) == 0 {
			return true, err
		}
		unowned := 0 // runs that no process has taken over yet
		for _, h := range busy {
			other := r.e.lookup(h.ID)
			if other == nil {
				unowned++
				continue
			}
			if err := r.e.cancel(ctx, other, id.New(), "cancelled by a rollback"); err != nil && !fault.Is(err, fault.Conflict) {
				return true, err
			}
			if ours, err := r.awaitEnd(ctx, other); !ours || err != nil {
				return ours, err
			}
		}
		if unowned > 0 && !clock.Pause(ctx, lookRuns, nil) {
			return true, store.ErrUnavailable.Because(ctx.Err())
		}
	}
}

// awaitEnd waits for the end of another run and renews the lease of the rollback meanwhile.
func (r *runner) awaitEnd(ctx context.Context, other *runner) (ours bool, err error) {
	for {
		renew := time.NewTimer(max(time.Millisecond, r.renew-r.e.now().Up))
		select {
		case <-other.ended:
			renew.Stop()
			return true, nil
		case <-ctx.Done():
			renew.Stop()
			return true, store.ErrUnavailable.Because(ctx.Err())
		case <-renew.C:
			if !r.step(ctx, nil) {
				return false, nil
			}
		}
	}
}

// underway returns the runs that have begun and not ended, but for rollbacks.
func (e *Engine) underway(ctx context.Context) (busy []dag.Header, err error) {
	for row, err := range run.Headers().All(ctx, e.DB, store.Query{Index: "active"}) {
		if err != nil {
			return nil, err
		}
		if h := row.Value; h.Kind != dag.Rollback && h.State != dag.Queued {
			busy = append(busy, h)
		}
	}
	return busy, nil
}
