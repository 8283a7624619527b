package provisioning

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/subscription"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
)

// site is the API on a store in memory, with its router running.
type site struct {
	*httptest.Server
	t *testing.T
}

func open(t *testing.T) *site {
	t.Helper()
	var kinds []store.Kind
	for _, k := range [][]store.Kind{audit.Kinds(), feed.Kinds(), retention.Kinds(), subscription.Kinds(), idempotency.Kinds()} {
		kinds = append(kinds, k...)
	}
	hub := feed.NewHub(memstore.New(store.Schema{Service: "control_center", Kinds: kinds}))
	log := slog.New(slog.DiscardHandler)
	s := &subscription.Subscriptions{DB: hub, Changes: &change.Committer{DB: hub}, Hasher: user.NewHasher(user.Cost{Memory: 8, Time: 1}),
		Now: time.Now, Log: log}
	api := &API{Subscriptions: s, Admin: Role{"admin", "a: dmin"}, Prefill: Role{"prefill", "prefill"}, Publisher: Role{"udm", "udm"},
		Now: time.Now}
	server, err := web.NewServer(web.Config{
		Service: "control-center", Title: "Provisioning REST APIs", Version: "v1", Routes: api.Routes(), Nouns: Nouns(), Log: log,
		Store: hub,
		Key:   make([]byte, 32), Known: Known,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Router().Run(ctx) }()
	g := &site{httptest.NewServer(Handler("/", server)), t}
	t.Cleanup(func() { g.Close(); stop(); <-done })
	return g
}

// do sends a request as user:password, empty for nobody, and returns status, headers and body.
func (g *site) do(as, method, path, body string, head ...string) (int, http.Header, string) {
	g.t.Helper()
	r, err := http.NewRequest(method, g.URL+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	if name, password, ok := strings.Cut(as, ":"); ok {
		r.SetBasicAuth(name, password)
	}
	for i := 0; i < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

const (
	admin     = "admin:a: dmin"
	publisher = "udm:udm"
	newSub    = `{"name":%q,"realms_topics":[{"realm":"udm","topic":"users/user"}],"request_prefill":false,"password":"pa:ss wörd"}`
	event     = `{"publisher_name":"udm-listener","ts":"2026-01-01 10:00","realm":"udm","topic":"users/user","extra":1,"body":{"old":{},"new":%s,"x":1}}`
)

// TestAPI_lifeOfASubscription walks through the paths as a consumer and its publisher do.
func TestAPI_lifeOfASubscription(t *testing.T) {
	t.Parallel()
	g := open(t)
	mine := "mail:pa:ss wörd"
	object := `{"objectType":"users/user","big":18446744073709551617,"f":1.0, "t":"ü<&>\u00e9"}`
	for i, c := range []struct {
		as, method, path, body string
		status                 int
		answer                 string // how it begins
	}{
		{"", "POST", "/v1/subscriptions", "", 401, `{"detail":"Unauthorized: this needs a user name and a password`},
		{admin, "GET", "/v1/subscriptions", "", 200, `[]`},
		{admin, "POST", "/v1/subscriptions", fmt.Sprintf(newSub, "mail"), 201, `null`},
		{admin, "POST", "/v1/subscriptions", fmt.Sprintf(newSub, "mail"), 200, `null`},
		{admin, "POST", "//v1//subscriptions/", fmt.Sprintf(newSub, "mail"), 200, `null`},
		{admin, "POST", "/v1/subscriptions", strings.Replace(fmt.Sprintf(newSub, "mail"), "users/user", "groups", 1), 409, `{"detail":`},
		{admin, "POST", "/v1/subscriptions", fmt.Sprintf(newSub, "a.b"), 422, `{"status_code":422,"message":"`},
		{admin, "POST", "/v1/subscriptions", `{"name":`, 422, `{"status_code":422,`},
		{admin, "POST", "/v1/subscriptions", `{"name":"free","realms_topics":[{"realm":"","topic":""}],"request_prefill":false,"password":""}`, 201, `null`},
		{admin, "DELETE", "/v1/subscriptions/free", "", 200, `null`},
		{admin, "POST", "/v1/subscriptions", `{"name":"free","realms_topics":[{"realm":""}],"request_prefill":false,"password":""}`, 422, `{"status_code":422,`},
		{admin, "POST", "/v1/subscriptions", `{"name":"free","realms_topics":[],"request_prefill":false}`, 422, `{"status_code":422,`},
		{admin, "POST", "/v1/subscriptions", `{"name":1}`, 422, `{"status_code":422,`},
		{"admin:wrong", "GET", "/v1/subscriptions", "", 401, `{"detail":`},
		{publisher, "GET", "/v1/subscriptions", "", 401, `{"detail":`},
		{admin, "GET", "/v1/subscriptions", "", 200, `[{"name":"mail","realms_topics":[{"realm":"udm","topic":"users/user"}],"request_prefill":false,"prefill_queue_status":"done"}]`},
		{mine, "GET", "/v1/subscriptions/mail", "", 200, `{"name":"mail",`},
		{admin, "GET", "/v1/subscriptions/mail", "", 401, `{"detail":`},
		{mine, "GET", "/v1/subscriptions/other", "", 401, `{"detail":`},
		{"ghost:x", "GET", "/v1/subscriptions/ghost", "", 401, `{"detail":`},
		{mine, "PUT", "/v1/subscriptions/mail", "", 405, `{"detail":`},
		{mine, "GET", "/v2", "", 404, `{"detail":`},
		{mine, "PATCH", "/v1/subscriptions/mail/messages/next", "", 405, `{"detail":`},
		{mine, "GET", "/v1/subscriptions/mail/messages/next?timeout=0", "", 200, `null`},
		{mine, "GET", "/v1/subscriptions/mail/messages/next?timeout=abc", "", 422, `{"status_code":422,`},
		{mine, "GET", "/v1/subscriptions/mail/messages/next?timeout=inf", "", 422, `{"status_code":422,`},
		{mine, "GET", "/v1/subscriptions/mail/messages/next?pop=maybe", "", 422, `{"status_code":422,`},
		{publisher, "POST", "/v1/messages", fmt.Sprintf(event, `{}`), 422, `{"status_code":422,`},
		{publisher, "POST", "/v1/messages", fmt.Sprintf(event, `{"dn":"x"}`), 422, `{"status_code":422,`},
		{publisher, "POST", "/v1/messages", fmt.Sprintf(event, `null`), 422, `{"status_code":422,`},
		{publisher, "POST", "/v1/messages", strings.Replace(fmt.Sprintf(event, object), "udm-listener", "me", 1), 422, `{"status_code":422,`},
		{admin, "POST", "/v1/messages", fmt.Sprintf(event, object), 401, `{"detail":`},
		{publisher, "POST", "/v1/messages", fmt.Sprintf(event, object), 202, `null`},
		{publisher, "POST", "/v1/messages", fmt.Sprintf(event, `{"objectType":"2"}`), 202, `null`},
		{mine, "GET", "/v1/subscriptions/mail/messages/next?timeout=10", "", 200,
			`{"publisher_name":"udm-listener","ts":"2026-01-01T10:00:00","realm":"udm","topic":"users/user","body":{"old":{},"new":` + object + `},"sequence_number":1,"num_delivered":1}`},
		{mine, "PATCH", "/v1/subscriptions/mail/messages/1/status", `{"status":"no"}`, 422, `{"status_code":422,`},
		{mine, "PATCH", "/v1/subscriptions/mail/messages/x/status", `{"status":"ok"}`, 422, `{"status_code":422,`},
		{mine, "PATCH", "/v1/subscriptions/mail/messages/0/status", `{"status":"ok"}`, 422, `{"status_code":422,`},
		{mine, "PATCH", "/v1/subscriptions/mail/messages/7/status", `{"status":"ok"}`, 404, `{"detail":`},
		{mine, "PATCH", "/v1/subscriptions/mail/messages/1.0/status", `{"status":"ok"}`, 200, `null`},
		{mine, "PATCH", "/v1/subscriptions/mail/messages/1/status", `{"status":"ok"}`, 404, `{"detail":`},
		{mine, "GET", "/v1/subscriptions/mail/messages/next?timeout=10&pop=yes", "", 200, `{"publisher_name":"udm-listener",`},
		{mine, "GET", "/v1/subscriptions/mail/messages/next?timeout=0&x=1", "", 200, `null`},
		{"prefill:prefill", "PATCH", "/v1/subscriptions/mail/prefill", `{"status":"failed"}`, 200, `null`},
		{"prefill:prefill", "PATCH", "/v1/subscriptions/ghost/prefill", `{"status":"failed"}`, 404, `{"detail":`},
		{"prefill:prefill", "PATCH", "/v1/subscriptions/mail/prefill", `{"status":"what"}`, 422, `{"status_code":422,`},
		{admin, "PATCH", "/v1/subscriptions/mail/prefill", `{"status":"done"}`, 401, `{"detail":`},
		{mine, "DELETE", "/v1/subscriptions/mail", "", 200, `null`},
		{mine, "DELETE", "/v1/subscriptions/mail", "", 401, `{"detail":`},
		{admin, "DELETE", "/v1/subscriptions/mail", "", 404, `{"detail":`},
	} {
		status, head, text := g.do(c.as, c.method, c.path, c.body)
		if status != c.status || !strings.HasPrefix(text, c.answer) || status == 401 && head.Get("WWW-Authenticate") != "Basic" {
			t.Errorf("%d: %s %s as %q: %d %s (%v), want %d %s", i, c.method, c.path, c.as, status, text, head, c.status, c.answer)
		}
		if head.Get("Content-Type") != "application/json" || len(head.Get("X-Request-ID")) != 32 {
			t.Errorf("%d: %v", i, head)
		}
	}
}

// TestAPI_headers: a request id is repeated when it is a UUID of version 4, and a null says why.
func TestAPI_headers(t *testing.T) {
	t.Parallel()
	g := open(t)
	const given = "6f0c2f0a-3f6e-4b52-9b83-0d7a8f0f3a10"
	if _, head, _ := g.do("", "GET", "/v1/subscriptions", "", "X-Request-ID", given); head.Get("X-Request-ID") != given {
		t.Error(head)
	}
	for _, strange := range []string{"mine", "01997b1c-0000-7000-8000-000000000001"} { // no UUID, and none of version 4
		if _, head, _ := g.do("", "GET", "/v1/subscriptions", "", "X-Request-ID", strange); len(head.Get("X-Request-ID")) != 32 {
			t.Error(head)
		}
	}
	g.do(admin, "POST", "/v1/subscriptions", strings.Replace(fmt.Sprintf(newSub, "a"), "false", "true", 1))
	if _, head, text := g.do("a:pa:ss wörd", "GET", "/v1/subscriptions/a/messages/next?timeout=0", ""); text != "null" ||
		head.Get(reasonHeader) != "prefill-pending" {
		t.Error(text, head)
	}
}

// TestAPI_wrongPasswordsWait: a name with wrong passwords is told to wait, and its consumer, whose
// password was right before, is not.
func TestAPI_wrongPasswordsWait(t *testing.T) {
	t.Parallel()
	g := open(t)
	g.do(admin, "POST", "/v1/subscriptions", fmt.Sprintf(newSub, "a"))
	mine := "a:pa:ss wörd"
	if status, _, _ := g.do(mine, "GET", "/v1/subscriptions/a", ""); status != 200 {
		t.Fatal(status)
	}
	last, wait := 0, ""
	for range freeFailures + 1 {
		var head http.Header
		last, head, _ = g.do("a:wrong", "GET", "/v1/subscriptions/a", "")
		wait = head.Get("Retry-After")
	}
	if last != 429 || wait == "" {
		t.Errorf("%d, Retry-After %q", last, wait)
	}
	if status, _, _ := g.do(mine, "GET", "/v1/subscriptions/a", ""); status != 200 {
		t.Errorf("its consumer is answered %d", status)
	}
}

// TestTimestamp_asTheOriginal takes what the original takes and writes it as it does.
func TestTimestamp_asTheOriginal(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`"2026-01-02T03:04:05"`:            "2026-01-02T03:04:05",
		`"2026-01-02 03:04:05.5"`:          "2026-01-02T03:04:05.500000",
		`"2026-01-02T03:04:05.123456789Z"`: "2026-01-02T03:04:05.123456+00:00",
		`"2026-01-02T03:04:05+0130"`:       "2026-01-02T03:04:05+01:30",
		`"2026-01-02"`:                     "2026-01-02T00:00:00",
		`1735689600`:                       "2025-01-01T00:00:00+00:00",
		`1735689600500`:                    "2025-01-01T00:00:00.500000+00:00",
		`"1735689600.25"`:                  "2025-01-01T00:00:00.250000+00:00",
		`"yesterday"`:                      "",
		`"2026-13-02"`:                     "",
		`true`:                             "",
		`"nan"`:                            "",
		`1e300`:                            "",
	} {
		var got timestamp
		if err := got.UnmarshalJSON([]byte(in)); string(got) != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v; want %q", in, got, err, want)
		}
	}
}

// TestAPI_whatTheOriginalDoesNotHave: options, queue, dead letters, rewind, edits, batches and a
// stream.
func TestAPI_whatTheOriginalDoesNotHave(t *testing.T) {
	t.Parallel()
	g := open(t)
	create := strings.Replace(fmt.Sprintf(newSub, "a"), `"password"`, `"options":{"max_deliveries":3},"password"`, 1)
	mine, bad := "a:pa:ss wörd", "a:other"
	one := fmt.Sprintf(event, `{"objectType":"1"}`)
	for i, c := range []struct {
		as, method, path, body string
		status                 int
		answer                 string
	}{
		{admin, "POST", "/v1/subscriptions", create, 201, `null`},
		{admin, "POST", "/v1/subscriptions", fmt.Sprintf(newSub, "a"), 409, `{"detail":`},
		{publisher, "POST", "/v1/messages/batch", `{"messages":[` + one + `,` + one + `,` + one + `]}`, 202, `null`},
		{publisher, "POST", "/v1/messages/batch", `{"messages":[` + one + `,` + fmt.Sprintf(event, `{}`) + `]}`, 422, `{"status_code":422,"message":"the message is not valid: /messages/1/body `},
		{mine, "GET", "/v1/subscriptions/a/messages/next", "", 200, `{"publisher_name"`},
		{mine, "PATCH", "/v1/subscriptions/a/messages/1/status", `{"status":"retry"}`, 200, `null`},
		{mine, "GET", "/v1/subscriptions/a/messages/next?timeout=0.5", "", 200, `{"publisher_name"`},
		{mine, "PATCH", "/v1/subscriptions/a/messages/1/status", `{"status":"working"}`, 422, `{"status_code":422,`},
		{mine, "PATCH", "/v1/subscriptions/a/messages/1/status", `{"status":"working","after":60}`, 200, `null`},
		{mine, "PATCH", "/v1/subscriptions/a/messages/1/status", `{"status":"dead","reason":"no mailbox"}`, 200, `null`},
		{mine, "GET", "/v1/subscriptions/a/dead-letters", "", 200, `[{"sequence_number":1,"topic":"udm users/user","reason":"no mailbox"`},
		{mine, "GET", "/v1/subscriptions/a/dead-letters/1", "", 200, `{"sequence_number":1,`},
		{mine, "GET", "/v1/subscriptions/a/dead-letters/2", "", 404, `{"detail":`},
		{mine, "GET", "/v1/subscriptions/a/queue", "", 200, `{"waiting":2,"next_sequence_number":2,`},
		{mine, "POST", "/v1/subscriptions/a/dead-letters/1/requeue", "", 200, `null`},
		{mine, "DELETE", "/v1/subscriptions/a/dead-letters/1", "", 404, `{"detail":`},
		{admin, "POST", "/v1/subscriptions/a/rewind", `{}`, 422, `{"status_code":422,`},
		{admin, "POST", "/v1/subscriptions/a/rewind", `{"from":1}`, 200, `{"from":1}`},
		{admin, "PATCH", "/v1/subscriptions/a", `{"filter":[{"member":"dn"}]}`, 422, `{"status_code":422,`},
		{admin, "PATCH", "/v1/subscriptions/a", `{"filter":[{"member":"objectType","equals":"1"}],"redact":["secret"]}`, 200, `null`},
		{mine, "GET", "/v1/subscriptions/a/queue", "", 200, `{"waiting":`},
		{mine, "POST", "/v1/subscriptions/a/prefill/restart", ``, 200, `null`},
		{mine, "PATCH", "/v1/subscriptions/a", `{"password":"x"}`, 401, `{"detail":`},
		{admin, "PATCH", "/v1/subscriptions/a", `{"password":"other"}`, 200, `null`},
		{admin, "PATCH", "/v1/subscriptions/a", `{}`, 422, `{"status_code":422,`},
		{mine, "GET", "/v1/subscriptions/a/queue", "", 401, `{"detail":`},
		{bad, "GET", "/v1/subscriptions/a/queue", "", 200, `{"waiting":`},
		{"prefill:prefill", "PATCH", "/v1/subscriptions/a/prefill", `{"status":"done"}`, 200, `null`},
	} {
		if status, _, text := g.do(c.as, c.method, c.path, c.body); status != c.status || !strings.HasPrefix(text, c.answer) {
			t.Errorf("%d: %s %s as %q: %d %s, want %d %s", i, c.method, c.path, c.as, status, text, c.status, c.answer)
		}
	}
	r, _ := http.NewRequest("GET", g.URL+"/v1/subscriptions/a/messages/stream", nil)
	r.SetBasicAuth("a", "other")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 400)
	n, err := resp.Body.Read(first)
	if text := string(first[:n]); err != nil || resp.Header.Get("Content-Type") != "text/event-stream" ||
		!strings.HasPrefix(text, "id: ") || !strings.Contains(text, "\ndata: {\"publisher_name\":") || !strings.HasSuffix(text, "\n\n") {
		t.Errorf("%v %q", err, text)
	}
}

