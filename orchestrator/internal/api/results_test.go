package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
)

// reaching is a catalogue whose servers are reached through files below /host.
type reaching struct{ named }

func (reaching) Reach(s dag.Resource) map[string]string {
	return map[string]string{"key_file": "/host/" + s.Facts["id"] + "/key", "ssh_config": "/host/" + s.Facts["id"] + "/config",
		"port": "2222"}
}

// TestResults_hostPathsAreForWhoMayUseTheServer is decision 66: paths of keys and of the ssh
// configuration were in the answers to everybody who could read a batch.
func TestResults_hostPathsAreForWhoMayUseTheServer(t *testing.T) {
	t.Parallel()
	db := memstore.New(store.Schema{Service: token.Orchestrator, Kinds: append(run.Schema(), idempotency.Kinds()...)})
	task := dag.Task{ID: "01990000-0000-7000-8000-000000000001", User: "maker", Steps: []dag.StepState{
		{Applied: true, Step: dag.Step{Action: "server.create", Name: "web-01", Provider: "p"}},
		{Applied: true, Step: dag.Step{Action: "server.create", Name: "found-02", Provider: "p"}},  // existed before: another task's
		{Applied: true, Step: dag.Step{Action: "server.create", Name: "secret-03", Provider: "p"}}, // a policy forbids its use
		{Applied: true, Step: dag.Step{Action: "server.create", Name: "-oOld=x", Provider: "p"}},   // older than the rule of names
		{Applied: true, Step: dag.Step{Action: "server.create", Name: "prod-05", Provider: "p"}},   // a policy forbids its infra's
	}}
	for i, p := range task.Steps {
		tag := dag.Tag(task.ID, i)
		if p.Step.Name == "found-02" {
			tag = "another"
		}
		var index []store.IndexKey
		if p.Step.Name == "prod-05" {
			index = []store.IndexKey{{Name: "infra", Value: "production"}}
		}
		body := []byte(`{"facts":{"address":"127.0.0.1","id":"id-` + string(rune('1'+i)) + `","key_file":"/stale/key","port":"1111","tag":"` + tag + `"},"kind":"server","name":"` + p.Step.Name + `","provider":"p","updated":"2026-11-30T00:00:00Z"}`)
		if _, err := db.Commit(t.Context(), store.Batch{Writes: []store.Write{{Key: store.Key{Kind: "resource", ID: "p/server/" +
			p.Step.Name}, Expect: store.Absent(), Index: index, Body: body}}}); err != nil {
			t.Fatal(err)
		}
	}
	src, err := authz.Defaults()
	if err != nil {
		t.Fatal(err)
	}
	src.Policies = append(src.Policies, authz.Policy{ID: "p", Name: "no-secrets", Enabled: true, Version: "1",
		Rules: []authz.Rule{{Effect: authz.EffectDeny, Resource: "servers:secret-*", Action: []string{"use"}},
			{Effect: authz.EffectDeny, Resource: "servers:*", Action: []string{"use"}, Condition: `resource.infra == "production"`}}})
	set, err := authz.Compile(src)
	if err != nil {
		t.Fatal(err)
	}
	var authority authz.Authority
	authority.Swap(set)
	a := &API{Catalogue: reaching{}, Engine: engine.New(engine.Config{DB: db})}
	server, err := web.NewServer(web.Config{Service: token.Orchestrator, Log: obs.Discard(), Metrics: obs.NewRegistry(), Store: db,
		Decide: authority.Decide,
		Routes: []web.Route{{Method: "GET", Path: "/results", Op: "results", Summary: "results", Permission: web.Allow("read", "tasks"),
			Handle: web.To(func(ctx context.Context, _ web.None) (resultsView, error) {
				v, err := a.results(ctx, &task)
				return *v, err
			})}},
		Authenticate: func(_ context.Context, raw string, _ *http.Request) (token.Claims, error) {
			name, role, _ := strings.Cut(raw, "/")
			return token.Claims{Kind: token.Access, Subject: name, Roles: []string{role}}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	for who, want := range map[string][]string{
		"a/admin": {"web-01", "found-02", "-oOld=x"}, "o/operator": {"web-01", "found-02", "-oOld=x"},
		"maker/operator": {"web-01", "found-02", "-oOld=x"}, "maker/developer": {"web-01", "-oOld=x"},
		"other/developer": nil, "maker/viewer": nil, "v/viewer": nil, "u/auditor": nil,
	} {
		r := httptest.NewRequest("GET", "/results", nil)
		r.Header.Set("Authorization", "Bearer "+who)
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Fatalf("%s: status %d: %s", who, w.Code, w.Body)
		}
		for i, p := range task.Steps {
			id := "id-" + string(rune('1'+i))
			name := p.Step.Name
			if strings.HasPrefix(name, "-") {
				name = id
			}
			argv := `["ssh","-F","/host/` + id + `/config","--","` + name + `"]`
			if shown, want := strings.Contains(w.Body.String(), argv), slices.Contains(want, p.Step.Name); shown != want {
				t.Errorf("%s sees how to reach %s: %v, want %v: %s", who, p.Step.Name, shown, want, w.Body)
			}
			if !slices.Contains(want, p.Step.Name) && strings.Contains(w.Body.String(), "/host/"+id) {
				t.Errorf("%s sees paths of %s: %s", who, p.Step.Name, w.Body)
			}
		}
		if strings.Contains(w.Body.String(), "/stale") {
			t.Errorf("%s sees a path of the inventory, where the servers may not be any more: %s", who, w.Body)
		}
		if !strings.Contains(w.Body.String(), `"address":"127.0.0.1"`) {
			t.Errorf("%s does not see the addresses: %s", who, w.Body)
		}
	}
}

// TestBatch_theTargetsOfATaskServiceAreDecidedToo: only the servers that a batch makes were asked
// about.
func TestBatch_theTargetsOfATaskServiceAreDecidedToo(t *testing.T) {
	t.Parallel()
	in := batchIn{Name: "b", Operations: []operationIn{{ServerConfigs: []serverIn{{Name: "new"}}},
		{Taskservs: []string{"os"}, Targets: []string{"db-01", "db-02"}}, {Taskservs: []string{"os"}, Targets: []string{"db-01"}}}}
	var got []string
	for _, r := range in.Resources() {
		got = append(got, r.Type+":"+r.Name)
	}
	if want := []string{"batches:b", "servers:new", "servers:db-01", "servers:db-02", "taskservs:os", "taskservs:os"}; !slices.Equal(got,
		want) {
		t.Errorf("asked about %v, want %v", got, want)
	}
}
