package watch

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/token"
)

// busy is what a limit of a second or two is given on top, since the tests of all packages share the machine.
const busy = 20 * time.Second

// place is a running handler over a store in memory. Tokens are "name", "name:category,category", with
// "expired" never good.
type place struct {
	*Handler
	hub  *feed.Hub
	url  string
	dead atomic.Bool // all sessions are revoked
	only atomic.Pointer[string]
	stop context.CancelFunc
	done chan struct{}
	life atomic.Int64 // seconds a token lives
}

func start(t testing.TB, change func(*Config)) *place {
	t.Helper()
	p := &place{hub: feed.NewHub(memstore.New(store.Schema{Service: "test"})), done: make(chan struct{})}
	p.life.Store(3600)
	c := Config{
		DB: p.hub, Epoch: "e1", Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Verify: func(_ context.Context, raw string) (token.Claims, error) {
			if raw == "" || raw == "expired" {
				return token.Claims{}, fault.New(fault.Unauthenticated, "auth.bad_token", "no")
			}
			return token.Claims{Subject: raw, ID: raw, Expires: time.Now().Unix() + p.life.Load()}, nil
		},
		Alive: func(token.Claims) error {
			if p.dead.Load() {
				return fault.New(fault.Unauthenticated, "auth.revoked", "no")
			}
			return nil
		},
		Categories: []string{"task", "batch", "progress", "rollback", "system"}, Labels: labelsOf,
		Allowed: func(c token.Claims, category string) bool {
			if only := p.only.Load(); only != nil {
				return strings.Contains(*only, category)
			}
			_, may, limited := strings.Cut(c.Subject, ":")
			return !limited || strings.Contains(may, category)
		},
		Fail: func(w http.ResponseWriter, _ *http.Request, err error, extra map[string]any) {
			status := map[fault.Kind]int{fault.Malformed: 400, fault.Unauthenticated: 401, fault.Denied: 403, fault.Gone: 410, fault.Throttled: 429, fault.Unavailable: 503}
			Envelope(w, status[fault.KindOf(err)], err.Error(), extra)
		},
		MaxPerUser: 5000,
	}
	if change != nil {
		change(&c)
	}
	p.Handler = New(c)
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	go func() {
		defer close(p.done)
		_ = p.Run(ctx)
	}()
	server := httptest.NewServer(p.Handler)
	p.url = "ws" + strings.TrimPrefix(server.URL, "http") + "/ws"
	t.Cleanup(func() {
		stop()
		<-p.done
		server.Close()
	})
	return p
}

// labelsOf takes the types that it does not know for the system's. The metadata of an event holds its ids.
func labelsOf(stored []byte) Labels {
	var e struct {
		Type     string `json:"event_type"`
		Metadata struct {
			Task  string `json:"task_id"`
			Batch string `json:"batch_id"`
		} `json:"metadata"`
	}
	_ = json.Unmarshal(stored, &e) // what cannot be read is nobody's
	s := Labels{Category: "system", TaskID: e.Metadata.Task, BatchID: e.Metadata.Batch}
	switch e.Type {
	case "TaskStatusChanged":
		s.Category = "task"
	case "BatchStatusChanged", "OperationStatusChanged":
		s.Category = "batch"
	}
	return s
}

