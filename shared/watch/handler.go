package watch

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/token"
)

// Limits of the sockets.
const (
	Stream         = "events" // the stream that is shown
	maxMessage     = 64 << 10 // bytes of a client's message, over all its fragments
	maxBatch       = 1000     // events in one list
	maxIDs         = 1000     // ids and infras in one subscription
	maxWaiting     = 256      // sockets without a verified token
	maxMessageRate = 50       // messages and pings of a client in a second
	authWithin     = 10 * time.Second
	patience       = 10 * time.Second // without a byte taken: a client that is also maxBehind is cut off
	maxBehind      = 1024             // events; nothing is queued, so bytes need no limit
	writeSlice     = time.Second      // how often a write that waits for its client checks whether the socket has ended
	messageWithin  = time.Second      // for the rest of a message that has begun
	pingEvery      = 20 * time.Second
	silence        = 50 * time.Second // without anything from the client: it is cut off
	sweepEvery     = 500 * time.Millisecond
	ringSize       = 4096 // events in memory; older ones are read from the store
)

// Headers of the answer to the handshake: where the connection begins to read.
const (
	headEpoch    = "X-Events-Epoch"
	headSequence = "X-Events-Sequence"
)

// Close codes of our own; the rest is RFC 6455's.
const (
	closeUnauthenticated = 4401
	closeReset           = 4410 // what comes next is not kept any more
	closeSlow            = websocket.CloseTryAgainLater
)

// Config is what a Handler needs. Functions are called from many goroutines.
type Config struct {
	DB    *feed.Hub
	Epoch string // identity of the stream: another one after a restore or a wipe

	// Verify returns the claims of a good token.
	Verify func(ctx context.Context, raw string) (token.Claims, error)
	// Alive returns an error when the session is revoked or the user deleted. The handler asks for
	// each open socket twice a second, so Alive must not do I/O. nil: sessions live until they
	// expire.
	Alive func(token.Claims) error
	// Categories are the names that events= and subscribe know, at most 8.
	Categories []string
	// Types are the names that event_types= and subscribe know.
	Types []string
	// Labels reads an event as it is stored: a JSON object without blanks.
	Labels func(stored []byte) Labels
	// Address returns the address of a client as policies know it; nil: none is known.
	Address func(r *http.Request) string
	// Allowed says whether the person at that address may see events of that category.
	Allowed func(c token.Claims, address, category string) bool
	// Fail writes a refusal before the upgrade in the service's envelope; extra are members beside
	// it.
	Fail func(w http.ResponseWriter, r *http.Request, err error, extra map[string]any)

	Origins      []string // exact origins allowed beside the service's own
	NoQueryToken bool     // refuse ?token=
	MaxSockets   int      // 0 means 5,000
	MaxPerUser   int      // 0 means 20
	Log          *slog.Logger
}

// Handler serves /ws. Make it with New, and Run it beside the server.
type Handler struct {
	Config
	tail     *feed.Tail[*item]
	patience time.Duration
	silence  time.Duration
	upgrader websocket.Upgrader
	tickets  tickets

	quotedEpoch string // Config.Epoch as JSON

	mu      sync.Mutex
	conns   map[*conn]struct{} // under mu
	perUser map[string]int     // under mu: by subject
	waiting int                // under mu: not authenticated
	closed  bool               // under mu: shutting down

	delivered, slowCut, queryTokens, badTickets atomic.Int64
}

// Stats are counters for metrics.
type Stats struct {
	Connections int
	Delivered   int64 // events written to sockets
	SlowCut     int64 // sockets closed because they did not read
	QueryTokens int64 // handshakes with the token in the URL
	BadTickets  int64 // handshakes with a ticket that was used, too old or never made
}

// New returns a handler.
func New(c Config) *Handler {
	if c.MaxSockets == 0 {
		c.MaxSockets = 5000
	}
	if c.MaxPerUser == 0 {
		c.MaxPerUser = 20
	}
	h := &Handler{
		Config: c, patience: patience, silence: silence, quotedEpoch: strconv.Quote(c.Epoch), conns: map[*conn]struct{}{},
		perUser: map[string]int{},
	}
	h.tail = feed.NewTail(c.DB, Stream, ringSize, h.prepare)
	h.upgrader = websocket.Upgrader{
		ReadBufferSize: 1024, WriteBufferSize: 256, HandshakeTimeout: authWithin,
		CheckOrigin: func(*http.Request) bool { return true }, // checked before
		Error: func(w http.ResponseWriter, r *http.Request, _ int, reason error) {
			c.Fail(w, r, fault.New(fault.Malformed, "ws.bad_handshake", "this is not a good WebSocket handshake: %s", reason.Error()), nil)
		},
	}
	return h
}

// Stats returns the counters.
func (h *Handler) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Stats{Connections: len(h.conns), Delivered: h.delivered.Load(), SlowCut: h.slowCut.Load(), QueryTokens: h.queryTokens.Load(),
		BadTickets: h.badTickets.Load()}
}

// Meter shows the counters in a service's metrics, under names that begin with prefix.
func (h *Handler) Meter(r *obs.Registry, prefix string) {
	r.GaugeFunc(prefix+"_websocket_connections", "WebSocket clients that are connected.",
		func() float64 { return float64(h.Stats().Connections) })
	for _, c := range []struct {
		name, help string
		read       func(Stats) int64
	}{
		{"delivered", "Events written to WebSocket clients.", func(s Stats) int64 { return s.Delivered }},
		{"slow_cut", "WebSocket clients that were cut off because they did not read.", func(s Stats) int64 { return s.SlowCut }},
		{"query_tokens", "WebSocket clients that gave their token in the URL, where others may have logged it.",
			func(s Stats) int64 { return s.QueryTokens }},
		{"bad_tickets", "WebSocket clients that were refused because their ticket was used, too old or never made.",
			func(s Stats) int64 { return s.BadTickets }},
	} {
		r.CounterFunc(prefix+"_websocket_"+c.name+"_total", c.help, func() float64 { return float64(c.read(h.Stats())) })
	}
}

// ServeHTTP checks the handshake, upgrades, and returns when the socket is closed.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, extra, err := h.admit(r)
	if err != nil {
		if fault.CodeOf(err) == "ws.upgrade_required" {
			w.Header().Set("Upgrade", "websocket")
		}
		h.Fail(w, r, err, extra)
		return
	}
	if err := h.register(c); err != nil {
		h.Fail(w, r, err, nil)
		return
	}
	defer h.unregister(c)
	ws, err := h.upgrader.Upgrade(w, r, http.Header{ // where a client that loses the connection resumes
		headEpoch: {h.Epoch}, headSequence: {strconv.FormatUint(c.cursor.Load(), 10)},
	})
	if err != nil {
		return // Upgrade has answered
	}
	if tcp, ok := ws.NetConn().(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(128 << 10) // so that a client that does not read is noticed
	}
	c.serve(ws)
}

// Envelope writes the plain error envelope: for a socket that is refused where no face is at hand.
func Envelope(w http.ResponseWriter, status int, message string, extra map[string]any) {
	body := map[string]any{"success": false, "error": message}
	for k, v := range extra {
		body[k] = v
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that is gone needs no answer
}
