package web

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/config"
)

// TestCORS_onlyPagesOfListedOriginsReadAnswers: others get the very answer that no browser sends.
func TestCORS_onlyPagesOfListedOriginsReadAnswers(t *testing.T) {
	t.Parallel()
	const page = "https://console.example.com"
	listed := newRig(t, func(cfg *Config) { cfg.CORS.Origins = []string{page} })
	none := newRig(t, nil)
	for _, origin := range []string{page, "https://evil.example.com", "https://console.example.com.evil.com", "null", page + ":443", ""} {
		for path, status := range map[string]int{"/me": 200, "/nothing": 404} {
			w := listed.send("GET", path, "", asAlice, "Origin: "+origin)
			got := w.Header().Get("Access-Control-Allow-Origin")
			if (got == page) != (origin == page) || got != "" && got != page || w.Code != status ||
				!strings.Contains(w.Header().Get("Vary"), "Origin") || w.Header().Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s from %q: %d %v", path, origin, w.Code, w.Header())
			}
			w = none.send("GET", path, "", asAlice, "Origin: "+origin)
			if w.Header().Get("Access-Control-Allow-Origin") != "" || strings.Contains(w.Header().Get("Vary"), "Origin") {
				t.Errorf("%s from %q where nothing is configured: %v", path, origin, w.Header())
			}
		}
	}
}

// TestCORS_preflight: a browser asks before it sends a token or a change.
func TestCORS_preflight(t *testing.T) {
	t.Parallel()
	const page = "https://console.example.com"
	listed := newRig(t, func(cfg *Config) { cfg.CORS.Origins = []string{page} })
	w := listed.send("OPTIONS", "/things", "", "Origin: "+page, "Access-Control-Request-Method: POST",
		"Access-Control-Request-Headers: authorization, content-type")
	h := w.Header()
	if w.Code != 204 || h.Get("Access-Control-Allow-Origin") != page || !strings.Contains(h.Get("Access-Control-Allow-Methods"), "POST") ||
		!strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") || w.Body.Len() > 0 {
		t.Errorf("%d %v %s", w.Code, h, w.Body)
	}
	for name, ask := range map[string][]string{
		"another page":  {"/things", "Origin: https://evil.example.com", "Access-Control-Request-Method: POST"},
		"no preflight":  {"/things", "Origin: " + page},
		"no such place": {"/nothing", "Origin: " + page, "Access-Control-Request-Method: POST"},
	} {
		w := listed.send("OPTIONS", ask[0], "", ask[1:]...)
		if w.Code != 405 && w.Code != 404 || w.Header().Get("Access-Control-Allow-Methods") != "" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
	if w := newRig(t, nil).send("OPTIONS", "/things", "", "Origin: "+page, "Access-Control-Request-Method: POST"); w.Code != 405 {
		t.Errorf("where nothing is configured: %d", w.Code)
	}
}

func TestCORS_aWildcardIsNoOrigin(t *testing.T) {
	t.Parallel()
	for origin, good := range map[string]bool{
		"https://console.example.com": true, "http://localhost:3000": true, "https://[::1]:8443": true,
		"*": false, "https://*.example.com": false, "null": false, "": false, "console.example.com": false,
		"https://console.example.com/": false, "https://Console.example.com": false, "ftp://example.com": false,
		"https://user@example.com": false,
	} {
		var problems config.Problems
		if (CORS{Origins: []string{origin}}).Check(&problems); (problems.Err() == nil) != good {
			t.Errorf("%q: %v", origin, problems.Err())
		}
	}
}

// TestHSTS_onlyForNamesOverTLS is decision 60: never for localhost and addresses, because what
// listens there tomorrow may be another program.
func TestHSTS_onlyForNamesOverTLS(t *testing.T) {
	t.Parallel()
	on, off := newRig(t, func(cfg *Config) { cfg.HSTS = true }), newRig(t, nil)
	for host, named := range map[string]bool{
		"platform.example.com": true, "platform.example.com:9443": true, "localhost": false, "LOCALHOST.:9443": false,
		"a.localhost:9443": false, "127.0.0.1:9443": false, "[::1]:9443": false, "192.0.2.1": false, "notlocalhost": true,
	} {
		for _, c := range []struct {
			server *Server
			secure bool
			want   bool
		}{{on.Server, true, named}, {on.Server, false, false}, {off.Server, true, false}} {
			r := httptest.NewRequest(http.MethodGet, "/health", nil)
			if r.Host = host; c.secure {
				r.TLS = &tls.ConnectionState{}
			}
			w := httptest.NewRecorder()
			c.server.ServeHTTP(w, r)
			if got := w.Header().Get("Strict-Transport-Security"); (got != "") != c.want {
				t.Errorf("%s over TLS %v: %q, want it: %v", host, c.secure, got, c.want)
			}
		}
	}
}
