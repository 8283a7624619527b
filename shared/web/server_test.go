package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

func TestServe_statusTable(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	big := `{"name":"` + strings.Repeat("x", DefaultMaxBody) + `"}`
	for _, c := range []struct {
		name, method, path, body string
		head                     []string
		status                   int
		code                     string
	}{
		{"open", "GET", "/health", "", nil, 200, ""},
		{"open with a bad token", "GET", "/health", "", []string{"Authorization: Bearer x"}, 200, ""},
		{"trailing slash", "GET", "/things/", "", []string{asAlice}, 200, ""},
		{"doubled slash", "GET", "//things", "", []string{asAlice}, 404, "http.not_found"},
		{"doubled slash inside", "GET", "/things//", "", []string{asAlice}, 404, "http.not_found"},
		{"dots", "GET", "/things/../health", "", []string{asAlice}, 404, "http.not_found"},
		{"encoded dots name nothing else", "GET", "/things/%2e%2e", "", []string{asAlice}, 200, ""},
		{"encoded slash", "GET", "/things%2f1", "", []string{asAlice}, 200, ""},
		{"case", "GET", "/Things", "", []string{asAlice}, 404, "http.not_found"},
		{"semicolon", "GET", "/things;x=y", "", []string{asAlice}, 404, "http.not_found"},
		{"unknown", "GET", "/nothing", "", nil, 404, "http.not_found"},
		{"other method", "DELETE", "/health", "", nil, 405, "http.method"},
		{"trace", "TRACE", "/health", "", nil, 405, "http.method"},
		{"override", "POST", "/health", "", []string{"X-HTTP-Method-Override: GET"}, 405, "http.method"},
		{"no token", "GET", "/things", "", nil, 401, "token.missing"},
		{"keys away", "GET", "/things", "", []string{"Authorization: Bearer away"}, 503, "token.keys"},
		{"denied", "GET", "/things", "", []string{asGuest}, 403, "authz.denied"},
		{"service for users", "GET", "/me", "", []string{"Authorization: Bearer svc"}, 403, "authz.users_only"},
		{"user for services", "GET", "/internal/v1/policies", "", []string{asAlice}, 403, "authz.service_only"},
		{"service", "GET", "/internal/v1/policies", "", []string{"Authorization: Bearer svc"}, 200, ""},
		{"user named like the service", "GET", "/internal/v1/policies", "", []string{"Authorization: Bearer service:orchestrator"}, 403,
			"authz.service_only"},
		{"user named like a service is a user", "GET", "/me", "", []string{"Authorization: Bearer service:orchestrator"}, 200, ""},
		{"no kind for services", "GET", "/internal/v1/policies", "", []string{"Authorization: Bearer kindless"}, 403, "authz.service_only"},
		{"no kind for users", "GET", "/things", "", []string{"Authorization: Bearer kindless"}, 403, "authz.users_only"},
		{"get with type and no body", "GET", "/things", "", []string{asAlice, "Content-Type: application/json"}, 200, ""},
		{"text body", "POST", "/things", `{"name":"a"}`, []string{asAlice, "Content-Type: text/plain"}, 415, "http.content_type"},
		{"form body", "POST", "/things", `name=a`, []string{asAlice, "Content-Type: application/x-www-form-urlencoded"}, 415, "http.content_type"},
		{"no type", "POST", "/things", `{"name":"a"}`, []string{asAlice, "Content-Type: "}, 415, "http.content_type"},
		{"latin-1", "POST", "/things", `{"name":"a"}`, []string{asAlice, "Content-Type: application/json; charset=latin1"}, 415, "http.content_type"},
		{"utf-8", "POST", "/things", `{"name":"a"}`, []string{asAlice, `Content-Type: application/json; charset="UTF-8"`}, 201, ""},
		{"gzip", "POST", "/things", `{"name":"a"}`, []string{asAlice, "Content-Encoding: gzip"}, 415, "http.encoding"},
		{"too large", "POST", "/things", big, []string{asAlice}, 413, "http.body_size"},
		{"no body where one is due", "POST", "/things", "", []string{asAlice}, 400, "json.empty"},
		{"no body where none is due", "POST", "/things/1/cancel", "", []string{asAlice}, 200, ""},
		{"empty object where none is due", "POST", "/things/1/cancel", "{}", []string{asAlice}, 200, ""},
		{"body where none is due", "POST", "/things/1/cancel", `{"x":1}`, []string{asAlice}, 422, "input.invalid"},
		{"broken body by who may not", "POST", "/things", `{`, []string{asGuest}, 403, "authz.denied"},
		{"broken body", "POST", "/things", `{`, []string{asAlice}, 400, "json.syntax"},
		{"named resource denied", "POST", "/things", `{"name":"forbidden"}`, []string{asAlice}, 403, "authz.denied"},
		{"path names the resource", "GET", "/things/forbidden", "", []string{asAlice}, 403, "authz.denied"},
		{"unknown id", "GET", "/things/none", "", []string{asAlice}, 404, "thing.unknown"},
		{"overlong id", "GET", "/things/" + strings.Repeat("x", 300), "", []string{asAlice}, 404, "http.not_found"},
		{"read-only members of PUT", "PUT", "/things/7", `{"id":"x","created_at":5,"email":"e"}`, []string{asAlice}, 200, ""},
		{"other members of PUT", "PUT", "/things/7", `{"roles":[]}`, []string{asAlice}, 422, "input.invalid"},
		{"path is not a member", "PUT", "/things/7", `{"ID":"x"}`, []string{asAlice}, 422, "input.invalid"},
		{"conflict", "POST", "/things", `{"name":"taken"}`, []string{asAlice}, 409, "thing.taken"},
		{"store away", "POST", "/things", `{"name":"away"}`, []string{asAlice}, 503, "store.unavailable"},
		{"stream", "GET", "/metrics", "", []string{asAlice}, 200, ""},
		{"stream denied", "GET", "/metrics", "", []string{asGuest}, 403, "authz.denied"},
		{"stream that refuses", "GET", "/metrics?gone", "", []string{asAlice}, 410, "x.gone"},
	} {
		w := g.send(c.method, c.path, c.body, c.head...)
		if w.Code != c.status {
			t.Errorf("%s: %d, want %d: %s", c.name, w.Code, c.status, w.Body.String())
			continue
		}
		h := w.Header()
		if c.code != "" {
			if got := refusalOf(t, w); got.Code != c.code {
				t.Errorf("%s: code %s, want %s", c.name, got.Code, c.code)
			}
			if h.Get("Content-Type") != typeJSON {
				t.Errorf("%s: content type %q", c.name, h.Get("Content-Type"))
			}
		}
		if h.Get("X-Request-Id") == "" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" ||
			!strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") || h.Get("Server") != "" ||
			h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: headers %v", c.name, h)
		}
		for status, name := range map[int]string{401: "Www-Authenticate", 405: "Allow", 503: "Retry-After"} {
			if (w.Code == status) != (h.Get(name) != "") {
				t.Errorf("%s: %s is %q", c.name, name, h.Get(name))
			}
		}
	}
	if w := g.send("DELETE", "/health", ""); w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("Allow: %q", w.Header().Get("Allow"))
	}
}

