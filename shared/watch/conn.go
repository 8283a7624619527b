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

// conn is one socket: two goroutines, one that reads messages (the server's own) and one that writes.
type conn struct {
	h       *Handler
	batch   int
	counted string // under Handler.mu: the subject it is counted under

	claims  atomic.Pointer[token.Claims] // nil until authenticated
	allowed atomic.Uint32                // mask of what claims may see
	filter  atomic.Pointer[filter]
	cursor  atomic.Uint64 // sequence of the last event written or passed over
	opened  time.Time

	ws   *websocket.Conn
	out  chan []byte   // frames of answers, from the reader to the writer
	kick chan struct{} // tells the writer that claims or filter are new

	mu     sync.Mutex
	ctx    context.Context // ended by stop
	cancel context.CancelFunc
	code   int    // under mu: close code to send; 0 when the other side or the library has closed
	reason string // under mu
	ended  bool   // under mu

	limited time.Time // under mu: when the write deadline was last set
	midway  bool      // under mu: a message of the client has begun and not ended, which has a deadline of its own
}

func newConn(h *Handler) *conn {
	c := &conn{h: h, batch: 1, opened: time.Now(), out: make(chan []byte, 8), kick: make(chan struct{}, 1)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// who returns the claims of the person behind the socket, nil before authentication.
func (c *conn) who() *token.Claims { return c.claims.Load() }

// identify sets who is behind the socket.
func (c *conn) identify(claims token.Claims) {
	c.allowed.Store(uint32(c.h.allowed(claims)))
	c.claims.Store(&claims)
	c.nudge()
}

// nudge makes the writer look again.
func (c *conn) nudge() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// stop ends the socket with a close code, the first one given; a write under way is interrupted. It may be
// called from any goroutine, and says whether it was the first.
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

// stopSlow ends a socket whose client does not read.
func (c *conn) stopSlow() {
	if c.stop(closeSlow, "you do not read fast enough") {
		c.h.slowCut.Add(1)
		user := "" // not known yet: answers and pings are written before anybody said who he is
		if claims := c.who(); claims != nil {
			user = claims.Subject
		}
		c.h.Log.Info("event stream closed: its client does not read", "user", user, "sequence", c.cursor.Load())
	}
}

// deadline gives the write that begins now one to two slices of time; it says false when the socket
// is to end.
func (c *conn) deadline(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	if now.Sub(c.limited) < writeSlice { // setting it costs as much as a small write
		return true
	}
	c.limited = now
	return c.ws.NetConn().SetWriteDeadline(now.Add(2*writeSlice)) == nil
}

// heard notes a sign of life of the client; one within a message does not stretch that. Any
// goroutine may call it.
func (c *conn) heard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.midway {
		_ = c.ws.SetReadDeadline(time.Now().Add(c.h.silence)) // a closed socket shows in the read
	}
}

// message notes that a message of the client begins, the rest of which has to come soon, or ends.
func (c *conn) message(begins bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wait := c.h.silence
	if c.midway = begins; begins {
		wait = messageWithin
	}
	_ = c.ws.SetReadDeadline(time.Now().Add(wait))
}

// serve runs the socket until it is closed.
func (c *conn) serve(ws *websocket.Conn) {
	c.mu.Lock()
	c.ws = ws
	c.mu.Unlock()
	written := make(chan struct{})
	go func() {
		defer close(written)
		rest := c.write()
		c.goodbye(rest)
		_ = ws.NetConn().SetReadDeadline(time.Now().Add(time.Second)) // lets the reader hear the echo
	}()
	code, reason := c.read()
	c.stop(code, reason)
	<-written
	c.drain()
	_ = ws.Close()
}

// goodbye finishes the frame that was interrupted and sends the close frame. A client that does not read
// gets a while to come to it, since only so it learns where to resume.
func (c *conn) goodbye(rest []byte) {
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
	if _, err := conn.Write(slices.Concat(rest, closeFrame(code, reason))); err != nil {
		_ = conn.Close()
	}
}

// drain half-closes the socket and reads what the client still sends, for a moment: closing with unread
// bytes would reset the connection and could destroy the close frame on its way.
func (c *conn) drain() {
	conn := c.ws.NetConn()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite() // fails when the client is gone
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = io.CopyN(io.Discard, conn, 4<<20) // ends with the client's close, the deadline or the bound
}