// TestAPI_wrongPasswordsLockNoPublisherOut: whoever tries passwords of a role has to wait, and the
// role's own client, which was right before from its address, goes on.
func TestAPI_wrongPasswordsLockNoPublisherOut(t *testing.T) {
	t.Parallel()
	g := open(t)
	one := fmt.Sprintf(event, `{"objectType":"users/user"}`)
	if status, _, text := g.do(publisher, "POST", "/v1/messages", one); status != 202 {
		t.Fatal(status, text)
	}
	last := 0
	for range freeFailures + 1 {
		last, _, _ = g.do("udm:wrong", "POST", "/v1/messages", one)
	}
	if last != 429 {
		t.Errorf("who guesses is answered %d", last)
	}
	if status, _, text := g.do(publisher, "POST", "/v1/messages", one); status != 202 {
		t.Errorf("the publisher is answered %d %s", status, text)
	}
}

// TestAPI_namesOfAnyLengthArePublished: a name of an object that no stream entry holds is no fault
// of the service, and realms and topics that nobody can ask for are refused.
func TestAPI_namesOfAnyLengthArePublished(t *testing.T) {
	t.Parallel()
	g := open(t)
	g.do(admin, "POST", "/v1/subscriptions", fmt.Sprintf(newSub, "a"))
	long := fmt.Sprintf(`{"objectType":"users/user","dn":%q}`, strings.Repeat("é", 15<<10))
	if status, _, text := g.do(publisher, "POST", "/v1/messages", fmt.Sprintf(event, long)); status != 202 {
		t.Fatal(status, text)
	}
	if status, _, text := g.do("a:pa:ss wörd", "GET", "/v1/subscriptions/a/messages/next", ""); status != 200 ||
		!strings.Contains(text, `"new":`+long) {
		t.Errorf("%d %.300s", status, text)
	}
	for _, realm := range []string{`\u0000`, `a\u0000b`, strings.Repeat("r", 600)} {
		body := strings.Replace(fmt.Sprintf(event, `{"objectType":"x"}`), `"udm","topic"`, `"`+realm+`","topic"`, 1)
		if status, _, text := g.do(publisher, "POST", "/v1/messages", body); status != 422 || !strings.Contains(text, "/realm") {
			t.Errorf("%.20s: %d %s", realm, status, text)
		}
	}
}

