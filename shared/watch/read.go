package watch

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/instant"
)

// message is a message of a client.
type message struct {
	Type       string   `json:"type" doc:"what is wanted: auth, subscribe, unsubscribe or ping" example:"subscribe"`
	ID         string   `json:"id" doc:"comes back in the answer" example:"1"`
	Token      string   `json:"token" doc:"of auth: the token" example:"eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.e30.c2lnbmF0dXJl" rare:"true"`
	Events     []string `json:"events" doc:"of subscribe and auth: the categories" example:"[\"task\"]"`
	EventTypes []string `json:"event_types" doc:"of subscribe and auth: only events of these types" example:"[\"TaskStatusChanged\"]" rare:"true"`
	Infra      []string `json:"infra" doc:"of subscribe and auth: only events of work on these infras" example:"[\"production\"]" rare:"true"`
	TaskIDs    []string `json:"task_ids" doc:"of subscribe and auth: only events of these tasks, or of those batches" example:"[\"01997b1c-0000-7000-8000-000000000001\"]"`
	BatchIDs   []string `json:"batch_ids" doc:"of subscribe and auth: only events of these batches, or of those tasks" example:"[\"01997b1c-0000-7000-8000-000000000002\"]" rare:"true"`
}

// answer is the server's answer to a message. It has a member type and no event_type, so that a
// listener can tell it from an event.
type answer struct {
	Type      string   `json:"type" doc:"ack, pong or error" example:"ack"`
	For       string   `json:"for,omitempty" doc:"the message it answers" example:"subscribe"`
	ID        string   `json:"id,omitempty" doc:"of the message" example:"1"`
	Error     string   `json:"error,omitempty" doc:"what was wrong, for people" example:"unknown message type" rare:"true"`
	Code      string   `json:"code,omitempty" doc:"the same for programs" example:"ws.unknown_type" rare:"true"`
	Events    []string `json:"events,omitempty" doc:"the categories that are sent from now on" example:"[\"task\"]"`
	ExpiresAt string   `json:"expires_at,omitempty" doc:"when the socket closes unless a newer token comes" example:"2025-09-26T10:15:00.000000Z" rare:"true"`
}

// messageRate counts the messages and pings of a client in the current second. Only the reading
// goroutine uses it.
type messageRate struct {
	second int64
	count  int
}

func (c *messageRate) exceeded() bool {
	if now := time.Now().Unix(); now != c.second {
		c.second, c.count = now, c.count/2 // half of the last second counts, so that a flood cannot hide in two seconds
	}
	c.count++
	return c.count > maxMessageRate
}

var errMessageRate = errors.New("too many messages")

// read reads messages until the socket ends. It returns the close code to send, 0 when the client
// or the library has closed it.
func (c *conn) read() (code int, reason string) {
	var said messageRate
	c.ws.SetReadLimit(maxMessage)
	c.ws.SetPongHandler(func(string) error {
		if said.exceeded() {
			return errMessageRate
		}
		c.heard()
		return nil
	})
	c.ws.SetPingHandler(func(data string) error {
		if said.exceeded() {
			return errMessageRate
		}
		c.heard()
		c.reply(frameOf(opPong, []byte(data)))
		return nil
	})
	c.ws.SetCloseHandler(func(code int, _ string) error {
		if code == websocket.CloseNoStatusReceived {
			code = websocket.CloseNormalClosure
		}
		c.stop(code, "bye")
		return nil
	})
	c.heard()
	for {
		kind, r, err := c.ws.NextReader()
		if err != nil {
			return c.closeCodeOf(err)
		}
		c.message(true)
		data, err := io.ReadAll(r)
		if err != nil {
			return c.closeCodeOf(err)
		}
		c.message(false)
		switch {
		case kind != websocket.TextMessage:
			return websocket.CloseUnsupportedData, "only text messages are understood"
		case !utf8.Valid(data):
			return websocket.CloseInvalidFramePayloadData, "the text is not UTF-8"
		case said.exceeded():
			return websocket.ClosePolicyViolation, "too many messages"
		}
		if code, reason := c.handle(data); code != 0 {
			return code, reason
		}
	}
}

