package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// A rollback is stored before anything is stopped or undone. What it has to do next follows from
// its document alone: while it is queued, end what runs; then wave by wave find what stands, store
// which operations these are, and undo them.

// wave begins the next wave of a rollback, patiently. It returns false when the run is not ours any
// more or ctx has ended.
func (r *runner) wave(ctx context.Context) bool {
	for try := 0; ; try++ {
		m, err := r.nextWave(ctx)
		switch {
		case ctx.Err() != nil:
			return false
		case err == nil && m == nil:
			return false
		case err == nil:
			return r.step(ctx, []message{*m})
		}
		r.e.Log.Error("engine: the next wave of a rollback cannot be made; trying again", "run", r.id, "error", err)
		if !r.sleep(ctx, try+1) {
			return false
		}
	}
}

// nextWave returns the command that begins the next wave; nil when the run is not ours any more.
func (r *runner) nextWave(ctx context.Context) (*message, error) {
	plan := r.run.Header.Undo
	w := dag.Wave{Planned: plan.Planned}
	if r.run.Header.State == dag.Queued && !plan.Listed {
		if ours, err := r.quiesce(ctx); !ours || err != nil {
			return nil, err
		}
		n, err := r.e.operationsAfter(ctx, run.Checkpoint{Cut: plan.Cut, EraFrom: plan.Era, EraTo: plan.EraTo})
		if err != nil {
			return nil, err
		}
		w.Planned = n
	}
	m := &message{}
	if !plan.Listed {
		leads, err := r.e.later(ctx, plan, r.e.Wave)
		if err != nil {
			return nil, err
		}
		list := run.Slice[string]{ID: run.SliceID(r.id, plan.Wave+1)}
		for _, lead := range leads {
			u, err := r.e.reversal(ctx, lead)
			if err != nil {
				return nil, err
			}
			w.Operations, list.Items = append(w.Operations, u), append(list.Items, lead.ID)
		}
		if len(leads) > 0 {
			own, err := run.Waves().Write(list, store.Any())
			if err != nil {
				return nil, err
			}
			m.writes = append(m.writes, own)
		}
		if plan.Wave > 0 {
			m.writes = append(m.writes, store.Write{Key: run.Waves().Key(run.SliceID(r.id, plan.Wave)), Expect: store.Any(), Action: store.Delete})
		}
	} else if plan.Wave < plan.Waves {
		var err error
		if w.Operations, err = r.e.listed(ctx, r.id, plan.Wave+1); err != nil {
			return nil, err
		}
	}
	m.command = w
	return m, nil
}

// listed returns the operations of a stored wave.
func (e *Engine) listed(ctx context.Context, rollbackID string, number int) ([]dag.Reversal, error) {
	list, err := run.Waves().Get(ctx, e.DB, run.SliceID(rollbackID, number))
	if err == nil && list.Rev == 0 {
		err = fmt.Errorf("rollback %s: its wave %d is missing", rollbackID, number)
	}
	if err != nil {
		return nil, err
	}
	operations := make([]dag.Reversal, 0, len(list.Value.Items))
	for _, leadID := range list.Value.Items {
		row, err := run.Effects().Get(ctx, e.DB, leadID)
		if err == nil && row.Rev == 0 {
			err = fmt.Errorf("rollback %s: the effect %s is missing", rollbackID, leadID)
		}
		if err != nil {
			return nil, err
		}
		u, err := e.reversal(ctx, run.EffectOf(row))
		if err != nil {
			return nil, err
		}
		operations = append(operations, u)
	}
	return operations, nil
}

// readRollback loads a rollback with its current wave.
func (e *Engine) readRollback(ctx context.Context, h dag.Header) (*dag.Run, error) {
	var operations []dag.Reversal
	if h.Undo.Wave > 0 && !h.State.Terminal() {
		var err error
		if operations, err = e.listed(ctx, h.ID, h.Undo.Wave); err != nil {
			return nil, err
		}
	}
	return dag.LoadRollback(h, operations, e.now()), nil
}

// lookRuns is how often a rollback that waits for runs to end looks for those that nobody drives
// yet.
const lookRuns = 100 * time.Millisecond

// quiesce cancels what has begun and waits for its end. A queued run has done nothing and goes on
// afterwards. ours is false when the rollback is not ours any more.
func (r *runner) quiesce(ctx context.Context) (ours bool, err error) {
	for {
		busy, err := r.e.underway(ctx)
		if err != nil || len(busy) == 0 {
			return true, err
		}
		left := 0 // runs that nobody has taken over yet
		for _, h := range busy {
			other := r.e.lookup(h.ID)
			if other == nil {
				left++
				continue
			}
			if err := r.e.cancel(ctx, other, "cancelled by a rollback"); err != nil && !fault.Is(err, fault.Conflict) {
				return true, err
			}
			for ended := false; !ended; {
				renew := time.NewTimer(max(time.Millisecond, r.renew-r.e.now().Up))
				select {
				case <-other.ended:
					ended = true
				case <-ctx.Done():
					renew.Stop()
					return true, store.ErrUnavailable.Because(ctx.Err())
				case <-renew.C:
					if !r.step(ctx, nil) {
						return false, nil
					}
				}
				renew.Stop()
			}
		}
		if left == 0 {
			continue
		}
		again := time.NewTimer(lookRuns)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return true, store.ErrUnavailable.Because(ctx.Err())
		}
	}
}

// underway returns the runs that have begun and not ended, but for rollbacks.
func (e *Engine) underway(ctx context.Context) (busy []dag.Header, err error) {
	q := store.Query{Index: "active", Limit: store.MaxPage}
	for {
		rows, page, err := run.Headers().List(ctx, e.DB, q)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if h := row.Value; h.Kind != dag.Rollback && h.State != dag.Queued {
				busy = append(busy, h)
			}
		}
		if !page.More {
			return busy, nil
		}
		q.After = page.Next
	}
}
