package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
)

// oneProvider is a catalogue of servers at the provider p.
type oneProvider struct{ reaching }

func (oneProvider) ProviderNames() []string { return []string{"p"} }

// TestInventory_loginIsForWhoMayUseTheServer asks for servers in the list and alone, and looks for
// paths of the orchestrator's machine.
func TestInventory_loginIsForWhoMayUseTheServer(t *testing.T) {
	t.Parallel()
	db := memstore.New(store.Schema{Service: token.Orchestrator, Kinds: append(run.Schema(), idempotency.Kinds()...)})
	task := dag.Task{ID: id.New(), User: "maker", Batch: true, Run: "0", State: dag.Succeeded}
	if _, err := store.Update(t.Context(), db, func(tx *store.Tx) error {
		for _, name := range []string{"secret-03", "web-01"} {
			tx.Put(store.Key{Kind: "resource", ID: "p/server/" + name}, []store.IndexKey{{Name: "provider", Value: "p"},
				{Name: "state", Value: "up"}, {Name: "task", Value: task.ID}},
				[]byte(`{"facts":{"address":"127.0.0.1","id":"id-`+name+`","key_file":"/stale"},"kind":"server","name":"`+name+
					`","provider":"p","updated":"2026-11-30T00:00:00Z"}`))
		}
		tx.Put(store.Key{Kind: "resource", ID: "p/server/prod-05"}, []store.IndexKey{{Name: "infra", Value: "production"},
			{Name: "provider", Value: "p"}, {Name: "state", Value: "up"}},
			[]byte(`{"facts":{"id":"id-prod-05"},"kind":"server","name":"prod-05","provider":"p","updated":"2026-11-30T00:00:00Z"}`))
		tx.Put(store.Key{Kind: "resource", ID: "p/taskserv/web-01/os"}, nil,
			[]byte(`{"kind":"taskserv","name":"web-01/os","provider":"p","updated":"2026-11-30T00:00:00Z"}`))
		left := run.Resource{Kind: "server", Name: "old-01", Provider: "gone"}
		return errors.Join(run.Tasks().Save(tx, task), run.Resources().Save(tx, left))
	}); err != nil {
		t.Fatal(err)
	}
	src, err := authz.Defaults()
	if err != nil {
		t.Fatal(err)
	}
	src.Policies = append(src.Policies, authz.Policy{ID: "p", Name: "no-secrets", Enabled: true, Version: "1",
		Rules: []authz.Rule{{Effect: authz.EffectDeny, Resource: "servers:secret-*", Action: []string{"read"}},
			{Effect: authz.EffectDeny, Resource: "servers:*", Action: []string{"use"}, Condition: `resource.infra == "production"`}}})
	set, err := authz.Compile(src)
	if err != nil {
		t.Fatal(err)
	}
	var authority authz.Authority
	authority.Swap(set)
	a := &API{Catalogue: oneProvider{}, Engine: engine.New(engine.Config{DB: db})}
	server, err := web.NewServer(web.Config{Service: token.Orchestrator, Log: obs.Discard(), Metrics: obs.NewRegistry(), Store: db,
		Known: a.Known, Decide: authority.Decide, Routes: a.inventoryRoutes(),
		Authenticate: func(_ context.Context, raw string, _ *http.Request) (token.Claims, error) {
			name, role, _ := strings.Cut(raw, "/")
			return token.Claims{Kind: token.Access, Subject: name, Roles: []string{role}}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(who, path string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Authorization", "Bearer "+who)
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		return w
	}
	for who, uses := range map[string]bool{"a/admin": true, "o/operator": true, "maker/developer": true, "other/developer": false,
		"maker/viewer": false, "u/auditor": false} {
		for _, path := range []string{"/inventory/servers", "/inventory/servers/web-01"} {
			w := ask(who, path)
			body := w.Body.String()
			if w.Code != 200 || strings.Contains(body, `"ssh":["ssh","-F","/host/id-web-01/config","--","web-01"]`) != uses ||
				strings.Contains(body, "/host/") != uses || strings.Contains(body, "/stale") || strings.Contains(body, "secret") ||
				!strings.Contains(body, `"task_id":"`+task.ID+`"`) || !strings.Contains(body, `"user_id":"maker"`) {
				t.Errorf("%s asks %s: %d %s", who, path, w.Code, body)
			}
		}
		if w := ask(who, "/inventory/servers/secret-03"); w.Code != 403 {
			t.Errorf("%s may not read secret-03: %d %s", who, w.Code, w.Body)
		}
		if w := ask(who, "/inventory/servers/web-02"); w.Code != 404 {
			t.Errorf("there is no web-02: %d %s", w.Code, w.Body)
		}
	}
	// The list showed the servers of a provider that has left the configuration; this answered 404.
	if w := ask("v/viewer", "/inventory/servers/old-01"); w.Code != 200 || !strings.Contains(w.Body.String(), `"provider":"gone"`) {
		t.Errorf("of a provider that is not configured any more: %d %s", w.Code, w.Body)
	}
	// A login was shown although a policy forbade it for the infra, which the question left out.
	for _, path := range []string{"/inventory/servers?infra=production", "/inventory/servers/prod-05"} {
		if w := ask("o/operator", path); w.Code != 200 || !strings.Contains(w.Body.String(), "prod-05") ||
			strings.Contains(w.Body.String(), `"ssh"`) || strings.Contains(w.Body.String(), "/host/") {
			t.Errorf("an operator may read prod-05 and not log in: %s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := ask("v/viewer", "/inventory/servers/web-01"); !strings.Contains(w.Body.String(), `"taskservs":["os"]`) {
		t.Errorf("what is on it is not shown: %s", w.Body)
	}
}