func TestServe_envelopeIsExact(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	for path, want := range map[string]string{
		"/health":                `{"success":true,"data":"well"}`,
		"/things/1":              `{"success":true,"data":{"id":"1","tags":[],"meta":{},"note":null}}`,
		"/things?status=failed":  `{"success":true,"data":[]}`,
		"/me":                    `{"success":true,"data":{"id":"alice","ip":"192.0.2.1","mfa":true,"scene":"getMe"}}`,
		"/things/%ff":            `{"success":true,"data":{"id":"` + "\ufffd" + `","tags":[],"meta":{},"note":null}}`,
		"/things?offset=1000000": `{"success":true,"data":[]}`,
	} {
		if w := g.send("GET", path, "", asAlice); w.Body.String() != want {
			t.Errorf("%s: %s", path, w.Body.String())
		}
	}
}

func TestServe_headIsGetWithoutBody(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(newRig(t, nil))
	defer srv.Close()
	for _, method := range []string{"GET", "HEAD"} {
		r, _ := http.NewRequest(method, srv.URL+"/health", nil)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 200 || resp.ContentLength != 30 {
			t.Errorf("%s: %d, length %d", method, resp.StatusCode, resp.ContentLength)
		}
	}
}

func TestAccept_versions(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	for accept, want := range map[string]string{
		"": typeJSON, "*/*": typeJSON, "application/json": typeJSON, "application/*": typeJSON, "text/html": typeJSON,
		"application/json, text/plain, */*":                          typeJSON,
		typeVendor:                                                   typeVendor,
		"Application/Vnd.Provisioning.V1+json; q=0.5":                typeVendor,
		"application/vnd.provisioning.v9+json, " + typeVendor:        typeVendor,
		"application/vnd.provisioning.v9+json, */*;q=0.1":            typeJSON,
		"application/vnd.provisioning.v9+json":                       "",
		"application/vnd.provisioning.v9+json, */*;q=0":              "",
		"application/vnd.provisioning.v2+json, text/html":            "",
		"application/vnd.provisioning.v2+json;q=0, application/json": typeJSON,
	} {
		w := g.send("GET", "/health", "", "Accept: "+accept)
		if (want == "") != (w.Code == 406) || (want != "" && w.Header().Get("Content-Type") != want) {
			t.Errorf("%q: %d %s", accept, w.Code, w.Header().Get("Content-Type"))
		}
	}
}

