package watch

import (
	"context"
	"time"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/shared/token"
)

// Run delivers events and sweeps the open sockets every 500 ms until ctx ends. Then it closes each
// with 1001 and where to resume, and returns nil when all are gone or after 5 s.
func (h *Handler) Run(ctx context.Context) error {
	tailCtx, stopTail := context.WithCancel(context.WithoutCancel(ctx))
	tailDone := make(chan struct{})
	go func() {
		defer close(tailDone)
		_ = h.tail.Run(tailCtx) // returns nil
	}()
	defer func() {
		stopTail()
		<-tailDone
	}()
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			h.shutdown(ticker.C)
			return nil
		case now := <-ticker.C:
			h.sweep(now)
		}
	}
}

// shutdown closes all sockets and waits at most 5 s for them.
func (h *Handler) shutdown(tick <-chan time.Time) {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	for range 5 * time.Second / sweepEvery {
		open := h.open()
		for _, c := range open {
			c.stop(websocket.CloseGoingAway, "the service is shutting down")
		}
		if len(open) == 0 {
			return
		}
		<-tick
	}
}

func (h *Handler) open() []*conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]*conn, 0, len(h.conns))
	for c := range h.conns {
		out = append(out, c)
	}
	return out
}

// sweep ends sockets without a token after authWithin and those whose token has expired or whose
// session has ended. For the others it asks anew which categories the person may see.
func (h *Handler) sweep(now time.Time) {
	type verdict struct {
		dead    bool
		allowed mask
	}
	type question struct{ token, address string }
	asked := map[question]verdict{} // one answer for all sockets of a token at an address
	judge := func(c *token.Claims, address string) verdict {
		q := question{c.ID, address}
		v, ok := asked[q]
		if !ok || c.ID == "" {
			v = verdict{dead: h.Alive != nil && h.Alive(*c) != nil, allowed: h.allowed(*c, address)}
			asked[q] = v
		}
		return v
	}
	for _, c := range h.open() {
		who := c.who.Load()
		if who == nil {
			if now.Sub(c.opened) > authWithin-sweepEvery {
				c.stop(closeUnauthenticated, "no token came")
			}
			continue
		}
		if now.Unix() >= who.Expires {
			c.stop(closeUnauthenticated, "the token has expired")
			continue
		}
		v := judge(&who.Claims, c.address)
		if v.dead {
			c.stop(closeUnauthenticated, "the session has ended")
			continue
		}
		if v.allowed != who.allowed { // a token that came meanwhile has rights of its own
			c.who.CompareAndSwap(who, &person{who.Claims, v.allowed})
		}
	}
}

// promote counts a socket for its user, no longer as waiting, once its token is verified.
func (h *Handler) promote(c *conn, claims token.Claims) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.countedAs == "" {
		if err := h.countUser(c, claims.Subject); err != nil {
			return err
		}
		h.waiting--
	}
	c.identify(claims)
	return nil
}
