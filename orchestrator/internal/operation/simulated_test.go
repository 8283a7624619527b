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
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider/simulated"
	"github.com/provisioning-platform/platform/shared/fault"
)

func TestExecute_simulatedFollowsThrough(t *testing.T) {
	t.Parallel()
	b := simulatedBench(t, simulated.Config{})
	servers, services := batch()
	made := b.perform("s", servers)
	installed := b.perform("t", services)
	b.undoAll(services, installed)
	b.undoAll(servers, made)
	if left := b.ledger.names(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestExecute_failures holds what each kind of failure comes to.
func TestExecute_failures(t *testing.T) {
	t.Parallel()
	b := simulatedBench(t, simulated.Config{Faults: []simulated.Fault{
		{Match: "throttled", Action: "create", Class: dag.Throttled},
		{Match: "denied", Action: "create", Class: dag.Auth, Message: "the account is closed"},
		{Match: "here", Action: "run", Command: "install.sh", Class: dag.Permanent, Message: "disk full"},
		{Match: "flaky", Action: "connect", Class: dag.Transient},
	}})
	servers := func(names ...string) dag.Operation {
		op := dag.Operation{Type: "server_batch", Verb: "create", Provider: "upcloud"}
		for _, n := range names {
			op.Servers = append(op.Servers, dag.ServerConfig{Name: n, Plan: "small", Zone: "z"})
		}
		return op
	}
	b.perform("x", servers("here", "flaky"))
	service := func(name, target string) dag.Operation {
		return dag.Operation{Type: "taskserv_batch", Verb: "create", Provider: "aws", Taskservs: []string{name}, Targets: []string{target}}
	}
	other := servers("here")
	other.Servers[0].Plan = "large"
	elsewhere := servers("here")
	elsewhere.Provider = "aws"
	nowhere := servers("new")
	nowhere.Provider = "azure"
	for _, c := range []struct {
		name  string
		op    dag.Operation
		class dag.Class
		want  string
	}{
		{"unknown infra", dag.Operation{Type: "servers", Infra: "atlantis"}, dag.Permanent, "no infra atlantis; there is: production"},
		{"infra outside", dag.Operation{Type: "servers", Infra: "../x"}, dag.Permanent, "not the name"},
		{"unknown task service", service("oracle", "here"), dag.Permanent,
			"no task service oracle; there is: buildkit, cilium, containerd, coredns, kubernetes, os, resolv"},
		{"unknown cluster", dag.Operation{Type: "cluster", ClusterType: "spark", Infra: "production"}, dag.Permanent,
			"no cluster type spark; it has: buildkit, kubernetes"},
		{"no targets", dag.Operation{Type: "taskserv_batch", Taskservs: []string{"os"}}, dag.Permanent, "name servers in targets"},
		{"unknown type", dag.Operation{Type: "volume"}, dag.Permanent, "volume"},
		{"unknown verb", dag.Operation{Type: "servers", Verb: "destroy", Infra: "production"}, dag.Permanent, "destroy"},
		{"unknown provider", nowhere, dag.Permanent, `no provider "azure"; there is: aws, upcloud`},
		{"other plan", other, dag.ConflictClass, "exists already with plan small, asked for was large"},
		{"other provider", elsewhere, dag.ConflictClass, "exists already at provider upcloud, asked for was aws"},
		{"throttled", servers("throttled"), dag.Throttled, ""},
		{"denied", servers("denied"), dag.Auth, "the account is closed"},
		{"no server", service("os", "missing"), dag.Permanent, "server missing does not exist: create it before os goes there"},
		{"failing script", service("os", "here"), dag.Permanent, "install.sh of os on here ended with exit 1: disk full"},
		{"no connection", service("os", "flaky"), dag.Transient, ""},
	} {
		res := b.attempt(dag.Resolve, c.op, c.name, dag.Step{}, nil)
		if res.Class == dag.OK {
			res = b.attempt(dag.Do, c.op, c.name, res.Steps[0], nil)
		}
		if res.Class != c.class || !strings.Contains(res.Error, c.want) || res.Error == "" {
			t.Errorf("%s: %s %q, want %s %q", c.name, res.Class, res.Error, c.class, c.want)
		}
	}
}

// TestExecute_checkModeTouchesNothing looks ahead at everything and counts what the provider saw.
func TestExecute_checkModeTouchesNothing(t *testing.T) {
	t.Parallel()
	calls := filepath.Join(t.TempDir(), "calls")
	b := simulatedBench(t, simulated.Config{Calls: calls})
	servers, services := batch()
	for _, op := range []dag.Operation{servers, services, {Type: "servers", Infra: "production"},
		{Type: "cluster", ClusterType: "kubernetes", Infra: "production"},
		{Type: "taskserv", Taskserv: "cilium", Infra: "production"}, {Type: "servers", Verb: "delete", Infra: "production"},
		{Type: "taskserv", Verb: "delete", Taskserv: "cilium", Infra: "production"}} {
		op.CheckMode = true
		all := b.perform("ahead", op)
		for _, d := range all {
			if d.step.Action != "check" || d.result.Output == "" || len(d.result.Resources) != 0 {
				t.Errorf("%s: %+v", d.step.Name, d.result)
			}
		}
		b.undoAll(op, all)
	}
	if text, _ := os.ReadFile(calls); len(text) != 0 {
		t.Errorf("the provider saw: %s", text)
	}
}

// TestExecute_unknownOutcome loses the answer of a create: Find sees the server, and the try after
// it makes no second one.
func TestExecute_unknownOutcome(t *testing.T) {
	t.Parallel()
	b := simulatedBench(t, simulated.Config{Faults: []simulated.Fault{{Match: "web-01", Action: "create", Times: 1,
		Class: dag.UnknownOutcome, After: true},
		{Match: "web-02", Action: "create", Times: 1, Class: dag.UnknownOutcome}}})
	op, _ := batch()
	steps, _ := Expand(op)
	for i, want := range []dag.Class{dag.OK, dag.NotFoundClass} {
		tag := steps[i].Name
		if res := b.attempt(dag.Do, op, tag, steps[i], nil); res.Class != dag.UnknownOutcome {
			t.Fatalf("create: %+v", res)
		}
		if res := b.attempt(dag.Find, op, tag, steps[i], nil); res.Class != want {
			t.Errorf("find %s: %+v", tag, res)
		}
		if res := b.attempt(dag.Do, op, tag, steps[i], nil); res.Class != dag.OK || res.Facts["created"] != "true" {
			t.Errorf("create again: %+v", res)
		}
	}
	if list, _ := b.Providers["upcloud"].List(t.Context()); len(list) != 2 {
		t.Errorf("servers: %v", list)
	}
	// An undo whose forward step was never heard of looks for the tag.
	for i := range steps {
		if res := b.attempt(dag.Undo, op, steps[i].Name, steps[i], nil); res.Class != dag.OK {
			t.Errorf("undo: %+v", res)
		}
	}
	if list, _ := b.Providers["upcloud"].List(t.Context()); len(list) != 0 {
		t.Errorf("servers after undo: %v", list)
	}
}

// TestExecute_oneServerAName lets another task ask for a server that is made and not yet in the
// inventory.
func TestExecute_oneServerAName(t *testing.T) {
	t.Parallel()
	b := simulatedBench(t, simulated.Config{})
	op, _ := batch()
	steps, _ := Expand(op)
	first := b.Execute(t.Context(), dag.Attempt{ID: "1", Tag: "1", Kind: dag.Do, Operation: &op, Step: steps[0]})
	for _, x := range []*Executor{b.Executor, New(b.Config)} { // this process, and the next one
		x.patience = 0
		if res := x.Execute(t.Context(), dag.Attempt{ID: "2", Tag: "2", Kind: dag.Do, Operation: &op,
			Step: steps[0]}); res.Class != dag.Transient {
			t.Errorf("second task before the commit of the first: %+v", res)
		}
	}
	b.patience = time.Minute
	waits := 0
	b.Waited = func(float64) { waits++ }
	time.AfterFunc(20*time.Millisecond, func() { b.ledger.take(first.Resources) })
	if res := b.attempt(dag.Do, op, "2", steps[0], nil); res.Class != dag.OK || res.Facts["created"] != "false" {
		t.Errorf("second task after it: %+v", res)
	}
	b.attempt(dag.Undo, op, "1", steps[0], first.Facts)
	if res := b.attempt(dag.Do, op, "3", steps[0], nil); res.Class != dag.OK || res.Facts["created"] != "true" {
		t.Errorf("after the undo: %+v", res)
	}
	if waits != 1 {
		t.Errorf("%d steps are counted as having waited for another's, want 1", waits)
	}
}

// TestExecute_oneServerANameAtAllProviders asks for a server whose name somebody else has put into
// the inventory, at another provider and after this process began: another orchestrator on the same
// store does.
func TestExecute_oneServerANameAtAllProviders(t *testing.T) {
	t.Parallel()
	b := simulatedBench(t, simulated.Config{})
	op, _ := batch()
	steps, _ := Expand(op)
	b.attempt(dag.Do, op, "1", steps[1], nil) // it knows what there is
	if _, err := b.Providers["aws"].Create(t.Context(), provider.Spec{Tag: "2", Name: steps[0].Name}); err != nil {
		t.Fatal(err)
	}
	b.ledger.take([]dag.Resource{{Facts: map[string]string{"tag": "2"}, Kind: "server", Name: steps[0].Name, Provider: "aws"}})
	if res := b.Execute(t.Context(), dag.Attempt{ID: "3", Tag: "3", Kind: dag.Do, Operation: &op,
		Step: steps[0]}); res.Class != dag.ConflictClass {
		t.Errorf("a second server of that name: %+v", res)
	}
}

func TestExecute_endsWithItsContext(t *testing.T) {
	t.Parallel()
	b := simulatedBench(t, simulated.Config{Latency: time.Hour})
	op, _ := batch()
	steps, _ := Expand(op)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if res := b.Execute(ctx, dag.Attempt{Tag: "1", Kind: dag.Do, Operation: &op, Step: steps[0]}); res.Class != dag.Stopped {
		t.Errorf("cancelled: %+v", res)
	}
	if res := b.Execute(t.Context(), dag.Attempt{Tag: "1", Kind: dag.Do, Operation: &op, Step: steps[0],
		Deadline: time.Now()}); res.Class != dag.TimedOut {
		t.Errorf("deadline: %+v", res)
	}
}

// cutOff is an inventory whose look-ups take until their context ends, and then fail as the stores
// do.
type cutOff struct{ *ledger }

func (cutOff) Resource(ctx context.Context, _, _, _ string) (dag.Resource, bool, error) {
	<-ctx.Done()
	return dag.Resource{}, false, fault.New(fault.Unavailable, "store.unavailable",
		"the store cannot be reached right now").Because(ctx.Err())
}

// TestExecute_aCancelInALookUpLeavesNothingInDoubt cancels while the inventory is read, before the
// provider is asked for anything. As a failure that may have had an effect it was looked up at the
// provider, and the task that was cancelled took all its grace time when that hangs, and asked for
// a person's attention.
func TestExecute_aCancelInALookUpLeavesNothingInDoubt(t *testing.T) {
	t.Parallel()
	b := simulatedBench(t, simulated.Config{})
	b.Inventory = cutOff{b.ledger}
	op, _ := batch()
	steps, _ := Expand(op)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if res := b.Execute(ctx, dag.Attempt{Tag: "1", Kind: dag.Do, Operation: &op, Step: steps[0]}); res.Class != dag.Stopped {
		t.Errorf("cancelled: %+v, want class %s", res, dag.Stopped)
	}
	res := b.Execute(t.Context(), dag.Attempt{Tag: "1", Kind: dag.Do, Operation: &op, Step: steps[0], Deadline: time.Now()})
	if res.Class != dag.Transient { // a slow store is worth another try
		t.Errorf("out of time: %+v, want class %s", res, dag.Transient)
	}
}

// TestExecute_aStoppedCreateIsLookedUp stops a create when the server is there and only its boot is
// waited for.
func TestExecute_aStoppedCreateIsLookedUp(t *testing.T) {
	t.Parallel()
	b := simulatedBench(t, simulated.Config{Boot: time.Hour})
	op, _ := batch()
	steps, _ := Expand(op)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if res := b.Execute(ctx, dag.Attempt{Tag: "1", Kind: dag.Do, Operation: &op, Step: steps[0]}); res.Class != dag.UnknownOutcome {
		t.Errorf("stopped: %+v", res)
	}
	if res := b.attempt(dag.Find, op, "1", steps[0], nil); res.Class != dag.OK || len(b.ledger.names()) != 1 {
		t.Errorf("found: %+v, inventory %v", res, b.ledger.names())
	}
}

// TestExecute_aFailedCreateDoesNotKeepTheName lets a create fail for good without an effect:
// another task gets the name.
func TestExecute_aFailedCreateDoesNotKeepTheName(t *testing.T) {
	t.Parallel()
	for _, class := range []dag.Class{dag.Throttled, dag.Quota, dag.Transient, dag.UnknownOutcome} {
		b := simulatedBench(t, simulated.Config{Faults: []simulated.Fault{{Action: "create", Times: 1, Class: class}}})
		b.patience = 0
		op, _ := batch()
		steps, _ := Expand(op)
		if res := b.attempt(dag.Do, op, "1", steps[0], nil); res.Class != class {
			t.Fatalf("create: %+v", res)
		}
		if class == dag.Transient || class == dag.UnknownOutcome { // the machine asks
			if res := b.attempt(dag.Find, op, "1", steps[0], nil); res.Class != dag.NotFoundClass {
				t.Fatalf("find: %+v", res)
			}
		}
		if res := b.attempt(dag.Do, op, "2", steps[0], nil); res.Class != dag.OK {
			t.Errorf("after %s another task: %+v", class, res)
		}
	}
}

// TestExecute_aLateUndoLeavesWhatOthersMadeSince undoes a server and a task service that were
// removed and made anew by other tasks.
func TestExecute_aLateUndoLeavesWhatOthersMadeSince(t *testing.T) {
	t.Parallel()
	b := simulatedBench(t, simulated.Config{})
	servers, _ := batch()
	servers.Servers = servers.Servers[:1]
	service := dag.Operation{Type: "taskserv_batch", Verb: "create", Provider: "upcloud", Taskservs: []string{"os"},
		Targets: []string{"web-01"}}
	gone, without := servers, service
	gone.Verb, without.Verb = "delete", "delete"
	first, firstOS := b.perform("s1", servers), b.perform("t1", service)
	removed := b.perform("t2", without)
	b.undoAll(without, removed) // it is the first one's again
	b.undoAll(service, firstOS)
	if rows := b.ledger.names(); len(rows) != 1 {
		t.Errorf("after both undos: %v", rows)
	}
	b.perform("s2", gone)
	b.perform("s3", servers)
	b.perform("t3", service)
	want := b.ledger.names()
	b.undoAll(service, firstOS)
	b.undoAll(servers, first)
	if rows := b.ledger.names(); !slices.Equal(rows, want) {
		t.Errorf("the inventory is %v, want %v", rows, want)
	}
	if list, _ := b.Providers["upcloud"].List(t.Context()); len(list) != 1 {
		t.Errorf("servers: %v", list)
	}
}

func TestCommand(t *testing.T) {
	servers, services := batch()
	for _, c := range []struct {
		op            dag.Operation
		command, name string
		args          []string
	}{
		{dag.Operation{Type: "servers", Infra: "production", Settings: "config.k", Wait: true}, "servers create", "create_servers",
			[]string{"--infra", "production", "--settings", "config.k", "--wait"}},
		{dag.Operation{Type: "taskserv", Verb: "update", Taskserv: "kubernetes", Infra: "a;b", CheckMode: true}, "taskserv update",
			"update_taskserv", []string{"kubernetes", "--infra", "a;b", "--check"}},
		{dag.Operation{Type: "cluster", Verb: "delete", ClusterType: "buildkit", Infra: "p"}, "cluster delete", "delete_cluster",
			[]string{"buildkit", "--infra", "p"}},
		{servers, "servers create", "create_servers", []string{"web-01", "web-02", "--provider", "upcloud", "--wait"}},
		{services, "taskserv create", "create_taskserv", []string{"kubernetes", "cilium", "containerd", "--provider", "aws"}},
	} {
		command, args, name := Command(c.op), Args(c.op), Name(c.op)
		if command != Program+" "+c.command || name != c.name || !slices.Equal(args, c.args) {
			t.Errorf("Command(%s) = %q %q %q", c.op.Type, command, args, name)
		}
	}
}

func TestInstant(t *testing.T) {
	x := New(Config{})
	servers, services := batch()
	if res, ok := x.Instant(dag.Attempt{Kind: dag.Resolve, Operation: &servers}); !ok || len(res.Steps) != 2 || res.Class != dag.OK {
		t.Errorf("servers: %+v %v", res, ok)
	}
	if _, ok := x.Instant(dag.Attempt{Kind: dag.Resolve, Operation: &services}); ok {
		t.Error("task services need the recipes")
	}
	if _, ok := x.Instant(dag.Attempt{Kind: dag.Do, Operation: &servers}); ok {
		t.Error("a Do is not instant")
	}
}