func TestAuthenticate_schemes(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	for _, c := range []struct {
		status int
		lines  []string
	}{
		{200, []string{"Authorization: bearer alice"}}, {200, []string{"Authorization: BEARER alice"}},
		{401, nil}, {401, []string{"Authorization: Basic YTpi"}}, {401, []string{"Authorization: Bearer "}},
		{401, []string{"Authorization: Bearer"}},
		{401, []string{"Authorization: Bearer alice bob"}}, {401, []string{"Authorization: Bearer alice, Bearer bob"}},
		{401, []string{asAlice, asAlice}}, {401, []string{"Authorization: alice"}}, {401, []string{"Authorization: Bearer nobody"}},
	} {
		if w := g.send("GET", "/me", "", c.lines...); w.Code != c.status {
			t.Errorf("%q: %d", c.lines, w.Code)
		}
	}
}

// TestAuthenticate_oneAnswerForEveryBadToken: the record and the log say which check failed, the
// answer does not.
func TestAuthenticate_oneAnswerForEveryBadToken(t *testing.T) {
	t.Parallel()
	answers := map[string]bool{}
	for _, code := range []string{"token.signature", "token.revoked", "token.expired", "token.unknown_key"} {
		g := newRig(t, func(c *Config) {
			c.Authenticate = func(context.Context, string, *http.Request) (token.Claims, error) {
				return token.Claims{}, fault.New(fault.Unauthenticated, code, "this token is no good")
			}
		})
		w := g.send("PUT", "/things/7", `{}`, asAlice, "X-Request-ID: q1")
		answers[fmt.Sprint(w.Code, w.Header(), w.Body.String())] = true
		if e := g.entries(); len(e) != 1 || e[0].Code != code || !strings.Contains(g.log.String(), `"code":"`+code+`"`) {
			t.Errorf("%s is not on record: %+v\n%s", code, e, g.log.String())
		}
	}
	if len(answers) != 1 {
		t.Errorf("answers differ: %v", answers)
	}
	for a := range answers {
		if !strings.HasPrefix(a, "401") || !strings.Contains(a, `"code":"token.refused"`) {
			t.Error(a)
		}
	}
}

