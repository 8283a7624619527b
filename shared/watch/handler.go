package watch

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/token"
)

// Limits of the sockets.
const (
	Stream        = "events" // the stream that is shown
	maxMessage    = 64 << 10 // bytes of a client's message, over all its fragments
	maxBatch      = 1000     // events in one list
	maxIDs        = 1000     // ids in one subscription
	maxWaiting    = 256      // sockets that have not said who they are
	maxChatter    = 50       // messages and pings of a client in a second
	authWithin    = 10 * time.Second
	writeWithin   = 10 * time.Second // for one write to be taken
	stalled       = 2 * time.Second  // in one write, and far behind: the client does not read
	behindEvents  = 1024             // nothing is queued for it, so bytes need no limit of their own
	messageWithin = time.Second      // for the rest of a message that has begun
	pingEvery     = 20 * time.Second
	silence       = 50 * time.Second // without anything from the client, it is gone
	sweepEvery    = 500 * time.Millisecond
	ringSize      = 4096
)

// Headers of the answer to the handshake: where the connection begins to read.
const (
	headEpoch    = "X-Events-Epoch"
	headSequence = "X-Events-Sequence"
)

// Close codes of our own; the rest is RFC 6455's.
const (
	closeUnauthenticated = 4401
	closeSlow            = websocket.CloseTryAgainLater
)

// Config is what a Handler needs. Functions are called from many goroutines.
type Config struct {
	DB    *feed.Hub
	Epoch string // identity of the stream: another one after a restore or a wipe

	// Verify returns the claims of a good token.
	Verify func(ctx context.Context, raw string) (token.Claims, error)
	// Alive returns an error when the session is revoked or the user gone; asked about every open socket
	// twice a second, so it only looks into memory. May be nil.
	Alive func(token.Claims) error
	// Allowed says whether the person may see events of that category.
	Allowed func(c token.Claims, category string) bool
	// Fail writes a refusal before the upgrade in the service's envelope; extra are members beside it.
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
	upgrader websocket.Upgrader

	mu      sync.Mutex
	conns   map[*conn]struct{} // under mu
	perUser map[string]int     // under mu: by subject
	waiting int                // under mu: not authenticated
	closed  bool               // under mu: shutting down

	delivered, slowCut, queryTokens atomic.Int64
}

// Stats are counters for metrics.
type Stats struct {
	Connections int
	Delivered   int64 // events written to sockets
	SlowCut     int64 // sockets closed because they did not read
	QueryTokens int64 // handshakes with the token in the URL
}

