package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/api"
	"github.com/provisioning-platform/platform/control-center/internal/certificate"
	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/controltest"
	"github.com/provisioning-platform/platform/control-center/internal/hook"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
	"github.com/provisioning-platform/platform/shared/webhook"
	"github.com/provisioning-platform/platform/shared/webhook/hookapi"
)

// recorder is a store that keeps the appends of each commit.
type recorder struct {
	store.DB
	mu      sync.Mutex
	commits [][]store.Append // under mu
	keys    []string         // under mu: what each commit of an Idempotency-Key holds: its state, and "entry" beside it
}

func (r *recorder) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	receipt, err := r.DB.Commit(ctx, b)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		return receipt, err
	}
	r.commits = append(r.commits, b.Appends)
	for _, w := range b.Writes {
		if w.Key.Kind == idempotency.Kinds()[0].Name {
			var record struct{ State string }
			_ = json.Unmarshal(w.Body, &record)
			if slices.ContainsFunc(b.Appends, func(a store.Append) bool { return a.Stream == audit.Stream }) {
				record.State += " beside its entry"
			}
			r.keys = append(r.keys, record.State)
		}
	}
	return receipt, nil
}

// take returns the audit entries and the events since the last call, and says whether they stand in
// one commit.
func (r *recorder) take(t *testing.T) (entries []audit.Entry, events []change.Event, together bool) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	commits := 0
	for _, appends := range r.commits {
		told := false
		for _, a := range appends {
			var entry audit.Entry
			var event change.Event
			var err error
			switch a.Stream {
			case audit.Stream:
				err, told = json.Unmarshal(a.Body, &entry), true
				entries = append(entries, entry)
			case change.Stream:
				err, told = json.Unmarshal(a.Body, &event), true
				events = append(events, event)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if told {
			commits++
		}
	}
	r.commits, r.keys = nil, nil
	return entries, events, commits == 1
}

// settled returns what the commits since the last take hold of Idempotency-Keys.
func (r *recorder) settled() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.keys)
}

// withoutEvent are the routes that send a body and change nothing that has an actor, with the
// reason.
var withoutEvent = map[string]string{
	"exchangeHeads": "it compares two logs; what the witness hears it records itself",
	"reportTokens":  "the time of a last use gives nobody another right",
	"copyEntries":   "it fills an index with entries that the orchestrator's log has already",
}

// orchestrator is the token of the orchestrator at a site.
const orchestrator = "orchestrators-token"

// site is a control-center over HTTP whose policies allow everything.
type site struct {
	*testing.T
	*controltest.Rig
	*recorder
	server *httptest.Server
	shown  []string // secrets that were sent or answered
}

// wired returns the API over a rig, without what only a running service has.
func wired(t *testing.T, r *controltest.Rig) *api.API {
	t.Helper()
	sends := hook.Config(r.DB, hook.Makers{People: r.Users, Machines: r.Machines, Tokens: r.Tokens}, r.Policies.Authority, r.Clock.Now)
	sends.Sealer, sends.Log = r.Sealer, obs.Discard()
	hooks, err := webhook.DefaultSettings[hook.Events]().Open(t.Context(), sends)
	if err != nil {
		t.Fatal(err)
	}
	a := &api.API{Users: r.Users, Factors: r.Factors, Tokens: r.Tokens, Machines: r.Machines,
		Sessions: r.Sessions, Ring: r.Ring, Revoked: r.Revoked,
		Policies: r.Policies, Webhooks: &hookapi.API{Hooks: hooks, DB: r.DB},
		Metrics: http.NotFoundHandler(), Logins: obs.NewRegistry().Counter("logins", "Sign-ins.", "result"), Now: r.Clock.Now}
	if a.Certificates, err = certificate.Open(instance.Folder(r.Dir), r.File.Deployment, r.Clock.Now); err != nil {
		t.Fatal(err)
	}
	a.Certificates.Changes = r.Changes
	return a
}

