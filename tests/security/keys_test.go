package security

import (
	"context"
	"crypto/ed25519"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestKeys_rotationInAHurryAndRemovalLeaveNewTokensGood is A12 at both services: the second
// rotation in a row is refused, the current key can be removed again and again, and each time the
// first token of the successor is good at the orchestrator with its first request, while strangers
// make up key ids as fast as they can.
func TestKeys_rotationInAHurryAndRemovalLeaveNewTokensGood(t *testing.T) {
	dir := t.TempDir()
	config, err := configure(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := rigtest.Prepare(t, rig.Options{Bin: rigtest.Binaries(t), Dir: dir, OrchestratorConfig: config})
	if err := r.StartServices(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := &site{Rig: r}
	live, err := r.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.strangers(t)()
	good := func(when string) {
		t.Helper()
		if live, err = s.CC(secret.Text{}).Refresh(t.Context(), live.RefreshToken); err != nil {
			t.Fatal(err)
		}
		if a := s.send(t, "orchestrator", "GET", "/tasks", live.Token.Reveal(), nil); a.Status != 200 {
			t.Errorf("%s the first request with a new token: %d %s", when, a.Status, a.Raw)
		}
	}
	if a := s.send(t, "control-center", "POST", "/keys/rotate", live.Token.Reveal(), nil); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Raw)
	}
	good("after a rotation")
	a := s.send(t, "control-center", "POST", "/keys/rotate", live.Token.Reveal(), nil)
	if a.Status != 409 || code(t, a) != "key.announced_lately" || a.Header.Get("Retry-After") == "" ||
		!strings.Contains(string(a.Raw), "DELETE /keys/") {
		t.Errorf("a second rotation in a hurry: %d %s", a.Status, a.Raw)
	}
	good("after a refused rotation")
	for range 5 {
		var head struct{ Kid string }
		old := live.Token.Reveal()
		payload(t, old, 0, &head)
		if a := s.send(t, "control-center", "DELETE", "/keys/"+head.Kid, old, nil); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Raw)
		}
		good("after the removal of the current key")
		rigtest.Await(t, 5*time.Second, "the removed key's tokens are dead",
			func() bool { return s.send(t, "orchestrator", "GET", "/tasks", old, nil).Status == 401 })
	}
}

// strangers sends tokens of made-up keys to the orchestrator until the returned function is called.
func (s *site) strangers(t *testing.T) (stop func()) {
	t.Helper()
	_, key, _ := ed25519.GenerateKey(nil)
	raw, err := token.Sign(serviceClaims("x"), key, token.Access)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			stranger := s.Orch(secret.New(raw))
			for ctx.Err() == nil {
				if _, err := stranger.Tasks(ctx, "", client.Page{}); err == nil {
					t.Error("a stranger got in")
				}
			}
		})
	}
	return func() { cancel(); all.Wait() }
}
