package engine

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/store"
)

// sighting is what was seen of a run that another process drives.
type sighting struct {
	rev uint64
	at  time.Duration // of dag.Now.Up: when it was first seen at that revision
}

// adopt takes over every unfinished run that nobody drives: those this process owned before it was
// restarted, and those that their owner has not written for a whole lease. That is measured by the
// own clock alone.
func (e *Engine) adopt(ctx context.Context) error {
	found, err := store.Collect(run.Headers().All(ctx, e.DB, store.Query{Index: "active"}))
	if err != nil {
		return err
	}
	before := e.sightings
	e.sightings = map[string]sighting{}
	left := found[:0]
	for _, row := range found {
		if row.Value.Owner == e.Instance || e.left(row, before) {
			left = append(left, row)
		}
	}
	for _, row := range left { // a rollback first: it holds back what is queued
		if row.Value.Kind == dag.Rollback {
			e.adoptRun(row)
		}
	}
	for _, row := range left {
		e.adoptRun(row)
	}
	return nil
}

// left says whether another process has left a run, by what was seen of it before.
func (e *Engine) left(row store.Row[dag.Header], before map[string]sighting) bool {
	now := e.now().Up
	s, known := before[row.Value.ID]
	if !known || s.rev != row.Rev {
		s = sighting{rev: row.Rev, at: now}
	}
	e.sightings[row.Value.ID] = s
	return now-s.at >= e.Lease
}

func (e *Engine) adoptRun(row store.Row[dag.Header]) {
	h := row.Value
	r := e.newRunner(h.ID, h.Kind)
	if h.Owner != e.Instance {
		r.sighted = row.Rev
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped || e.runs[h.ID] != nil {
		return
	}
	if h.Kind == dag.Rollback {
		if e.undoing != "" && e.undoing != h.ID {
			return // one at a time; its turn comes
		}
		e.undoing = h.ID
	}
	e.runs[h.ID] = r
	e.launch(r)
}

// load reads the run from the store, patiently. first says that this process has never driven it,
// so that what was at work has an unknown outcome. It returns false when the run is not ours, is
// gone, or ctx ends.
func (r *runner) load(ctx context.Context, first bool) bool {
	for try := 0; ; try++ {
		loaded, rev, err := run.Load(ctx, r.e.DB, r.id, r.e.now())
		if err == nil && (loaded == nil || loaded.Header.Owner != r.e.Instance && (!first || rev != r.sighted)) {
			if first || loaded == nil {
				return false
			}
			r.e.Log.Warn("engine: the run is driven by somebody else now", "run", r.id, "owner", loaded.Header.Owner)
			return false
		}
		if err == nil {
			r.own(loaded, rev)
			if !first || loaded.Done() {
				return true
			}
			return r.begin(ctx)
		}
		if ctx.Err() != nil {
			return false
		}
		r.e.Log.Error("engine: a run cannot be loaded; trying again", "run", r.id, "error", err)
		if !r.sleep(ctx, try) {
			return false
		}
	}
}

// own makes what was read the runner's.
func (r *runner) own(loaded *dag.Run, rev uint64) {
	r.run, r.rev = loaded, rev
	r.run.May = r.judge
	r.fit()
	if more := loaded.Busy() - r.held; more > 0 { // they run, whatever the limit says
		r.held += more
		r.e.semaphore.give(-more)
	}
}

// fit makes room for what is known of each task: of a run that was read, or of the next wave of a
// rollback.
func (r *runner) fit() {
	n := len(r.run.Tasks)
	r.sizes, r.decided = make([]int, n), make([]*rightDecision, n)
}

// begin tells an adopted run that its process is a new one, and starts it when it was never
// started.
func (r *runner) begin(ctx context.Context) bool {
	messages := []message{{command: dag.Adopt{}}}
	if r.run.Header.State == dag.Queued && r.kind != dag.Rollback && !r.e.held(r.id) {
		messages = append(messages, message{command: dag.Start{}})
	}
	return r.step(ctx, messages)
}

// held says whether a rollback holds back the run.
func (e *Engine) held(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.undoing != "" && e.undoing != id
}
