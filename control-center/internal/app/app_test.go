package app

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/bootstrap"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/token"
)

// running is a control-center over HTTP.
type running struct {
	t     *testing.T
	url   string
	admin bootstrap.InitResult
	dir   string
}

func start(t *testing.T, storeURL string) *running {
	t.Helper()
	ctx := context.Background()
	dir := t.TempDir() + "/data"
	admin, err := bootstrap.Init(ctx, bootstrap.Options{Dir: dir}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c := Default()
	c.Data, c.Store.URL, c.RateLimits.Enabled = config.Path(dir), storeURL, false
	log := obs.Discard()
	stores, err := c.Store.Options(dir, "", Schema(), log)
	if err != nil {
		t.Fatal(err)
	}
	s, err := service(c)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Open(ctx, stores, log)
	if err != nil {
		t.Fatal(err)
	}
	run, stop := context.WithCancel(ctx)
	done := make(chan error, len(p.Components))
	for _, part := range p.Components {
		go func() { done <- part.Run(run) }()
	}
	server := httptest.NewServer(p.Server.Handler)
	t.Cleanup(func() {
		server.Close()
		stop()
		for range p.Components {
			if err := <-done; err != nil {
				t.Errorf("component: %v", err)
			}
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return &running{t: t, url: server.URL, admin: admin, dir: dir}
}

// do sends a request and returns status and the envelope.
func (r *running) do(method, path, bearer string, body any) (int, map[string]any) {
	r.t.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			r.t.Fatal(err)
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, r.url+path, in)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, _ := io.ReadAll(resp.Body)
	out := map[string]any{}
	if err := json.Unmarshal(raw, &out); err != nil {
		r.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, raw)
	}
	return resp.StatusCode, out
}

// login signs in with a recovery code, which spares waiting for the next TOTP step.
func (r *running) login(name, password, code string) string {
	r.t.Helper()
	in := map[string]any{"username": name, "password": password}
	if code != "" {
		in["mfa_code"] = code
	}
	status, out := r.do("POST", "/auth/login", "", in)
	if status != 200 {
		r.t.Fatalf("login %s: %d %v", name, status, out)
	}
	return out["data"].(map[string]any)["token"].(string)
}

func TestService_accountsFromSignInToDeletion(t *testing.T) {
	t.Parallel()
	for _, storeURL := range []string{"memory:", "embedded:"} {
		t.Run(storeURL, func(t *testing.T) {
			t.Parallel()
			r := start(t, storeURL)
			if status, out := r.do("GET", "/health", "", nil); status != 200 || out["data"] != "Control Center is healthy" {
				t.Fatalf("health: %d %v", status, out)
			}
			admin := r.login("admin", r.admin.Password, r.admin.RecoveryCodes[0])
			status, out := r.do("POST", "/users", admin,
				map[string]any{"username": "newuser", "email": "newuser@example.com", "password": "secure_password",
					"roles": []string{"operator"}, "enabled": true})
			if status != 201 {
				t.Fatalf("create: %d %v", status, out)
			}
			user := out["data"].(map[string]any)
			if len(user) != 5 {
				t.Errorf("created %v", user)
			}
			self := "/users/" + user["id"].(string)
			mine := r.login("newuser", "secure_password", "")
			for _, c := range []struct {
				method, path, bearer string
				body                 any
				want                 int
			}{
				{"GET", "/users", "", nil, 401}, {"GET", "/users", mine, nil, 403}, {"GET", self, mine, nil, 200},
				{"GET", "/audit/logs", mine, nil, 403},
				{"PUT", self, mine, map[string]any{"roles": []string{"admin"}}, 403},
				{"PUT", self, mine, map[string]any{"email": "x@example.com"}, 403},
				{"DELETE", self, mine, nil, 403}, {"POST", "/keys/rotate", mine, nil, 403}, {"POST", self + "/mfa/totp", mine, nil, 403},
				{"PUT", self, admin, map[string]any{}, 422}, {"PUT", self, admin, map[string]any{"email": "bad"}, 422},
				{"PUT", self, admin, map[string]any{"username": "other"}, 422},
				{"PUT", self, admin, map[string]any{"username": "other", "email": "y@example.com"}, 200},
				{"POST", "/users", admin, map[string]any{"username": "NEWUSER", "email": "z@example.com", "password": "secure_password",
					"roles": []string{"operator"}}, 409},
				{"POST", "/users", admin, map[string]any{"username": "z", "email": "z@example.com", "password": "secure_password",
					"roles": []string{"king"}}, 422},
				{"GET", "/users/nobody", admin, nil, 404}, {"GET", "/users?enabled=maybe", admin, nil, 400},
				{"PUT", self, mine, map[string]any{"password": "violet harbour nineteen"}, 200},
				{"GET", self, mine, nil, 401}, // the password change ended it
				{"DELETE", self, admin, nil, 200}, {"DELETE", self, admin, nil, 404},
			} {
				if status, out := r.do(c.method, c.path, c.bearer, c.body); status != c.want {
					t.Errorf("%s %s: %d, want %d: %v", c.method, c.path, status, c.want, out)
				}
			}
		})
	}
}

func TestService_auditRowsAndProofs(t *testing.T) {
	t.Parallel()
	r := start(t, "embedded:")
	admin := r.login("admin", r.admin.Password, r.admin.RecoveryCodes[0])
	if status, _ := r.do("POST", "/auth/login", "", map[string]any{"username": "admin", "password": "wrong"}); status != 401 {
		t.Fatal(status)
	}
	if status, out := r.do("POST", "/keys/rotate", admin, nil); status != 200 {
		t.Fatalf("%d %v", status, out)
	}
	var row map[string]any
	for deadline := time.Now().Add(10 * time.Second); ; {
		_, out := r.do("GET", "/audit/logs?action=key.rotate", admin, nil)
		if rows, _ := out["data"].([]any); len(rows) == 1 {
			row = rows[0].(map[string]any)
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no row: %v", out)
		}
	}
	details := row["details"].(map[string]any)
	if row["result"] != "success" || row["resource"] != "keys/token" || details["decision"] == nil || details["request_id"] == nil {
		t.Errorf("%v", row)
	}
	for _, c := range []struct {
		query string
		want  int
	}{{"from=2026-13-01", 400}, {"to=rubbish", 400}, {"from=2030-01-01", 200}, {"limit=0", 400}, {"user_id=nobody", 200}} {
		if status, out := r.do("GET", "/audit/logs?"+c.query, admin, nil); status != c.want {
			t.Errorf("%s: %d %v", c.query, status, out)
		}
	}
	var proof any
	var last map[string]any
	for deadline := time.Now().Add(10 * time.Second); proof == nil && time.Now().Before(deadline); {
		_, out := r.do("GET", "/audit/logs/"+row["id"].(string)+"?proof=1", admin, nil)
		last = out
		if d, ok := out["data"].(map[string]any); ok {
			proof = d["proof"]
		}
	}
	if proof == nil {
		t.Fatalf("no proof within ten seconds: %v", last)
	}
	b, _ := json.Marshal(proof)
	var bundle audit.Bundle
	if err := json.Unmarshal(b, &bundle); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(instance.Folder(r.dir).AuditKeys() + "/public")
	if err != nil {
		t.Fatal(err)
	}
	public, err := audit.ParsePublic(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := bundle.Verify(public); err != nil {
		t.Errorf("the proof does not verify offline: %v", err)
	}
	if status, _ := r.do("DELETE", "/audit/logs/"+row["id"].(string), admin, nil); status != 405 {
		t.Errorf("delete: %d", status)
	}
}

// service returns a token signed with the orchestrator's credential.
func (r *running) service(change func(*token.Claims)) string {
	r.t.Helper()
	b, err := os.ReadFile(r.admin.OrchestratorCredential)
	if err != nil {
		r.t.Fatal(err)
	}
	var c bootstrap.Credential
	if err := json.Unmarshal(b, &c); err != nil {
		r.t.Fatal(err)
	}
	seed, err := base64.RawURLEncoding.DecodeString(c.PrivateKey)
	if err != nil {
		r.t.Fatal(err)
	}
	now := time.Now().Unix()
	claims := token.Claims{Issuer: c.Issuer, Subject: token.ServiceSubject(token.Orchestrator), Audience: []string{token.ControlCenter},
		ID: id.New(), IssuedAt: now, NotBefore: now, Expires: now + 60}
	if change != nil {
		change(&claims)
	}
	raw, err := token.Sign(claims, ed25519.NewKeyFromSeed(seed), token.Service)
	if err != nil {
		r.t.Fatal(err)
	}
	return raw
}

func TestService_whatTheOrchestratorAsks(t *testing.T) {
	t.Parallel()
	r := start(t, "memory:")
	admin := r.login("admin", r.admin.Password, r.admin.RecoveryCodes[0])
	svc := r.service(nil)
	status, out := r.do("GET", "/internal/v1/policies?after=0", svc, nil)
	if status != 200 || out["data"].(map[string]any)["source"] == nil {
		t.Fatalf("policies: %d %v", status, out)
	}
	_, out = r.do("GET", "/internal/v1/revocations?after=0&wait=0", svc, nil)
	if first := out["data"].(map[string]any)["items"].([]any); len(first) != 1 || first[0].(map[string]any)["kind"] != token.AllKeys {
		t.Fatalf("a fresh stream does not begin with the keys: %v", out)
	}
	began := time.Now()
	polled := make(chan map[string]any, 1)
	go func() {
		_, out := r.do("GET", "/internal/v1/revocations?after=1&wait=2000", svc, nil)
		polled <- out
	}()
	if status, _ := r.do("POST", "/auth/logout", admin, nil); status != 200 {
		t.Fatal(status)
	}
	out = <-polled
	items := out["data"].(map[string]any)["items"].([]any)
	if len(items) != 1 || items[0].(map[string]any)["kind"] != token.BySession || time.Since(began) > 1900*time.Millisecond {
		t.Fatalf("after %s: %v", time.Since(began), out)
	}
	status, out = r.do("POST", "/internal/v1/audit/entries", svc, map[string]any{"first": 0, "entries": []string{`{"action":"server.create","id":"01a214f4-773a-7d66-b5f6-c679470cebf7","resource":"servers/web-01","result":"success","time":"2026-03-04T10:00:00Z"}`}})
	if status != 200 {
		t.Fatalf("entries: %d %v", status, out)
	}
	for what, bearer := range map[string]string{
		"nobody": "", "a person": r.login("admin", r.admin.Password, r.admin.RecoveryCodes[1]),
		"another service": r.service(func(c *token.Claims) { c.Subject = "service:other" }),
		"another issuer":  r.service(func(c *token.Claims) { c.Issuer = "provisioning-platform:other" }),
		"another target":  r.service(func(c *token.Claims) { c.Audience = []string{token.Orchestrator} }),
		"a long life":     r.service(func(c *token.Claims) { c.Expires += 3600 }),
	} {
		for _, path := range []string{"/internal/v1/revocations", "/internal/v1/policies"} {
			if status, out := r.do("GET", path, bearer, nil); status != 401 && status != 403 {
				t.Errorf("%s: %s: %d %v", what, path, status, out)
			}
		}
	}
	for _, path := range []string{"/users", "/audit/logs", "/keys"} {
		if status, out := r.do("GET", path, svc, nil); status != 403 {
			t.Errorf("the service at %s: %d %v", path, status, out)
		}
	}
}

func TestService_everyKindOfTokenOnlyAtItsOwnDoor(t *testing.T) {
	t.Parallel()
	r := start(t, "memory:")
	status, out := r.do("POST", "/auth/login", "",
		map[string]any{"username": "admin", "password": r.admin.Password, "mfa_code": r.admin.RecoveryCodes[0]})
	if status != 200 {
		t.Fatal(out)
	}
	grant := out["data"].(map[string]any)
	access, refresh, service, recovery := grant["token"].(string), grant["refresh_token"].(string), r.service(nil), r.admin.RecoveryCodes[1]
	for what, bearer := range map[string]string{"a refresh token": refresh, "a service token": service, "a recovery code": recovery} {
		for _, path := range []string{"/users", "/audit/logs", "/metrics"} {
			if status, out := r.do("GET", path, bearer, nil); status != 401 && status != 403 {
				t.Errorf("%s at %s: %d %v", what, path, status, out)
			}
		}
	}
	for what, raw := range map[string]string{"a service token": service, "a recovery code": recovery, "half a refresh token": refresh[:20],
		"a stranger's": "rt_" + strings.Repeat("A", 43)} {
		if status, out := r.do("POST", "/auth/refresh", "", map[string]any{"token": raw}); status != 401 {
			t.Errorf("%s refreshed: %d %v", what, status, out)
		}
	}
	for what, bearer := range map[string]string{"an access token": access, "a refresh token": refresh} {
		if status, out := r.do("GET", "/internal/v1/policies", bearer, nil); status != 401 && status != 403 {
			t.Errorf("%s inside: %d %v", what, status, out)
		}
	}
	if status, out := r.do("POST", "/auth/login", "",
		map[string]any{"username": "admin", "password": r.admin.Password, "mfa_code": access}); status != 422 && status != 401 {
		t.Errorf("an access token as code: %d %v", status, out)
	}
	if status, _ := r.do("GET", "/users", access, nil); status != 200 {
		t.Errorf("the right one: %d", status)
	}
}
