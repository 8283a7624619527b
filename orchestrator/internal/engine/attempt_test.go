package engine

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/operation"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider/simulated"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/pebblestore"
)

// making is an executor made of a function.
type making func(ctx context.Context, a dag.Attempt) dag.Result

func (m making) Execute(ctx context.Context, a dag.Attempt) dag.Result { return m(ctx, a) }

// TestAttempt_endsInTime holds what an executor sees of its time, and what comes of one that does
// not keep it.
func TestAttempt_endsInTime(t *testing.T) {
	t.Parallel()
	const timeout = time.Minute
	ok := dag.Result{Class: dag.OK}
	type result struct {
		class dag.Class
		after time.Duration
	}
	for _, c := range []struct {
		name string
		stop time.Duration // when the runner stops it; 0: never
		make making
		want []result // what the run hears, and when
	}{
		{"at once", 0, func(context.Context, dag.Attempt) dag.Result { return ok }, []result{{dag.OK, 0}}},
		{"no class", 0, func(context.Context, dag.Attempt) dag.Result { return dag.Result{} }, []result{{dag.UnknownOutcome, 0}}},
		{"panic", 0, func(context.Context, dag.Attempt) dag.Result { panic("x") }, []result{{dag.UnknownOutcome, 0}}},
		{"until its deadline", 0, func(ctx context.Context, a dag.Attempt) dag.Result {
			if at, ok := ctx.Deadline(); !ok || !at.Equal(a.Deadline) || time.Until(at) != timeout || ctx.Err() != nil {
				t.Errorf("deadlines %v %v, error %v", at, a.Deadline, ctx.Err())
			}
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			called := make(chan struct{})
			context.AfterFunc(ctx, func() { close(called) })
			<-child.Done()
			<-called
			<-ctx.Done()
			if ctx.Err() != context.DeadlineExceeded || child.Err() != context.DeadlineExceeded ||
				context.Cause(ctx) != context.DeadlineExceeded {
				t.Errorf("ended with %v, child %v, cause %v", ctx.Err(), child.Err(), context.Cause(ctx))
			}
			return dag.Result{Class: dag.TimedOut}
		}, []result{{dag.TimedOut, timeout}}},
		{"until it is stopped", time.Second, func(ctx context.Context, _ dag.Attempt) dag.Result {
			child, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			<-child.Done()
			if ctx.Err() != context.Canceled || child.Err() != context.Canceled {
				t.Errorf("ended with %v, child %v", ctx.Err(), child.Err())
			}
			return dag.Result{Class: dag.Stopped}
		}, []result{{dag.Stopped, time.Second}}},
		{"longer than its deadline", 0, func(context.Context, dag.Attempt) dag.Result {
			<-time.After(timeout + overrun - 1)
			return ok
		}, []result{{dag.OK, timeout + overrun - 1}}},
		{"longer than its overrun", time.Second, func(context.Context, dag.Attempt) dag.Result {
			<-time.After(time.Hour)
			return ok
		}, []result{{dag.UnknownOutcome, timeout + overrun}, {dag.OK, time.Hour}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := New(Config{Executor: c.make, MaxSteps: 1})
			r := e.newRunner("run", dag.Batch)
			ctx, cancel := context.WithCancel(t.Context())
			began := time.Now()
			r.dispatch(ctx, dag.Launch{Timeout: timeout, Attempt: dag.Attempt{ID: "1"}})
			if c.stop > 0 {
				time.AfterFunc(c.stop, r.attempts["1"])
			}
			for i, want := range c.want {
				<-r.wake
				got := r.take()
				if len(got) != 1 || got[0].command.(dag.Done).Result.Class != want.class || time.Since(began) != want.after {
					t.Errorf("%s: message %d after %v is %+v, want %+v", c.name, i, time.Since(began), got, want)
				}
				if len(e.places) != 0 {
					t.Errorf("%s: its place is taken after message %d", c.name, i)
				}
			}
			<-time.After(2 * time.Hour)
			if len(r.take()) != 0 {
				t.Errorf("%s: there is more", c.name)
			}
			cancel()
			e.work.Wait()
		})
	}
}

// TestAttempt_thatIsStoppedInTheQueueNeverBegins stops one that waits for a place.
func TestAttempt_thatIsStoppedInTheQueueNeverBegins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		e := New(Config{MaxSteps: 1, Executor: making(func(ctx context.Context, a dag.Attempt) dag.Result {
			if a.ID != "first" {
				t.Error("it began")
			}
			<-ctx.Done()
			return dag.Result{Class: dag.OK}
		})})
		r := e.newRunner("run", dag.Batch)
		for _, id := range []string{"first", "second"} {
			r.dispatch(ctx, dag.Launch{Timeout: time.Hour, Attempt: dag.Attempt{ID: id}})
			synctest.Wait()
		}
		for _, id := range []string{"second", "first"} {
			r.attempts[id]()
			synctest.Wait()
			if got := r.take(); len(got) != 1 || got[0].command.(dag.Done).ID != id {
				t.Errorf("stopped %s: %+v", id, got)
			}
		}
		cancel()
		e.work.Wait()
	})
}

// BenchmarkAttempt makes servers at a simulated provider that takes no time: from dispatch until
// the run has the result. Ten are under way at once. One iteration is one attempt.
func BenchmarkAttempt(b *testing.B) {
	log := slog.New(slog.DiscardHandler)
	db, err := pebblestore.Open(b.TempDir(), store.Schema{Service: "orchestrator", Kinds: run.Schema()}, log)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	d, err := simulated.Open(simulated.Config{}, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	x := operation.New(operation.Config{Providers: map[string]provider.Driver{"simulated": d}, Inventory: run.Inventory{DB: db}, Log: log})
	e := New(Config{DB: db, Executor: x})
	r := e.newRunner("run", dag.Batch)
	launches := make([]dag.Launch, b.N)
	for i := range launches {
		name := fmt.Sprint("server-", i)
		op := dag.Operation{Type: "server_batch", Verb: "create", Provider: "simulated", Wait: true,
			Servers: []dag.ServerConfig{{Name: name, Plan: "1xCPU-1GB", Zone: "de-fra1"}}}
		steps, _ := operation.Expand(op)
		launches[i] = dag.Launch{Timeout: time.Hour, Attempt: dag.Attempt{
			ID: fmt.Sprintf("%036d", i), Tag: fmt.Sprintf("%036d", i), Kind: dag.Do, RunID: "run", TaskID: fmt.Sprintf("%036d", i),
			Number: 1, Operation: &op, Step: steps[0],
		}}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for len(launches) > 0 {
		n := min(10, len(launches))
		for _, l := range launches[:n] {
			r.dispatch(b.Context(), l)
		}
		launches = launches[n:]
		for n > 0 {
			<-r.wake
			for _, m := range r.take() {
				done := m.command.(dag.Done)
				if done.Result.Class != dag.OK {
					b.Fatalf("%+v", done.Result)
				}
				delete(r.attempts, done.ID)
				n--
			}
		}
	}
}
