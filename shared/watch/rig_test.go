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

// busy is what a limit of a second or two is given on top, since the tests of all packages share
// the machine.
const busy = 20 * time.Second

// place is a running handler over a store in memory. Tokens are "name", "name:category,category",
// with "expired" never good.
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
			return token.Claims{Subject: raw, ID: raw, SessionID: "s-" + raw, Expires: time.Now().Unix() + p.life.Load()}, nil
		},
		Alive: func(token.Claims) error {
			if p.dead.Load() {
				return fault.New(fault.Unauthenticated, "auth.revoked", "no")
			}
			return nil
		},
		Categories: []string{"task", "batch", "progress", "rollback", "system"}, Labels: labelsOf,
		Types: []string{"TaskStatusChanged", "BatchStatusChanged", "OperationStatusChanged"},
		Allowed: func(c token.Claims, _, category string) bool {
			if only := p.only.Load(); only != nil {
				return strings.Contains(*only, category)
			}
			_, may, limited := strings.Cut(c.Subject, ":")
			return !limited || strings.Contains(may, category)
		},
		Fail: func(w http.ResponseWriter, _ *http.Request, err error, extra map[string]any) {
			status := map[fault.Kind]int{fault.Malformed: 400, fault.Unauthenticated: 401, fault.Denied: 403, fault.Gone: 410,
				fault.Throttled: 429, fault.Unavailable: 503}
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

// labelsOf takes the types that it does not know for the system's. The metadata of an event holds
// its ids.
func labelsOf(stored []byte) Labels {
	var e struct {
		Type     string `json:"event_type"`
		Metadata struct {
			Task  string `json:"task_id"`
			Batch string `json:"batch_id"`
			Infra string `json:"infra"`
		} `json:"metadata"`
	}
	_ = json.Unmarshal(stored, &e) // what cannot be read is nobody's
	s := Labels{Category: "system", Type: e.Type, TaskID: e.Metadata.Task, BatchID: e.Metadata.Batch, Infra: e.Metadata.Infra}
	switch e.Type {
	case "TaskStatusChanged":
		s.Category = "task"
	case "BatchStatusChanged", "OperationStatusChanged":
		s.Category = "batch"
	}
	return s
}

// emit appends n events of a type. The n-th is one of task tn, of batch b0 or b1,
// and of the infra in0, in1 or in2.
func (p *place) emit(t testing.TB, kind string, n int) {
	t.Helper()
	var b store.Batch
	for i := range n {
		body := fmt.Sprintf(`{"data":{"task_id":"t%[3]d"},"event_type":%[1]q,"metadata":{"batch_id":"b%[2]d","infra":"in%[4]d","task_id":"t%[3]d"}}`,
			kind, i%2, i, i%3)
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
