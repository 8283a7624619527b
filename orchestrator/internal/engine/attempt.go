package engine

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
)

// overrun is how long an attempt may ignore the end of its time before its outcome counts as
// unknown.
const overrun = 10 * time.Second

// attemptContext is an attempt at work, and the context of it: one timer serves its deadline and then its
// overrun. As a context it does not end with the engine's but by the runner, which stops its
// attempts when it leaves.
type attemptContext struct {
	context.Context // of the engine, for its values
	dag.Launch
	r *runner

	returned bool // its result has come; of the goroutine of runner.loop

	mu    sync.Mutex    // guards all below
	done  chan struct{} // made when it is asked for
	err   error
	timer *time.Timer
	over  bool // its place is given back
}

// dispatch starts an attempt that is stored. Its result comes back as a message.
func (r *runner) dispatch(ctx context.Context, l dag.Launch) {
	f := &attemptContext{Context: ctx, Launch: l, r: r}
	r.attempts[l.Attempt.ID] = f
	r.claim(&l)
	if r.e.inPool(ctx, f.run) {
		runtime.Gosched() // an attempt that is over at once leaves its goroutine to the next
	}
}

// returns takes in that the result of an attempt has come.
func (r *runner) returns(id string) {
	if f := r.attempts[id]; f != nil && !f.returned {
		f.returned = true
		r.returned++
	}
}

// done forgets an attempt whose result is stored. Not before: a cycle that was made ready while the attempt was at work, and is stored
// after its result has come, names it among those that are due, and would make it a second time.
func (r *runner) done(id string) {
	if f := r.attempts[id]; f != nil && f.returned {
		r.returned--
		delete(r.attempts, id)
	}
}

// atWork returns the number of attempts whose result has not come.
func (r *runner) atWork() int { return len(r.attempts) - r.returned }

// Deadline implements context.Context.
func (f *attemptContext) Deadline() (time.Time, bool) { return f.Attempt.Deadline, true }

// Done implements context.Context.
func (f *attemptContext) Done() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done == nil {
		f.done = make(chan struct{})
		if f.err != nil {
			close(f.done)
		}
	}
	return f.done
}

// Err implements context.Context.
func (f *attemptContext) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// stop cancels the context.
func (f *attemptContext) stop() { f.end(context.Canceled) }

// end ends the context; the first reason stays.
func (f *attemptContext) end(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return
	}
	f.err = why
	if f.done != nil {
		close(f.done)
	}
}

// fly makes the attempt and posts its result.
func (f *attemptContext) run() {
	res := f.attempt()
	f.stop()
	f.report(res)
}

// land reports what the attempt came to.
func (f *attemptContext) report(res dag.Result) {
	f.r.post(message{command: dag.Done{Ref: f.Ref, ID: f.Attempt.ID, Result: res}})
}

// rest is how long a goroutine waits for its next work.
const rest = time.Second

// inPool does work on a goroutine of its own, until ctx ends on one that did other work just
// before: growing a stack costs more than an attempt that does little, or a short run. It says
// whether the goroutine is a new one.
func (e *Engine) inPool(ctx context.Context, work func()) (started bool) {
	select {
	case e.idle <- work:
		return false
	default:
	}
	first := work // or each call would have work on the heap
	e.work.Go(func() {
		work := first
		tired := time.NewTimer(rest)
		defer tired.Stop()
		for {
			work()
			tired.Reset(rest)
			select {
			case work = <-e.idle:
			case <-tired.C:
				return
			case <-ctx.Done():
				return
			}
		}
	})
	return true
}

// attempt waits for a place and makes the attempt.
func (f *attemptContext) attempt() dag.Result {
	e := f.r.e
	select {
	case e.steps <- struct{}{}: // without a look at Done, which would have to be made
	default:
		select {
		case e.steps <- struct{}{}:
		case <-f.Done():
			return dag.Result{Class: dag.Stopped, Error: "stopped before it began"}
		}
	}
	f.begin()
	defer f.leave()
	if f.Err() != nil || f.Context.Err() != nil {
		return dag.Result{Class: dag.Stopped, Error: "stopped before it began"}
	}
	res := e.execute(f, f.Attempt)
	if res.Class == "" {
		res = dag.Result{Class: dag.UnknownOutcome, Error: "the executor gave no result"}
	}
	return res
}

// begin starts the time of an attempt that has its place.
func (f *attemptContext) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Attempt.Deadline = time.Now().Add(f.Timeout)
	f.timer = time.AfterFunc(f.Timeout, f.expire)
}

// leave gives the place back; it returns false when that was done before.
func (f *attemptContext) leave() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return false
	}
	f.over = true
	f.timer.Stop()
	<-f.r.e.steps
	return true
}

// expire ends the context at the deadline. Then the attempt may overrun.
func (f *attemptContext) expire() {
	f.end(context.DeadlineExceeded)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.over {
		f.timer = time.AfterFunc(overrun, f.giveUp)
	}
}

// giveUp no longer waits for the attempt: whatever holds it up shall not hold up the others.
func (f *attemptContext) giveUp() {
	if !f.leave() {
		return
	}
	f.r.e.Log.Error("engine: an attempt does not end at its deadline; its outcome is unknown", "run", f.r.id, "task", f.Attempt.TaskID, "step", f.Attempt.Step.Name)
	f.report(dag.Result{Class: dag.UnknownOutcome, Error: "timeout: the attempt did not end"})
}

// execute makes the attempt; a panic of a provider is an unknown outcome, not the end of the
// process.
func (e *Engine) execute(ctx context.Context, a dag.Attempt) (res dag.Result) {
	defer func() {
		if p := recover(); p != nil {
			e.Log.Error("engine: an attempt panicked", "task", a.TaskID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			res = dag.Result{Class: dag.UnknownOutcome, Error: "an internal fault interrupted the attempt; the log has the details"}
		}
	}()
	return e.Executor.Execute(ctx, a)
}
