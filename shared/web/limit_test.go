package web

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/shared/web/ratelimit"
)

func limited(c *Config) { c.RateLimits = ratelimit.Default() }

// TestRateLimits_windows: exact counts, separate keys, and free again when the window is over.
func TestRateLimits_windows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, method, path, head, other string
		limit, refused                  int
	}{
		{"general by user", "GET", "/things", asAlice, "Authorization: Bearer bob", 100, 429},
		{"batch by user", "POST", "/things/1/cancel", asAlice, "Authorization: Bearer bob", 10, 429},
		{"failed authentication by address", "GET", "/things", "Authorization: Bearer bad", asAlice, 100, 429},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, limited)
			first := 0
			for i := range c.limit + 3 {
				<-time.After(100 * time.Millisecond)
				w := g.send(c.method, c.path, "", c.head)
				h := w.Header()
				if i == 0 {
					first = w.Code
				}
				want := first
				if i >= c.limit {
					want = c.refused
				}
				reset, _ := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64)
				away := time.Until(time.Unix(reset, 0))
				if w.Code != want || h.Get("X-RateLimit-Limit") != strconv.Itoa(c.limit) ||
					h.Get("X-RateLimit-Remaining") != strconv.Itoa(max(0, c.limit-i-1)) ||
					away <= 0 || away > 61*time.Second ||
					!strings.Contains(h.Get("RateLimit-Policy"), fmt.Sprintf(";q=%d;w=60", c.limit)) ||
					!strings.Contains(h.Get("RateLimit"), ";r=") {
					t.Fatalf("%s, request %d: %d in %s %v", c.name, i, w.Code, away, h)
				}
				if (w.Code == 429) != (h.Get("Retry-After") != "") {
					t.Errorf("%s: Retry-After %q with %d", c.name, h.Get("Retry-After"), w.Code)
				}
			}
			if w := g.send(c.method, c.path, "", c.other); w.Code != 200 {
				t.Errorf("%s: another user gets %d", c.name, w.Code)
			}
			<-time.After(time.Minute)
			if w := g.send(c.method, c.path, "", c.head); w.Code != first {
				t.Errorf("%s: %d in the next window", c.name, w.Code)
			}
		})
	}
}

func TestRateLimits_authenticationCountsByAddressWhateverIsForwarded(t *testing.T) {
	t.Parallel()
	g := newRig(t, limited)
	login := func(peer string, i int) int {
		r := httptest.NewRequest("POST", "/auth/login", strings.NewReader(`{"username":"a"}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i))
		r.RemoteAddr = peer
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w.Code
	}
	count := func(peer func(i int) string) (ok int) {
		for i := range 50 {
			if login(peer(i), i) == 200 {
				ok++
			}
		}
		return ok
	}
	if n := count(func(int) string { return "192.0.2.1:1" }); n != 5 {
		t.Errorf("one address: %d", n)
	}
	if n := count(func(i int) string { return fmt.Sprintf("[2001:db8::%x]:1", i+1) }); n != 5 {
		t.Errorf("one IPv6 /64: %d", n)
	}
	if n := count(func(i int) string { return fmt.Sprintf("[2001:db8:0:%x::1]:1", i+1) }); n != 50 {
		t.Errorf("many networks: %d", n)
	}
}

func TestRateLimits_freeAndSwitchedOff(t *testing.T) {
	t.Parallel()
	g := newRig(t, limited)
	for range 200 {
		if w := g.send("GET", "/health", ""); w.Code != 200 || w.Header().Get("X-RateLimit-Limit") != "" {
			t.Fatalf("health: %d %v", w.Code, w.Header())
		}
	}
	off := newRig(t, nil)
	for range 150 {
		if w := off.send("GET", "/things", "", asAlice); w.Code != 200 || w.Header().Get("X-RateLimit-Limit") != "" {
			t.Fatalf("switched off: %d %v", w.Code, w.Header())
		}
	}
}

// A refusal by limit comes before the handler and leaves no record.
func TestRateLimits_refusedRequestsDoNothing(t *testing.T) {
	t.Parallel()
	g := newRig(t, func(c *Config) {
		c.RateLimits = ratelimit.Limits{Enabled: true, General: 1, Batch: 1, Authentication: 1}
	})
	for range 5 {
		g.send("POST", "/things", `{"name":"a"}`, asAlice)
		g.send("POST", "/things", `{"name":"a"}`, "Authorization: Bearer bad")
	}
	if g.calls != 1 || len(g.entries()) != 1 {
		t.Errorf("%d calls, %d entries", g.calls, len(g.entries()))
	}
}

func TestAddressKey_aNetworkOfIPv6IsOneKey(t *testing.T) {
	t.Parallel()
	if addressKey(netip.MustParseAddr("2001:db8::1")) != addressKey(netip.MustParseAddr("2001:db8::ffff")) {
		t.Error("addresses of one /64 differ")
	}
}
