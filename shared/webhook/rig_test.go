package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/seal"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// fast is a schedule of three attempts that a test can wait for.
var fast = []time.Duration{5 * time.Millisecond, 10 * time.Millisecond}

const testSecret = vectorSecret

// yes accepts every endpoint.
func yes(Endpoint) error { return nil }

func newHub() *feed.Hub {
	s := store.Schema{Service: "test"}
	for _, k := range [][]store.Kind{feed.Kinds(), audit.Kinds(), Kinds()} {
		s.Kinds = append(s.Kinds, k...)
	}
	return feed.NewHub(memstore.New(s))
}

// render reads entries of tests: their event and a number.
func render(entry []byte) (Message, bool) {
	var e struct {
		Event string `json:"event"`
		N     int    `json:"n"`
	}
	if err := json.Unmarshal(entry, &e); err != nil || e.Event == "" {
		return Message{}, false
	}
	return Message{Event: e.Event, At: time.Unix(1e9, 0), Data: fmt.Appendf(nil, `{"n":%d,"output":"größer"}`, e.N)}, true
}

func testConfig(t *testing.T, db *feed.Hub) Config {
	t.Helper()
	sealer, err := seal.New(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		DB: db, Noun: "webhooks", Stream: "events", Events: []string{"a.done", "b.done"}, Agent: "test",
		Guard:    Guard{Allow: loopback, Timeout: time.Second},
		Schedule: fast,
		Sealer:   sealer, Render: render, Now: time.Now, Log: quiet,
	}
}

// running runs w until the test ends or the returned function is called.
func running(t *testing.T, w *Webhooks) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func add(t *testing.T, w *Webhooks, url string, events ...string) Endpoint {
	t.Helper()
	e, _, err := w.Create(t.Context(), id.New(), Maker{ID: "u1"}, Input{URL: &url, Events: events, Secret: secret.New(testSecret)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func emit(t *testing.T, db *feed.Hub, event string, numbers ...int) {
	t.Helper()
	for _, n := range numbers {
		b := store.Batch{Appends: []store.Append{{Stream: "events", Body: fmt.Appendf(nil, `{"event":%q,"n":%d}`, event, n)}}}
		if _, err := db.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}

// got is one request at a receiver.
type got struct {
	Event string `json:"event"`
	Data  struct {
		N int `json:"n"`
	} `json:"data"`
	id     string
	header http.Header
	body   []byte
}

// receiver is a real server that verifies what it gets and answers what answer says.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	all    []got // under mu
	more   chan struct{}
	answer func(n int, g got) int // n from 1
}

func receive(t *testing.T, answer func(n int, g got) int) *receiver {
	t.Helper()
	r := &receiver{more: make(chan struct{}, 10000), answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		g := got{header: q.Header, id: q.Header.Get(HeaderID)}
		g.body, _ = io.ReadAll(q.Body)
		if err := json.Unmarshal(g.body, &g); err != nil {
			t.Errorf("body %q: %v", g.body, err)
		}
		if q.Method != http.MethodPost || q.Header.Get("Content-Type") != "application/json" || q.Header.Get(HeaderDelivery) != g.id ||
			q.Header.Get(HeaderEvent) != g.Event {
			t.Errorf("%s with headers %v", q.Method, q.Header)
		}
		r.mu.Lock()
		r.all = append(r.all, g)
		n := len(r.all)
		r.mu.Unlock()
		w.WriteHeader(r.answer(n, g))
		r.more <- struct{}{}
	}))
	t.Cleanup(r.Close)
	return r
}

func ok(int, got) int { return http.StatusOK }

// wait waits until n requests have come in all and returns them.
func (r *receiver) wait(t *testing.T, n int) []got {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		r.mu.Lock()
		all := append([]got(nil), r.all...)
		r.mu.Unlock()
		if len(all) >= n {
			return all
		}
		select {
		case <-r.more:
		case <-late:
			t.Fatalf("%d requests, want %d", len(all), n)
		}
	}
}

// until waits for a condition of the store.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	late := time.After(30 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// stage waits until n deliveries of an endpoint are in a stage and returns them, the newest first.
func stage(t *testing.T, w *Webhooks, endpoint string, s Stage, n int) []Delivery {
	t.Helper()
	var out []Delivery
	until(t, fmt.Sprintf("%d deliveries %s", n, s), func() bool {
		q := byStage(endpoint, s)
		q.Reverse, q.Limit = true, store.MaxPage
		rows, _, err := Deliveries.List(t.Context(), w.c.DB, q)
		if err != nil {
			t.Fatal(err)
		}
		out = nil
		for _, r := range rows {
			out = append(out, r.Value)
		}
		return len(out) == n
	})
	return out
}

// actions counts the audit entries by action.
func actions(t *testing.T, db store.DB) map[string]int {
	t.Helper()
	page, err := db.Read(t.Context(), audit.Stream, 0, store.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, e := range page.Entries {
		var entry struct {
			Action string `json:"action"`
		}
		if err := json.Unmarshal(e.Body, &entry); err != nil {
			t.Fatal(err)
		}
		out[entry.Action]++
	}
	return out
}
