package crash

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestPutBack_anOldControlCenterRevivesNothing disables an account after its folder was copied and
// puts the copy back. The orchestrator knows better, and the control-center itself grants nothing.
func TestPutBack_anOldControlCenterRevivesNothing(t *testing.T) {
	const name, password = "was-here", "a rather long passphrase 7"
	o := rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir()}
	w := newWorld(t, &o)
	w.rig = rigtest.Start(t, o)
	u, err := w.cc().CreateUser(t.Context(),
		client.NewUser{Username: name, Email: name + "@example.com", Password: secret.New(password), Roles: []string{"operator"}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.rig.CC(secret.Text{}).Login(t.Context(), name, secret.New(password), "")
	if err != nil {
		t.Fatal(err)
	}
	tasks, cc := w.rig.Orchestrator.Address+"/tasks?limit=1", w.rig.ControlCenter.Address
	if got := status(t, tasks, s.Token); got != http.StatusOK {
		t.Fatal(got)
	}
	data, older := filepath.Join(o.Dir, "control-center"), filepath.Join(o.Dir, "older")
	w.copied(w.rig.ControlCenter)
	began := time.Now()
	w.changes()
	t.Logf("changes are taken %s after a start of the control-center", time.Since(began).Round(time.Millisecond))
	off := rigtest.Send(t, http.MethodPut, cc+"/users/"+u.ID, w.rig.Token.Reveal(), map[string]any{"enabled": false})
	if off.Status != http.StatusOK {
		t.Fatalf("%d %s", off.Status, off.Raw)
	}
	refused := func() bool { return status(t, tasks, s.Token) == http.StatusUnauthorized }
	rigtest.Await(t, noticed, "the orchestrator hears that the account is disabled", refused)
	w.checkpoints(2)
	rigtest.Await(t, noticed, "both logs are witnessed", func() bool {
		return w.cosigned("orchestrator", "control-center") > w.cosigned("older", "control-center")
	})

	w.stop(w.rig.ControlCenter)
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	copyTree(t, older, data)
	w.startAgain(w.rig.ControlCenter)
	for began := time.Now(); time.Since(began) < 3*time.Second; clock.Pause(t.Context(), 20*time.Millisecond, nil) {
		if !refused() {
			t.Fatalf("%s after the copy was put back the orchestrator takes the token of the disabled account", time.Since(began))
		}
		if _, err := w.rig.CC(secret.Text{}).Login(t.Context(), name, secret.New(password), ""); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("%s after the copy was put back the disabled account signs in: %v", time.Since(began), err)
		}
	}
	known := func(when string) {
		t.Helper()
		if !refused() {
			t.Errorf("%s: the orchestrator takes the token of the disabled account", when)
		}
		if got := status(t, tasks, w.rig.Token); got != http.StatusOK {
			t.Errorf("%s: the orchestrator serves reads with status %d", when, got)
		}
		if _, err := w.orch().CreateCheckpoint(t.Context(), "refused", "", ""); fault.CodeOf(err) != "control_center.rolled_back" {
			t.Errorf("%s: the orchestrator changes something: %v", when, err)
		}
		for what, err := range map[string]error{
			"a sign-in": second(w.rig.CC(secret.Text{}).Login(t.Context(), name, secret.New(password), "")),
			"a read":    second(w.rig.CC(s.Token).User(t.Context(), u.ID)), // with the token that was revoked after the copy
			"a change": second(w.cc().CreateUser(t.Context(),
				client.NewUser{Username: "new", Email: "n@example.com", Password: secret.New(password), Roles: []string{"viewer"}})),
		} {
			if fault.CodeOf(err) != "audit.rolled_back" {
				t.Errorf("%s: %s at the control-center: %v", when, what, err)
			}
		}
		for path, body := range map[string]any{"/auth/refresh": map[string]any{"token": s.Token.Reveal()}, "/.well-known/jwks.json": nil} {
			method := http.MethodGet
			if body != nil {
				method = http.MethodPost
			}
			if got := rigtest.Send(t, method, cc+path, "", body); got.Status != http.StatusServiceUnavailable {
				t.Errorf("%s: %s at the control-center: %d %s", when, path, got.Status, got.Raw)
			}
		}
	}
	known("put back")
	w.stop(w.rig.Orchestrator)
	w.stop(w.rig.ControlCenter)
	w.startAgain(w.rig.ControlCenter)
	if _, err := w.rig.CC(secret.Text{}).Login(t.Context(), name, secret.New(password), ""); fault.CodeOf(err) != "audit.rolled_back" {
		t.Errorf("started alone it does not know any more that it was put back: %v", err)
	}
	w.startAgain(w.rig.Orchestrator)
	known("after a restart")
}

// TestPutBack_aStartWaitsForTheWitness is decision 52, without an orchestrator to wait for.
func TestPutBack_aStartWaitsForTheWitness(t *testing.T) {
	o := rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir(), Env: []string{"CONTROL_CENTER_AUDIT_WAIT_FOR_PEER=3s"}}
	w := newWorld(t, &o)
	w.rig = rigtest.Start(t, o)
	w.witnessed(filepath.Join(o.Dir, "control-center"), 1)
	w.stop(w.rig.Orchestrator)
	w.stop(w.rig.ControlCenter)
	w.startAgain(w.rig.ControlCenter)
	began := time.Now()
	change := func() rigtest.Answer {
		return rigtest.Send(t, http.MethodPost, w.rig.ControlCenter.Address+"/keys/rotate", w.rig.Token.Reveal(), nil)
	}
	if a := change(); a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") != "1" || code(a) != "audit.waiting" {
		t.Errorf("a change directly after the start: %d %s", a.Status, a.Raw)
	}
	if got := status(t, w.rig.ControlCenter.Address+"/users", w.rig.Token); got != http.StatusOK {
		t.Errorf("a read meanwhile: %d", got)
	}
	rigtest.Await(t, 10*time.Second, "it serves unwitnessed", func() bool { return change().Status == http.StatusOK })
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("it waited %s only", took)
	}
	w.stop(w.rig.ControlCenter)
	w.startAgain(w.rig.ControlCenter)
	began = time.Now()
	w.startAgain(w.rig.Orchestrator)
	w.changes()
	t.Logf("with an orchestrator the wait was over after %s", time.Since(began).Round(time.Millisecond))
}

// changes waits until both services take changes.
func (w *world) changes() {
	w.t.Helper()
	rigtest.Await(w.t, noticed, "both services take changes", func() bool {
		_, err := w.orch().CreateCheckpoint(w.t.Context(), "taken", "", "")
		a := rigtest.Send(w.t, http.MethodPut, w.rig.ControlCenter.Address+"/users/nobody", w.rig.Token.Reveal(),
			map[string]any{"enabled": true})
		return err == nil && a.Status == http.StatusNotFound
	})
}

func second[T any](_ T, err error) error { return err }

// code returns the stable code of a refusal.
func code(a rigtest.Answer) string {
	var body struct{ Code string }
	_ = json.Unmarshal(a.Raw, &body) // anything else has none
	return body.Code
}