func TestPaging_boundaries(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	for query, want := range map[string]string{
		"":                 `200 120 50 0 </things?after=last&limit=50&offset=50>; rel="next"`,
		"limit=1001":       `200 120 1000 0 `,
		"limit=1000000000": `200 120 1000 0 `,
		"limit=0":          "400", "limit=-1": "400", "limit=x": "400", "limit=1e3": "400", "limit=+5": "400", "limit=": "400",
		"limit=5&limit=6": "400",
		"offset=-1":       "400", "offset=99999999999999999999": "400", "after=a&after=b": "400",
		"offset=1000000000000":                  `200 120 50 1000000000000 </things?limit=50&offset=70>; rel="prev", </things?limit=50&offset=0>; rel="first"`,
		"status=running&limit=100":              `200 120 100 0 </things?after=last&limit=100&offset=100&status=running>; rel="next"`,
		"limit=100&offset=100":                  `200 120 100 100 </things?limit=100&offset=0>; rel="prev", </things?limit=100&offset=0>; rel="first"`,
		"before=x&offset=50":                    `200 120 50 50 </things?after=last&limit=50&offset=100>; rel="next", </things?before=x&limit=50&offset=0>; rel="prev", </things?before=x&limit=50&offset=0>; rel="first"`,
		"before=x&after=y&limit=100&offset=100": `200 120 100 100 </things?before=x&limit=100&offset=0>; rel="first"`,
		"status=odd":                            "400", "from=yesterday": "400", "flag=1": "400", "%zz": "400",
		"flag=true&x=unknown&limit=1": `200 120 1 0 </things?after=last&flag=true&limit=1&offset=1&x=unknown>; rel="next"`,
	} {
		w := g.send("GET", "/things?"+query, "", asAlice)
		got := fmt.Sprint(w.Code)
		if w.Code == 200 {
			h := w.Header()
			got = fmt.Sprint(w.Code, " ", h.Get("X-Total-Count"), " ", h.Get("X-Limit"), " ", h.Get("X-Offset"), " ", h.Get("Link"))
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", query, got, want)
		}
	}
}

func TestRefuse_hidesCausesAndSurvivesPanics(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	for _, name := range []string{"panic", "broken"} {
		w := g.send("POST", "/things", `{"name":"`+name+`"}`, asAlice, "X-Request-ID: r-1")
		f := refusalOf(t, w)
		if w.Code != 500 || f.Code != "internal" || f.RequestID != "r-1" || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body.String())
		}
		if !strings.Contains(g.log.String(), "secret inside") {
			t.Errorf("%s: cause is not in the log", name)
		}
	}
	if !strings.Contains(g.log.String(), "web_test.go") {
		t.Error("no stack in the log")
	}
	metrics := httptest.NewRecorder()
	g.cfg.Metrics.Handler().ServeHTTP(metrics, httptest.NewRequest("GET", "/", nil))
	for _, want := range []string{"http_panics_total 1", `http_requests_total{op="createThing",status="500"} 2`} {
		if !strings.Contains(metrics.Body.String(), want) {
			t.Errorf("metrics lack %q", want)
		}
	}
}

