package trust_test

import (
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/shared/obs"
)

// TestMeter_theLagOfRevocationsGrowsWhileTheControlCenterIsAway and is small again when it is back.
func TestMeter_theLagOfRevocationsGrowsWhileTheControlCenterIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := newCenter(t), obs.NewRegistry()
		tr := start(t, memory(t), c)
		tr.Meter(r, "x")
		lag := func(what string, least, most float64) {
			t.Helper()
			w := httptest.NewRecorder()
			r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
			_, rest, _ := strings.Cut(w.Body.String(), "\nx_revocation_lag_seconds ")
			text, _, _ := strings.Cut(rest, "\n")
			if v, err := strconv.ParseFloat(text, 64); err != nil || v < least || v > most {
				t.Errorf("%s the lag is %q", what, text)
			}
		}
		settle(2 * time.Second)
		lag("while the control-center is heard", 0, 2)
		c.change(func(c *center) { c.down = true })
		settle(30 * time.Second)
		lag("after 30 s of silence", 30, 32)
		c.change(func(c *center) { c.down = false })
		settle(5 * time.Second)
		lag("after the return", 0, 2)
	})
}
