package security

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/token/tokentest"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// payload returns the decoded part of a token: 0 is the header, 1 the claims.
func payload(t *testing.T, raw string, part int, into any) {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[part])
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// publicKey returns the published key that a token was signed with.
func (s *site) publicKey(t *testing.T, raw string) ed25519.PublicKey {
	t.Helper()
	var head struct{ Kid string }
	payload(t, raw, 0, &head)
	var set struct{ Keys []struct{ Kid, X string } }
	if err := json.Unmarshal(s.send(t, "control-center", "GET", "/.well-known/jwks.json", "", nil).Raw, &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		if k.Kid == head.Kid {
			b, err := base64.RawURLEncoding.DecodeString(k.X)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	t.Fatal("the token's key is not published")
	return nil
}

// printable says whether a header can carry the text as it is.
func printable(s string) bool {
	return len(s) < 30_000 && strings.TrimSpace(s) == s && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
}

// places are where a token is looked at: a read, a change, and the three ways into the WebSocket.
func (s *site) places(t *testing.T) map[string]func(token string) (accepted bool, answer string) {
	t.Helper()
	request := func(service, method, path string, body any) func(string) (bool, string) {
		return func(tok string) (bool, string) {
			a := s.send(t, service, method, path, "", body, "Authorization: Bearer "+tok)
			return a.Status < 400, code(t, a)
		}
	}
	socket := func(query, header string) (bool, string) {
		h := http.Header{}
		if header != "" {
			h.Set("Authorization", header)
		}
		ws, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.Orchestrator.Address, "http")+"/ws"+query, h)
		if err == nil {
			_ = ws.Close()
			return true, ""
		}
		if resp == nil {
			return false, "no answer"
		}
		raw, _ := io.ReadAll(resp.Body)
		return false, code(t, answer{rigtest.Answer{Status: resp.StatusCode, Raw: raw}})
	}
	return map[string]func(string) (bool, string){
		"a read of the orchestrator":   request("orchestrator", "GET", "/tasks", nil),
		"a change at the orchestrator": request("orchestrator", "POST", "/rollback/checkpoints", map[string]any{"name": "attack"}),
		"a read of the control-center": request("control-center", "GET", "/users", nil),
		"a change at the control-center": request("control-center", "POST", "/users",
			map[string]any{"username": "attacker", "email": "a@example.com", "password": password, "roles": []string{"admin"}}),
		"the socket's query":              func(tok string) (bool, string) { return socket("?token="+url.QueryEscape(tok), "") },
		"the socket's header":             func(tok string) (bool, string) { return socket("", "Bearer "+tok) },
		"the first message of the socket": s.firstMessage(t),
		"the refresh of the control-center": func(tok string) (bool, string) {
			a := s.send(t, "control-center", "POST", "/auth/refresh", "", map[string]any{"token": tok})
			return a.Status < 400, code(t, a)
		},
	}
}

// firstMessage returns how a socket without a token takes one.
func (s *site) firstMessage(t *testing.T) func(string) (bool, string) {
	return func(tok string) (bool, string) {
		ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.Orchestrator.Address, "http")+"/ws", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = ws.Close() }()
		_ = ws.SetReadDeadline(time.Now().Add(5 * time.Second))
		_ = ws.WriteJSON(map[string]string{"type": "auth", "token": tok})
		var m struct{ Type, Code string }
		if err := ws.ReadJSON(&m); err != nil {
			if websocket.IsCloseError(err, 4401, websocket.CloseMessageTooBig) {
				return false, "token.refused"
			}
			return false, err.Error()
		}
		return m.Type == "ack", m.Code
	}
}

// code returns the code of a refusal.
func code(t *testing.T, a answer) string {
	t.Helper()
	var v struct{ Code string }
	if a.Status == 431 || len(a.Raw) == 0 {
		return strconv.Itoa(a.Status)
	}
	if err := json.Unmarshal(a.Raw, &v); err != nil {
		return string(a.Raw)
	}
	return v.Code
}