func openSite(t *testing.T) (*site, []web.Route) {
	t.Helper()
	schema := controltest.Schema()
	schema.Kinds = append(schema.Kinds, idempotency.Kinds()...)
	s := &site{T: t, recorder: &recorder{DB: memstore.New(schema)}}
	s.Rig = controltest.Over(t, s.recorder)
	r := s.Rig
	routes := wired(t, r).Routes()
	server, err := web.NewServer(web.Config{Service: token.ControlCenter, Routes: routes, Nouns: api.Nouns(), Log: obs.Discard(),
		Key: []byte("k"), Store: r.DB, Now: r.Clock.Now,
		Known:  func(param, _ string) bool { return param == "kid" },
		Decide: func(authz.Request) authz.Decision { return authz.Decision{Allowed: true, Rule: "test", Version: 1} },
		Authenticate: func(ctx context.Context, raw string, _ *http.Request) (token.Claims, error) {
			if token.IsAPI(raw) {
				return r.Tokens.Authenticate(ctx, raw)
			}
			if raw == orchestrator {
				return token.Claims{Kind: token.Service, Subject: token.ServiceSubject(token.Orchestrator)}, nil
			}
			return r.Verify.Verify(raw, r.Clock.Now())
		}})
	if err != nil {
		t.Fatal(err)
	}
	s.server = httptest.NewServer(server)
	t.Cleanup(s.server.Close)
	return s, routes
}

// send returns the status and the data of an answer.
func (s *site) send(method, path, bearer string, body map[string]any) (int, map[string]any) {
	s.Helper()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			s.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(s.Context(), method, s.server.URL+path, bytes.NewReader(text))
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", id.New())
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var out struct{ Data any }
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		s.Fatal(err)
	}
	data, _ := out.Data.(map[string]any)
	for _, members := range []map[string]any{body, data} {
		for _, name := range []string{"password", "mfa_code", "code", "token", "refresh_token", "secret"} {
			if secret, ok := members[name].(string); ok {
				s.shown = append(s.shown, secret)
			}
		}
	}
	return resp.StatusCode, data
}

