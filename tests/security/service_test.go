package security

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/token"
)

// serviceKey returns the orchestrator's key and the issuer its tokens name, as whoever steals the
// credential reads them.
func (s *site) serviceKey(t *testing.T) (ed25519.PrivateKey, string) {
	t.Helper()
	raw, err := os.ReadFile(s.Admin.OrchestratorCredential)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Issuer     string `json:"issuer"`
		PrivateKey string `json:"private_key"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	seed, err := base64.RawURLEncoding.DecodeString(file.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return ed25519.NewKeyFromSeed(seed), file.Issuer
}

// serviceClaims returns the claims of a token that the orchestrator may sign.
func serviceClaims(issuer string) token.Claims {
	now := time.Now().Unix()
	return token.Claims{Issuer: issuer, Subject: "service:orchestrator", Audience: []string{token.ControlCenter}, ID: id.Random(),
		IssuedAt: now, NotBefore: now, Expires: now + 60}
}

// service returns a token of the orchestrator, signed with its credential.
func (s *site) service(t *testing.T) string {
	t.Helper()
	key, issuer := s.serviceKey(t)
	signed, err := token.Sign(serviceClaims(issuer), key, token.Service)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// misuse is a token that the orchestrator's key signs and nobody may accept.
type misuse struct{ name, token string }

// misuses signs every combination of subject, claims of a person, audience and typ but the one that
// is right. It returns the subjects that nobody has as well.
func (s *site) misuses(t *testing.T) (all []misuse, madeUp []string) {
	t.Helper()
	key, issuer := s.serviceKey(t)
	admin := s.people["admin+mfa"]
	var live token.Claims // of a session that exists
	payload(t, admin.token, 1, &live)
	dress := map[string]func(*token.Claims){
		"nothing more": func(*token.Claims) {},
		"roles":        func(c *token.Claims) { c.Roles = []string{"admin"} },
		"a second factor": func(c *token.Claims) {
			c.Roles, c.AMR, c.ACR, c.AuthTime = []string{"admin"}, []string{"pwd", "otp"}, "aal2", c.IssuedAt
		},
		"a session": func(c *token.Claims) {
			c.Roles, c.AMR, c.ACR, c.AuthTime = live.Roles, []string{"pwd", "otp"}, live.ACR, live.AuthTime
			c.SessionID, c.AuthVersion, c.Username = live.SessionID, live.AuthVersion, live.Username
		},
	}
	madeUp = []string{"service:", "anyone", "u:" + admin.id}
	for _, sub := range append([]string{"service:orchestrator", "service:control-center", admin.id}, madeUp...) {
		for what, wear := range dress {
			for _, aud := range [][]string{{token.ControlCenter}, {token.Orchestrator, token.ControlCenter}} {
				for _, typ := range []string{"svc+jwt", "at+jwt"} {
					c := serviceClaims(issuer)
					if c.Subject, c.Audience = sub, aud; sub == "service:orchestrator" && what == "nothing more" && len(aud) == 1 &&
						typ == "svc+jwt" {
						continue
					}
					wear(&c)
					raw, err := token.Sign(c, key, token.Kind(typ))
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, misuse{fmt.Sprintf("%s as %s with %s for %v", typ, sub, what, aud), raw})
				}
			}
		}
	}
	return all, madeUp
}

// TestServiceKey_isNoAdministrator signs with the orchestrator's credential whatever a thief would
// like to be: each token is refused at each route, nothing has happened, and the audit log names
// nobody whom the thief made up. It is Z16 for a service's token alone.
func TestServiceKey_isNoAdministrator(t *testing.T) {
	s := shared
	admin := s.people["admin+mfa"]
	routes := []struct {
		service, method, path string
		body                  any
	}{
		{"control-center", "POST", "/users",
			map[string]any{"username": "thief", "email": "thief@example.com", "password": password, "roles": []string{"admin"}}},
		{"control-center", "PUT", "/users/" + admin.id, map[string]any{"password": "another long passphrase 8"}},
		{"control-center", "POST", "/users/" + admin.id + "/mfa/totp", nil},
		{"control-center", "DELETE", "/mfa", nil},
		{"control-center", "POST", "/mfa/enroll/totp", nil},
		{"control-center", "POST", "/keys/rotate", nil},
		{"control-center", "GET", "/users", nil},
		{"control-center", "GET", "/audit/logs", nil},
		{"control-center", "POST", "/auth/logout", nil},
		{"control-center", "GET", "/internal/v1/revocations?wait=0", nil},
		{"control-center", "GET", "/internal/v1/policies?wait=0", nil},
		{"control-center", "GET", "/internal/v1/subjects?wait=0", nil},
		{"orchestrator", "GET", "/tasks", nil},
		{"orchestrator", "POST", "/rollback/checkpoints", map[string]any{"name": "thief"}},
	}
	before := string(s.send(t, "control-center", "GET", "/keys", admin.token, nil).Raw)
	all, madeUp := s.misuses(t)
	if tried := len(all) * len(routes); tried < 144 {
		t.Fatalf("only %d misuses", tried)
	}
	for _, m := range all {
		for _, r := range routes {
			if a := s.send(t, r.service, r.method, r.path, m.token, r.body); a.Status != 401 && a.Status != 403 {
				t.Errorf("%s at %s %s: %d %.200s", m.name, r.method, r.path, a.Status, a.Raw)
			}
		}
		if a := s.send(t, "control-center", "POST", "/auth/refresh", "", map[string]any{"token": m.token}); a.Status != 401 {
			t.Errorf("%s refreshed: %d %.200s", m.name, a.Status, a.Raw)
		}
	}
	if a := s.send(t, "control-center", "GET", "/internal/v1/policies?wait=0", s.service(t), nil); a.Status != 200 {
		t.Errorf("the orchestrator's own token: %d %s", a.Status, a.Raw)
	}
	if after := string(s.send(t, "control-center", "GET", "/keys", admin.token, nil).Raw); after != before {
		t.Errorf("the keys are %s, and were %s", after, before)
	}
	for _, sub := range madeUp {
		var rows []json.RawMessage
		if s.send(t, "control-center", "GET", "/audit/logs?user_id="+sub, admin.token, nil).data(t, &rows); len(rows) > 0 {
			t.Errorf("the audit log names %s: %s", sub, rows[0])
		}
	}
}