func TestLog_oneLineARequestWithoutSecrets(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	g.send("GET", "/things/a%0d%0ab?token=hunter2", "", asAlice, "X-Request-ID: bad\r\nid", "User-Agent: \x1b[31m")
	g.send("GET", "/none/hunter2?token=hunter2", "", asAlice)
	g.send("GET", "/health", "") // asked all the time, and news only when it fails
	g.send("GET", "/internal/v1/policies", "", "Authorization: Bearer svc")
	lines := strings.Split(strings.TrimSpace(g.log.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines:\n%s", len(lines), g.log.String())
	}
	for _, line := range lines {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		if strings.Contains(line, "hunter2") || strings.Count(line, `"request_id"`) != 1 {
			t.Errorf("line %s", line)
		}
	}
	if !strings.Contains(lines[0], `"route":"/things/:id"`) || !strings.Contains(lines[0], `"sub":"alice"`) {
		t.Errorf("line %s", lines[0])
	}
}

func TestRecord_refusalsLeaveExactlyOneEntry(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, method, path, body, head, want string
	}{
		{"denied", "POST", "/things", `{"name":"a"}`, asGuest, "thing.create things denied authz.denied"},
		{"denied with a broken body", "POST", "/things", `{`, asGuest, "thing.create things denied authz.denied"},
		{"denied read", "GET", "/things/7", "", asGuest, "thing.read things/7 denied authz.denied"},
		{"unknown fields", "POST", "/things", `{"x":1}`, asAlice, "thing.create things failure input.invalid"},
		{"overlong id", "PUT", "/things/" + strings.Repeat("x", 257), `{}`, asAlice, "thing.update things/unrecognised failure http.not_found"},
		{"conflict", "POST", "/things", `{"name":"taken"}`, asAlice, "thing.create things/taken failure thing.taken"},
		{"bad token", "PUT", "/things/7", `{}`, "Authorization: Bearer bad", "thing.update things/7 denied token.invalid"},
		{"no token", "PUT", "/things/7", `{}`, "X-Nothing: 1", ""},
		{"bad token on a read", "GET", "/things", "", "Authorization: Bearer bad", ""},
		{"read", "GET", "/things", "", asAlice, ""},
		{"unknown id on a read", "GET", "/things/none", "", asAlice, ""},
		{"malformed", "POST", "/things", `{`, asAlice, ""},
	} {
		g := newRig(t, nil)
		w := g.send(c.method, c.path, c.body, c.head, "X-Request-ID: q1")
		var got []string
		for _, e := range g.entries() {
			got = append(got, fmt.Sprint(e.Action, " ", e.Resource, " ", e.Result, " ", e.Code))
			if e.RequestID != "q1" || e.Origin != "orchestrator" || e.Op == "" || e.Actor.IP != "192.0.2.1" ||
				(e.Code == "authz.denied") != (e.Decision != nil && !e.Decision.Allowed) {
				t.Errorf("%s: entry %+v", c.name, e)
			}
		}
		if strings.Join(got, "|") != c.want {
			t.Errorf("%s (%d): %q, want %q", c.name, w.Code, got, c.want)
		}
	}
}

// TestRecord_aSecretAsAPathIDIsNotKept: whoever pastes a token where an id belongs finds it neither
// in the entry, nor in its decision, nor in the text, nor in the log.
func TestRecord_aSecretAsAPathIDIsNotKept(t *testing.T) {
	t.Parallel()
	const secret = "rt_1YCFRYu8jKt4QqooJdISSKwzaaKTYMSFP9RX7eryGPc"
	for _, c := range []struct{ name, method, head string }{
		{"denied", "PUT", asGuest}, {"denied read", "GET", asGuest}, {"bad token", "PUT", "Authorization: Bearer bad"},
	} {
		g := newRig(t, nil)
		w := g.send(c.method, "/things/"+secret, `{}`, c.head)
		entries := g.entries()
		if len(entries) != 1 || entries[0].Resource != "things/unrecognised" {
			t.Fatalf("%s (%d): entries %+v", c.name, w.Code, entries)
		}
		for where, text := range map[string]string{"entry": fmt.Sprintf("%+v %+v", entries, entries[0].Decision), "answer": w.Body.String(),
			"log": g.log.String()} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: the %s holds the secret: %s", c.name, where, text)
			}
		}
	}
}

// TestRecord_failsClosed is Z12 with the store away.
func TestRecord_failsClosed(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	_ = g.db.Close()
	w := g.send("GET", "/things", "", asGuest)
	if f := refusalOf(t, w); w.Code != 503 || f.Code != "audit.unavailable" {
		t.Errorf("%d %+v", w.Code, f)
	}
}