// closeCodeOf returns the close code and the reason for an error of reading.
func (c *conn) closeCodeOf(err error) (int, string) {
	if errors.Is(err, errMessageRate) {
		return websocket.ClosePolicyViolation, "too many messages"
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return websocket.ClosePolicyViolation, "nothing heard for too long"
	}
	return 0, "" // closed, or the library has sent 1002 or 1009
}

// reply hands a frame to the writer and waits until it takes it or the socket ends.
func (c *conn) reply(frame []byte) {
	select {
	case c.answers <- frame:
	case <-c.ctx.Done():
	}
}

func (c *conn) answer(a answer) {
	data, err := json.Marshal(a)
	if err == nil { // an answer is plain text
		c.reply(frameOf(opText, data))
	}
}

// handle carries out a message. The caller ends the socket when the close code is not 0.
func (c *conn) handle(data []byte) (code int, reason string) {
	var m message
	if err := json.Unmarshal(data, &m); err != nil {
		c.answer(answer{Type: "error", Code: "ws.bad_message",
			Error: "a message is a JSON object with a type: auth, subscribe, unsubscribe or ping"})
		return 0, ""
	}
	if len(m.ID) > 128 {
		m.ID = ""
	}
	switch {
	case m.Type == "ping":
		c.answer(answer{Type: "pong", ID: m.ID})
	case m.Type == "auth":
		return c.auth(m)
	case m.Type != "subscribe" && m.Type != "unsubscribe":
		c.answer(answer{Type: "error", ID: m.ID, Code: "ws.unknown_type",
			Error: "unknown message type; known are auth, subscribe, unsubscribe and ping"})
	case c.who.Load() == nil:
		c.answer(answer{Type: "error", For: m.Type, ID: m.ID, Code: "ws.unauthenticated", Error: "send an auth message first"})
	default:
		c.subscribe(m)
	}
	return 0, ""
}

// auth verifies the first token of a socket, or a newer one of the same person. What the message
// names to filter by replaces the filter; one that names nothing leaves it.
func (c *conn) auth(m message) (code int, reason string) {
	f := c.filter.Load()
	if m.filtering() {
		var err error
		if f, err = c.h.filterOf(m); err != nil {
			c.answer(refusal(m, err))
			return 0, ""
		}
	}
	ctx, cancel := context.WithTimeout(c.ctx, authWithin)
	defer cancel()
	claims, err := c.h.Verify(ctx, m.Token)
	if err != nil {
		code := "token.refused" // the client does not learn which check failed
		if !fault.Is(err, fault.Unauthenticated) {
			code = fault.CodeOf(err)
		}
		c.answer(answer{Type: "error", For: "auth", ID: m.ID, Code: code, Error: "the token is not good; sign in again"})
		return closeUnauthenticated, "the token is not good"
	}
	if old := c.who.Load(); old != nil && old.Subject != claims.Subject {
		c.answer(answer{Type: "error", For: "auth", ID: m.ID, Code: "ws.other_user",
			Error: "the token is another person's; open a socket of its own for it"})
		return closeUnauthenticated, "the token is another person's"
	}
	c.filter.Store(f) // before the first event can be sent
	if err := c.h.promote(c, claims); err != nil {
		c.answer(refusal(m, err))
		return closeSlow, "too many event streams"
	}
	c.answer(answer{
		Type: "ack", For: "auth", ID: m.ID, Events: c.h.names(c.seen()),
		ExpiresAt: instant.Format(time.Unix(claims.Expires, 0)),
	})
	return 0, ""
}

// subscribe carries out two messages: subscribe replaces the filter, unsubscribe takes categories
// out of it, all when it names none.
func (c *conn) subscribe(m message) {
	next, err := c.h.filterOf(m)
	if err != nil {
		c.answer(refusal(m, err))
		return
	}
	if m.Type == "unsubscribe" {
		left := *c.filter.Load()
		left.categories &^= next.categories
		next = &left
	}
	c.filter.Store(next)
	c.wakeWriter()
	c.answer(answer{Type: "ack", For: m.Type, ID: m.ID, Events: c.h.names(c.seen())})
}

// refusal returns the answer to a message with a fault.
func refusal(m message, err error) answer {
	return answer{Type: "error", For: m.Type, ID: m.ID, Code: fault.CodeOf(err), Error: fault.Of(err).Message}
}
