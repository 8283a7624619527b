package conformance

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// event is a message of /ws.
type event struct {
	EventType string            `json:"event_type"`
	Timestamp time.Time         `json:"timestamp"`
	Data      map[string]any    `json:"data"`
	Metadata  map[string]string `json:"metadata"`
	Sequence  uint64            `json:"sequence"`
	Epoch     string            `json:"epoch"`
}

// sockets holds section 3.13.
var sockets = []behaviour{
	{157, "a_task_yields_status_events_with_the_four_members", func(t *testing.T, e *env) {
		ws := e.dial("viewer", "")
		id := e.submit("fast")
		seen := map[string]bool{}
		for !seen["completed"] {
			ev, raw := e.next(ws)
			for _, m := range []string{"event_type", "timestamp", "data", "metadata"} {
				if raw[m] == nil {
					t.Errorf("%s is missing in %s", m, raw)
				}
			}
			if ev.EventType == "TaskStatusChanged" && ev.Data["task_id"] == id {
				seen[ev.Data["status"].(string)] = true
			}
		}
		if !seen["running"] {
			t.Errorf("seen: %v", seen)
		}
	}},
	{158, "bad_tokens_are_refused_before_and_absent_ones_after_the_upgrade", func(t *testing.T, e *env) {
		for _, bad := range []string{"garbage", e.Token.Reveal() + "x"} {
			_, resp, err := websocket.DefaultDialer.Dial(e.socket("token="+bad), nil)
			if err == nil || resp == nil || resp.StatusCode != 401 {
				t.Errorf("%v %v", resp, err)
			}
		}
		silent, _, err := websocket.DefaultDialer.Dial(e.socket(""), nil)
		if err != nil {
			t.Fatal(err)
		}
		spoken, _, err := websocket.DefaultDialer.Dial(e.socket(""), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := spoken.WriteJSON(map[string]string{"type": "auth", "token": e.tokens["viewer"].Reveal()}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		e.submit("fast")
		for {
			if _, raw := e.next(spoken); raw["event_type"] != nil {
				break
			}
		}
		_ = silent.SetReadDeadline(time.Now().Add(15 * time.Second))
		if _, msg, err := silent.ReadMessage(); err == nil {
			t.Errorf("an event without a token: %s", msg)
		} else if !websocket.IsCloseError(err, 4401) || time.Since(began) > 12*time.Second {
			t.Errorf("closed with %v after %s", err, time.Since(began))
		}
	}},
	{159, "status_is_lower_case_and_metadata_repeats_data", func(t *testing.T, e *env) {
		ws := e.dial("viewer", "events=task")
		id := e.submit("slow")
		var last time.Time
		for done := false; !done; {
			ev, _ := e.next(ws)
			if ev.Data["task_id"] != id {
				continue
			}
			status := ev.Data["status"].(string)
			if status != strings.ToLower(status) || ev.Timestamp.Before(last) {
				t.Errorf("%+v", ev)
			}
			for k, v := range ev.Metadata {
				if fmt.Sprint(ev.Data[k]) != v {
					t.Errorf("metadata %s is %q, data %v", k, v, ev.Data[k])
				}
			}
			last, done = ev.Timestamp, status == "completed"
		}
	}},
	{160, "no_event_is_ahead_of_what_get_shows", func(t *testing.T, e *env) {
		order := map[string]int{"pending": 1, "running": 2, "completed": 3, "failed": 3, "cancelled": 3}
		for provider, end := range map[string]string{"slow": "completed", "broken": "failed", "hang": "cancelled"} {
			ws := e.dial("viewer", "events=task")
			id := e.submit(provider)
			for last := ""; order[last] < 3; {
				ev, _ := e.next(ws)
				if ev.Data["task_id"] != id {
					continue
				}
				task, err := e.Orch(e.tokens["viewer"]).Task(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				last = ev.Data["status"].(string)
				shown := strings.ToLower(task.Status)
				if order[last] == 0 || order[last] > order[shown] || order[last] == 3 && last != shown {
					t.Errorf("the event says %s, GET says %s", last, shown)
				}
				if order[last] == 3 && last != end {
					t.Errorf("the task at the provider %q should be %s and is %s", provider, end, last)
				}
				if end == "cancelled" && last == "running" {
					e.want(e.orch("operator", "POST", "/tasks/"+id+"/cancel", nil), 200)
				}
			}
		}
	}},
	{161, "the_events_filter_chooses_categories", func(t *testing.T, e *env) {
		ws := e.dial("viewer", "events=task")
		id := e.execute(e.batch("filtered", op("a")))
		e.batchEnded(id)
		last := e.submit("fast")
		for {
			ev, _ := e.next(ws)
			if strings.HasPrefix(ev.EventType, "Batch") || strings.HasPrefix(ev.EventType, "Operation") {
				t.Errorf("%+v", ev)
			}
			if ev.Data["task_id"] == last && ev.Data["status"] == "completed" {
				break
			}
		}
		_, resp, err := websocket.DefaultDialer.Dial(e.socket("events=weather&token="+e.tokens["viewer"].Reveal()), nil)
		if err == nil || resp == nil || resp.StatusCode != 400 {
			t.Errorf("%v %v", resp, err)
		}
	}},
	// Each of the five roles may read what all events are about (Q13), and policies cannot be
	// changed yet: that a category is kept from somebody who may not read it is held by the watch
	// package's own tests.
	{162, "everybody_sees_what_they_may_read", func(t *testing.T, e *env) {
		roles := []string{"admin", "operator", "developer", "viewer", "auditor"}
		seeing := map[string]*websocket.Conn{}
		for _, role := range roles {
			seeing[role] = e.dial(role, "")
		}
		id, cp := e.execute(e.batch("seen", op("a"))), e.checkpoint("seen")
		task := e.batchEnded(id).Operations[0].TaskID
		for _, role := range roles {
			for _, path := range []string{"/tasks/" + task, "/batch/operations/" + id, "/rollback/checkpoints/" + cp} {
				e.want(e.orch(role, "GET", path, nil), 200)
			}
			e.sees(role, seeing[role], map[string]string{"TaskStatusChanged": "task_id " + task, "BatchStatusChanged": "batch_id " + id,
				"OperationStatusChanged": "batch_id " + id, "CheckpointCreated": "checkpoint_id " + cp})
		}
		// Nobody is without a role, so that nobody may read nothing.
		nobody := newUser(e.name("nobody"))
		nobody["roles"] = []string{}
		e.want(e.cc("admin", "POST", "/users", nobody), 422)
		viewer := e.createUser(e.name("stripped"), "viewer")
		e.want(e.cc("admin", "PUT", "/users/"+viewer.ID, map[string]any{"roles": []string{}}), 422)
	}},
	{163, "logout_and_expiry_close_the_socket", func(t *testing.T, e *env) {
		f := e.fresh(tokenSettings(t, "access_ttl = \"1m\"\n"))
		f.createUser("leaving", "viewer")
		f.createUser("staying", "viewer")
		left, stayed := f.login("leaving", password), f.login("staying", password)
		_, claims := decodeToken(t, stayed.Reveal())
		ends := time.Unix(int64(claims["exp"].(float64)), 0)
		leaving, staying := f.dialAs(left.Reveal(), ""), f.dialAs(stayed.Reveal(), "")

		f.want(f.do(request{base: f.ControlCenter.Address, method: "POST", path: "/auth/logout", token: left.Reveal()}), 200)
		if err := closed(leaving, 5*time.Second); !websocket.IsCloseError(err, 4401) {
			t.Errorf("5 s after the logout: %v, want a close with 4401", err)
		}
		if err := closed(staying, time.Until(ends)+5*time.Second); !websocket.IsCloseError(err, 4401) {
			t.Errorf("5 s after the token's end: %v, want a close with 4401", err)
		}
		if early := time.Until(ends); early > 0 {
			t.Errorf("closed %s before the token's end", early)
		}
	}},
	{164, "bad_frames_close_or_are_answered_and_the_server_lives", func(t *testing.T, e *env) {
		for what, bad := range map[string]struct {
			send func(*websocket.Conn) error
			code int // of the close; 0 is an error message on a socket that goes on
		}{
			"no JSON":      {func(c *websocket.Conn) error { return c.WriteMessage(websocket.TextMessage, []byte("hello")) }, 0},
			"unknown type": {func(c *websocket.Conn) error { return c.WriteJSON(map[string]string{"type": "dance"}) }, 0},
			"1 MiB": {func(c *websocket.Conn) error { return c.WriteMessage(websocket.TextMessage, make([]byte, 1<<20)) },
				websocket.CloseMessageTooBig},
			"binary": {func(c *websocket.Conn) error { return c.WriteMessage(websocket.BinaryMessage, []byte{1, 2, 3}) },
				websocket.CloseUnsupportedData},
			"no UTF-8": {func(c *websocket.Conn) error { return c.WriteMessage(websocket.TextMessage, []byte("\"\xff\"")) },
				websocket.CloseInvalidFramePayloadData},
			"unmasked": {func(c *websocket.Conn) error {
				_, err := c.NetConn().Write([]byte{0x81, 0x02, 'h', 'i'})
				return err
			}, websocket.CloseProtocolError},
		} {
			ws := e.dial("viewer", "events=system")
			if err := bad.send(ws); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if bad.code != 0 {
				if err := closed(ws, 5*time.Second); !websocket.IsCloseError(err, bad.code) {
					t.Errorf("%s ends with %v, want a close with %d", what, err, bad.code)
				}
				continue
			}
			if err := ws.WriteJSON(map[string]string{"type": "ping"}); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			for _, want := range []string{"error", "pong"} {
				if _, raw := e.next(ws); string(raw["type"]) != `"`+want+`"` || raw["event_type"] != nil {
					t.Errorf("%s, then a ping: %s, want type %s and no event_type", what, raw, want)
				}
			}
		}
		e.want(e.orch("", "GET", "/health", nil), 200)
	}},
	{165, "pings_are_answered_and_a_silent_client_is_dropped", func(t *testing.T, e *env) {
		ws := e.dial("viewer", "events=system")
		pong := make(chan string, 1)
		ws.SetPongHandler(func(data string) error { pong <- data; return nil })
		if err := ws.WriteControl(websocket.PingMessage, []byte("are you there"), time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		dead := e.dial("viewer", "events=system")
		dead.SetPingHandler(func(string) error { return nil }) // hears the server's ping and never answers
		ended := make(chan error, 1)
		go func() {
			for {
				if _, _, err := dead.ReadMessage(); err != nil {
					ended <- err
					return
				}
			}
		}()
		go func() {
			for {
				if _, _, err := ws.ReadMessage(); err != nil {
					return
				}
			}
		}()
		select {
		case <-pong:
		case <-time.After(5 * time.Second):
			t.Error("no pong")
		}
		select {
		case <-ended:
		case <-time.After(65 * time.Second):
			t.Error("a client that never answers is still connected after 65 s")
		}
	}},
	{166, "a_reader_that_does_not_read_slows_nobody", func(t *testing.T, e *env) {
		const cut = "orchestrator_websocket_slow_cut_total"
		before := e.counter(cut, "")
		slow := e.dial("viewer", "")
		// Not less: with a smaller window the kernel sends the backlog in drops once it is read,
		// and the close comes late.
		if err := slow.NetConn().(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
			t.Fatal(err)
		}
		fast := e.dial("viewer", "events=batch")
		var ops []map[string]any
		for i := range 1500 {
			ops = append(ops, op(fmt.Sprintf("o%d", i)))
		}
		b := e.batch("burst", ops...)
		b["parallel_limit"] = 64
		id := e.execute(b)
		for {
			if ev, _ := e.next(fast); ev.EventType == "BatchStatusChanged" && ev.Data["batch_id"] == id &&
				ev.Data["status"] == "completed" {
				break
			}
		}
		// The close waits behind what was not read, and reading any of it too early would make up
		// for it: a metric says when.
		e.await(30*time.Second, "the orchestrator gives the idle reader up", func() bool { return e.counter(cut, "") > before })
		if err := closed(slow, 10*time.Second); !websocket.IsCloseError(err, 1008, 1013) {
			t.Errorf("the reader that did not read ends with %v, want a close with 1008 or 1013", err)
		}
	}},
	{167, "many_sockets_get_each_event_once_in_order", func(t *testing.T, e *env) {
		const readers, count = 100, 50 // the watch package's own test has 500 sockets and 1,000 events
		var all sync.WaitGroup
		ids := make(chan []string, 1)
		known := sync.OnceValue(func() []string { return <-ids })
		for range readers {
			ws := e.dialAs(e.dialUser(), "events=task")
			all.Go(func() {
				list := known()
				left, seen, last := len(list), map[string]int{}, uint64(0)
				wanted := map[string]bool{}
				for _, id := range list {
					wanted[id] = true
				}
				for left > 0 {
					_ = ws.SetReadDeadline(time.Now().Add(30 * time.Second))
					var ev event
					if err := ws.ReadJSON(&ev); err != nil {
						t.Error(err)
						return
					}
					id, _ := ev.Data["task_id"].(string)
					if ev.Sequence <= last {
						t.Errorf("sequence %d after %d", ev.Sequence, last)
					}
					last = ev.Sequence
					if wanted[id] && ev.Data["status"] == "completed" {
						seen[id]++
						left--
					}
				}
				for id, n := range seen {
					if n != 1 {
						t.Errorf("%s came %d times", id, n)
					}
				}
			})
		}
		var list []string
		for range count {
			list = append(list, e.submit("fast"))
		}
		ids <- list
		all.Wait()
	}},
	{168, "an_upgrade_needs_its_headers_and_the_right_origin", func(t *testing.T, e *env) {
		a := e.do(request{base: e.Orchestrator.Address, method: "GET", path: "/ws", role: "viewer"})
		e.want(a, 400, 426)
		_, resp, err := websocket.DefaultDialer.Dial(e.socket("token="+e.tokens["viewer"].Reveal()),
			http.Header{"Origin": {"https://evil.example"}})
		if err == nil || resp == nil || resp.StatusCode != 403 {
			t.Errorf("%v %v", resp, err)
		}
	}},
	{169, "one_object_a_message_unless_batches_are_asked_for", func(t *testing.T, e *env) {
		ws := e.dial("viewer", "batch_size=10")
		for range 5 {
			e.submit("fast")
		}
		_ = ws.SetReadDeadline(time.Now().Add(10 * time.Second))
		var list []event
		if err := ws.ReadJSON(&list); err != nil || len(list) < 1 || len(list) > 10 {
			t.Errorf("%d events, %v", len(list), err)
		}
	}},
}

// socket returns the address of /ws with a query.
func (e *env) socket(query string) string {
	address := "ws" + strings.TrimPrefix(e.Orchestrator.Address, "http") + "/ws"
	if query != "" {
		address += "?" + query
	}
	return address
}

// dial opens a socket as a role; it ends with the test.
func (e *env) dial(role, query string) *websocket.Conn {
	e.t.Helper()
	return e.dialAs(e.tokens[role].Reveal(), query)
}

func (e *env) dialAs(tok, query string) *websocket.Conn {
	e.t.Helper()
	ws, resp, err := websocket.DefaultDialer.DialContext(e.t.Context(), e.socket(query), http.Header{"Authorization": {"Bearer " + tok}})
	if err != nil {
		e.t.Fatalf("%v %v", err, resp)
	}
	e.t.Cleanup(func() { _ = ws.Close() })
	return ws
}

// dialUser returns tokens of many users in turn, because one user may hold only so many sockets.
func (e *env) dialUser() string {
	e.t.Helper()
	e.sockets.n++
	if e.sockets.n%15 == 1 {
		name := e.name("reader")
		e.createUser(name, "viewer")
		e.sockets.token = e.login(name, password).Reveal()
	}
	return e.sockets.token
}

// closed reads a socket to its end and returns the error that is the end, a time-out when there is
// none in time.
func closed(ws *websocket.Conn, within time.Duration) error {
	_ = ws.SetReadDeadline(time.Now().Add(within))
	for {
		if _, _, err := ws.ReadMessage(); err != nil {
			return err
		}
	}
}

// sees reads until there was an event of each type that is named, with that member in its data.
func (e *env) sees(role string, ws *websocket.Conn, missing map[string]string) {
	e.t.Helper()
	defer func() {
		if len(missing) > 0 {
			e.t.Errorf("the %s did not see %v", role, missing)
		}
	}()
	for len(missing) > 0 {
		ev, _ := e.next(ws)
		if member, value, named := strings.Cut(missing[ev.EventType], " "); named && ev.Data[member] == value {
			delete(missing, ev.EventType)
		}
	}
}

// next returns the next message, decoded twice.
func (e *env) next(ws *websocket.Conn) (event, map[string]json.RawMessage) {
	e.t.Helper()
	_ = ws.SetReadDeadline(time.Now().Add(30 * time.Second))
	_, msg, err := ws.ReadMessage()
	if err != nil {
		e.t.Fatal(err)
	}
	rigtest.CheckTimes(e.t, "a message of the socket", msg)
	var ev event
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(msg, &raw); err != nil {
		e.t.Fatalf("%v: %s", err, msg)
	}
	_ = json.Unmarshal(msg, &ev)
	return ev, raw
}
