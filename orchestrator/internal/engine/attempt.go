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

// overrun is how long an attempt may ignore the end of its time before its outcome counts as unknown.
const overrun = 10 * time.Second

// dispatch starts an attempt that is stored. Its result comes back as a message.
func (r *runner) dispatch(ctx context.Context, l dag.Launch) {
	own, cancel := context.WithCancel(ctx)
	r.flights[l.Attempt.ID] = cancel
	if r.e.labour(ctx, func() {
		defer cancel()
		r.post(message{command: dag.Done{Ref: l.Ref, ID: l.Attempt.ID, Result: r.e.attempt(own, r, l)}})
	}) {
		runtime.Gosched() // an attempt that is over at once leaves its goroutine to the next
	}
}

// rest is how long a goroutine waits for its next work.
const rest = time.Second

// labour does work on a goroutine of its own, until ctx ends on one that did other work just before: growing a stack
// costs more than an attempt that does little, or a short run. It says whether the goroutine is a new one.
func (e *Engine) labour(ctx context.Context, work func()) (started bool) {
	select {
	case e.idle <- work:
		return false
	default:
	}
	e.work.Go(func() {
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
func (e *Engine) attempt(ctx context.Context, r *runner, l dag.Launch) dag.Result {
	select {
	case e.steps <- struct{}{}:
	case <-ctx.Done():
		return dag.Result{Class: dag.Stopped, Error: "stopped before it began"}
	}
	free := sync.OnceFunc(func() { <-e.steps })
	defer free()
	if ctx.Err() != nil {
		return dag.Result{Class: dag.Stopped, Error: "stopped before it began"}
	}
	ctx, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	l.Attempt.Deadline, _ = ctx.Deadline()
	ref, id, task, step := l.Ref, l.Attempt.ID, l.Attempt.TaskID, l.Attempt.Step.Name // not all of l, which is large
	hung := time.AfterFunc(l.Timeout+overrun, func() {
		e.Log.Error("engine: an attempt does not end at its deadline; its outcome is unknown", "run", r.id, "task", task, "step", step)
		r.post(message{command: dag.Done{Ref: ref, ID: id, Result: dag.Result{Class: dag.UnknownOutcome, Error: "timeout: the attempt did not end"}}})
		free() // whatever holds it up shall not hold up the others
	})
	defer hung.Stop()
	res := e.execute(ctx, l.Attempt)
	if res.Class == "" {
		res = dag.Result{Class: dag.UnknownOutcome, Error: "the executor gave no result"}
	}
	return res
}

// execute makes the attempt; a panic of a provider is an unknown outcome, not the end of the process.
func (e *Engine) execute(ctx context.Context, a dag.Attempt) (res dag.Result) {
	defer func() {
		if p := recover(); p != nil {
			e.Log.Error("engine: an attempt panicked", "task", a.TaskID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			res = dag.Result{Class: dag.UnknownOutcome, Error: "an internal fault interrupted the attempt; the log has the details"}
		}
	}()
	return e.Executor.Execute(ctx, a)
}
