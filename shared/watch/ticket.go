package watch

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/token"
)

// Limits of tickets.
const (
	ticketWithin      = 30 * time.Second // how long a ticket opens a socket
	maxTickets        = 4096             // unused ones of all users
	maxTicketsPerUser = 20               // unused ones, as many as the sockets that a user may open
	ticketPrefix      = "wst_"           // by which a secret scanner finds one
)

// Ticket opens one socket in the place of a token, for pages of a browser, which can send no header
// with a handshake (decision 64).
type Ticket struct {
	Secret  secret.Text
	Expires time.Time
}

// tickets are the unused tickets of a Handler, by the SHA-256 of their secret. They are in memory
// only: a restart makes them invalid, and no store, backup or follower ever holds one.
type tickets struct {
	mu     sync.Mutex
	unused map[[sha256.Size]byte]admission // under mu
}

// admission is what a ticket is worth.
type admission struct {
	claims  token.Claims // of the token that the ticket was asked for with
	expires time.Time
}

// Ticket returns a fresh ticket for the person of the claims: within 30 s it opens one socket with
// the rights and the end of their session. A token without a session has no tickets: Denied
// token.not_here (decision 53). Too many unused ones are Throttled.
func (h *Handler) Ticket(claims token.Claims) (Ticket, error) {
	if claims.SessionID == "" {
		return Ticket{}, fault.New(fault.Denied, "token.not_here",
			"a ticket is for a browser whose user has signed in; this token has no session: send it in the Authorization header of /ws")
	}
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails
	text := ticketPrefix + base64.RawURLEncoding.EncodeToString(raw[:])
	now := time.Now()
	t := &h.tickets
	t.mu.Lock()
	defer t.mu.Unlock()
	own := 0
	for key, a := range t.unused {
		switch {
		case !now.Before(a.expires):
			delete(t.unused, key)
		case a.claims.Subject == claims.Subject:
			own++
		}
	}
	if own >= maxTicketsPerUser || len(t.unused) >= maxTickets {
		return Ticket{}, fault.New(fault.Throttled, "ws.too_many_tickets",
			"too many tickets are unused; use one, or wait until they end after %s", ticketWithin).After(ticketWithin)
	}
	if t.unused == nil {
		t.unused = map[[sha256.Size]byte]admission{}
	}
	a := admission{claims, now.Add(ticketWithin)}
	if ends := time.Unix(claims.Expires, 0); ends.Before(a.expires) {
		a.expires = ends
	}
	t.unused[sha256.Sum256([]byte(text))] = a
	return Ticket{secret.New(text), a.expires}, nil
}

// take uses the ticket up. Of several calls at the same time one gets what it is worth.
func (t *tickets) take(text string) (a admission, good bool) {
	key := sha256.Sum256([]byte(text))
	t.mu.Lock()
	defer t.mu.Unlock()
	a, good = t.unused[key]
	delete(t.unused, key)
	return a, good
}

// redeem returns the claims behind a ticket, which is used up. A ticket that was never made, was
// used, or is too old is Unauthenticated ws.bad_ticket, whichever it is; a session that ended
// meanwhile has the fault of Config.Alive.
func (h *Handler) redeem(text string) (token.Claims, error) {
	a, good := h.tickets.take(text)
	if !good || !time.Now().Before(a.expires) {
		h.badTickets.Add(1)
		return token.Claims{}, fault.New(fault.Unauthenticated, "ws.bad_ticket",
			"this ticket does not open a socket: it is good once and for %s; get another with POST /ws/tickets", ticketWithin)
	}
	if h.Alive != nil {
		if err := h.Alive(a.claims); err != nil {
			return token.Claims{}, err
		}
	}
	return a.claims, nil
}
