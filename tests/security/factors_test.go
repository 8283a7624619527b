package security

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestFactors_enrollingOneEndsEveryOtherSession: whoever holds a session that was opened without
// the factor can do nothing with it once the owner has proved one: no refresh, no removal, no new
// password, no second enrolment.
func TestFactors_enrollingOneEndsEveryOtherSession(t *testing.T) {
	s := shared
	const name = "enrolling"
	u, err := s.CC(s.Token).CreateUser(t.Context(),
		client.NewUser{Username: name, Email: name + "@example.com", Password: secret.New(password), Roles: []string{"operator"}})
	if err != nil {
		t.Fatal(err)
	}
	login := func() client.Session {
		t.Helper()
		session, err := s.CC(secret.Text{}).Login(t.Context(), name, secret.New(password), "")
		if err != nil {
			t.Fatal(err)
		}
		return session
	}
	own, thief := login(), login()
	var e struct {
		Secret string `json:"secret"`
	}
	s.send(t, "control-center", "POST", "/mfa/enroll/totp", own.Token.Reveal(), nil).data(t, &e)
	code, err := rig.TOTP(e.Secret, time.Now().Unix()/30)
	if err != nil {
		t.Fatal(err)
	}
	if a := s.send(t, "control-center", "POST", "/mfa/verify", own.Token.Reveal(), map[string]any{"code": code}); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Raw)
	}
	for _, try := range []struct {
		method, path string
		body         any
	}{
		{"DELETE", "/mfa", nil},
		{"PUT", "/users/" + u.ID, map[string]any{"password": "another long passphrase 8"}},
		{"POST", "/mfa/enroll/totp", nil},
		{"GET", "/users/" + u.ID, nil},
	} {
		if a := s.send(t, "control-center", try.method, try.path, thief.Token.Reveal(), try.body); a.Status != 401 {
			t.Errorf("%s %s with a session of before: %d %s", try.method, try.path, a.Status, a.Raw)
		}
	}
	for what, raw := range map[string]secret.Text{"refresh token": thief.RefreshToken, "access token": thief.Token} {
		if _, err := s.CC(secret.Text{}).Refresh(t.Context(), raw); err == nil {
			t.Errorf("a session of before is refreshed with its %s", what)
		}
	}
	rigtest.Await(t, patience, "the orchestrator refuses the tokens of before", func() bool {
		return s.send(t, "orchestrator", "GET", "/tasks", thief.Token.Reveal(), nil).Status == 401
	})
	next, err := s.CC(secret.Text{}).Refresh(t.Context(), own.RefreshToken)
	if err != nil {
		t.Fatalf("the session that proved the factor: %v", err)
	}
	var claims struct {
		ACR string
		AMR []string
	}
	if payload(t, next.Token.Reveal(), 1, &claims); claims.ACR != "aal2" {
		t.Errorf("it goes on as %+v", claims)
	}
	for _, service := range []string{"control-center", "orchestrator"} {
		path := map[string]string{"control-center": "/users/" + u.ID, "orchestrator": "/tasks"}[service]
		if a := s.send(t, service, "GET", path, next.Token.Reveal(), nil); a.Status != 200 {
			t.Errorf("its new token at the %s: %d %s", service, a.Status, a.Raw)
		}
	}
}

// TestFactors_theLastAdministratorKeepsItsOwn: with [mfa] required nobody could sign in after that,
// on both stores.
func TestFactors_theLastAdministratorKeepsItsOwn(t *testing.T) {
	for _, store := range []string{"embedded", "surrealdb"} {
		t.Run(store, func(t *testing.T) {
			dir := t.TempDir()
			config := filepath.Join(dir, "control-center.toml")
			if err := os.WriteFile(config, []byte("[mfa]\nrequired = true\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			o := rig.Options{Bin: rigtest.Binaries(t), Dir: dir, ControlCenterConfig: config}
			if store == "surrealdb" {
				rigtest.UseSurreal(t, &o)
			}
			s := &site{Rig: rigtest.Prepare(t, o)}
			if err := s.ControlCenter.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			session, err := s.Login(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			me, admin := session.User.ID, session.Token
			second, err := s.CC(admin).CreateUser(t.Context(),
				client.NewUser{Username: "second", Email: "second@example.com", Password: secret.New(password), Roles: []string{"admin"}})
			if err != nil {
				t.Fatal(err)
			}
			tries := []struct {
				method, path string
				body         any
			}{
				{"DELETE", "/mfa", nil},
				{"DELETE", "/users/" + me + "/mfa", nil},
				{"PUT", "/users/" + me, map[string]any{"enabled": false}},
				{"PUT", "/users/" + me, map[string]any{"roles": []string{"viewer"}}},
				{"DELETE", "/users/" + me, nil},
			}
			for _, try := range tries {
				if a := s.send(t, "control-center", try.method, try.path, admin.Reveal(), try.body); a.Status != 409 ||
					code(t, a) != "user.last_admin_factor" {
					t.Errorf("%s %s: %d %s", try.method, try.path, a.Status, a.Raw)
				}
			}
			if _, err := s.CC(admin).EnrolTOTP(t.Context(), second.ID); err != nil {
				t.Fatal(err)
			}
			if a := s.send(t, "control-center", "DELETE", "/mfa", admin.Reveal(), nil); a.Status != 200 {
				t.Errorf("beside another administrator with a factor: %d %s", a.Status, a.Raw)
			}
		})
	}
}
