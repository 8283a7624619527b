package engine

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/trace"
)

// overrun is how long an attempt may ignore the end of its time before its outcome counts as
// unknown.
const overrun = 10 * time.Second

// dispatch starts an attempt that is stored. Its result comes back as a message. The attempt
// context does not end with ctx, that of the engine: the runner stops its attempts when it ends.
func (r *runner) dispatch(ctx context.Context, l dag.Launch) {
	own, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.attempts[l.Attempt.ID] = stop
	r.claim(&l)
	parent := r.spanOf(l.Attempt.TaskID)
	r.e.work.Go(func() {
		defer stop()
		r.report(&l, r.perform(ctx, own, l, parent))
	})
}

// report posts what an attempt came to.
func (r *runner) report(l *dag.Launch, res dag.Result) {
	r.post(message{command: dag.Done{Ref: l.Ref, ID: l.Attempt.ID, Result: res}})
}

// perform waits for one of Config.MaxSteps places and makes the attempt within its time. life is
// the context of the engine: an attempt that gets its place after the end of life does not begin.
// An attempt that still goes on an overrun after its deadline gives its place to others; its
// outcome is unknown then. parent is the span of the task.
func (r *runner) perform(life, ctx context.Context, l dag.Launch, parent trace.SpanContext) dag.Result {
	e := r.e
	if !e.enter(ctx, l.Attempt.ID) {
		return dag.Result{Class: dag.Stopped, Error: "stopped before it began"}
	}
	var left atomic.Bool
	leave := func() bool {
		first := left.CompareAndSwap(false, true)
		if first {
			<-e.places
		}
		return first
	}
	defer leave()
	if ctx.Err() != nil || life.Err() != nil {
		return dag.Result{Class: dag.Stopped, Error: "stopped before it began"}
	}
	began := time.Now()
	l.Attempt.Deadline = began.Add(l.Timeout)
	ctx, cancel := context.WithDeadline(ctx, l.Attempt.Deadline)
	defer cancel()
	late := time.AfterFunc(l.Timeout+overrun, func() {
		if leave() {
			e.Log.Error("engine: an attempt does not end at its deadline; its outcome is unknown", "run", r.id, "task",
				l.Attempt.TaskID, "step", l.Attempt.Step.Name)
			r.report(&l, dag.Result{Class: dag.UnknownOutcome, Error: "timeout: the attempt did not end"})
		}
	})
	defer late.Stop()
	res := e.execute(ctx, l.Attempt)
	if e.Meter != nil {
		e.Meter.AttemptTook(l.Attempt.Kind, time.Since(began))
	}
	e.recordAttempt(&l.Attempt, res.Class, parent, began)
	return res
}

// execute has the executor make an attempt. No result, and a panic of a provider, are an unknown
// outcome, not the end of the process.
func (e *Engine) execute(ctx context.Context, a dag.Attempt) (res dag.Result) {
	defer func() {
		if p := recover(); p != nil {
			e.Log.Error("engine: an attempt panicked", "task", a.TaskID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			res = dag.Result{Class: dag.UnknownOutcome, Error: "an internal fault interrupted the attempt; the log has the details"}
		}
	}()
	if res = e.Executor.Execute(ctx, a); res.Class == "" {
		res = dag.Result{Class: dag.UnknownOutcome, Error: "the executor gave no result"}
	}
	return res
}