// TestTokens_attacksAreRefusedEverywhere is A01 to A06, A10, A11 and A13: what a stranger makes of
// a valid token and the published key, at each place that looks at tokens; no refusal says which
// check failed.
func TestTokens_attacksAreRefusedEverywhere(t *testing.T) {
	s := shared
	valid := s.people["admin+mfa"].token
	attacks := tokentest.Attacks(valid, s.publicKey(t, valid))
	if len(attacks) < 150 {
		t.Fatalf("only %d attacks", len(attacks))
	}
	allowed := map[string]bool{"token.refused": true, "auth.bad_scheme": true, "token.missing": true, "431": true,
		"auth.refresh_refused": true, "400": true}
	for place, try := range s.places(t) {
		inside := strings.Contains(place, "first message") || strings.Contains(place, "refresh")
		for _, a := range attacks {
			if !inside && !printable(a.Token) || (inside && len(a.Token) > 900_000) || (a.Token == "" && strings.Contains(place, "query")) {
				continue // no header carries it; no token at all is another story
			}
			if ok, why := try(a.Token); ok || !(allowed[why] || inside && why == "input.invalid") {
				t.Errorf("%s at %s: accepted %v, %.200s", a.Name, place, ok, why)
			}
		}
	}
	for place, try := range s.places(t) {
		if strings.Contains(place, "refresh") || strings.Contains(place, "change at the control-center") {
			continue
		}
		if ok, why := try(valid); !ok {
			t.Errorf("the valid token at %s: %s", place, why)
		}
	}
}

// TestTokens_oneKindAtTheDoorOfAnother is A06: every kind of secret that is handed out, at each
// place for tokens.
func TestTokens_oneKindAtTheDoorOfAnother(t *testing.T) {
	s := shared
	login := s.send(t, "control-center", "POST", "/auth/login", "",
		map[string]any{"username": s.people["operator"].name, "password": password})
	var grant struct {
		Refresh string `json:"refresh_token"`
	}
	login.data(t, &grant)
	kinds := map[string]string{"a refresh token": grant.Refresh, "a service token": s.service(t),
		"a recovery code": s.Admin.RecoveryCodes[3], "a TOTP secret": s.Admin.TOTPSecret, "a password": password}
	for place, try := range s.places(t) {
		for kind, raw := range kinds {
			if strings.Contains(place, "refresh") && kind == "a refresh token" {
				continue
			}
			if ok, why := try(raw); ok {
				t.Errorf("%s at %s is accepted: %s", kind, place, why)
			}
		}
	}
	for _, op := range internalOps {
		if a := s.send(t, op.service, op.method, op.path, s.people["admin+mfa"].token, nil); a.Status != 403 {
			t.Errorf("an administrator at %s: %d", op, a.Status)
		}
	}
}

// TestTokens_goodSignatureWrongClaims is A05 to A10 at the orchestrator, with a key that it trusts:
// a proxy names one key more. The control-center's half stands in its app package, where its own
// key can be had.
func TestTokens_goodSignatureWrongClaims(t *testing.T) {
	dir := t.TempDir()
	config, err := configure(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := rigtest.Prepare(t, rig.Options{Bin: rigtest.Binaries(t), Dir: dir, OrchestratorConfig: config})
	if err := r.ControlCenter.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	public, key, _ := ed25519.GenerateKey(nil)
	target, _ := url.Parse(r.ControlCenter.Address)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(resp *http.Response) error {
		if !strings.HasSuffix(resp.Request.URL.Path, "/revocations") {
			return nil
		}
		var answer struct {
			Success bool       `json:"success"`
			Data    token.Feed `json:"data"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			return err
		}
		for i, item := range answer.Data.Items {
			if item.Kind == token.AllKeys {
				more := item.Keys[0]
				more.Kid, more.X = token.KeyID(public), base64.RawURLEncoding.EncodeToString(public)
				answer.Data.Items[i].Keys = append(item.Keys, more)
			}
		}
		raw, err := json.Marshal(answer)
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
		resp.Header.Set("Content-Length", strconv.Itoa(len(raw)))
		return err
	}
	between := httptest.NewServer(proxy)
	t.Cleanup(between.Close)
	r.Orchestrator.Args = append(r.Orchestrator.Args, "--control-center", between.URL, "--credential", r.Admin.OrchestratorCredential)
	if err := r.Orchestrator.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	session, err := r.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.Token = session.Token
	var claims token.Claims
	payload(t, r.Token.Reveal(), 1, &claims)
	valid, err := token.Sign(claims, key, token.Access)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{Rig: r}
	places := s.places(t)
	for place := range places {
		if strings.Contains(place, "control-center") {
			delete(places, place)
		}
	}
	for place, try := range places {
		if ok, why := try(valid); !ok {
			t.Fatalf("the proxy's key is not trusted at %s: %s", place, why)
		}
	}
	for _, a := range tokentest.Signed(valid, key) {
		for place, try := range places {
			if !printable(a.Token) && !strings.Contains(place, "first message") {
				continue
			}
			if ok, why := try(a.Token); ok || why != "token.refused" {
				t.Errorf("%s at %s: accepted %v, %.200s", a.Name, place, ok, why)
			}
		}
	}
}
