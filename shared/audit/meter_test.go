package audit

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/obs"
)

// TestMeter_alarmsOnlyWhenALogIsNotInOrder: a witness that is away is no tampering.
func TestMeter_alarmsOnlyWhenALogIsNotInOrder(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	r := obs.NewRegistry()
	p.one.log.Meter(r, "x")
	p.pone.Meter(r, "x")
	shows := func(line string) {
		t.Helper()
		w := httptest.NewRecorder()
		r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		if !strings.Contains(w.Body.String(), "\n"+line+"\n") {
			t.Errorf("%s is not shown:\n%s", line, w.Body)
		}
	}
	p.one.add(3)
	p.one.log.worthAt = time.Now().Add(-time.Minute)
	if st := p.one.log.Status(); st.State != Unwitnessed {
		t.Fatalf("%+v", st)
	}
	shows("x_audit_entries 3")
	shows("x_audit_witnessed_entries 0")
	shows("x_audit_in_order 1")
	shows("x_audit_peer_in_order 1")
	shows("x_audit_signing_lag_seconds 0")
	if _, witness := p.one.log.lags(); witness < time.Minute {
		t.Errorf("a head that nobody cosigned for a minute has a lag of %s", witness)
	}
	p.one.log.gate(time.Now().Add(-5*time.Second), nil)
	if signing, _ := p.one.log.lags(); signing < 5*time.Second {
		t.Errorf("what was not signed for five seconds has a lag of %s", signing)
	}
	p.one.log.fail(RolledBack, "for the test")
	p.pone.alarm = "for the test"
	shows("x_audit_in_order 0")
	shows("x_audit_peer_in_order 0")
}