// emit appends n events of a type. The n-th is one of task tn, and of batch b0 or b1.
func (p *place) emit(t testing.TB, kind string, n int) {
	t.Helper()
	var b store.Batch
	for i := range n {
		body := fmt.Sprintf(`{"data":{"task_id":"t%[3]d"},"event_type":%[1]q,"metadata":{"batch_id":"b%[2]d","task_id":"t%[3]d"}}`, kind, i%2, i)
		b.Appends = append(b.Appends, store.Append{Stream: Stream, Body: []byte(body)})
	}
	if _, err := p.hub.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func (p *place) dial(t testing.TB, query string) *websocket.Conn {
	t.Helper()
	ws, resp, err := websocket.DefaultDialer.Dial(p.url+"?"+query, nil)
	if err != nil {
		body := ""
		if resp != nil {
			b, _ := io.ReadAll(resp.Body)
			body = string(b)
		}
		t.Fatalf("dial %s: %v %s", query, err, body)
	}
	t.Cleanup(func() { ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(20 * time.Second))
	return ws
}

func next(t testing.TB, ws *websocket.Conn) map[string]any {
	t.Helper()
	var m map[string]any
	if err := ws.ReadJSON(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

func say(t testing.TB, ws *websocket.Conn, text string) {
	t.Helper()
	if err := ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func closeCode(t testing.TB, ws *websocket.Conn) (int, string) {
	t.Helper()
	for {
		_, _, err := ws.ReadMessage()
		if e, ok := err.(*websocket.CloseError); ok {
			return e.Code, e.Text
		}
		if err != nil {
			t.Fatalf("no close frame: %v", err)
		}
	}
}

func TestWatch_tokenPlaces(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	query := p.dial(t, "token=ann")
	header, _, err := websocket.DefaultDialer.Dial(p.url, http.Header{"Authorization": {"Bearer ann"}})
	if err != nil {
		t.Fatal(err)
	}
	defer header.Close()
	message := p.dial(t, "")
	say(t, message, `{"type":"subscribe","events":["task"]}`)
	if m := next(t, message); m["type"] != "error" {
		t.Errorf("subscribed without a token: %v", m)
	}
	say(t, message, `{"type":"auth","token":"ann","id":"7"}`)
	if m := next(t, message); m["type"] != "ack" || m["id"] != "7" || m["expires_at"] == nil {
		t.Errorf("auth answered %v", m)
	}
	p.emit(t, "TaskStatusChanged", 1)
	for _, ws := range []*websocket.Conn{query, header, message} {
		m := next(t, ws)
		if m["event_type"] != "TaskStatusChanged" || m["sequence"] != 1.0 || m["epoch"] != "e1" || m["data"].(map[string]any)["task_id"] != "t0" {
			t.Errorf("got %v", m)
		}
	}
	bad := p.dial(t, "")
	say(t, bad, `{"type":"auth","token":"expired"}`)
	if code, _ := closeCode(t, bad); code != 4401 {
		t.Errorf("a bad auth message closes with %d", code)
	}
	if p.Stats().QueryTokens != 1 {
		t.Errorf("%d tokens in the query counted", p.Stats().QueryTokens)
	}
}

// TestWatch_queryTokensCanBeSwitchedOff is A62: the other two places go on.
func TestWatch_queryTokensCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	p := start(t, func(c *Config) { c.NoQueryToken = true })
	address := p.url
	ws, resp, err := websocket.DefaultDialer.Dial(address+"?token=ann", nil)
	if err == nil || resp == nil || resp.StatusCode != 401 {
		t.Fatalf("a token in the address: %v %v", ws, err)
	}
	if ws, _, err = websocket.DefaultDialer.Dial(address, http.Header{"Authorization": {"Bearer ann"}}); err != nil {
		t.Fatal(err)
	}
	_ = ws.Close()
	if ws, _, err = websocket.DefaultDialer.Dial(address, nil); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.Close() }()
	say(t, ws, `{"type":"auth","token":"ann"}`)
	if m := next(t, ws); m["type"] != "ack" {
		t.Errorf("the first message: %v", m)
	}
}

func TestWatch_refusedBeforeTheUpgrade(t *testing.T) {
	t.Parallel()
	p := start(t, func(c *Config) { c.Origins = []string{"https://console.example"} })
	p.emit(t, "TaskStatusChanged", 3)
	p.dial(t, "token=ann&since=3&epoch=e1")
	for _, c := range []struct {
		query  string
		head   http.Header
		status int
	}{
		{"token=expired", nil, 401},
		{"", http.Header{"Authorization": {"Basic x"}}, 401},
		{"", http.Header{"Authorization": {"Bearer "}}, 401},
		{"token=ann", http.Header{"Authorization": {""}}, 401},
		{"", http.Header{"Authorization": {"Bearer ann", "Bearer bob"}}, 401},
		{"token=ann&events=task,nonsense", nil, 400},
		{"token=ann&batch_size=0", nil, 400},
		{"token=ann&batch_size=x", nil, 400},
		{"token=ann&since=-1", nil, 400},
		{"token=ann&since=1&epoch=e0", nil, 410},
		{"token=ann&since=4&epoch=e1", nil, 410},
		{"token=ann", http.Header{"Origin": {"https://evil.example"}}, 403},
		{"token=ann", http.Header{"Origin": {"null"}}, 403},
		{"token=ann", http.Header{"Origin": {"https://console.example.evil.example"}}, 403},
		{"token=ann", http.Header{"Origin": {"http://console.example"}}, 403},
		{"token=ann", http.Header{"Cookie": {"a=b"}}, 403},
		{"token=ann", http.Header{"Origin": {"https://console.example"}}, 101},
		{"token=ann", http.Header{"Origin": {"http" + strings.TrimSuffix(strings.TrimPrefix(p.url, "ws"), "/ws")}}, 101},
	} {
		ws, resp, err := websocket.DefaultDialer.Dial(p.url+"?"+c.query, c.head)
		if resp == nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != c.status {
			t.Errorf("%q %v: %d %s", c.query, c.head, resp.StatusCode, body)
		}
		if err == nil {
			ws.Close()
			continue
		}
		var m map[string]any
		if json.Unmarshal(body, &m) != nil || m["success"] != false {
			t.Errorf("%q: not enveloped: %s", c.query, body)
		}
		if c.status == 410 && (m["earliest"] != 1.0 || m["epoch"] != "e1") {
			t.Errorf("%q: %s", c.query, body)
		}
	}
	resp, err := http.Get("http" + strings.TrimPrefix(p.url, "ws"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 400 || resp.Header.Get("Upgrade") != "websocket" {
		t.Errorf("plain GET: %d", resp.StatusCode)
	}
}

// TestWatch_belowTheKeptRangeIsGone connects after a trim, and in the middle of one.
func TestWatch_belowTheKeptRangeIsGone(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	p.emit(t, "TaskStatusChanged", 2*ringSize)
	trim := func(through uint64) {
		t.Helper()
		if _, err := p.hub.Commit(t.Context(), store.Batch{Trims: []store.Trim{{Stream: Stream, Through: through}}}); err != nil {
			t.Fatal(err)
		}
	}
	trim(100)
	for since, want := range map[int]int{0: 410, 99: 410, 100: 101, 2 * ringSize: 101} {
		ws, resp, err := websocket.DefaultDialer.Dial(fmt.Sprintf("%s?token=ann&since=%d&epoch=e1", p.url, since), nil)
		if resp == nil || resp.StatusCode != want {
			t.Fatalf("since %d: %v, %v; want %d", since, resp, err, want)
		}
		if want == 410 {
			var told struct {
				Earliest uint64
				Epoch    string
			}
			if err := json.NewDecoder(resp.Body).Decode(&told); err != nil || told.Earliest != 101 || told.Epoch != "e1" {
				t.Errorf("since %d: told %+v, %v", since, told, err)
			}
			continue
		}
		_ = ws.Close()
	}

	long := strings.Repeat("x", 2000)
	for range 8 {
		var b store.Batch
		for range 1000 {
			b.Appends = append(b.Appends, store.Append{Stream: Stream, Body: fmt.Appendf(nil, `{"data":{"text":%q},"event_type":"TaskStatusChanged","timestamp":"2026-01-01T00:00:00Z"}`, long)})
		}
		if _, err := p.hub.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	slow := p.dial(t, fmt.Sprintf("token=ann&since=%d", 2*ringSize)) // does not read, so most of 16 MB waits
	trim(2*ringSize + 3000)
	code, text := closeCode(t, slow)
	if code != closeReset || !strings.Contains(text, "not kept any more") {
		t.Errorf("a reader whose next events were trimmed is closed with %d %q", code, text)
	}
}

func TestWatch_sinceReplaysAndGoesOnLive(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	p.emit(t, "TaskStatusChanged", 700)
	ws := p.dial(t, "token=ann&since=100")
	for i := 101; i <= 1000; i++ {
		if i == 600 {
			p.emit(t, "BatchStatusChanged", 300)
		}
		if m := next(t, ws); m["sequence"] != float64(i) {
			t.Fatalf("want %d, got %v", i, m)
		}
	}
}

// TestWatch_resumeAfterRandomCuts is E02, reduced: more than 30 of 100 cuts.
func TestWatch_resumeAfterRandomCuts(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	const total = 3000
	go func() {
		for range total / 30 {
			p.emit(t, "TaskStatusChanged", 30)
		}
	}()
	last, cuts := 0, 0
	for last < total {
		ws := p.dial(t, fmt.Sprintf("token=ann&since=%d&epoch=e1", last))
		for n := 0; n < 37+cuts%50 && last < total; n++ {
			m := next(t, ws)
			if m["sequence"] != float64(last+1) {
				t.Fatalf("after %d came %v", last, m["sequence"])
			}
			last++
		}
		ws.Close()
		cuts++
	}
	if cuts < 30 {
		t.Errorf("only %d cuts", cuts)
	}
}

func TestWatch_filters(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	tasks := p.dial(t, "token=ann&events=task")
	lists := p.dial(t, "token=ann&batch_size=10")
	viewer := p.dial(t, "token=bob:batch")
	ids := p.dial(t, "token=ann&events=task")
	say(t, ids, `{"type":"subscribe","events":["task"],"task_ids":["t3"],"batch_ids":["b9"]}`)
	if m := next(t, ids); m["type"] != "ack" {
		t.Fatal(m)
	}
	p.emit(t, "BatchStatusChanged", 1)
	p.emit(t, "TaskStatusChanged", 24)
	p.emit(t, "OperationStatusChanged", 1)
	for i := 2; i <= 25; i++ {
		if m := next(t, tasks); m["sequence"] != float64(i) {
			t.Fatalf("events=task: want %d, got %v", i, m)
		}
	}
	for _, want := range []float64{1, 26} {
		if m := next(t, viewer); m["sequence"] != want {
			t.Fatalf("a viewer of batches got %v", m)
		}
	}
	if m := next(t, ids); m["metadata"].(map[string]any)["task_id"] != "t3" {
		t.Errorf("task_ids: %v", m)
	}
	got := 0
	for got < 26 {
		var list []map[string]any
		if err := lists.ReadJSON(&list); err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 || len(list) > 10 {
			t.Fatalf("a list of %d", len(list))
		}
		for _, m := range list {
			got++
			if m["sequence"] != float64(got) {
				t.Fatalf("list: want %d, got %v", got, m["sequence"])
			}
		}
	}
	say(t, tasks, `{"type":"unsubscribe","events":["task"]}`)
	if m := next(t, tasks); m["type"] != "ack" {
		t.Fatal(m)
	}
	say(t, tasks, `{"type":"subscribe","events":["system"]}`)
	next(t, tasks)
	p.emit(t, "TaskStatusChanged", 1)
	p.emit(t, "SystemHealthChanged", 1)
	if m := next(t, tasks); m["event_type"] != "SystemHealthChanged" {
		t.Errorf("after unsubscribe: %v", m)
	}
}

func TestWatch_clientMessages(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	ws := p.dial(t, "token=ann")
	for _, c := range []struct{ say, want, code string }{
		{`{"type":"ping","id":"x"}`, "pong", ""},
		{`nonsense`, "error", "ws.bad_message"},
		{`{"type":"dance"}`, "error", "ws.unknown_type"},
		{`{"type":"subscribe","events":["nope"]}`, "error", "ws.unknown_category"},
		{`{"type":"subscribe"}`, "ack", ""},
		{`[]`, "error", "ws.bad_message"},
	} {
		say(t, ws, c.say)
		m := next(t, ws)
		code, _ := m["code"].(string)
		if m["type"] != c.want || code != c.code || m["event_type"] != nil {
			t.Errorf("%s: %v", c.say, m)
		}
	}
}

// TestWatch_closesWhenTheSessionEnds is A63 for the token's end and for its renewal in band.
func TestWatch_closesWhenTheSessionEnds(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	p.emit(t, "TaskStatusChanged", 2)
	revoked := p.dial(t, "token=ann&since=0")
	next(t, revoked)
	next(t, revoked)
	p.life.Store(1)
	expiring := p.dial(t, "token=eve")
	renewed := p.dial(t, "token=kim")
	p.life.Store(3600)
	say(t, renewed, `{"type":"auth","token":"kim"}`)
	next(t, renewed)
	began := time.Now()
	if code, text := closeCode(t, expiring); code != 4401 || time.Since(began) > 2500*time.Millisecond+busy || !strings.Contains(text, "since=2 epoch=e1") {
		t.Errorf("expiry: %d %q after %v", code, text, time.Since(began))
	}
	say(t, renewed, `{"type":"ping"}`)
	next(t, renewed)
	began = time.Now()
	p.dead.Store(true)
	if code, _ := closeCode(t, revoked); code != 4401 || time.Since(began) > 2*time.Second+busy {
		t.Errorf("revocation: %d after %v", code, time.Since(began))
	}
}

// TestWatch_aLoweredRoleSeesNoMore is A63 for the rights of a subscription.
func TestWatch_aLoweredRoleSeesNoMore(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	ws := p.dial(t, "token=ann")
	p.emit(t, "TaskStatusChanged", 1)
	next(t, ws)
	only := "batch"
	p.only.Store(&only)
	deadline := time.After(2*time.Second + busy)
	for seen := true; seen; {
		select {
		case <-deadline:
			t.Fatal("still sees tasks")
		default:
		}
		p.emit(t, "TaskStatusChanged", 1)
		p.emit(t, "BatchStatusChanged", 1)
		if m := next(t, ws); m["event_type"] == "TaskStatusChanged" {
			next(t, ws)
		} else {
			seen = false
		}
	}
}

func TestWatch_limits(t *testing.T) {
	t.Parallel()
	p := start(t, func(c *Config) { c.MaxPerUser, c.MaxSockets = 2, 3 })
	p.dial(t, "token=ann")
	p.dial(t, "token=ann")
	_, resp, _ := websocket.DefaultDialer.Dial(p.url+"?token=ann", nil)
	if resp == nil || resp.StatusCode != 429 {
		t.Errorf("third of a user: %v", resp)
	}
	late := p.dial(t, "")
	_, resp, _ = websocket.DefaultDialer.Dial(p.url+"?token=bob", nil)
	if resp == nil || resp.StatusCode != 503 {
		t.Errorf("fourth of all: %v", resp)
	}
	say(t, late, `{"type":"auth","token":"ann"}`)
	if code, _ := closeCode(t, late); code != 1013 {
		t.Errorf("third of a user by message: %d", code)
	}
	until(func() bool { return p.Stats().Connections == 2 })
	p.dial(t, "token=bob")
}

// TestWatch_shutdownTellsWhereToResume is R01 for the sockets: code 1001 and the place to resume.
func TestWatch_shutdownTellsWhereToResume(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	ws := p.dial(t, "token=ann")
	p.emit(t, "TaskStatusChanged", 5)
	for range 5 {
		next(t, ws)
	}
	began := time.Now()
	p.stop()
	if code, text := closeCode(t, ws); code != 1001 || !strings.Contains(text, "resume since=5 epoch=e1") {
		t.Errorf("%d %q", code, text)
	}
	<-p.done
	if time.Since(began) > 3*time.Second+busy {
		t.Errorf("shutdown took %v", time.Since(began))
	}
}

func TestWatch_everySocketEachEventOnceInOrder(t *testing.T) {
	t.Parallel()
	sockets, events := 200, 1000
	if !testing.Short() {
		sockets = 500
	}
	p := start(t, nil)
	var group sync.WaitGroup
	for range sockets {
		ws := p.dial(t, "token=ann")
		_ = ws.SetReadDeadline(time.Now().Add(time.Minute))
		group.Go(func() {
			for want := 1; want <= events; want++ {
				_, data, err := ws.ReadMessage()
				if err != nil {
					t.Error(err)
					return
				}
				if !strings.HasSuffix(string(data), fmt.Sprintf(`,"sequence":%d}`, want)) {
					t.Errorf("want %d, got %s", want, data)
					return
				}
			}
		})
	}
	for range events / 10 {
		p.emit(t, "TaskStatusChanged", 10)
	}
	group.Wait()
	if cut := p.Stats().SlowCut; cut != 0 {
		t.Errorf("%d cut", cut)
	}
}

func TestSubscribe_idsInAnyCase(t *testing.T) {
	t.Parallel()
	const task = "01997b1c-0000-7000-8000-00000000000a"
	p := start(t, nil)
	ws := p.dial(t, "token=ann")
	say(t, ws, `{"type":"subscribe","events":["task"],"task_ids":["`+strings.ToUpper(task)+`"]}`)
	if m := next(t, ws); m["type"] != "ack" {
		t.Fatal(m)
	}
	body := `{"event_type":"TaskStatusChanged","metadata":{"task_id":"` + task + `"}}`
	if _, err := p.hub.Commit(t.Context(), store.Batch{Appends: []store.Append{{Stream: Stream, Body: []byte(body)}}}); err != nil {
		t.Fatal(err)
	}
	if m := next(t, ws); m["event_type"] != "TaskStatusChanged" {
		t.Error(m)
	}
}
