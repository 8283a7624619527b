package watch

import (
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestWatch_aHalfOpenSocketIsRemoved is E06: a client that vanished without a word is heard nothing
// of. Pings of the server, which a living client answers, keep a silent one.
func TestWatch_aHalfOpenSocketIsRemoved(t *testing.T) {
	t.Parallel()
	if silence > 60*time.Second || pingEvery >= silence {
		t.Errorf("a client is gone after %v of silence, with a ping every %v", silence, pingEvery)
	}
	p := start(t, nil)
	p.Handler.silence = time.Second
	gone := p.raw(t, "token=ann")
	began := time.Now()
	if code := gone.closed(t); code != 1008 || time.Since(began) < 900*time.Millisecond {
		t.Fatalf("closed with %d after %v", code, time.Since(began))
	}
	until(func() bool { return p.Stats().Connections == 0 })
	alive := p.raw(t, "token=ann")
	tick := time.NewTicker(p.Handler.silence / 2)
	defer tick.Stop()
	for range 4 {
		<-tick.C
		if _, err := alive.Write(rawFrame(0x8a, nil, true)); err != nil {
			t.Fatal(err)
		}
	}
	if n := p.Stats().Connections; n != 1 {
		t.Errorf("a client that answers pings is cut off: %d connections", n)
	}
}

// TestWatch_twentySocketsOfAUser is E06 for what a user may hold open at once.
func TestWatch_twentySocketsOfAUser(t *testing.T) {
	t.Parallel()
	p := start(t, func(c *Config) { c.MaxPerUser = 0 })
	for range 20 {
		p.dial(t, "token=ann")
	}
	if _, resp, err := websocket.DefaultDialer.Dial(p.url+"?token=ann", nil); err == nil || resp == nil || resp.StatusCode != 429 {
		t.Errorf("the 21st socket: %v %v", resp, err)
	}
	p.dial(t, "token=bob")
}

// TestWatch_aClientThatTalksOnAfterTheCloseIsRemoved: it takes no close frame and sends messages
// for ever, which kept its socket open.
func TestWatch_aClientThatTalksOnAfterTheCloseIsRemoved(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	deaf := p.raw(t, "token=ann")
	talking := make(chan struct{})
	go func() {
		defer close(talking)
		tick := time.NewTicker(50 * time.Millisecond) // below the rate that ends a socket
		defer tick.Stop()
		for {
			if _, err := deaf.Write(rawFrame(0x81, []byte(`{"type":"ping"}`), true)); err != nil {
				return
			}
			<-tick.C
		}
	}()
	p.dead.Store(true)
	select {
	case <-talking:
	case <-time.After(busy):
		t.Fatal("a socket that has ended goes on")
	}
	until(func() bool { return p.Stats().Connections == 0 })
}
