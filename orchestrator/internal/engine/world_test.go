package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

// schema is the engine's own.
func schema() store.Schema {
	return store.Schema{Service: "orchestrator", Kinds: run.Schema()}
}

// world is a provider in memory: effects by tag, a log of what was done, and scripted trouble.
type world struct {
	mu      sync.Mutex
	effects map[string]string // tag -> step name
	calls   []string          // "do web-01", "undo web-01" in the order they took effect
	trouble map[string][]dag.Result
	block   map[string]bool // step names whose Do waits for its context
	running int
	peak    int
	delay   time.Duration
	spread  time.Duration  // by so much more, times 0 to 9 by its name, does a step take
	engines int            // that work on it
	claims  map[string]int // steps at work by tag, of all engines
	early   []string       // attempts at steps that were not claimed
	again   []string       // attempts that were made twice
	made    map[string]int // how often an attempt was made, by its id
}

func newWorld() *world {
	return &world{effects: map[string]string{}, trouble: map[string][]dag.Result{}, block: map[string]bool{}, claims: map[string]int{},
		made: map[string]int{}}
}

// Claim implements engine.Claimer.
func (w *world) Claim(a dag.Attempt) (release func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.claims[a.Tag]++
	return sync.OnceFunc(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.claims[a.Tag]--; w.claims[a.Tag] == 0 {
			delete(w.claims, a.Tag)
		}
	})
}

// serve counts the engines that work on the world. When the last one has ended, no step may be at
// work.
func (w *world) serve(t testing.TB, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.engines += n; w.engines == 0 && (len(w.claims) > 0 || len(w.early) > 0 || len(w.again) > 0) {
		t.Errorf("at work after the end: %v; not claimed before they began: %v; made twice: %v", w.claims, w.early, w.again)
	}
}

// fails scripts the next results of "do web-01", "undo web-01" and so on.
func (w *world) fails(what string, results ...dag.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trouble[what] = append(w.trouble[what], results...)
}

// Execute implements engine.Executor.
func (w *world) Execute(ctx context.Context, a dag.Attempt) dag.Result {
	if a.Kind == dag.Resolve {
		return w.resolve(a)
	}
	w.mu.Lock()
	if w.claims[a.Tag] == 0 && ctx.Err() == nil { // its engine has not stopped meanwhile
		w.early = append(w.early, string(a.Kind)+" "+a.Step.Name)
	}
	if w.made[a.ID]++; w.made[a.ID] > 1 {
		w.again = append(w.again, string(a.Kind)+" "+a.Step.Name)
	}
	w.running++
	w.peak = max(w.peak, w.running)
	blocked := w.block[a.Step.Name]
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.running--
		w.mu.Unlock()
	}()
	if a.Kind == dag.Do && blocked {
		<-ctx.Done()
		return dag.Result{Class: dag.Stopped, Error: "stopped"}
	}
	if delay := w.delay + w.spread*time.Duration(crc32.ChecksumIEEE([]byte(a.Step.Name))%10); delay > 0 {
		select {
		case <-ctx.Done():
			return dag.Result{Class: dag.Stopped, Error: "stopped"}
		case <-time.After(delay):
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	what := string(a.Kind) + " " + a.Step.Name
	if script := w.trouble[what]; len(script) > 0 {
		w.trouble[what] = script[1:]
		if script[0].Class == dag.UnknownOutcome && a.Kind == dag.Do {
			w.do(a, what)
		}
		return script[0]
	}
	switch a.Kind {
	case dag.Do:
		w.do(a, what)
	case dag.Undo:
		w.calls = append(w.calls, what)
		delete(w.effects, a.Tag)
		return dag.Result{Class: dag.OK, Resources: []dag.Resource{{Gone: true, Kind: "server", Name: a.Step.Name, Provider: "p"}}}
	case dag.Find:
		if w.effects[a.Tag] == "" {
			return dag.Result{Class: dag.NotFoundClass}
		}
	}
	return dag.Result{Class: dag.OK, Output: "did " + a.Step.Name, Facts: map[string]string{"id": a.Tag},
		Resources: []dag.Resource{resource(a.Step.Name, a.Tag)}}
}

// resource is what the world reports of a step.
func resource(name, tag string) dag.Resource {
	return dag.Resource{Kind: "server", Name: name, Provider: "p", Facts: map[string]string{"id": tag, "tag": tag}}
}

// ProviderNames implements rollback.ServerLister.
func (w *world) ProviderNames() []string { return []string{"p"} }

// Servers implements rollback.ServerLister.
func (w *world) Servers(context.Context, string) (all []dag.Resource, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for tag, name := range w.effects {
		all = append(all, resource(name, tag))
	}
	return all, nil
}

func (w *world) do(a dag.Attempt, what string) {
	if w.effects[a.Tag] == "" { // a repeat with the same tag does nothing
		w.calls = append(w.calls, what)
	}
	w.effects[a.Tag] = a.Step.Name
}

func (w *world) resolve(a dag.Attempt) dag.Result {
	res := dag.Result{Class: dag.OK}
	for _, s := range a.Operation.Servers {
		res.Steps = append(res.Steps, dag.Step{Action: "server.create", Name: s.Name, Provider: "p"})
	}
	for _, target := range a.Operation.Targets {
		for _, ts := range a.Operation.Taskservs {
			res.Steps = append(res.Steps, dag.Step{Action: "taskserv.install", Name: ts + " on " + target, Target: target, Provider: "p"})
		}
	}
	return res
}

func (w *world) log() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

func (w *world) left() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.effects)
}

