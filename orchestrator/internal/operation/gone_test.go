package operation

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider/simulated"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

// TestCreate_stoppedInFlightLeavesTheNameFree stops a create while the provider works at it. Its
// name was claimed until the orchestrator restarted.
func TestCreate_stoppedInFlightLeavesTheNameFree(t *testing.T) {
	t.Parallel()
	for what, stop := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"cancel": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(5*time.Millisecond, cancel)
			return ctx, cancel
		},
		"timeout": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 5*time.Millisecond)
		},
	} {
		b := simulatedBench(t, simulated.Config{Latency: 50 * time.Millisecond})
		b.patience = 0
		op, _ := batch()
		steps, _ := Expand(op)
		b.attempt(dag.Do, op, "0", steps[1], nil) // it knows what there is
		ctx, cancel := stop(t.Context())
		a := dag.Attempt{ID: "1", Tag: "1", Kind: dag.Do, Operation: &op, Step: steps[0]}
		release := b.Claim(a)
		if res := b.Execute(ctx, a); res.Class != dag.Stopped && res.Class != dag.TimedOut {
			t.Errorf("%s: %+v", what, res)
		}
		cancel()
		release()
		if res := b.attempt(dag.Do, op, "2", steps[0], nil); res.Class != dag.OK {
			t.Errorf("after a %s another task gets %+v, want the name", what, res)
		}
	}
}

