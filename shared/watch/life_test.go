package watch

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/shared/store"
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