// TestRecord_aFullDiskIsNamed: a refusal whose audit entry finds no room says what is full.
func TestRecord_aFullDiskIsNamed(t *testing.T) {
	t.Parallel()
	g := newRig(t, func(c *Config) { c.Store = fullStore{c.Store} })
	w := g.send("GET", "/things", "", asGuest)
	if f := refusalOf(t, w); w.Code != 503 || f.Code != "store.full" || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %+v", w.Code, f)
	}
}

// fullStore is a store whose disk has no room.
type fullStore struct{ store.DB }

// Commit refuses.
func (fullStore) Commit(context.Context, store.Batch) (store.Receipt, error) {
	return store.Receipt{}, store.ErrFull
}

func TestDrain_refusesEverything(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	g.Drain()
	if w := g.send("GET", "/health", ""); w.Code != 503 || w.Header().Get("Retry-After") == "" ||
		refusalOf(t, w).Code != "service.draining" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// TestDrain_whoWaitsForALongAnswerHearsAtOnce: a stop took 12.5 s and cut off who waited for a
// rollback; what is waited for goes on after the start, so the wait ends with the drain.
func TestDrain_whoWaitsForALongAnswerHearsAtOnce(t *testing.T) {
	t.Parallel()
	waiting := make(chan struct{})
	g := newRig(t, func(c *Config) {
		c.Routes = append(c.Routes, Route{Method: "POST", Path: "/waits", Op: "wait", Summary: "Wait", Permission: Authenticated(),
			Audit: "thing.wait", Wait: time.Minute,
			Handle: To(func(ctx context.Context, _ None) (Notice, error) {
				close(waiting)
				<-ctx.Done()
				return "", fault.New(fault.Unavailable, "rollback.pending", "it goes on")
			})})
	})
	answered := make(chan *httptest.ResponseRecorder, 1)
	go func() { answered <- g.send("POST", "/waits", "", asAlice) }()
	<-waiting
	g.Drain()
	select {
	case w := <-answered:
		if f := refusalOf(t, w); w.Code != 503 || f.Code != "rollback.pending" {
			t.Errorf("%d %+v", w.Code, f)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the wait goes on after the drain")
	}
}

func TestAdmit_refusesChangesBeforeAnybodyIsKnown(t *testing.T) {
	t.Parallel()
	g := newRig(t, func(c *Config) {
		c.Admit = func(r Route) error {
			if r.Mutates() {
				return fault.New(fault.Unavailable, "service.degraded", "no changes right now")
			}
			return nil
		}
	})
	if w := g.send("POST", "/things", `{"name":"a"}`, asAlice); w.Code != 503 {
		t.Errorf("change: %d", w.Code)
	}
	for range 10 { // more than the rate limit allows
		if w := g.send("POST", "/auth/login", `{}`); w.Code != 503 {
			t.Errorf("an open change: %d", w.Code)
		}
	}
	if w := g.send("GET", "/things", "", asAlice); w.Code != 200 {
		t.Errorf("read: %d", w.Code)
	}
}

func TestClientAddress_believesOnlyTrustedProxies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ trusted, forwarded, want string }{
		{"", "203.0.113.9", "192.0.2.1"},
		{"10.0.0.0/8", "203.0.113.9", "192.0.2.1"},
		{"192.0.2.0/24", "203.0.113.9", "203.0.113.9"},
		{"192.0.2.0/24", "198.51.100.1, 203.0.113.9, 192.0.2.7", "203.0.113.9"},
		{"192.0.2.0/24", "evil, 192.0.2.7", "192.0.2.7"},
		// as proxies write it (decision 62)
		{"192.0.2.0/24", "203.0.113.7:51234", "203.0.113.7"},
		{"192.0.2.0/24", "[2001:db8::7]:443", "2001:db8::7"},
		{"192.0.2.0/24", "[2001:db8::7]", "2001:db8::7"},
		{"192.0.2.0/24", `"[2001:db8::7]:443"`, "2001:db8::7"},
		{"192.0.2.0/24", `" 203.0.113.7 "`, "203.0.113.7"},
		{"192.0.2.0/24", "203.0.113.7,", "203.0.113.7"},
		{"192.0.2.0/24", "203.0.113.7, ,,\t, 192.0.2.7:80 ,", "203.0.113.7"},
		{"192.0.2.0/24", "::ffff:203.0.113.7", "203.0.113.7"},
		{"192.0.2.0/24", "fe80::7%eth0", "fe80::7"},
		{"192.0.2.0/24", ",", "192.0.2.1"},
		// no address: never look left of it
		{"192.0.2.0/24", "6.6.6.6, garbage", "192.0.2.1"},
		{"192.0.2.0/24", "6.6.6.6, unknown, 192.0.2.7", "192.0.2.7"},
		{"192.0.2.0/24", "6.6.6.6, _hidden", "192.0.2.1"},
		{"192.0.2.0/24", "6.6.6.6, 203.0.113.7:port", "192.0.2.1"},
		{"192.0.2.0/24", "6.6.6.6, 203.0.113.7:99999", "192.0.2.1"},
		{"192.0.2.0/24", "6.6.6.6, 203.0.113.7 203.0.113.8", "192.0.2.1"},
		{"192.0.2.0/24", `6.6.6.6, "203.0.113.7`, "192.0.2.1"},
		{"192.0.2.0/24", "6.6.6.6, 203.0.113.07", "192.0.2.1"},
		{"192.0.2.0/24", "6.6.6.6, [203.0.113.7", "192.0.2.1"},
		{"192.0.2.0/24", "6.6.6.6, 3405803783", "192.0.2.1"},
	} {
		g := newRig(t, func(cfg *Config) {
			if c.trusted != "" {
				cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(c.trusted)}
			}
		})
		w := g.send("GET", "/me", "", asAlice, "X-Forwarded-For: "+c.forwarded)
		if !strings.Contains(w.Body.String(), `"ip":"`+c.want+`"`) {
			t.Errorf("%+v: %s", c, w.Body.String())
		}
	}
	if _, err := NewServer(Config{Service: "x", Log: newRig(t, nil).cfg.Log,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}); err == nil {
		t.Error("a proxy range that covers everything is accepted")
	}
}