// TestAPI_oneWrongPasswordInALoopKeepsNoNewClientOut: right logins of its own consumer do not make
// the pause of a name one of its address, which a proxy gives to all.
func TestAPI_oneWrongPasswordInALoopKeepsNoNewClientOut(t *testing.T) {
	t.Parallel()
	g := open(t)
	g.do(admin, "POST", "/v1/subscriptions", fmt.Sprintf(newSub, "a"))
	g.do(admin, "POST", "/v1/subscriptions", fmt.Sprintf(newSub, "b"))
	for range 2 * freeAddress {
		if status, _, _ := g.do("a:pa:ss wörd", "GET", "/v1/subscriptions/a", ""); status != 200 {
			t.Fatal(status)
		}
		g.do("a:wrong", "GET", "/v1/subscriptions/a", "")
	}
	if status, _, text := g.do("b:pa:ss wörd", "GET", "/v1/subscriptions/b", ""); status != 200 {
		t.Errorf("a consumer that comes from the same address is answered %d %s", status, text)
	}
}

// TestAPI_theAdministratorsPasswordCannotBeGuessedBesideItsPaths: the paths that he shares counted
// no wrong password: a million guesses were answered at once, each with an audit entry.
func TestAPI_theAdministratorsPasswordCannotBeGuessedBesideItsPaths(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"DELETE /v1/subscriptions/a", "GET /v1/subscriptions/a/queue",
		"POST /v1/subscriptions/a/rewind"} {
		g := open(t)
		method, url, _ := strings.Cut(path, " ")
		for range freeFailures {
			if status, _, _ := g.do("admin:guess", method, url, "{}"); status != 401 {
				t.Fatalf("%s: %d", path, status)
			}
		}
		if status, head, _ := g.do("admin:guess", method, url, "{}"); status != 429 || head.Get("Retry-After") == "" {
			t.Errorf("%s: guess %d is answered %d", path, freeFailures+1, status)
		}
		if status, _, _ := g.do(admin, method, url, "{}"); status != 429 {
			t.Errorf("%s: the right one is answered %d while guesses wait, which tells it from wrong ones", path, status)
		}
	}
}

// TestAPI_accountEventsAreNotForged: the publisher of the directory could publish in the realm of
// this service's own accounts, and consumers could not tell his administrators from true ones.
func TestAPI_accountEventsAreNotForged(t *testing.T) {
	t.Parallel()
	g := open(t)
	forged := strings.Replace(fmt.Sprintf(event, `{"objectType":"users/user","username":"mallory","roles":["admin"]}`),
		`"realm":"udm"`, `"realm":"`+user.Realm+`"`, 1)
	for path, body := range map[string]string{"/v1/messages": forged, "/v1/messages/batch": `{"messages":[` + forged + `]}`} {
		if status, _, text := g.do(publisher, "POST", path, body); status != 422 || !strings.Contains(text, "/realm") {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}