// servers is an operation that makes servers; services one that installs on those of its
// dependencies.
func servers(id string, deps []string, names ...string) dag.Node {
	n := dag.Node{ID: id, Dependencies: deps, Operation: dag.Operation{Type: "server_batch", Verb: "create", Provider: "p"}}
	for _, name := range names {
		n.Operation.Servers = append(n.Operation.Servers, dag.ServerConfig{Name: name})
	}
	return n
}

func services(id string, deps []string, names ...string) dag.Node {
	return dag.Node{ID: id, Dependencies: deps,
		Operation: dag.Operation{Type: "taskserv_batch", Verb: "create", Provider: "p", Taskservs: names}}
}

func batch(nodes ...dag.Node) engine.Submission {
	return engine.Submission{Definition: dag.Definition{Kind: dag.Batch, Name: "demo", Nodes: nodes},
		Act: audit.EntryDraft{Action: "batch.execute"}}
}

func workflow(names ...string) engine.Submission {
	n := servers("", nil, names...)
	n.Name, n.Command = "create_servers", "provisioning servers create"
	return engine.Submission{Definition: dag.Definition{Kind: dag.Workflow, Name: "create_servers", Nodes: []dag.Node{n}},
		Act: audit.EntryDraft{Action: "server.create"}}
}

// started is an engine at work on a store; stop ends it.
type started struct {
	*engine.Engine
	t    testing.TB
	db   store.DB
	stop func()
}

func start(t testing.TB, db store.DB, x engine.Executor, change ...func(*engine.Config)) *started {
	c := engine.Config{DB: db, Executor: x}
	for _, f := range change {
		f(&c)
	}
	e := engine.New(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = e.Run(ctx)
	}()
	s := &started{Engine: e, t: t, db: db}
	w, _ := x.(*world)
	if w != nil {
		w.serve(t, 1)
	}
	s.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		if w != nil {
			w.serve(t, -1)
		}
	})
	t.Cleanup(s.stop)
	return s
}

func (s *started) submit(sub engine.Submission) engine.Submitted {
	s.t.Helper()
	got, err := s.Submit(scene(), sub)
	if err != nil {
		s.t.Fatalf("submit: %v", err)
	}
	return got
}

// scene is the context of a request by alice.
func scene() context.Context {
	return audit.WithContext(context.Background(), &audit.Context{
		Actor: audit.Actor{Sub: "u1", Username: "alice"}, Decision: &audit.DecisionRecord{Allowed: true, Policy: 7, Rule: "r1"},
		Origin: "orchestrator",
	})
}

// until waits (in synctest time) for a batch or a workflow to be in a state that suits.
func (s *started) until(runID string, suits func(run.Batch) bool) run.Batch {
	s.t.Helper()
	for range 10_000 {
		v := s.view(runID)
		if suits(v) {
			return v
		}
		<-time.After(10 * time.Millisecond)
	}
	s.t.Fatalf("waited too long for run %s: %+v", runID, s.view(runID))
	return run.Batch{}
}

func (s *started) view(runID string) run.Batch {
	s.t.Helper()
	if v, err := run.GetBatch(context.Background(), s.DB, runID); err == nil {
		return v
	}
	t, err := run.GetTask(context.Background(), s.DB, runID)
	if err != nil && !fault.Is(err, fault.NotFound) {
		s.t.Fatal(err)
	}
	return run.Batch{Run: dag.Header{State: t.State}, Tasks: []dag.Task{t}}
}

func (s *started) ended(runID string) run.Batch {
	s.t.Helper()
	return s.until(runID, func(v run.Batch) bool { return v.Run.State.Terminal() })
}

// stream returns the bodies of a stream.
func stream(t testing.TB, db store.DB, name string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for after := uint64(0); ; {
		got, err := db.Read(context.Background(), name, after, store.MaxPage)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range got.Entries {
			var m map[string]any
			if err := json.Unmarshal(e.Body, &m); err != nil {
				t.Fatalf("%v in %s", err, e.Body)
			}
			if name == run.EventStream { // its members have the order of the wire; each by itself is canonical
				rebuilt := ""
				for member, value := range canonical.Members(e.Body) {
					if err := canonical.Check(value); err != nil {
						t.Fatalf("%s of an event is not canonical: %v in %s", member, err, e.Body)
					}
					rebuilt += fmt.Sprintf(",%q:%s", member, value)
				}
				if string(e.Body) != "{"+rebuilt[1:]+"}" {
					t.Fatalf("the event has blanks: %s", e.Body)
				}
			} else if c, err := canonical.Make(json.RawMessage(e.Body)); err != nil || string(c) != string(e.Body) {
				t.Fatalf("entry of %s is not canonical: %s", name, e.Body)
			}
			all = append(all, m)
			after = e.Seq
		}
		if after >= got.Head {
			return all
		}
	}
}

// story is the events in short: "TaskStatusChanged demo/a completed".
func story(t testing.TB, db store.DB) []string {
	var lines []string
	for _, e := range stream(t, db, run.EventStream) {
		d := e["data"].(map[string]any)
		name := d["name"]
		if op := d["operation_id"]; op != nil {
			name = op
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprint(e["event_type"], " ", name, " ", d["status"])))
	}
	return lines
}

func statuses(v run.Batch) string {
	var s []string
	for _, t := range v.Tasks {
		s = append(s, string(t.Status()))
	}
	return strings.Join(s, " ")
}

func memory() store.DB { return memstore.New(schema()) }

// fresh is id.New, where id is something else.
func fresh() string { return id.New() }
