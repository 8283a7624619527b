package watch

import (
	"errors"
	"net"
	"time"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/shared/feed"
)

// atOnce bounds the events that go out in one write.
const atOnce = 256

// write carries events and answers to the client until the socket ends. It is the only writer. It returns
// what is left of a frame that went out in part.
func (c *conn) write() (rest []byte) {
	w := writer{conn: c, items: make([]*item, 0, 8)}
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		head, more := c.h.tail.More()
		cursor := c.cursor.Load()
		if c.who() != nil && cursor < head {
			if rest, ok := w.events(cursor); !ok {
				return rest
			}
			select { // answers and pings are not held up by events
			case frame := <-c.out:
				w.frames = append(w.frames, frame)
			case <-ping.C:
				w.frames = append(w.frames, frameOf(opPing, nil))
			default:
				continue
			}
		} else {
			select {
			case <-more:
				continue
			case <-c.kick:
				continue
			case frame := <-c.out:
				w.frames = append(w.frames, frame)
			case <-ping.C:
				w.frames = append(w.frames, frameOf(opPing, nil))
			case <-c.ctx.Done():
				return nil
			}
		}
		if _, rest, ok := w.flush(); !ok {
			return rest
		}
	}
}

// writer is the state of one conn's writing goroutine; its slices are used again and again.
type writer struct {
	*conn
	items  []*item
	frames [][]byte    // to go out with the next flush
	seqs   []uint64    // with events: for each frame, the cursor once it is out
	bufs   net.Buffers // frames in fewer pieces, consumed by the system call
	left   net.Buffers
}

// events writes the next events after cursor that the client asked for and may see.
func (w *writer) events(cursor uint64) (rest []byte, ok bool) {
	items, last, err := w.h.tail.Read(w.ctx, w.items[:0], cursor, atOnce)
	w.items = items
	switch {
	case errors.Is(err, feed.ErrTrimmed):
		w.stop(closeReset, "the events that come next are not kept any more; read the state anew and connect without since")
		return nil, false
	case err != nil:
		w.stop(websocket.CloseInternalServerErr, "the event store cannot be read")
		return nil, false
	}
	f, allowed := w.filter.Load(), mask(w.allowed.Load())
	chosen := items[:0]
	for _, it := range items {
		if it.ready().category&allowed != 0 && f.passes(it) {
			chosen = append(chosen, it)
		}
	}
	w.seqs = w.seqs[:0]
	for at := 0; at < len(chosen); {
		n := 1
		if w.batch == 1 {
			w.frames = append(w.frames, chosen[at].frame)
		} else {
			var frame []byte
			frame, n = listFrame(chosen[at:], w.batch)
			w.frames = append(w.frames, frame)
		}
		at += n
		w.seqs = append(w.seqs, chosen[at-1].seq)
	}
	n, rest, ok := w.flush()
	if ok {
		w.cursor.Store(last)
		w.h.delivered.Add(int64(len(chosen)))
	} else if n > 0 {
		w.cursor.Store(w.seqs[n-1])
	}
	clear(items)
	return rest, ok
}

// listFrame returns a frame with a JSON list of the first events, and how many: at most size, and as
// many as fit into 64 KiB, but one at least.
func listFrame(events []*item, size int) ([]byte, int) {
	n, length := 0, 1
	for n < len(events) && n < size && (n == 0 || length+len(events[n].body()) < maxMessage) {
		length += len(events[n].body()) + 1
		n++
	}
	frame := appendHeader(make([]byte, 0, maxHeader+length), opText, length)
	for i, it := range events[:n] {
		sep := byte(',')
		if i == 0 {
			sep = '['
		}
		frame = append(append(frame, sep), it.body()...)
	}
	return append(frame, ']'), n
}

// flush writes all frames with one system call. When the socket ends in the middle, it returns how many
// frames are out or will be once rest is, what is left of the one that was cut.
func (w *writer) flush() (n int, rest []byte, ok bool) {
	frames := w.frames
	w.frames = frames[:0]
	if len(frames) == 0 {
		return 0, nil, true
	}
	sent, err := w.send(frames)
	if err == nil {
		clear(frames)
		return len(frames), nil, true
	}
	w.stop(0, "") // unless it was stopped already, which interrupts a write too
	for n < len(frames) && sent >= int64(len(frames[n])) {
		sent -= int64(len(frames[n]))
		n++
	}
	if sent > 0 {
		rest = frames[n][sent:]
		n++
	}
	return n, rest, false
}

// errEnded is why a write was not begun or not gone on with.
var errEnded = errors.New("the socket has ended")

// send writes the frames; those that lie one behind the other in memory are one to the system. A
// client that takes some of them, however slowly, is waited for. One that takes nothing is cut off
// once it is far behind.
func (w *writer) send(frames [][]byte) (sent int64, err error) {
	w.bufs = w.bufs[:0]
	for _, frame := range frames {
		if last := len(w.bufs) - 1; last >= 0 && adjoin(w.bufs[last], frame) {
			w.bufs[last] = w.bufs[last][:len(w.bufs[last])+len(frame)]
		} else {
			w.bufs = append(w.bufs, frame)
		}
	}
	defer clear(w.bufs) // what they point to is not held
	w.left = w.bufs
	now := time.Now()
	for took := now; ; now = time.Now() { // took is when the client last took something
		if !w.deadline(now) {
			return sent, errEnded
		}
		n, err := w.some()
		if sent += n; err == nil {
			return sent, nil
		}
		if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
			return sent, err
		}
		switch {
		case n > 0: // its buffers were full, so it has read
			took = time.Now()
			w.heard()
		case time.Since(took) >= w.h.patience && w.h.tail.Head() > w.cursor.Load()+behindEvents:
			w.stopSlow()
		}
	}
}

// some writes what is left until the deadline.
func (w *writer) some() (int64, error) {
	if conn := w.ws.NetConn(); len(w.left) > 1 {
		return w.left.WriteTo(conn)
	} else {
		n, err := conn.Write(w.left[0])
		w.left[0] = w.left[0][n:]
		return int64(n), err
	}
}

// adjoin says whether b follows a in memory.
func adjoin(a, b []byte) bool {
	return len(a) < cap(a) && &a[:len(a)+1][len(a)] == &b[0]
}
