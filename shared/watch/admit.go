package watch

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// admit checks everything that is refused before the upgrade and returns the connection to be.
func (h *Handler) admit(r *http.Request) (*conn, map[string]any, error) {
	if r.Method != http.MethodGet || !websocket.IsWebSocketUpgrade(r) {
		return nil, nil, fault.New(fault.Malformed, "ws.upgrade_required",
			"this address speaks WebSocket: send a GET with Upgrade: websocket")
	}
	if !h.originAllowed(r) {
		return nil, nil, fault.New(fault.Denied, "ws.origin",
			"pages of this origin may not open the event stream; the operator can allow it")
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, nil, fault.New(fault.Malformed, "ws.bad_query", "the query of the address cannot be read")
	}
	c := newConn(h)
	if h.Address != nil {
		c.address = h.Address(r)
	}
	f, err := h.filterOf(message{Events: list(q, "events"), EventTypes: list(q, "event_types"), Infra: list(q, "infra"),
		TaskIDs: list(q, "task_ids"), BatchIDs: list(q, "batch_ids")})
	if err != nil {
		return nil, nil, err
	}
	c.filter.Store(f)
	if s := q.Get("batch_size"); s != "" {
		if c.batchSize, err = strconv.Atoi(s); err != nil || c.batchSize < 1 || c.batchSize > maxBatch {
			return nil, nil, fault.New(fault.Malformed, "ws.bad_batch_size", "batch_size is a number from 1 to %d", maxBatch)
		}
	}
	if err := h.authenticate(r, q, c); err != nil {
		return nil, nil, err
	}
	extra, err := h.startPosition(r.Context(), q, c)
	return c, extra, err
}

// list returns the words of a query parameter with commas between them, nil when there are none.
func list(q url.Values, name string) []string {
	if s := q.Get(name); s != "" {
		return strings.Split(s, ",")
	}
	return nil
}

// authenticate takes the ticket of the query, or verifies the token of the Authorization header,
// else that of the query. Without any it leaves c to a message of type auth.
func (h *Handler) authenticate(r *http.Request, q url.Values, c *conn) error {
	raw := q.Get("token")
	if q.Has("ticket") {
		if q.Has("token") || len(r.Header["Authorization"]) > 0 {
			return fault.New(fault.Malformed, "ws.two_credentials", "a ticket stands for a token: send one of them")
		}
		claims, err := h.redeem(q.Get("ticket"))
		if err == nil {
			c.identify(claims)
		}
		return err
	}
	if lines := r.Header["Authorization"]; len(lines) > 0 {
		scheme, value, _ := strings.Cut(lines[0], " ")
		if raw = strings.TrimSpace(value); len(lines) > 1 || raw == "" || !strings.EqualFold(scheme, "Bearer") {
			return fault.New(fault.Unauthenticated, "auth.bad_scheme", "the Authorization header must hold one token: Bearer <token>")
		}
	} else if raw != "" {
		h.queryTokens.Add(1)
		if h.NoQueryToken {
			return fault.New(fault.Unauthenticated, "ws.query_token",
				"a token in the address is not accepted here; send it in the Authorization header or in a first message")
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

// startPosition sets the cursor from since= and epoch=, without since= to the newest event. When
// the store no longer keeps what comes next, it returns a Gone fault and the members of its answer:
// earliest sequence and epoch.
func (h *Handler) startPosition(ctx context.Context, q url.Values, c *conn) (map[string]any, error) {
	if !q.Has("since") {
		now, err := h.DB.Read(ctx, Stream, store.Latest, 0)
		c.cursor.Store(now.Head)
		return nil, err
	}
	since, err := strconv.ParseUint(q.Get("since"), 10, 63)
	if err != nil {
		return nil, fault.New(fault.Malformed, "ws.bad_since", "since is the sequence of the last event you have, a whole number")
	}
	kept, err := h.DB.Read(ctx, Stream, store.Latest, 0)
	if err != nil {
		return nil, err
	}
	epoch := q.Get("epoch")
	if (epoch != "" && epoch != h.Epoch) || since+1 < kept.First || since > kept.Head {
		return map[string]any{"earliest": kept.First, "epoch": h.Epoch}, fault.New(fault.Gone, "ws.reset",
			"events after %d are not kept here; read the state anew and go on from sequence %d", since, kept.Head)
	}
	c.cursor.Store(since)
	return nil, nil
}

// originAllowed says whether a page of the request's origin may connect: a page of the service
// itself or of Config.Origins. A program sends no Origin; it may connect unless it sends cookies.
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

// register counts the connection, or returns the fault of the limit that is reached.
func (h *Handler) register(c *conn) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return fault.New(fault.Unavailable, "ws.closing", "the service is shutting down; connect again in a moment").After(time.Second)
	case len(h.conns) >= h.MaxSockets, c.who.Load() == nil && h.waiting >= maxWaiting:
		return fault.New(fault.Unavailable, "ws.full", "too many event streams are open; try again later").After(10 * time.Second)
	}
	if who := c.who.Load(); who == nil {
		h.waiting++
	} else if err := h.countUser(c, who.Subject); err != nil {
		return err
	}
	h.conns[c] = struct{}{}
	return nil
}

// countUser counts the connection for a user. The caller holds mu.
func (h *Handler) countUser(c *conn, user string) error {
	if h.perUser[user] >= h.MaxPerUser {
		return fault.New(fault.Throttled, "ws.too_many", "you have %d event streams open, the most there may be; close one",
			h.MaxPerUser).After(10 * time.Second)
	}
	h.perUser[user]++
	c.countedAs = user
	return nil
}

func (h *Handler) unregister(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
	if c.countedAs == "" {
		h.waiting--
		return
	}
	if h.perUser[c.countedAs]--; h.perUser[c.countedAs] == 0 {
		delete(h.perUser, c.countedAs)
	}
}

// allowed returns the categories that the person may see at that address.
func (h *Handler) allowed(c token.Claims, address string) mask {
	var m mask
	for i, name := range h.Categories {
		if h.Allowed(c, address, name) {
			m |= 1 << i
		}
	}
	return m
}
