package watch

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

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
	if code, text := closeCode(t, expiring); code != 4401 || time.Since(began) > 2500*time.Millisecond+busy ||
		!strings.Contains(text, "since=2 epoch=e1") {
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

// renewing returns what a client asks for tokens, which it takes for ones of that life, and how
// often it did.
func (p *place) renewing(life time.Duration) (Fresh, *atomic.Int64) {
	asked := new(atomic.Int64)
	return func(context.Context) (secret.Text, time.Time, error) {
		n := asked.Add(1)
		if p.dead.Load() {
			return secret.Text{}, time.Time{}, fault.New(fault.Unauthenticated, "cli.expired", "sign in again")
		}
		return secret.New(fmt.Sprint("token ", n)), time.Now().Add(life), nil
	}, asked
}

// TestDial_aStreamOutlivesItsTokens follows a stream over three tokens on one socket, then over one
// whose renewal came too late.
func TestDial_aStreamOutlivesItsTokens(t *testing.T) {
	t.Parallel()
	p := start(t, func(c *Config) {
		verify := c.Verify
		c.Verify = func(ctx context.Context, raw string) (token.Claims, error) {
			claims, err := verify(ctx, raw)
			claims.Subject = "ann" // whichever token it is
			return claims, err
		}
	})
	fresh, asked := p.renewing(2 * time.Second)
	c, err := DialFresh(t.Context(), p.url, fresh, 0, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	first := c.ws
	until(func() bool { // the server knows the socket by the third token
		open := p.open()
		return len(open) == 1 && open[0].who.Load().ID == "token 3"
	})
	p.emit(t, "TaskStatusChanged", 1)
	if e, err := c.Next(t.Context()); err != nil || e.Sequence != 1 || c.ws != first {
		t.Errorf("%+v %v, on the first socket: %t", e, err, c.ws == first)
	}
	until(func() bool { // the renewal comes too late, so the socket is closed; the stream goes on with another one
		for _, open := range p.open() {
			if who := open.who.Load(); who != nil {
				ended := *who
				ended.Expires = 0
				open.who.Store(&ended)
			}
		}
		return p.Stats().Connections == 0
	})
	p.emit(t, "TaskStatusChanged", 1)
	if e, err := c.Next(t.Context()); err != nil || e.Sequence != 2 || c.ws == first {
		t.Errorf("after the end of its token: %+v %v", e, err)
	}
	p.dead.Store(true)
	if _, err := c.Next(t.Context()); fault.CodeOf(err) != "cli.expired" {
		t.Errorf("a session that ended: %v", err)
	}
	if asked.Load() < 4 {
		t.Errorf("%d tokens", asked.Load())
	}
}

// TestWatch_aRenewalWithLesserRightsCounts holds what comes behind the answer to a renewal to the
// rights of the newer token, and a socket to the person that opened it.
func TestWatch_aRenewalWithLesserRightsCounts(t *testing.T) {
	t.Parallel()
	p := start(t, func(c *Config) {
		verify, may := c.Verify, c.Allowed
		c.Verify = func(ctx context.Context, raw string) (token.Claims, error) {
			claims, err := verify(ctx, raw)
			claims.Subject, claims.Username, _ = strings.Cut(raw, ":")
			return claims, err
		}
		c.Allowed = func(cl token.Claims, address, category string) bool {
			return may(token.Claims{Subject: "x:" + cl.Username}, address, category)
		}
	})
	ws := p.dial(t, "token=ann:task,batch")
	p.emit(t, "TaskStatusChanged", 1)
	next(t, ws)
	say(t, ws, `{"type":"auth","token":"ann:batch"}`)
	if m := next(t, ws); m["type"] != "ack" || fmt.Sprint(m["events"]) != "[batch]" {
		t.Fatal(m)
	}
	for range 5 * time.Second / sweepEvery { // some sweeps among them
		p.emit(t, "TaskStatusChanged", 1)
		p.emit(t, "BatchStatusChanged", 1)
		if m := next(t, ws); m["event_type"] != "BatchStatusChanged" {
			t.Fatalf("a token without that right: %v", m)
		}
	}
	say(t, ws, `{"type":"auth","token":"bob:task,batch","id":"1"}`)
	if m := next(t, ws); m["code"] != "ws.other_user" || m["id"] != "1" {
		t.Errorf("another person's token: %v", m)
	}
	p.emit(t, "BatchStatusChanged", 1)
	if code, _ := closeCode(t, ws); code != closeUnauthenticated {
		t.Errorf("another person's token: %d", code)
	}
}

// TestWatch_whatAnAddressMayNotReadIsNotSentThere: a policy refused tasks to an address, and the
// stream sent them there. The sockets have one token, whose sweeps must not mix them up.
func TestWatch_whatAnAddressMayNotReadIsNotSentThere(t *testing.T) {
	t.Parallel()
	p := start(t, func(c *Config) {
		c.Address = func(r *http.Request) string { return r.URL.Query().Get("from") }
		c.Allowed = func(_ token.Claims, address, category string) bool {
			return address == "192.0.2.1" || category == "batch"
		}
	})
	inside, outside := p.dial(t, "token=ann&from=192.0.2.1"), p.dial(t, "token=ann&from=198.51.100.1")
	for range 3 {
		p.emit(t, "TaskStatusChanged", 1)
		p.emit(t, "BatchStatusChanged", 1)
		if m := next(t, inside); m["event_type"] != "TaskStatusChanged" {
			t.Fatalf("from the address that may read tasks: %v", m)
		}
		next(t, inside)
		if m := next(t, outside); m["event_type"] != "BatchStatusChanged" {
			t.Fatalf("from an address that may not read tasks: %v", m)
		}
		p.sweep(time.Now())
	}
}
