// Package engine owns runs: it lets them be submitted, drives each with one goroutine, and takes
// over those that a crash has left behind.
//
// It owns the commits that change runs, the dispatch of attempts to the executor, and who may go on
// with a run. It does not own the rules (package dag), what an attempt does (package operation),
// the documents (package run), what a rollback undoes (package rollback), or what is pruned
// (package history).
//
// The one rule: commit, then act. Every change of a run, with its events and its audit entries, is
// one commit on the revision of the run's header; what is due is asked from the state after it. One
// such round is a commit cycle (cycle.go). When a commit fails or its outcome is unknown, the
// engine drops the run from memory, loads it again, and applies the same commands to what is
// stored: recovery and ordinary work are the same code.
package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/rollback"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/trace"
)

// Executor makes attempts. Execute returns when the attempt has ended; it ends early when ctx does.
// It is safe to call with the same attempt twice, and says so when it cannot tell what happened.
type Executor interface {
	Execute(ctx context.Context, a dag.Attempt) dag.Result
}

// Instant is an Executor that knows the result of some Resolve attempts at once, without I/O. That
// saves a commit.
type Instant interface {
	Instant(a dag.Attempt) (dag.Result, bool)
}

// Rights says what the submitter of a run may do now (decision 39).
type Rights interface {
	// Changed returns a number that differs after every change that may change what Submitter
	// returns.
	Changed() uint64
	// Submitter returns what the submitter with the grant g may do until Changed returns another
	// number.
	Submitter(ctx context.Context, g dag.Grant) (Submitter, error)
}

// Submitter decides whether somebody may do an operation of a run, and says why not.
type Submitter = func(*dag.Header, *dag.Operation) (*audit.DecisionRecord, string)

// Config is what an Engine is made of; zero values get the defaults named.
type Config struct {
	DB       store.DB
	Executor Executor
	Rights   Rights           // nil: whoever could submit may do it
	Now      func() time.Time // wall clock, which is stored and shown; time.Now
	Log      *slog.Logger     // nowhere
	Meter    Meter            // none
	Traces   *trace.Tracer    // nil: no spans
	Instance string           // name of this process, the same after a restart; "single"
	Lease    time.Duration    // how long a run is not written before another process takes it over; 10 s
	Policy   dag.Policy       // what definitions leave open; dag.DefaultPolicy
	Limits   dag.Limits
	MaxTasks int // tasks running at once; 1000
	MaxSteps int // attempts running at once; 64
	Wave     int // effects of one wave of a rollback; dag.WaveEffects
}

// Engine drives runs. Make one with New; it works while Run does.
type Engine struct {
	Config
	semaphore *semaphore
	places    chan struct{} // one element an attempt at work; MaxSteps of them
	queues    queues

	buffers sync.Pool // of *buffer

	begun     time.Time           // when dag.Now.Up was 0
	sightings map[string]sighting // runs of other processes; of Run's goroutine

	Checkpoints *rollback.Checkpoints
	planner     rollback.Planner

	pruning sync.Mutex // locked while a step of history is made and committed: the plan of a rollback is made outside of one

	mu            sync.Mutex
	runs          map[string]*runner // the runs this process owns
	rollbackID    string             // the rollback that runs; other runs wait
	ctx           context.Context    // of Run; nil before it
	tookOver      bool               // what was unfinished when Run began is in runs
	stopped       bool
	rollbackEnded bool           // since RollbackEnded was last asked
	work          sync.WaitGroup // runners and attempts
}

// New returns an engine that does nothing yet.
func New(c Config) *Engine {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Instance == "" {
		c.Instance = "single"
	}
	if c.Lease == 0 {
		c.Lease = 10 * time.Second
	}
	if c.MaxTasks == 0 {
		c.MaxTasks = 1000
	}
	if c.MaxSteps == 0 {
		c.MaxSteps = 64
	}
	if c.Wave == 0 {
		c.Wave = dag.WaveEffects
	}
	c.Policy = c.Policy.Or(dag.DefaultPolicy())
	points := &rollback.Checkpoints{DB: c.DB, Eras: rollback.NewEras(c.Wave / 4), Now: c.Now}
	e := &Engine{
		Config: c, Checkpoints: points, planner: rollback.Planner{Checkpoints: points, Effects: c.Wave},
		begun: time.Now().Add(-time.Second), places: make(chan struct{}, c.MaxSteps),
		runs: map[string]*runner{}, buffers: sync.Pool{New: func() any { return new(buffer) }},
	}
	e.semaphore = &semaphore{free: c.MaxTasks, queue: &e.queues.slots}
	return e
}