// TestCreate_waitsForTheStepThatCameFirst: two steps begin to make a server of one name, at two
// providers. The inventory knows of neither, and no provider of both.
func TestCreate_waitsForTheStepThatCameFirst(t *testing.T) {
	t.Parallel()
	drivers := map[string]provider.Driver{}
	for _, name := range []string{"upcloud", "aws"} {
		d, err := simulated.Open(simulated.Config{}, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		drivers[name] = d
	}
	b := newBench(t, drivers)
	op, _ := batch()
	steps, _ := Expand(op)
	elsewhere := steps[0]
	elsewhere.Provider = "aws"
	first := dag.Attempt{ID: "1", Tag: "1", Kind: dag.Do, Operation: &op, Step: steps[0]}
	second := dag.Attempt{ID: "2", Tag: "2", Kind: dag.Do, Operation: &op, Step: elsewhere}
	release, other := b.Claim(first), b.Claim(second)
	made := b.Execute(t.Context(), first)
	b.patience = 0
	if res := b.Execute(t.Context(), second); made.Class != dag.OK || res.Class != dag.Transient {
		t.Errorf("before the commit of the first: %+v and %+v", made, res)
	}
	b.patience = time.Minute
	time.AfterFunc(20*time.Millisecond, func() { b.ledger.take(made.Resources); release() })
	if res := b.Execute(t.Context(), second); res.Class != dag.ConflictClass {
		t.Errorf("after it: %+v", res)
	}
	other()
	if len(b.claims.tags) != 0 {
		t.Errorf("remembered: %v", b.claims.tags)
	}
}

// TestGone_isDone is contract Q7: what is to be removed and is not there any more is removed. A
// server vanished at its provider, and undoing what was installed on it failed for good; so did its
// name, which nobody could use again.
func TestGone_isDone(t *testing.T) {
	t.Parallel()
	b := simulatedBench(t, simulated.Config{})
	servers, services := batch()
	servers.Servers, services.Targets = servers.Servers[:1], services.Targets[:1]
	made := b.perform("s", servers)
	installed := b.perform("t", services)
	vanish := func() {
		t.Helper()
		list, err := b.Providers["upcloud"].List(t.Context())
		if err != nil || len(list) != 1 {
			t.Fatalf("servers %v: %v", list, err)
		}
		if err := b.Providers["upcloud"].Delete(t.Context(), list[0]); err != nil {
			t.Fatal(err)
		}
	}
	vanish()
	if res := b.attempt(dag.Find, services, installed[0].tag, installed[0].step, nil); res.Class != dag.NotFoundClass {
		t.Errorf("whether an install stands on a server that is gone: %+v", res)
	}
	b.undoAll(services, installed)
	if got := b.ledger.names(); len(got) != 1 {
		t.Errorf("after the undo the inventory has %v, want the server", got)
	}
	removal := services
	removal.Verb = "delete"
	b.perform("r", removal)

	// Asked for again, it is made again, and nothing is taken to be on it.
	b.ledger.take([]dag.Resource{{Kind: "taskserv", Name: "web-01/containerd", Provider: "upcloud",
		Facts: map[string]string{"tag": "old"}}})
	again := b.perform("s2", servers)
	if again[0].result.Facts["created"] != "true" {
		t.Errorf("asked for again: %+v", again[0].result)
	}
	if got := b.ledger.names(); !slices.Equal(got, []string{"upcloud/server/web-01"}) {
		t.Errorf("the inventory is %v", got)
	}
	b.undoAll(servers, made) // the first task's server is gone, the second's stays
	if list, _ := b.Providers["upcloud"].List(t.Context()); len(list) != 1 || len(b.ledger.names()) != 1 {
		t.Errorf("servers %v, inventory %v", list, b.ledger.names())
	}
	vanish()
	b.undoAll(servers, again)
	if got := b.ledger.names(); len(got) != 0 {
		t.Errorf("left in the inventory: %v", got)
	}
}

// TestFind_afterAnUndoWasCutOff asks the questions of a new process about an undo that the one
// before had begun. What stood was taken for undone, and what was deleted stayed in the inventory.
func TestFind_afterAnUndoWasCutOff(t *testing.T) {
	t.Parallel()
	b := simulatedBench(t, simulated.Config{})
	servers, services := batch()
	servers.Servers, services.Taskservs, services.Targets = servers.Servers[:1], []string{"os"}, []string{"web-01"}
	made, installed := b.perform("s", servers)[0], b.perform("t", services)[0]
	if res := b.attempt(dag.Find, services, installed.tag, installed.step, installed.result.Facts); res.Class != dag.OK {
		t.Errorf("the task service stands, and the answer is %+v", res)
	}
	removal := services
	removal.Verb = "delete"
	removed := b.perform("r", removal)[0]
	if res := b.attempt(dag.Find, removal, removed.tag, removed.step, removed.result.Facts); res.Class != dag.OK {
		t.Errorf("the removal stands, and the answer is %+v", res)
	}
	if res := b.Execute(t.Context(), dag.Attempt{Tag: made.tag, Kind: dag.Undo, Operation: &servers, Step: made.step,
		Facts: made.result.Facts}); res.Class != dag.OK {
		t.Fatalf("undo: %+v", res) // and its result is lost
	}
	if res := b.attempt(dag.Find, servers, made.tag, made.step, made.result.Facts); res.Class != dag.NotFoundClass {
		t.Errorf("the server is deleted, and the answer is %+v", res)
	}
	if got := b.ledger.names(); len(got) != 0 {
		t.Errorf("left in the inventory: %v", got)
	}
}

// TestDelete_refusedAndDoneAllTheSame lets the provider delete a server and refuse to say so.
func TestDelete_refusedAndDoneAllTheSame(t *testing.T) {
	t.Parallel()
	b := simulatedBench(t, simulated.Config{Faults: []simulated.Fault{{Match: "web-01", Action: "delete", Times: 1, Class: dag.Permanent,
		After: true}, {Match: "web-02", Action: "delete", Times: 1, Class: dag.Permanent}}})
	servers, _ := batch()
	made := b.perform("s", servers)
	if res := b.attempt(dag.Undo, servers, made[0].tag, made[0].step, made[0].result.Facts); res.Class != dag.OK {
		t.Errorf("refused and done: %+v", res)
	}
	if res := b.attempt(dag.Undo, servers, made[1].tag, made[1].step, made[1].result.Facts); res.Class != dag.Permanent {
		t.Errorf("refused and not done: %+v", res)
	}
	if got := b.ledger.names(); !slices.Equal(got, []string{"upcloud/server/web-02"}) {
		t.Errorf("the inventory is %v", got)
	}
}

// driven runs the executor of a bench under an engine over a store in memory.
func driven(t *testing.T, b *bench) (*engine.Engine, context.Context) {
	return drivenOver(t, b, memstore.New(store.Schema{Service: "orchestrator", Kinds: run.Schema()}))
}

// drivenOver is driven over a store.
func drivenOver(t *testing.T, b *bench, db store.DB) (*engine.Engine, context.Context) {
	e := engine.New(engine.Config{DB: db, Executor: b.Executor, Policy: dag.Policy{MaxAttempts: 2, InitialDelay: 1, MaxDelay: 1}})
	b.Inventory = run.Inventory{DB: db}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return e, audit.WithContext(t.Context(), &audit.Context{Actor: audit.Actor{Sub: "u1", Username: "alice"}, Origin: "orchestrator"})
}

// ends waits for the end of a batch.
func ends(t *testing.T, e *engine.Engine, ctx context.Context, id string) (view run.Batch) {
	t.Helper()
	eventually(t, func() bool {
		var err error
		view, err = run.GetBatch(ctx, e.DB, id)
		return err == nil && view.Run.State.Terminal()
	})
	return view
}

// TestEngine_aCancelledCreateLeavesTheNameFree cancels a run whose create is in flight, and lets an
// operation run out of time in one. Both blocked the name until a restart. At the end nothing is
// remembered of any server.
func TestEngine_aCancelledCreateLeavesTheNameFree(t *testing.T) {
	t.Parallel()
	b := simulatedBench(t, simulated.Config{Faults: []simulated.Fault{{Match: "web-01", Action: "create", Times: 1, Latency: time.Hour},
		{Match: "web-02", Action: "create", Times: 1, Latency: time.Hour}}})
	e, ctx := driven(t, b)
	submit := func(policy *dag.Policy, kind dag.Kind, servers ...dag.ServerConfig) string {
		t.Helper()
		got, err := e.Submit(ctx, engine.Submission{Definition: dag.Definition{Kind: kind, Name: "b",
			Nodes: []dag.Node{{ID: "a", Policy: policy,
				Operation: dag.Operation{Type: "server_batch", Verb: "create", Provider: "upcloud", Servers: servers}}}}})
		if err != nil {
			t.Fatal(err)
		}
		return got.Run.ID
	}
	servers, _ := batch()
	cancelled := submit(nil, dag.Workflow, servers.Servers[0])
	late := submit(&dag.Policy{Timeout: 50}, dag.Batch, servers.Servers[1])
	eventually(t, func() bool { b.claims.mu.Lock(); defer b.claims.mu.Unlock(); return len(b.claims.tags["web-01"]) == 1 })
	if err := e.Cancel(ctx, dag.Workflow, cancelled, id.New()); err != nil {
		t.Fatal(err)
	}
	if view := ends(t, e, ctx, late); view.Run.State != dag.Failed {
		t.Errorf("out of time: %+v", view.Run)
	}
	if view := ends(t, e, ctx, submit(nil, dag.Batch, servers.Servers...)); view.Run.State != dag.Succeeded {
		t.Errorf("another run ends %s: %s", view.Run.State, view.Run.Error)
	}
	eventually(t, func() bool { b.claims.mu.Lock(); defer b.claims.mu.Unlock(); return len(b.claims.tags) == 0 })
}

// TestEngine_aFolderDeletedDuringAnInstall removes a local server while a recipe works on it. The
// run asked for a person's attention, and its rollback could not be finished.
func TestEngine_aFolderDeletedDuringAnInstall(t *testing.T) {
	t.Parallel()
	b := localBench(t)
	b.Recipes.Dir = os.DirFS(slowRecipe(t))
	e, ctx := driven(t, b)
	servers, services := batch()
	servers.Servers, services.Taskservs, services.Targets = servers.Servers[:1], []string{"slow"}, nil
	got, err := e.Submit(ctx, engine.Submission{Definition: dag.Definition{Kind: dag.Batch, Name: "b", RollbackEnabled: true,
		Nodes: []dag.Node{
			{ID: "servers", Operation: servers}, {ID: "services", Operation: services, Dependencies: []string{"servers"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	var root string
	eventually(t, func() bool { // the recipe has begun
		r, ok, _ := b.Inventory.Resource(ctx, "upcloud", "server", "web-01")
		if ok {
			root = b.Reach(r)["root"]
		}
		_, err := os.Stat(filepath.Join(root, "begun"))
		return ok && err == nil
	})
	eventually(t, func() bool { return os.RemoveAll(filepath.Dir(root)) == nil })
	view := ends(t, e, ctx, got.Run.ID)
	if view.Run.State != dag.Failed || view.Tasks[0].State != dag.Undone || view.Tasks[1].Attention != "" {
		t.Errorf("the run ended %s, its servers %s, its task services with %q", view.Run.State, view.Tasks[0].State,
			view.Tasks[1].Attention)
	}
	if text := view.Tasks[1].Error; !strings.Contains(text, "does not exist any more") && !strings.Contains(text, "ended with exit") {
		t.Errorf("the reason is %q", text)
	}
	if rows, err := store.Collect(run.Resources().All(ctx, e.DB, store.Query{})); err != nil || len(rows) != 0 {
		t.Errorf("left in the inventory: %v %v", rows, err)
	}
}

// slowRecipe returns a folder with a recipe that begins and does not end.
func slowRecipe(t *testing.T) string {
	dir := t.TempDir()
	for name, text := range map[string]string{"recipe.toml": "name = \"slow\"\nversion = \"1\"\n", "install.sh": "touch begun; sleep 60\n",
		"uninstall.sh": "rm -f begun\n"} {
		file := filepath.Join(dir, "slow", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
