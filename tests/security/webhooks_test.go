package security

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/webhook"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestWebhooks_pausedWhenTheOwnerMayNotRead is decision 54: what happens after its owner was
// disabled is not sent, and the webhook says why.
func TestWebhooks_pausedWhenTheOwnerMayNotRead(t *testing.T) {
	s := shared
	owner, err := s.hire(t.Context(), "hook-"+id.New(), "operator")
	if err != nil {
		t.Fatal(err)
	}
	came := make(chan string, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		came <- string(b)
	}))
	t.Cleanup(receiver.Close)
	root := s.people["admin+mfa"].token
	send := func(service, method, path, token string, body any) answer {
		t.Helper()
		a := s.send(t, service, method, path, token, body)
		if a.Status >= 300 {
			t.Fatalf("%s %s: %d %s", method, path, a.Status, a.Raw)
		}
		return a
	}
	var hook, checkpoint struct{ ID string }
	send("orchestrator", "POST", "/webhooks", owner.token,
		map[string]any{"url": receiver.URL, "events": []string{"checkpoint.created"}}).data(t, &hook)
	s.forgets(t, hook.ID)
	send("orchestrator", "POST", "/rollback/checkpoints", root, map[string]any{"name": "before"}).data(t, &checkpoint.ID)
	if first := <-came; !strings.Contains(first, checkpoint.ID) {
		t.Fatalf("%s", first)
	}
	send("control-center", "PUT", "/users/"+owner.id, root, map[string]any{"enabled": false})
	var view struct{ Status, Reason string }
	rigtest.Await(t, patience, "the webhook is paused", func() bool { // the orchestrator hears of it within 5 s
		send("orchestrator", "POST", "/rollback/checkpoints", root, map[string]any{"name": "after"})
		send("orchestrator", "GET", "/webhooks/"+hook.ID, root, nil).data(t, &view)
		return view.Status == "paused"
	})
	if !strings.Contains(view.Reason, "was disabled") {
		t.Errorf("%+v", view)
	}
	for len(came) > 0 {
		<-came
	}
	send("orchestrator", "POST", "/rollback/checkpoints", root, map[string]any{"name": "later"})
	send("orchestrator", "GET", "/webhooks/"+hook.ID+"/deliveries?status=delivered", root, nil)
	if len(came) > 0 {
		t.Errorf("sent to somebody who may not read it: %s", <-came)
	}
}

// TestIdentityWebhooks_tellOfAccountsAndStopWhenTheirMakerIsNoAdministrator: a signed delivery of
// what happened to an account and of a failed sign-in comes, holds no secret, and none comes after
// its maker has lost the role.
func TestIdentityWebhooks_tellOfAccountsAndStopWhenTheirMakerIsNoAdministrator(t *testing.T) {
	s := shared
	maker := "hook-admin-" + id.New()
	if err := s.hireRoot(t.Context(), maker); err != nil {
		t.Fatal(err)
	}
	type request struct {
		header http.Header
		body   string
	}
	came := make(chan request, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		came <- request{r.Header, string(b)}
	}))
	t.Cleanup(receiver.Close)
	const cc = "control-center"
	send := func(method, path, token string, body any, want int) answer {
		t.Helper()
		a := s.send(t, cc, method, path, token, body)
		if a.Status != want {
			t.Fatalf("%s %s: %d %s", method, path, a.Status, a.Raw)
		}
		return a
	}
	root := s.people["admin+mfa"].token
	var hook struct{ ID, Secret string }
	body := map[string]any{"url": receiver.URL, "events": []string{"login.failed", "user.created", "user.disabled"}}
	send("POST", "/webhooks", s.people["admin"].token, body, 403)
	send("POST", "/webhooks", s.people[maker].token, body, 201).data(t, &hook)
	t.Cleanup(func() {
		if err := s.CC(secret.New(root)).DeleteWebhook(context.Background(), hook.ID); err != nil { // the test's context has ended
			t.Error(err)
		}
	})

	name := "hooked-" + id.New()
	next := func(event string) {
		t.Helper()
		r := <-came
		if err := webhook.Verify([]string{hook.Secret}, r.header, []byte(r.body), time.Now()); err != nil {
			t.Errorf("%v: %s", err, r.body)
		}
		if !strings.Contains(r.body, `{"event":"`+event+`"`) || !strings.Contains(r.body, name) || strings.Contains(r.body, password) ||
			strings.Contains(r.body, "argon2") {
			t.Errorf("%s: %s", event, r.body)
		}
	}
	var u struct{ ID string }
	send("POST", "/users", root, map[string]any{"username": name, "email": name + "@example.com", "password": password,
		"roles": []string{"viewer"}}, 201).data(t, &u)
	next("user.created")
	send("POST", "/auth/login", "", map[string]any{"username": name, "password": password + "x"}, 401)
	next("login.failed")
	send("PUT", "/users/"+u.ID, root, map[string]any{"enabled": false}, 200)
	next("user.disabled")

	send("PUT", "/users/"+s.people[maker].id, root, map[string]any{"roles": []string{"operator"}}, 200)
	send("POST", "/auth/login", "", map[string]any{"username": name, "password": password}, 401)
	var view struct{ Status, Reason string }
	rigtest.Await(t, patience, "the webhook is paused", func() bool {
		send("GET", "/webhooks/"+hook.ID, root, nil, 200).data(t, &view)
		return view.Status == "paused"
	})
	if !strings.Contains(view.Reason, "may no longer read identity-webhooks") || len(came) > 0 {
		t.Errorf("%+v, %d more came", view, len(came))
	}
}

// forgets deletes a webhook at the end of a test.
func (s *site) forgets(t *testing.T, hook string) {
	t.Cleanup(func() {
		// the test's context has ended
		if err := s.Orch(secret.New(s.people["admin+mfa"].token)).DeleteWebhook(context.Background(), hook); err != nil {
			t.Error(err)
		}
	})
}

// TestWebhooks_refuseAddressesThatAreNotPublic is I12 at the door: literal addresses are refused
// when a webhook is made.
func TestWebhooks_refuseAddressesThatAreNotPublic(t *testing.T) {
	s := shared
	for _, url := range []string{
		"http://169.254.169.254/latest/meta-data", "http://10.0.0.1/", "http://[::1]/", "http://[::ffff:169.254.169.254]/",
		"http://[fd00:ec2::254]/", "http://0.0.0.0/",
		"http://100.64.0.1/", "http://[64:ff9b::a9fe:a9fe]/", "file:///etc/passwd", "gopher://example.com/", "http://user@example.com/",
	} {
		a := s.send(t, "orchestrator", "POST", "/webhooks", s.people["operator"].token,
			map[string]any{"url": url, "events": []string{"task.failed"}})
		if a.Status != 422 {
			t.Errorf("%s: %d %.200s", url, a.Status, a.Raw)
		}
	}
}