// New returns a handler.
func New(c Config) *Handler {
	if c.MaxSockets == 0 {
		c.MaxSockets = 5000
	}
	if c.MaxPerUser == 0 {
		c.MaxPerUser = 20
	}
	h := &Handler{Config: c, conns: map[*conn]struct{}{}, perUser: map[string]int{}}
	h.tail = feed.NewTail(c.DB, Stream, ringSize, prepare(c.Epoch))
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
	return Stats{Connections: len(h.conns), Delivered: h.delivered.Load(), SlowCut: h.slowCut.Load(), QueryTokens: h.queryTokens.Load()}
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
	if err := h.enter(c); err != nil {
		h.Fail(w, r, err, nil)
		return
	}
	defer h.leave(c)
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

// admit checks everything that is refused before the upgrade and returns the connection to be.
func (h *Handler) admit(r *http.Request) (*conn, map[string]any, error) {
	if r.Method != http.MethodGet || !websocket.IsWebSocketUpgrade(r) {
		return nil, nil, fault.New(fault.Malformed, "ws.upgrade_required", "this address speaks WebSocket: send a GET with Upgrade: websocket")
	}
	if !h.originAllowed(r) {
		return nil, nil, fault.New(fault.Denied, "ws.origin", "pages of this origin may not open the event stream; the operator can allow it")
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, nil, fault.New(fault.Malformed, "ws.bad_query", "the query of the address cannot be read")
	}
	c := newConn(h)
	f := &filter{}
	var words []string
	if s := q.Get("events"); s != "" {
		words = strings.Split(s, ",")
	}
	if f.categories, err = parseCategories(words); err != nil {
		return nil, nil, fault.New(fault.Malformed, "ws.unknown_category", "%s", err)
	}
	c.filter.Store(f)
	if s := q.Get("batch_size"); s != "" {
		if c.batch, err = strconv.Atoi(s); err != nil || c.batch < 1 || c.batch > maxBatch {
			return nil, nil, fault.New(fault.Malformed, "ws.bad_batch_size", "batch_size is a number from 1 to %d", maxBatch)
		}
	}
	if err := h.authenticate(r, q.Get("token"), c); err != nil {
		return nil, nil, err
	}
	extra, err := h.place(r.Context(), q, c)
	return c, extra, err
}

// authenticate takes the token out of the header or the query, if there is one.
func (h *Handler) authenticate(r *http.Request, query string, c *conn) error {
	raw := query
	if head := r.Header.Get("Authorization"); head != "" {
		scheme, value, _ := strings.Cut(head, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return fault.New(fault.Unauthenticated, "auth.bad_scheme", "the Authorization header must say Bearer and a token")
		}
		raw = strings.TrimSpace(value)
	} else if query != "" {
		h.queryTokens.Add(1)
		if h.NoQueryToken {
			return fault.New(fault.Unauthenticated, "ws.query_token", "a token in the address is not accepted here; send it in the Authorization header or in a first message")
		}
	}
	if raw == "" {
		return nil
	}
	claims, err := h.Verify(r.Context(), raw)
	if err != nil {
		return err
	}
	c.identify(claims)
	return nil
}

// place finds where the connection begins to read. A place that is not kept any more is Gone, with what
// there is.
func (h *Handler) place(ctx context.Context, q url.Values, c *conn) (map[string]any, error) {
	if !q.Has("since") {
		c.cursor.Store(h.tail.Head())
		return nil, nil
	}
	since, err := strconv.ParseUint(q.Get("since"), 10, 63)
	if err != nil {
		return nil, fault.New(fault.Malformed, "ws.bad_since", "since is the sequence of the last event you have, a whole number")
	}
	oldest, err := h.DB.Read(ctx, Stream, 0, 1)
	if err != nil {
		return nil, err
	}
	earliest := uint64(1)
	if len(oldest.Entries) > 0 {
		earliest = oldest.Entries[0].Seq
	}
	epoch := q.Get("epoch")
	if (epoch != "" && epoch != h.Epoch) || since+1 < earliest || since > oldest.Head {
		return map[string]any{"earliest": earliest, "epoch": h.Epoch}, fault.New(fault.Gone, "ws.reset",
			"events after %d are not kept here; read the state anew and go on from sequence %d", since, oldest.Head)
	}
	c.cursor.Store(since)
	return nil, nil
}

// originAllowed says whether a page of that origin may connect: the service's own, those listed, and
// programs, which send none (and no cookies).
func (h *Handler) originAllowed(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return r.Header.Get("Cookie") == ""
	}
	if len(origins) > 1 {
		return false
	}
	if slices.Contains(h.Origins, origins[0]) {
		return true
	}
	u, err := url.Parse(origins[0])
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil &&
		u.Path == "" && u.RawQuery == "" && u.Fragment == "" && strings.EqualFold(u.Host, r.Host)
}

// enter counts the connection in, or says which limit is reached.
func (h *Handler) enter(c *conn) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return fault.New(fault.Unavailable, "ws.closing", "the service is shutting down; connect again in a moment").After(time.Second)
	case len(h.conns) >= h.MaxSockets, c.who() == nil && h.waiting >= maxWaiting:
		return fault.New(fault.Unavailable, "ws.full", "too many event streams are open; try again later").After(10 * time.Second)
	}
	if err := h.countUser(c, c.who()); err != nil {
		return err
	}
	if c.counted == "" {
		h.waiting++
	}
	h.conns[c] = struct{}{}
	return nil
}

// countUser counts the connection under its user, once; mu is held.
func (h *Handler) countUser(c *conn, claims *token.Claims) error {
	if claims == nil || c.counted != "" {
		return nil
	}
	if h.perUser[claims.Subject] >= h.MaxPerUser {
		return fault.New(fault.Throttled, "ws.too_many", "you have %d event streams open, the most there may be; close one", h.MaxPerUser).After(10 * time.Second)
	}
	h.perUser[claims.Subject]++
	c.counted = claims.Subject
	return nil
}

func (h *Handler) leave(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
	if c.counted == "" {
		h.waiting--
		return
	}
	if h.perUser[c.counted]--; h.perUser[c.counted] == 0 {
		delete(h.perUser, c.counted)
	}
}

// allowed returns the categories the person may see.
func (h *Handler) allowed(c token.Claims) mask {
	var m mask
	for i, name := range Categories() {
		if h.Allowed(c, name) {
			m |= 1 << i
		}
	}
	return m
}

// Envelope writes the plain error envelope: for tests and for who has no other.
func Envelope(w http.ResponseWriter, status int, message string, extra map[string]any) {
	body := map[string]any{"success": false, "error": message}
	for k, v := range extra {
		body[k] = v
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that is gone needs no answer
}
