package watch

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/token"
)

// ticket returns a ticket of a user whose token lives for a while.
func (p *place) ticket(t *testing.T, user string) string {
	t.Helper()
	k, err := p.Ticket(token.Claims{Subject: user, ID: user, SessionID: "s-" + user, Expires: time.Now().Unix() + p.life.Load()})
	if err != nil {
		t.Fatal(err)
	}
	return k.Secret.Reveal()
}

// refused dials and returns the status and the body of the refusal.
func (p *place) refused(t *testing.T, query string, head http.Header) (int, string) {
	t.Helper()
	ws, resp, err := websocket.DefaultDialer.Dial(p.url+"?"+query, head)
	if err == nil {
		_ = ws.Close()
		return http.StatusSwitchingProtocols, ""
	}
	if resp == nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

func TestTicket_opensOneSocketWithTheRightsAndTheEndOfItsSession(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	k := p.ticket(t, "bob:batch")
	ws := p.dial(t, "ticket="+k+"&since=0")
	p.emit(t, "TaskStatusChanged", 1)
	p.emit(t, "BatchStatusChanged", 1)
	if m := next(t, ws); m["event_type"] != "BatchStatusChanged" {
		t.Errorf("somebody who may see batches got %v", m)
	}
	if status, body := p.refused(t, "ticket="+k, nil); status != 401 || strings.Contains(body, k) {
		t.Errorf("a used ticket: %d %s", status, body)
	}
	p.life.Store(1)
	brief := p.dial(t, "ticket="+p.ticket(t, "eve"))
	if code, _ := closeCode(t, brief); code != closeUnauthenticated {
		t.Errorf("the socket outlives the token that its ticket was asked for with: %d", code)
	}
	p.life.Store(3600)
	ended := p.ticket(t, "ann")
	p.dead.Store(true)
	if status, _ := p.refused(t, "ticket="+ended, nil); status != 401 {
		t.Errorf("the ticket of a session that ended: %d", status)
	}
	if code, _ := closeCode(t, ws); code != closeUnauthenticated {
		t.Errorf("the socket outlives its session: %d", code)
	}
}

// TestTicket_fiftyAtOnceOpenOne is the race for a ticket that somebody has copied from an address.
func TestTicket_fiftyAtOnceOpenOne(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	k := p.ticket(t, "ann")
	var all sync.WaitGroup
	var opened, refused atomic.Int64
	for range 50 {
		all.Go(func() {
			switch status, _ := p.refused(t, "ticket="+k, nil); status {
			case http.StatusSwitchingProtocols:
				opened.Add(1)
			case http.StatusUnauthorized:
				refused.Add(1)
			}
		})
	}
	all.Wait()
	if opened.Load() != 1 || refused.Load() != 49 {
		t.Errorf("%d opened a socket, %d were refused", opened.Load(), refused.Load())
	}
	if n := p.Stats().BadTickets; n != 49 {
		t.Errorf("%d bad tickets are counted", n)
	}
}

func TestTicket_refused(t *testing.T) {
	t.Parallel()
	p, other := start(t, func(c *Config) { c.NoQueryToken = true }), start(t, nil)
	good := p.ticket(t, "ann")
	for what, c := range map[string]struct {
		query  string
		head   http.Header
		status int
	}{
		"made up":                   {"ticket=" + ticketPrefix + strings.Repeat("A", 43), nil, 401},
		"empty":                     {"ticket=", nil, 401},
		"of another service":        {"ticket=" + other.ticket(t, "ann"), nil, 401},
		"in another spelling":       {"ticket=" + url.QueryEscape(good+" "), nil, 401},
		"with a token beside it":    {"ticket=" + good + "&token=ann", nil, 400},
		"with a header beside it":   {"ticket=" + good, http.Header{"Authorization": {"Bearer ann"}}, 400},
		"from a foreign page":       {"ticket=" + good, http.Header{"Origin": {"https://evil.example"}}, 403},
		"with an unknown category":  {"ticket=" + good + "&events=nonsense", nil, 400},
		"where a token is expected": {"", http.Header{"Authorization": {"Bearer expired"}}, 401},
	} {
		if status, body := p.refused(t, c.query, c.head); status != c.status || strings.Contains(body, good) {
			t.Errorf("%s: %d %s", what, status, body)
		}
	}
	// None of them used it up, and [ws] allow_query_token = false is about tokens only.
	if status, body := p.refused(t, "ticket="+good, nil); status != http.StatusSwitchingProtocols {
		t.Errorf("%d %s", status, body)
	}
	if _, err := p.Ticket(token.Claims{Subject: "ann", ID: "api", Expires: time.Now().Unix() + 60}); !fault.Is(err, fault.Denied) ||
		fault.CodeOf(err) != "token.not_here" {
		t.Errorf("a ticket for a token without a session: %v", err)
	}
}

// TestTicket_endsAndIsBounded: who only asks for tickets costs bounded memory, and what they left
// is gone when its time is over.
func TestTicket_endsAndIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{})
		ask := func(user string) (string, error) {
			k, err := h.Ticket(token.Claims{Subject: user, SessionID: "s", Expires: time.Now().Unix() + 3600})
			return k.Secret.Reveal(), err
		}
		old, err := ask("ann")
		if err != nil {
			t.Fatal(err)
		}
		for range maxTicketsPerUser - 1 {
			if _, err := ask("ann"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := ask("ann"); !fault.Is(err, fault.Throttled) {
			t.Errorf("one ticket more than a user may have: %v", err)
		}
		<-time.After(ticketWithin)
		if _, err := h.redeem(old); fault.CodeOf(err) != "ws.bad_ticket" {
			t.Errorf("a ticket after its time: %v", err)
		}
		brief, err := h.Ticket(token.Claims{Subject: "eve", SessionID: "s", Expires: time.Now().Unix() + 5})
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(5 * time.Second)
		if _, err := h.redeem(brief.Secret.Reveal()); fault.CodeOf(err) != "ws.bad_ticket" {
			t.Errorf("a ticket after the end of the token it was asked for with: %v", err)
		}
		last := ""
		for i := range maxTickets {
			if last, err = ask(string(rune('a' + i/maxTicketsPerUser))); err != nil {
				t.Fatalf("ticket %d: %v", i, err)
			}
		}
		if _, err := ask("somebody else"); !fault.Is(err, fault.Throttled) {
			t.Errorf("one ticket more than there may be: %v", err)
		}
		if _, err := h.redeem(last); err != nil {
			t.Errorf("a ticket that is good: %v", err)
		}
		if len(h.tickets.unused) != maxTickets-1 {
			t.Errorf("%d tickets are kept", len(h.tickets.unused))
		}
	})
}