func TestNewServer_refusesIncompleteRoutes(t *testing.T) {
	t.Parallel()
	base := newRig(t, nil).cfg
	none := base.Routes[0].Handle
	for name, r := range map[string]Route{
		"no permission":     {Method: "GET", Path: "/a", Op: "a", Handle: none},
		"no audit":          {Method: "POST", Path: "/a", Op: "a", Permission: Open(), Handle: none},
		"no op":             {Method: "GET", Path: "/a", Permission: Open(), Handle: none},
		"no handler":        {Method: "GET", Path: "/a", Op: "a", Permission: Open()},
		"bad method":        {Method: "FETCH", Path: "/a", Op: "a", Permission: Open(), Handle: none},
		"slash at the end":  {Method: "GET", Path: "/a/", Op: "a", Permission: Open(), Handle: none},
		"unbound parameter": {Method: "GET", Path: "/a/:id", Op: "a", Permission: Open(), Handle: none},
		"taken op":          {Method: "GET", Path: "/a", Op: "getHealth", Permission: Open(), Handle: none},
		"taken path":        {Method: "GET", Path: "/health", Op: "a", Permission: Open(), Handle: none},
		"clashing path":     {Method: "GET", Path: "/things/:other", Op: "a", Permission: Open(), Handle: base.Routes[4].Handle},
		"body on GET":       {Method: "GET", Path: "/a", Op: "a", Permission: Open(), Handle: base.Routes[3].Handle},
		"secret of what": {Method: "POST", Path: "/a", Op: "a", Audit: "a.b", Permission: Authenticated(), ShowsSecret: true,
			Handle: none},
	} {
		cfg := base
		cfg.Metrics = nil
		cfg.Routes = append(append([]Route(nil), base.Routes...), r)
		if _, err := NewServer(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
