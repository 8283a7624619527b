package cli_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	ccli "github.com/provisioning-platform/platform/control-center/internal/cli"
	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/fault"
)

func TestLogout_forgetsASessionThatIsOverAlready(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"success":false,"error":"sign in again","code":"auth.refresh_refused"}`))
	}))
	t.Cleanup(gone.Close)
	dir := t.TempDir()
	o := &cli.IO{In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: &bytes.Buffer{}, Format: "table", Getenv: func(name string) string {
		if name == "XDG_CONFIG_HOME" {
			return dir
		}
		return ""
	}}
	logout := func() int { return cli.Main(t.Context(), ccli.Root(ccli.Local{}), o, []string{"auth", "logout"}) }
	if code := logout(); code != cli.ExitNotSignedIn {
		t.Errorf("nobody is signed in: %d", code)
	}
	for _, left := range []time.Duration{-time.Hour, time.Hour} { // renewed before, or refused by logout itself
		if err := o.SaveSignIn(cli.SignIn{Server: gone.URL, Username: "dana", Token: "t", RefreshToken: "rt_1",
			ExpiresAt: time.Now().Add(left)}); err != nil {
			t.Fatal(err)
		}
		if code := logout(); code != 0 {
			t.Errorf("%s before its end: %d %s", left, code, o.Err)
		}
		if _, err := o.LoadSignIn(); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("the dead sign-in is still saved: %v", err)
		}
	}
}
