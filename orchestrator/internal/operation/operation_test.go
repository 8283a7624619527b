package operation

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/infra"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider/local"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider/simulated"
	"github.com/provisioning-platform/platform/orchestrator/internal/recipe"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == local.Verb {
		os.Exit(local.ServeMain(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// ledger is an inventory that takes what results report, as the engine does.
type ledger struct {
	mu   sync.Mutex
	rows map[string]dag.Resource
}

func (l *ledger) Resource(_ context.Context, provider, kind, name string) (dag.Resource, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.rows[provider+"/"+kind+"/"+name]
	return r, ok, nil
}

func (l *ledger) Taskservs(_ context.Context, provider, server string) (found []dag.Resource, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, r := range l.rows {
		if strings.HasPrefix(key, provider+"/taskserv/"+server+"/") {
			found = append(found, r)
		}
	}
	return found, nil
}

func (l *ledger) take(changes []dag.Resource) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range changes {
		if key := r.Provider + "/" + r.Kind + "/" + r.Name; r.Gone {
			delete(l.rows, key)
		} else {
			l.rows[key] = r
		}
	}
}

func (l *ledger) names() (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.rows {
		names = append(names, key)
	}
	slices.Sort(names)
	return names
}

// bench is an executor over the sample installation with the ledger as its engine.
type bench struct {
	*Executor
	t      *testing.T
	ledger *ledger
}

const sample = "../../../deploy/sample"

func newBench(t *testing.T, drivers map[string]provider.Driver) *bench {
	formats := infra.ReadableFormats(yaml.Unmarshal)
	folder := infra.Folder{Dir: filepath.Join(sample, "infra"), Formats: formats}
	l := &ledger{rows: map[string]dag.Resource{}}
	return &bench{t: t, ledger: l, Executor: New(Config{
		Providers: drivers, Infra: folder, Inventory: l, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Recipes: recipe.Catalogue{Dir: os.DirFS(filepath.Join(sample, "recipes")), Infra: folder, Formats: formats},
	})}
}

// localBench has the sample's two providers as local ones; servers that are left at the end are
// destroyed.
func localBench(t *testing.T) *bench {
	drivers := map[string]provider.Driver{}
	for _, name := range []string{"upcloud", "aws"} {
		d, err := local.Open(local.Config{Dir: filepath.Join(t.TempDir(), name), Command: []string{os.Args[0], local.Verb},
			Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
		if err != nil {
			t.Fatal(err)
		}
		drivers[name] = d
		t.Cleanup(func() {
			servers, _ := d.List(context.Background())
			for _, s := range servers {
				if err := d.Delete(context.Background(), s); err != nil {
					t.Error(err)
				}
			}
		})
	}
	return newBench(t, drivers)
}

func simulatedBench(t *testing.T, config simulated.Config) *bench {
	d, err := simulated.Open(config, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return newBench(t, map[string]provider.Driver{"upcloud": d, "aws": d})
}

func (b *bench) attempt(kind dag.AttemptKind, op dag.Operation, tag string, step dag.Step, facts map[string]string) dag.Result {
	res := b.Execute(b.t.Context(), dag.Attempt{ID: "attempt-" + tag, Tag: tag, Kind: kind, TaskID: "task", Number: 1, Operation: &op,
		Step: step, Facts: facts})
	b.ledger.take(res.Resources)
	return res
}

// done is a step with what it came to.
type done struct {
	step   dag.Step
	tag    string
	result dag.Result
}

// perform resolves an operation and does its steps in order, which must all succeed.
func (b *bench) perform(task string, op dag.Operation) []done {
	b.t.Helper()
	res := b.attempt(dag.Resolve, op, task, dag.Step{}, nil)
	if res.Class != dag.OK {
		b.t.Fatalf("resolve: %+v", res)
	}
	var all []done
	for i, step := range res.Steps {
		d := done{step: step, tag: fmt.Sprint(task, i)}
		d.result = b.attempt(dag.Do, op, d.tag, step, nil)
		if d.result.Class != dag.OK {
			b.t.Fatalf("%s: %+v", step.Name, d.result)
		}
		all = append(all, d)
	}
	return all
}

func (b *bench) undoAll(op dag.Operation, all []done) {
	b.t.Helper()
	for _, d := range slices.Backward(all) {
		for range 2 { // the second time it is gone already
			if res := b.attempt(dag.Undo, op, d.tag, d.step, d.result.Facts); res.Class != dag.OK {
				b.t.Fatalf("undo of %s: %+v", d.step.Name, res)
			}
		}
	}
}

func stepNames(all []done) (names []string) {
	for _, d := range all {
		names = append(names, d.step.Name)
	}
	return names
}

// files lists the files below a folder.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimPrefix(p, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func batch() (servers, services dag.Operation) {
	servers = dag.Operation{Type: "server_batch", Verb: "create", Provider: "upcloud", Wait: true, Servers: []dag.ServerConfig{
		{Name: "web-01", Plan: "1xCPU-2GB", Zone: "de-fra1"}, {Name: "web-02", Plan: "1xCPU-2GB", Zone: "us-nyc1"}}}
	services = dag.Operation{Type: "taskserv_batch", Verb: "create", Provider: "aws",
		Taskservs: []string{"kubernetes", "cilium", "containerd"}, Targets: []string{"web-01", "web-02"}}
	return servers, services
}

// TestExecute_referenceBatch does the batch of the API reference on real local servers, twice, and
// undoes it.
func TestExecute_referenceBatch(t *testing.T) {
	t.Parallel()
	b := localBench(t)
	servers, services := batch()
	made := b.perform("servers", servers)
	root := b.Reach(made[0].result.Resources[0])["root"]
	before := files(t, root)
	installed := b.perform("services", services)
	if got, want := strings.Join(stepNames(installed),
		", "), "containerd on web-01, kubernetes on web-01, cilium on web-01, "+
		"containerd on web-02, kubernetes on web-02, cilium on web-02"; got != want {
		t.Errorf("order: %s\nwant:  %s", got, want)
	}
	if conf, err := os.ReadFile(filepath.Join(root, "etc/kubernetes/kubeadm-config.yaml")); err != nil || !strings.Contains(string(conf), `name: "web-01"`) {
		t.Errorf("kubeadm configuration: %s %v", conf, err)
	}
	state := files(t, root)
	for _, d := range installed { // a repeated attempt changes nothing and is still ours
		if res := b.attempt(dag.Do, services, d.tag, d.step, nil); res.Class != dag.OK || res.Facts["created"] != "true" {
			t.Errorf("%s again: %+v", d.step.Name, res)
		}
	}
	os.Remove(filepath.Join(root, "etc/containerd/config.toml")) // which the next task finds out and repairs
	other := b.perform("other", services)
	for _, d := range other {
		if d.result.Facts["created"] != "false" {
			t.Errorf("%s by another task: %+v", d.step.Name, d.result)
		}
	}
	again := b.perform("servers-again", servers)
	if again[0].result.Facts["created"] != "false" || len(again[0].result.Resources) != 0 {
		t.Errorf("existing server: %+v", again[0].result)
	}
	if got := files(t, root); !slices.Equal(got, state) {
		t.Errorf("files after all was done twice:\n%v\nwant:\n%v", got, state)
	}
	look := services
	look.Verb = "check"
	b.perform("look", look)
	b.undoAll(services, other)
	b.undoAll(servers, again)
	if got := len(b.ledger.names()); got != 8 {
		t.Errorf("undoing what others made: %v", b.ledger.names())
	}
	b.undoAll(services, installed)
	if got := files(t, root); !slices.Equal(got, before) {
		t.Errorf("files after uninstall:\n%v\nwant:\n%v", got, before)
	}
	b.undoAll(servers, made)
	if got := b.ledger.names(); len(got) != 0 {
		t.Errorf("left in the inventory: %v", got)
	}
	if _, err := os.Stat(root); err == nil {
		t.Error("the server's folder is still there")
	}
}

func TestExecute_infraAndCluster(t *testing.T) {
	t.Parallel()
	b := localBench(t)
	servers := dag.Operation{Type: "servers", Verb: "create", Infra: "production", Settings: "config.k", Wait: true}
	ahead := servers
	ahead.CheckMode = true
	for _, d := range b.perform("ahead", ahead) {
		if d.step.Action != "check" || !strings.HasPrefix(d.result.Output, "would create server") {
			t.Errorf("check mode: %+v", d)
		}
	}
	cluster := dag.Operation{Type: "cluster", Verb: "create", ClusterType: "buildkit", Infra: "production"}
	parts := b.perform("cluster", cluster)
	if got := strings.Join(stepNames(parts), ", "); got != "build-01, containerd on build-01, buildkit on build-01" {
		t.Errorf("parts of the cluster: %s", got)
	}
	if got := strings.Join(stepNames(b.perform("servers", servers)), ", "); got != "app-01, app-02, build-01" {
		t.Errorf("servers: %s", got)
	}
	one := dag.Operation{Type: "taskserv", Verb: "create", Taskserv: "kubernetes", Infra: "production"}
	b.perform("one", one)
	one.Verb = "delete"
	b.perform("two", dag.Operation{Type: "taskserv", Verb: "create", Taskserv: "cilium", Infra: "production"})
	res := b.attempt(dag.Resolve, one, "", dag.Step{}, nil)
	if res := b.attempt(dag.Do, one, "x", res.Steps[0], nil); res.Class != dag.ConflictClass || !strings.Contains(res.Error, "cilium") {
		t.Errorf("removing what is needed: %+v", res)
	}
	down := dag.Operation{Type: "cluster", Verb: "delete", ClusterType: "kubernetes", Infra: "production"}
	removed := b.perform("down", down)
	if got := strings.Join(stepNames(removed),
		", "); got != "cilium on app-01, kubernetes on app-01, cilium on app-02, kubernetes on app-02" {
		t.Errorf("removal: %s", got)
	}
	b.undoAll(down, removed[:2])
	servers.Verb = "delete"
	gone := b.perform("gone", servers)
	if left := b.ledger.names(); len(left) != 0 {
		t.Errorf("left in the inventory: %v", left)
	}
	if res := b.attempt(dag.Undo, servers, gone[0].tag, gone[0].step, gone[0].result.Facts); res.Class != dag.Permanent ||
		!strings.Contains(res.Error, "cannot be undone") {
		t.Errorf("undo of a deletion: %+v", res)
	}
}

func TestExecute_builtinRecipes(t *testing.T) {
	t.Parallel()
	b := localBench(t)
	servers, services := batch()
	servers.Servers = servers.Servers[:1]
	root := b.Reach(b.perform("s", servers)[0].result.Resources[0])["root"]
	services.Taskservs, services.Targets = []string{"os", "resolv", "coredns"}, []string{"web-01"}
	before := files(t, root)
	first := b.perform("a", services)
	state := files(t, root)
	for _, d := range first {
		b.attempt(dag.Do, services, d.tag, d.step, nil)
	}
	if got := files(t, root); !slices.Equal(got, state) {
		t.Errorf("files after all was done twice:\n%v\nwant:\n%v", got, state)
	}
	b.undoAll(services, first)
	if got := files(t, root); !slices.Equal(slices.DeleteFunc(got, func(n string) bool { return n == "etc/hosts" }), before) {
		t.Errorf("files after uninstall:\n%v\nwant:\n%v", got, before)
	}
}