// now is the present moment. Config.Now may step; the time since begun does not.
func (e *Engine) now() dag.Now { return dag.Now{Wall: e.Now(), Up: time.Since(e.begun)} }

// Run takes over what is unfinished and drives runs until ctx ends. It returns nil when all its
// goroutines have ended; the next Run looks up what the attempts came to that were at work then.
func (e *Engine) Run(ctx context.Context) error {
	for try := 1; ; try++ {
		err := e.Checkpoints.Eras.Open(ctx, e.DB)
		if err == nil {
			err = e.Checkpoints.LoadVerification(ctx)
		}
		if err == nil || ctx.Err() != nil {
			break
		}
		e.Log.Error("engine: the last era, or whether the inventory is verified, cannot be read; trying again", "error", err)
		backOff(ctx, try)
	}
	e.mu.Lock()
	e.ctx = ctx
	for _, r := range e.runs { // submitted before Run
		if r.admitted {
			e.launch(r)
		}
	}
	e.mu.Unlock()
	for wait := time.Duration(0); clock.Pause(ctx, wait, nil); wait = e.Lease / 2 {
		err := e.takeOver(ctx)
		if err != nil && ctx.Err() == nil {
			e.Log.Error("engine: unfinished runs cannot be listed; trying again", "error", err)
		}
		e.mu.Lock()
		if err == nil && !e.tookOver {
			if e.tookOver = true; e.rollbackID == "" {
				e.startWaiting()
			}
		}
		e.mu.Unlock()
	}
	e.mu.Lock()
	e.stopped = true
	e.mu.Unlock()
	e.awaitWork()
	return nil
}

// patience bounds how long a stopping engine waits for attempts that were told to stop.
const patience = 15 * time.Second

// awaitWork waits until no runner and no attempt is at work, at most patience.
func (e *Engine) awaitWork() {
	done := make(chan struct{})
	go func() {
		e.work.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
		e.Log.Error("engine: attempts do not stop; leaving them, their outcome will be looked up")
	}
}

// launch starts the goroutine of a run, once Run has begun; under mu.
func (e *Engine) launch(r *runner) {
	if e.ctx == nil || r.launched {
		return
	}
	r.launched = true
	e.work.Go(func() { r.loop(e.ctx) })
}

// errStopping is the answer to whoever comes when the engine stops.
var errStopping = fault.New(fault.Unavailable, "engine.stopping", "The orchestrator is stopping or has not started yet; retry shortly.")

// register adds a run that is about to be committed. added is false when the process has the run
// already; waits says that the run may not start before a rollback has ended.
func (e *Engine) register(r *runner) (added, waits bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return false, false, errStopping
	}
	if e.runs[r.id] != nil {
		return false, false, nil
	}
	e.runs[r.id] = r
	if waits = e.startsWait() && e.rollbackID != r.id; waits {
		e.queues.rollback.join(r.id)
	}
	return true, waits, nil
}

// startsWait says whether new runs wait: for the end of a rollback, or until it is known whether
// there is one; under mu.
func (e *Engine) startsWait() bool {
	return e.rollbackID != "" || e.ctx != nil && !e.tookOver
}

// forget removes a run that has ended or that another process owns.
func (e *Engine) forget(r *runner) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.runs[r.id] == r {
		delete(e.runs, r.id)
	}
	e.queues.rollback.leave(r.id)
	if e.rollbackID == r.id && (r.run == nil || r.run.Done()) {
		e.rollbackEnded = true
		e.startWaiting()
	}
}

// startWaiting starts the runs that waited for a rollback to end; under mu. A run that has started
// ignores it.
func (e *Engine) startWaiting() {
	e.rollbackID = ""
	for _, r := range e.runs {
		e.queues.rollback.leave(r.id)
		r.post(message{command: dag.Start{}})
	}
}

// lookup returns the runner of a run, nil when this process has none.
func (e *Engine) lookup(id string) *runner {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.runs[id]
}
