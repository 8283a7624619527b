package watch

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/shared/token"
)

// conn is one socket. The goroutine of its request reads messages, a second one writes.
type conn struct {
	h         *Handler
	address   string // of the client, as policies know it
	batchSize int
	countedAs string // under Handler.mu: the subject that it is counted for; empty before authentication

	who    atomic.Pointer[person] // nil until authenticated; replaced, never changed
	filter atomic.Pointer[filter]
	cursor atomic.Uint64 // sequence of the last event written or passed over
	opened time.Time

	ws      *websocket.Conn
	answers chan []byte   // frames from the reader to the writer
	wake    chan struct{} // capacity 1: tells the writer that claims or filter have changed

	mu     sync.Mutex
	ctx    context.Context // ended by stop
	cancel context.CancelFunc
	code   int    // under mu: close code to send; 0 when the other side or the library has closed
	reason string // under mu
	ended  bool   // under mu

	deadlineSet time.Time // under mu: when the write deadline was last set
	inMessage   bool      // under mu: a message of the client has begun and not ended; its read deadline is not moved
}

// person is who is behind a socket, and what they may see.
type person struct {
	token.Claims
	allowed mask
}

func newConn(h *Handler) *conn {
	c := &conn{h: h, batchSize: 1, opened: time.Now(), answers: make(chan []byte, 8), wake: make(chan struct{}, 1)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// identify sets who is behind the socket.
func (c *conn) identify(claims token.Claims) {
	c.who.Store(&person{claims, c.h.allowed(claims, c.address)})
	c.wakeWriter()
}

// seen returns the categories that the client has asked for and may see.
func (c *conn) seen() mask { return c.who.Load().allowed & c.filter.Load().categories }

// wakeWriter makes the writer read claims and filter again.
func (c *conn) wakeWriter() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// stop ends the socket with a close code and interrupts a write under way. Only the first call
// counts, and stop returns whether it was this one. Any goroutine may call it.
func (c *conn) stop(code int, reason string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.ended, c.code, c.reason = true, code, reason
	if c.ws != nil {
		_ = c.ws.NetConn().SetWriteDeadline(time.Now()) // fails only on a socket that is closed already
	}
	c.cancel()
	return true
}

// stopSlow ends the socket of a client that does not read, counts it and logs it.
func (c *conn) stopSlow() {
	if c.stop(closeSlow, "you do not read fast enough") {
		c.h.slowCut.Add(1)
		user := "" // unknown before authentication, when only answers and pings are written
		if who := c.who.Load(); who != nil {
			user = who.Subject
		}
		c.h.Log.Info("event stream closed: its client does not read", "user", user, "sequence", c.cursor.Load())
	}
}

// deadline sets the write deadline to between one and two writeSlice from now. It returns false
// when the socket has ended.
func (c *conn) deadline(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	if now.Sub(c.deadlineSet) < writeSlice { // setting it costs as much as a small write
		return true
	}
	c.deadlineSet = now
	return c.ws.NetConn().SetWriteDeadline(now.Add(2*writeSlice)) == nil
}

// heard moves the read deadline, because the client has given a sign of life. Within a message it
// does nothing, so a client cannot stretch one with pings, and none that has ended. Any goroutine
// may call it.
func (c *conn) heard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.inMessage && !c.ended {
		_ = c.ws.SetReadDeadline(time.Now().Add(c.h.silence)) // a closed socket shows in the read
	}
}

// message sets the read deadline when a message of the client begins (messageWithin) or has ended
// (silence). A socket that has ended keeps its own: a client that goes on talking does not keep it.
func (c *conn) message(begins bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	wait := c.h.silence
	if c.inMessage = begins; begins {
		wait = messageWithin
	}
	_ = c.ws.SetReadDeadline(time.Now().Add(wait))
}

// serve reads and writes until the socket is closed.
func (c *conn) serve(ws *websocket.Conn) {
	c.mu.Lock()
	c.ws = ws
	c.mu.Unlock()
	written := make(chan struct{})
	go func() {
		defer close(written)
		rest := c.write()
		c.sendClose(rest)
		_ = ws.NetConn().SetReadDeadline(time.Now().Add(time.Second)) // lets the reader hear the echo
	}()
	code, reason := c.read()
	c.stop(code, reason)
	<-written
	c.drain()
	_ = ws.Close()
}

// sendClose writes the rest of the frame that was interrupted, the answers that wait, among which
// may be why the reader ended the socket, and the close frame, whose reason says where to resume.
// A client that was cut off for not reading has 20 s to take it, others 1 s.
func (c *conn) sendClose(rest []byte) {
	c.mu.Lock()
	code, reason := c.code, c.reason
	c.mu.Unlock()
	if code == 0 {
		return
	}
	if code != closeReset {
		reason = fmt.Sprintf("%s; resume since=%d epoch=%s", reason, c.cursor.Load(), c.h.Epoch)
	}
	wait := time.Second
	if code == closeSlow {
		wait = 20 * time.Second
	}
	conn := c.ws.NetConn()
	_ = conn.SetWriteDeadline(time.Now().Add(wait)) // a dead socket shows in the write
	last := slices.Concat(rest, c.waiting(), closeFrame(code, reason))
	if _, err := conn.Write(last); err != nil {
		_ = conn.Close()
	}
}

// waiting returns the answers that the writer has not taken.
func (c *conn) waiting() (frames []byte) {
	for {
		select {
		case frame := <-c.answers:
			frames = append(frames, frame...)
		default:
			return frames
		}
	}
}

// drain closes the sending half and reads for at most 1 s or 4 MiB what the client still sends.
// Closing with unread bytes would reset the connection and could destroy the close frame.
func (c *conn) drain() {
	conn := c.ws.NetConn()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite() // fails when the client is gone
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = io.CopyN(io.Discard, conn, 4<<20) // ends with the client's close, the deadline or the bound
}
