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

// takeOver takes over every unfinished run that nobody drives: those that this process owned before
// it was restarted, and those whose owner has not written them for a whole lease. Only the clock of
// this process measures that lease.
func (e *Engine) takeOver(ctx context.Context) error {
	found, err := store.Collect(run.Headers().All(ctx, e.DB, store.Query{Index: "active"}))
	if err != nil {
		return err
	}
	before := e.sightings
	e.sightings = map[string]sighting{}
	abandoned := found[:0]
	for _, row := range found {
		if row.Value.Owner == e.Instance || e.abandoned(row, before) {
			abandoned = append(abandoned, row)
		}
	}
	for _, row := range abandoned { // a rollback first: queued runs wait for its end
		if row.Value.Kind == dag.Rollback {
			e.takeOverRun(row)
		}
	}
	for _, row := range abandoned {
		e.takeOverRun(row)
	}
	return nil
}

// abandoned says whether another process has left a run, by what was seen of the run before.
func (e *Engine) abandoned(row store.Row[dag.Header], before map[string]sighting) bool {
	now := e.now().Up
	s, known := before[row.Value.ID]
	if !known || s.rev != row.Rev {
		s = sighting{rev: row.Rev, at: now}
	}
	e.sightings[row.Value.ID] = s
	return now-s.at >= e.Lease
}

func (e *Engine) takeOverRun(row store.Row[dag.Header]) {
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
		if e.rollbackID != "" && e.rollbackID != h.ID {
			return // one rollback at a time; a later call of takeOver takes this one
		}
		e.rollbackID = h.ID
	}
	e.runs[h.ID] = r
	e.launch(r)
}

// load reads the run from the store, again and again until it succeeds. first says that this
// process has never driven the run, so that the attempts at work have an unknown outcome. It
// returns false when another process owns the run, when the run is gone, or when ctx ends.
func (r *runner) load(ctx context.Context, first bool) bool {
	for try := 0; ; try++ {
		loaded, rev, err := run.Load(ctx, r.e.DB, r.id, r.e.now())
		if err == nil && (loaded == nil || loaded.Header.Owner != r.e.Instance && (!first || rev != r.sighted)) {
			if !first && loaded != nil {
				r.e.Log.Warn("engine: the run is driven by somebody else now", "run", r.id, "owner", loaded.Header.Owner)
			}
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
		if !backOff(ctx, try) {
			return false
		}
	}
}

// own makes a run that was made or read the runner's.
func (r *runner) own(loaded *dag.Run, rev uint64) {
	r.run, r.rev = loaded, rev
	r.run.May = r.judge
	if r.e.Traces != nil {
		r.span = SpanOfRun(&loaded.Header)
	}
	r.fit()
	if more := loaded.Busy() - r.taken; more > 0 { // these tasks run already, whatever the limit says
		r.taken += more
		r.e.semaphore.release(-more)
	}
}

// fit makes what the runner knows of each task as long as the tasks: of a run that was read, or of
// the next wave of a rollback.
func (r *runner) fit() {
	n := len(r.run.Tasks)
	r.sizes, r.decided = make([]int, n), make([]*rightDecision, n)
}

// begin tells a run that was taken over that its process is a new one, and starts it when it was
// never started.
func (r *runner) begin(ctx context.Context) bool {
	messages := []message{{command: dag.TakeOver{}}}
	if r.run.Header.State == dag.Queued && r.kind != dag.Rollback && !r.e.waitsForRollback(r.id) {
		messages = append(messages, message{command: dag.Start{}})
	}
	return r.step(ctx, messages)
}

// waitsForRollback says whether a run waits for a rollback to end.
func (e *Engine) waitsForRollback(runID string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	waits := e.rollbackID != "" && e.rollbackID != runID
	if waits {
		e.queues.rollback.join(runID)
	}
	return waits
}