// TestRoutes_eachChangeIsToldOnceInItsCommit walks the route table: a route that changes something
// leaves one audit entry and at least one event in the commit of the change (laws 1 and 7), and
// that commit settles the Idempotency-Key of the request: a kill between two commits, together with
// a deletion, let a repeat act a second time. A new route fails it until it is called here.
func TestRoutes_eachChangeIsToldOnceInItsCommit(t *testing.T) {
	t.Parallel()
	s, routes := openSite(t)
	s.Account(t, "root", "admin")
	called := map[string]bool{}
	// call sends a request to the route op and compares the events of its commit.
	call := func(op, path, bearer string, body map[string]any, want ...change.Type) map[string]any {
		t.Helper()
		called[op] = true
		at := slices.IndexFunc(routes, func(r web.Route) bool { return r.Op == op })
		if at < 0 {
			t.Fatalf("there is no route %s", op)
		}
		s.take(t)
		status, data := s.send(routes[at].Method, path, bearer, body)
		if keys := s.settled(); bearer != "" && bearer != orchestrator && status < 400 &&
			!slices.Equal(keys, []string{"done beside its entry"}) {
			t.Errorf("%s: status %d; the commits of the key: %q", op, status, keys)
		}
		entries, events, together := s.take(t)
		var got []change.Type
		for _, e := range events {
			got = append(got, e.Type)
			if len(entries) > 0 && (e.Actor.ID != entries[0].Actor.Sub || e.ID == "" || e.Timestamp == "") {
				t.Errorf("%s: the event %+v and the entry of %+v", op, e, entries[0].Actor)
			}
		}
		if len(entries) != 1 || !together || !slices.Equal(got, want) {
			t.Errorf("%s: status %d leaves %d audit entries and the events %v, in one commit: %v; want one entry and %v", op, status,
				len(entries), got, together, want)
		}
		return data
	}
	signIn := func(name, code string) map[string]any {
		t.Helper()
		body := map[string]any{"username": name, "password": controltest.Password}
		want := []change.Type{change.SessionCreated}
		switch {
		case strings.Contains(code, "-"):
			want = append(want, change.MFARecoveryUsed)
			fallthrough
		case code != "":
			body["mfa_code"] = code
		}
		return call("login", "/auth/login", "", body, want...)
	}
	bearer := func(grant map[string]any) string { s, _ := grant["token"].(string); return s }

	call("login", "/auth/login", "", map[string]any{"username": "root", "password": "wrong"}, change.LoginFailed)
	call("login", "/auth/login", "", map[string]any{"username": "nobody", "password": "wrong"}, change.LoginFailed)
	root := bearer(signIn("root", ""))
	made := call("createUser", "/users", root,
		map[string]any{"username": "dana", "email": "dana@example.com", "password": controltest.Password, "roles": []string{"operator"}},
		change.UserCreated)
	self := "/users/" + made["id"].(string)

	dana := signIn("dana", "")
	refreshed := call("refresh", "/auth/refresh", "", map[string]any{"token": dana["refresh_token"]}, change.SessionRefreshed)
	call("refresh", "/auth/refresh", "", map[string]any{"token": "nothing"}, change.SessionRefreshRefused)
	s.Clock.Add(11 * time.Second) // longer than a used refresh token gives the same answer again
	call("refresh", "/auth/refresh", "", map[string]any{"token": dana["refresh_token"]}, change.SessionRevoked,
		change.SessionRefreshRefused)
	if status, _ := s.send("GET", "/me", bearer(refreshed), nil); status != 401 {
		t.Errorf("the session of a token that was used twice lives on: %d", status)
	}
	dana = signIn("dana", "")
	shown := call("enrollTOTP", "/mfa/enroll/totp", bearer(dana), nil, change.MFAStarted)
	call("verifyTOTP", "/mfa/verify", bearer(dana), map[string]any{"code": "918273"}, change.MFAFailed)
	secret := shown["secret"].(string)
	call("verifyTOTP", "/mfa/verify", bearer(dana), map[string]any{"code": s.Code(t, secret, 0)}, change.MFAEnrolled)
	call("login", "/auth/login", "", map[string]any{"username": "dana", "password": controltest.Password}, change.LoginIncomplete)
	dana = signIn("dana", s.Code(t, secret, 1))
	call("removeMFA", "/mfa", bearer(dana), nil, change.MFARemoved)
	shown = call("enrollTOTPFor", self+"/mfa/totp", root, nil, change.MFAEnrolled)
	dana = signIn("dana", shown["recovery_codes"].([]any)[0].(string))
	call("logout", "/auth/logout", bearer(dana), nil, change.SessionRevoked)
	call("removeMFAOf", self+"/mfa", root, nil, change.MFARemoved)

	put := func(body map[string]any, want ...change.Type) {
		t.Helper()
		call("updateUser", self, root, body, want...)
	}
	put(map[string]any{"email": "dana@example.org"}, change.UserUpdated)
	put(map[string]any{"email": "dana@example.org"}, change.UserUpdated)
	put(map[string]any{"enabled": false}, change.UserDisabled)
	put(map[string]any{"enabled": true, "roles": []string{"viewer"}, "password": "another harbour twenty"}, change.UserEnabled,
		change.UserPasswordChanged, change.UserUpdated)
	scope := []map[string]any{{"resource": "batches:*", "action": []string{"read"}}}
	made = call("createToken", "/tokens", root, map[string]any{"name": "build", "scope": scope, "expires_at": "2026-12-01"},
		change.TokenCreated)
	made = call("rotateToken", "/tokens/"+made["id"].(string)+"/rotate", root, map[string]any{}, change.TokenRotated, change.TokenCreated)
	call("revokeToken", "/tokens/"+made["id"].(string), root, nil, change.TokenRevoked)
	made = call("createServiceAccount", "/service-accounts", root, map[string]any{"name": "ci", "roles": []string{"viewer"}},
		change.ServiceAccountCreated)
	machine := "/service-accounts/" + made["id"].(string)
	call("createToken", "/tokens", root, map[string]any{"name": "build", "scope": scope, "expires_at": "2026-12-01",
		"service_account": made["id"]}, change.TokenCreated)
	call("updateServiceAccount", machine, root, map[string]any{"roles": []string{"developer"}}, change.ServiceAccountUpdated)
	call("updateServiceAccount", machine, root, map[string]any{"enabled": false}, change.ServiceAccountDisabled, change.TokenRevoked)
	call("updateServiceAccount", machine, root, map[string]any{"enabled": true}, change.ServiceAccountEnabled)
	call("deleteServiceAccount", machine, root, nil, change.ServiceAccountDeleted)
	call("deleteUser", self, root, nil, change.UserDeleted)
	rules := []map[string]any{{"effect": "Deny", "resource": "servers:web-*", "action": []string{"create"}}}
	made = call("createPolicy", "/policies", root, map[string]any{"name": "no-web", "version": "1.0.0", "rules": rules},
		change.PolicyChanged)
	self = "/policies/" + made["id"].(string)
	call("updatePolicy", self, root, map[string]any{"enabled": false}, change.PolicyChanged)
	call("deletePolicy", self, root, nil, change.PolicyDeleted)
	call("revertPolicy", self+"/revert", root, map[string]any{"revision": 1}, change.PolicyChanged)
	made = call("createWebhook", "/webhooks", root, map[string]any{"url": "https://receiver.example/", "events": []string{"user.disabled"}},
		change.WebhookCreated)
	self = "/webhooks/" + made["id"].(string)
	call("updateWebhook", self, root, map[string]any{"description": "for the guard"}, change.WebhookUpdated)
	call("rotateWebhookSecret", self+"/rotate", root, map[string]any{}, change.WebhookUpdated)
	queued := call("testWebhook", self+"/test", root, nil, change.WebhookQueued)
	call("redeliver", self+"/deliveries/"+queued["id"].(string)+"/redeliver", root, nil, change.WebhookQueued)
	call("redeliverRange", self+"/redeliver", root, map[string]any{"from": 1, "to": 100}, change.WebhookQueued)
	call("pauseWebhook", self+"/pause", root, map[string]any{}, change.WebhookPaused)
	call("resumeWebhook", self+"/resume", root, nil, change.WebhookResumed)
	call("deleteWebhook", self, root, nil, change.WebhookDeleted)
	call("rotateKeys", "/keys/rotate", root, nil, change.KeyRotated)
	call("removeKey", "/keys/"+s.Ring.Keys()[0].ID, root, nil, change.KeyRemoved)
	call("removeKey", "/keys/"+current(s.Rig), bearer(signIn("root", "")), nil, change.KeyRemoved, change.KeyRotated)

	call("renewCertificate", "/internal/v1/certificate", orchestrator, map[string]any{"request": signingRequest(t)},
		change.ClientCertified)

	for _, r := range routes {
		if r.Method != "GET" && (!r.Reads || r.Internal) && !called[r.Op] && withoutEvent[r.Op] == "" {
			t.Errorf("%s %s (%s) is not called here; a change without events is none", r.Method, r.Path, r.Op)
		}
	}
	s.search()
}

// search looks for the secrets that were sent and answered in all events.
func (s *site) search() {
	s.Helper()
	page, err := s.Rig.DB.Read(s.Context(), change.Stream, 0, store.MaxPage)
	if err != nil || len(page.Entries) < 20 || len(s.shown) < 20 {
		s.Fatalf("%d events and %d secrets: %v", len(page.Entries), len(s.shown), err)
	}
	for _, e := range page.Entries {
		for _, secret := range s.shown {
			if len(secret) > 5 && bytes.Contains(e.Body, []byte(secret)) {
				s.Errorf("the event %s holds the secret %.4s…", e.Body, secret)
			}
		}
		if bytes.Contains(e.Body, []byte("@example")) {
			s.Errorf("the event %s holds an e-mail address", e.Body)
		}
	}
}

// current returns the id of the key that signs.
func current(r *controltest.Rig) string {
	for _, k := range r.Ring.Keys() {
		if k.State == token.Current {
			return k.ID
		}
	}
	return ""
}
