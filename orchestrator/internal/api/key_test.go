package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/seal"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/watch"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
	"github.com/provisioning-platform/platform/shared/webhook"
	"github.com/provisioning-platform/platform/shared/webhook/hookapi"
)

// keyCommits is a store that notes what each commit of an Idempotency-Key holds beside it.
type keyCommits struct {
	store.DB
	mu    sync.Mutex
	notes []string // under mu: the state of the key, and whether an audit entry stands beside it
}

func (k *keyCommits) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	for _, w := range b.Writes {
		if w.Key.Kind != idempotency.Kinds()[0].Name {
			continue
		}
		var record struct{ State string }
		_ = json.Unmarshal(w.Body, &record)
		if slices.ContainsFunc(b.Appends, func(a store.Append) bool { return a.Stream == audit.Stream }) {
			record.State += " beside its entry"
		}
		k.mu.Lock()
		k.notes = append(k.notes, record.State)
		k.mu.Unlock()
	}
	return k.DB.Commit(ctx, b)
}

// stuck is a provider whose attempts end when they are stopped.
type stuck struct{ named }

func (stuck) Taskservs() ([]string, error) { return []string{"dns"}, nil }

func (stuck) Execute(ctx context.Context, _ dag.Attempt) dag.Result {
	<-ctx.Done()
	return dag.Result{Class: dag.Stopped, Error: "stopped"}
}

// fickle are rights that submitters have, or not.
type fickle struct{ refuse atomic.Bool }

func (*fickle) Changed() uint64 { return 0 }

func (f *fickle) Submitter(context.Context, dag.Grant) (engine.Submitter, error) {
	return func(*dag.Header, *dag.Operation) (*audit.DecisionRecord, string) {
		if f.refuse.Load() {
			return &audit.DecisionRecord{}, "the account was deleted"
		}
		return &audit.DecisionRecord{Allowed: true}, ""
	}, nil
}

// twoCommits are the routes whose Idempotency-Key is not settled in the commit of the work, with
// the reason.
var twoCommits = map[string]string{
	"executeRollback": "its answer is what it came to, long after the commit that begins it; it claims the key before",
}

