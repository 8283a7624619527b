package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/orchestrator/internal/hook"
	"github.com/provisioning-platform/platform/orchestrator/internal/rights"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/seal"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
	"github.com/provisioning-platform/platform/shared/webhook"
	"github.com/provisioning-platform/platform/shared/webhook/hookapi"
)

// TestWebhooks_anAPITokenSendsNothingThatItMayNotRead: a delivery asks the rights of the account
// alone, so a token that may read tasks had its webhook sent batches.
func TestWebhooks_anAPITokenSendsNothingThatItMayNotRead(t *testing.T) {
	t.Parallel()
	schema := store.Schema{Service: token.Orchestrator}
	for _, kinds := range [][]store.Kind{run.Schema(), idempotency.Kinds(), feed.Kinds(), webhook.Kinds()} {
		schema.Kinds = append(schema.Kinds, kinds...)
	}
	hub := feed.NewHub(memstore.New(schema))
	src, err := authz.Defaults()
	if err != nil {
		t.Fatal(err)
	}
	set, _, err := authz.Load(nil, src)
	if err != nil {
		t.Fatal(err)
	}
	c := hook.Config(hub, rights.Book{}, time.Now)
	if c.Sealer, err = seal.New(make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	c.Log, c.Events = obs.Discard(), event.Hooks{}.EventNames()
	c.Guard = webhook.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	a := &hookapi.API{Hooks: webhook.New(c), DB: hub, Examples: [2]string{"task.failed", "batch.completed"}}
	owner, tokenID := id.New(), id.New()
	server, err := web.NewServer(web.Config{Service: token.Orchestrator, Routes: a.Routes(), Log: obs.Discard(), Store: hub,
		Key: []byte("k"), Decide: set.Decide,
		Authenticate: func(_ context.Context, raw string, _ *http.Request) (token.Claims, error) {
			claims := token.Claims{Kind: token.Access, Subject: owner, Username: "olga", Roles: []string{"operator"}}
			if raw == "machine" {
				claims.Kind, claims.ID = token.API, tokenID
				claims.Scope = authz.Scope{{Action: []string{"*"}, Resource: "webhooks:*"}, {Action: []string{"read"}, Resource: "tasks:*"}}
			}
			return claims, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	send := func(who, method, path, body string) (int, string) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		r.Header = http.Header{"Authorization": {"Bearer " + who}, "Content-Type": {"application/json"}}
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	const target = `{"url":"http://127.0.0.1:1","events":`
	if status, body := send("person", "POST", "/webhooks", target+`["batch.completed","task.failed"]}`); status != 201 {
		t.Fatal(status, body)
	}
	rows, _, err := webhook.Endpoints.List(t.Context(), hub, store.Query{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	own := "/webhooks/" + rows[0].Value.ID
	if _, err := store.Update(t.Context(), hub, func(tx *store.Tx) error {
		var w canonical.Writer
		e := event.Event{Type: event.BatchStatusChanged, Status: "completed", BatchID: "b", Time: time.Now()}
		e.Write(&w)
		tx.Append(run.EventStream, w.Body().Bytes())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	head, err := hub.Read(t.Context(), run.EventStream, store.Latest, 0)
	if err != nil {
		t.Fatal(err)
	}
	whole := `{"from":1,"to":` + strconv.FormatUint(head.Head, 10) + `}`
	if status, body := send("person", "POST", own+"/redeliver", whole); status != 202 {
		t.Fatal(status, body)
	}
	deliveries, _, err := webhook.Deliveries.List(t.Context(), hub, store.Query{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	delivery := own + "/deliveries/" + deliveries[0].Value.ID
	if status, body := send("person", "POST", own+"/pause", `{}`); status != 200 {
		t.Fatal(status, body)
	}
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/webhooks", target + `["batch.completed"]}`}, {"PUT", own, `{"url":"http://127.0.0.1:2"}`},
		{"PUT", own, `{"events":["batch.completed"]}`}, {"POST", own + "/rotate", `{}`}, {"POST", own + "/resume", ""},
		{"POST", delivery + "/redeliver", ""}, {"GET", delivery, ""},
	} {
		if status, body := send("machine", c.method, c.path, c.body); status != 403 || !strings.Contains(body, "batch.completed") {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, status, body)
		}
	}
	kept, err := webhook.Endpoints.Get(t.Context(), hub, rows[0].Value.ID)
	if err != nil || kept.Value.Token != "" || kept.Value.URL != "http://127.0.0.1:1" || kept.Value.Condition != webhook.Paused ||
		len(kept.Value.Secrets) != 1 {
		t.Errorf("a refused change changed %+v, %v", kept.Value, err)
	}
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/webhooks", target + `["task.failed"]}`}, {"PUT", own, `{"events":["task.failed"]}`}, {"POST", own + "/resume", ""},
	} {
		if status, body := send("machine", c.method, c.path, c.body); status/100 != 2 {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, status, body)
		}
	}
	if kept, err = webhook.Endpoints.Get(t.Context(), hub, rows[0].Value.ID); err != nil || kept.Value.Maker() !=
		(webhook.Maker{ID: owner, Token: tokenID}) {
		t.Errorf("the webhook belongs to %+v, %v", kept.Value.Maker(), err)
	}
}
