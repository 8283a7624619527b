package crash

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// logouts is the size of the histogram.
const logouts = 20

// TestLogout_isHeardByBoth is the bar's A24: at home a token is refused at the next request, at the
// orchestrator within 5 s.
func TestLogout_isHeardByBoth(t *testing.T) {
	o := rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir()}
	w := newWorld(t, &o)
	w.rig = rigtest.Start(t, o)
	const password = "a rather long passphrase 7"
	if _, err := w.cc().CreateUser(t.Context(),
		client.NewUser{Username: "comes-and-goes", Email: "c@example.com", Password: secret.New(password),
			Roles: []string{"operator"}}); err != nil {
		t.Fatal(err)
	}
	var took []time.Duration
	for range logouts {
		s, err := w.rig.CC(secret.Text{}).Login(t.Context(), "comes-and-goes", secret.New(password), "")
		if err != nil {
			t.Fatal(err)
		}
		home, away := w.rig.ControlCenter.Address+"/users", w.rig.Orchestrator.Address+"/tasks?limit=1"
		if a, b := status(t, home, s.Token), status(t, away, s.Token); a == http.StatusUnauthorized || b != http.StatusOK {
			t.Fatalf("before the logout: %d and %d", a, b)
		}
		if err := w.rig.CC(s.Token).Logout(t.Context()); err != nil {
			t.Fatal(err)
		}
		out := time.Now()
		if got := status(t, home, s.Token); got != http.StatusUnauthorized {
			t.Errorf("the next request at the control-center: status %d", got)
		}
		rigtest.Await(t, 5*time.Second, "the orchestrator refuses the token of a logout",
			func() bool { return status(t, away, s.Token) == http.StatusUnauthorized })
		took = append(took, time.Since(out))
	}
	slices.Sort(took)
	t.Logf("%d logouts: the orchestrator refused after p50 %s, p90 %s, max %s", logouts,
		took[logouts/2].Round(time.Millisecond), took[logouts*9/10].Round(time.Millisecond), took[logouts-1].Round(time.Millisecond))
}

// status sends a GET and returns the status of the answer.
func status(t *testing.T, url string, token secret.Text) int {
	t.Helper()
	return rigtest.Send(t, http.MethodGet, url, token.Reveal(), nil).Status
}