// TestRoutes_theCommitOfTheWorkSettlesTheKey walks the route table: what changes something with an
// Idempotency-Key is one commit with the key. A kill between two commits, together with a deletion,
// let a repeat act a second time. A new route fails it until it is called here.
func TestRoutes_theCommitOfTheWorkSettlesTheKey(t *testing.T) {
	t.Parallel()
	schema := store.Schema{Service: token.Orchestrator}
	for _, kinds := range [][]store.Kind{run.Schema(), idempotency.Kinds(), feed.Kinds(), webhook.Kinds()} {
		schema.Kinds = append(schema.Kinds, kinds...)
	}
	db := &keyCommits{DB: memstore.New(schema)}
	hub := feed.NewHub(db)
	sealer, err := seal.New(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	var rights fickle
	e := engine.New(engine.Config{DB: hub, Executor: stuck{}, Rights: &rights})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	a := &API{Engine: e, Catalogue: stuck{}, Metrics: http.NotFoundHandler(), Socket: http.NotFoundHandler(),
		Tickets: func(token.Claims) (watch.Ticket, error) { return watch.Ticket{Expires: time.Now()}, nil },
		Webhooks: &hookapi.API{DB: hub, Hooks: webhook.New(webhook.Config{DB: hub, Noun: "webhooks", Stream: run.EventStream,
			Events: event.Hooks{}.EventNames(), Sealer: sealer, Now: time.Now, Log: obs.Discard(),
			Guard:  webhook.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
			Render: func([]byte) (webhook.Message, bool) { return webhook.Message{}, false }})}}
	routes := a.Routes()
	server, err := web.NewServer(web.Config{Service: token.Orchestrator, Routes: routes, Log: obs.Discard(), Store: hub, Key: []byte("k"),
		Decide: func(authz.Request) authz.Decision { return authz.Decision{Allowed: true, Rule: "test", Version: 1} },
		Authenticate: func(context.Context, string, *http.Request) (token.Claims, error) {
			return token.Claims{Kind: token.Access, Subject: "5d7f4a2e-0a3e-7f4a-8a2e-5d7f4a2e0a3e", Username: "root"}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	called := map[string]bool{}
	call := func(op, path, body string) any {
		t.Helper()
		called[op] = true
		route := routes[slices.IndexFunc(routes, func(r web.Route) bool { return r.Op == op })]
		r := httptest.NewRequestWithContext(t.Context(), route.Method, path, bytes.NewReader([]byte(body)))
		r.Header = http.Header{"Authorization": {"Bearer x"}, "Content-Type": {"application/json"}, "Idempotency-Key": {id.New()}}
		db.mu.Lock()
		db.notes = nil
		db.mu.Unlock()
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		db.mu.Lock()
		defer db.mu.Unlock()
		if w.Code/100 != 2 || !slices.Equal(db.notes, []string{"done beside its entry"}) {
			t.Errorf("%s: status %d; the commits of the key: %q: %s", op, w.Code, db.notes, w.Body)
		}
		var out struct{ Data any }
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
		return out.Data
	}
	text := func(data any, member string) string {
		t.Helper()
		object, _ := data.(map[string]any)
		s, _ := object[member].(string)
		return s
	}

	await(t, func() bool { // the engine has begun
		resume, ok := e.PauseRollbacks()
		if ok {
			resume()
		}
		return ok
	})
	checkpoint := call("createCheckpoint", "/rollback/checkpoints", `{"name":"c"}`).(string)
	call("restoreCheckpoint", "/rollback/restore/"+checkpoint, "") // before anything runs
	call("reconcile", "/rollback/reconcile", "")
	call("deleteCheckpoint", "/rollback/checkpoints/"+checkpoint, "")
	task := call("createServers", "/workflows/servers/create", `{"infra":"production"}`).(string)
	call("createTaskserv", "/workflows/taskserv/create", `{"infra":"production","taskserv":"dns"}`)
	call("createCluster", "/workflows/cluster/create", `{"infra":"production","cluster_type":"buildkit"}`)
	call("cancelTask", "/tasks/"+task+"/cancel", "")
	submit := func(name string) string {
		return text(call("executeBatch", "/batch/execute", `{"name":"b","operations":[{"id":"a","type":"server_batch","provider":"noop",
			"server_configs":[{"name":"`+name+`","plan":"small","zone":"here"}]}]}`), "batch_id")
	}
	call("cancelBatch", "/batch/operations/"+submit("web-01")+"/cancel", "")
	rights.refuse.Store(true)
	batch := submit("web-02")
	await(t, func() bool {
		b, err := run.GetBatch(t.Context(), db, batch)
		return err == nil && b.Run.State.Terminal()
	})
	rights.refuse.Store(false)
	call("adoptBatch", "/batch/operations/"+batch+"/adopt", "")
	hook := "/webhooks/" + text(call("createWebhook", "/webhooks", `{"url":"http://127.0.0.1:1/","events":["task.failed"]}`), "id")
	call("updateWebhook", hook, `{"description":"pager"}`)
	call("pauseWebhook", hook+"/pause", `{}`)
	call("resumeWebhook", hook+"/resume", "")
	call("rotateWebhookSecret", hook+"/rotate", `{}`)
	delivery := text(call("testWebhook", hook+"/test", ""), "id")
	call("redeliver", hook+"/deliveries/"+delivery+"/redeliver", "")
	call("redeliverRange", hook+"/redeliver", `{"from":1,"to":2}`)
	call("deleteWebhook", hook, "")
	call("createTicket", "/ws/tickets", "")

	for _, r := range routes {
		if r.Method != "GET" && !r.Reads && !called[r.Op] && twoCommits[r.Op] == "" {
			t.Errorf("%s %s (%s) is not called here", r.Method, r.Path, r.Op)
		}
	}
}

// await waits until done says so.
func await(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("it never came")
		}
	}
}
