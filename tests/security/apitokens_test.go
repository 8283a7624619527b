package security

import (
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/id"
)

// tokenOrder is a body that makes an API token with one right, which lives for an hour.
func tokenOrder(resource string, actions ...string) map[string]any {
	return map[string]any{"name": "t-" + id.New(), "expires_at": time.Now().Add(time.Hour),
		"scope": []any{map[string]any{"resource": resource, "action": actions}}}
}

// apiToken makes an API token of somebody in a fresh session and returns its id and its text.
func (s *site) apiToken(t *testing.T, p *person, resource string, actions ...string) (tokenID, text string) {
	t.Helper()
	a := s.send(t, "control-center", "POST", "/tokens", p.token, tokenOrder(resource, actions...))
	var v struct{ ID, Token string }
	if a.data(t, &v); a.Status != 201 {
		t.Fatalf("%d %s", a.Status, a.Raw)
	}
	return v.ID, v.Token
}

// newcomer returns a person that no other test changes, signed in a moment ago.
func (s *site) newcomer(t *testing.T, roles ...string) *person {
	t.Helper()
	p, err := s.hire(t.Context(), "n-"+strings.ReplaceAll(id.New(), "-", ""), roles...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestAPITokens_whereOnlyAPersonMayAct walks the published operations: at sessions, factors,
// passwords, tokens and tickets an API token of everything is refused with token.not_here (decision
// 53).
func TestAPITokens_whereOnlyAPersonMayAct(t *testing.T) {
	s := shared
	owner := s.newcomer(t, "admin")
	_, text := s.apiToken(t, owner, "*:*", "*")
	refused := 0
	for _, op := range s.operations(t) {
		person := strings.HasPrefix(op.path, "/mfa") || strings.Contains(op.path, "/mfa/") || strings.HasSuffix(op.path, "/mfa") ||
			op.path == "/auth/logout" || strings.HasPrefix(op.path, "/tokens") || strings.HasSuffix(op.path, "/tickets")
		if !person {
			continue
		}
		refused++
		a := s.send(t, op.service, op.method, op.url(nowhere), text, s.body(op.id, "", ""))
		if a.Status != 403 || code(t, a) != "token.not_here" {
			t.Errorf("%s: %d %.200s", op, a.Status, a.Raw)
		}
	}
	a := s.send(t, "control-center", "PUT", "/users/"+owner.id, text, map[string]any{"password": "another harbour twenty"})
	if a.Status != 403 || code(t, a) != "token.not_here" {
		t.Errorf("the own password: %d %s", a.Status, a.Raw)
	}
	for _, path := range []string{"/auth/refresh", "/auth/login"} { // open routes, which know no API tokens
		if a := s.send(t, "control-center", "POST", path, "", map[string]any{"token": text}); a.Status < 400 {
			t.Errorf("%s takes an API token: %d", path, a.Status)
		}
	}
	if refused < 10 {
		t.Errorf("the walk saw %d operations: it is blind", refused)
	}
	if a := s.send(t, "control-center", "GET", "/me", text, nil); a.Status != 200 {
		t.Errorf("who a token speaks for: %d %s", a.Status, a.Raw)
	}
}

// TestAPITokens_neverAreASecondFactor: what an administrator may do with a second factor only, his
// token may not do at all, though he had one when he made it.
func TestAPITokens_neverAreASecondFactor(t *testing.T) {
	s := shared
	name := "r-" + strings.ReplaceAll(id.New(), "-", "")
	if err := s.hireRoot(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	_, text := s.apiToken(t, s.people[name], "*:*", "*")
	if a := s.send(t, "control-center", "GET", "/users?limit=1", text, nil); a.Status != 200 {
		t.Errorf("a read: %d %s", a.Status, a.Raw)
	}
	for path, body := range map[string]any{"/users": s.body("createUser", "", ""), "/policies": s.body("createPolicy", "", ""),
		"/keys/rotate": nil} {
		if a := s.send(t, "control-center", "POST", path, text, body); a.Status != 403 {
			t.Errorf("POST %s: %d %s", path, a.Status, a.Raw)
		}
	}
}

// TestAPITokens_otherPeoplesAreNobodysBusiness: who may not read everybody's tokens cannot tell one
// that exists from one that does not.
func TestAPITokens_otherPeoplesAreNobodysBusiness(t *testing.T) {
	s := shared
	tokenID, _ := s.apiToken(t, s.newcomer(t, "viewer"), "tasks:*", "read")
	stranger := s.newcomer(t, "operator")
	for _, at := range []struct {
		method, path string
	}{{"GET", "/tokens/"}, {"DELETE", "/tokens/"}} {
		there := s.send(t, "control-center", at.method, at.path+tokenID, stranger.token, nil)
		absent := s.send(t, "control-center", at.method, at.path+nowhere, stranger.token, nil)
		if there.Status != 403 || absent.Status != 403 {
			t.Errorf("%s: %d, one that is not there %d", at.method, there.Status, absent.Status)
		}
	}
}
