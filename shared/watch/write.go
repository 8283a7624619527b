package watch

import (
	"errors"
	"net"
	"time"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/shared/feed"
)

// maxEventsPerWrite bounds the events of one system call.
const maxEventsPerWrite = 256

// write sends events, answers and pings until the socket ends. No other goroutine writes before it
// has returned. It returns the rest of a frame of which the client has taken a part, or an answer
// of which it has taken nothing.
func (c *conn) write() (rest []byte) {
	w := writer{conn: c, items: make([]*item, 0, 8)}
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		head, more := c.h.tail.More()
		cursor := c.cursor.Load()
		if c.who.Load() != nil && cursor < head {
			if rest, ok := w.writeEvents(cursor); !ok {
				return rest
			}
			select { // answers and pings are not held up by events
			case frame := <-c.answers:
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
			case <-c.wake:
				continue
			case frame := <-c.answers:
				w.frames = append(w.frames, frame)
			case <-ping.C:
				w.frames = append(w.frames, frameOf(opPing, nil))
			case <-c.ctx.Done():
				return nil
			}
		}
		frame := w.frames[0]
		if n, rest, ok := w.flush(); !ok {
			if n == 0 { // not begun: it may be the answer that says why the socket ends
				return frame
			}
			return rest
		}
	}
}

// writer is what the writing goroutine of a conn works with. Its slices keep their memory from
// write to write.
type writer struct {
	*conn
	items  []*item
	frames [][]byte    // of the next flush
	seqs   []uint64    // of writeEvents: for each frame the cursor once the client has taken it
	bufs   net.Buffers // the frames, those that are adjacent in memory as one
	unsent net.Buffers
}

// writeEvents writes those of the next maxEventsPerWrite events after cursor that pass the filter
// and that the person may see. When the socket has ended, ok is false and rest is as in write.
func (w *writer) writeEvents(cursor uint64) (rest []byte, ok bool) {
	items, last, err := w.h.tail.Read(w.ctx, w.items[:0], cursor, maxEventsPerWrite)
	w.items = items
	switch {
	case errors.Is(err, feed.ErrTrimmed):
		w.stop(closeReset, "the events that come next are not kept any more; read the state anew and connect without since")
		return nil, false
	case err != nil:
		w.stop(websocket.CloseInternalServerErr, "the event store cannot be read")
		return nil, false
	}
	f, allowed := w.filter.Load(), w.who.Load().allowed
	chosen := items[:0]
	for _, it := range items {
		if it.ready().category&allowed != 0 && f.passes(it) {
			chosen = append(chosen, it)
		}
	}
	w.seqs = w.seqs[:0]
	for at := 0; at < len(chosen); {
		n := 1
		if w.batchSize == 1 {
			w.frames = append(w.frames, chosen[at].frame)
		} else {
			var frame []byte
			frame, n = listFrame(chosen[at:], w.batchSize)
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

// listFrame returns a frame with a JSON list of the first n events: at most size of them, at most
// 64 KiB, and at least one.
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

// flush writes all frames. When the socket ends in between, ok is false and n is the number of
// frames that the client has, the last of them once it has taken rest.
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
	w.stop(0, "") // does nothing when stop has interrupted this write
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

// errEnded says that stop came before or during a write.
var errEnded = errors.New("the socket has ended")

// send writes the frames and returns how many bytes the client took. It waits for a client that
// takes bytes, however slowly, and cuts off one that takes none for patience and is maxBehind.
func (w *writer) send(frames [][]byte) (sent int64, err error) {
	w.bufs = w.bufs[:0]
	for _, frame := range frames {
		if last := len(w.bufs) - 1; last >= 0 && adjacent(w.bufs[last], frame) {
			w.bufs[last] = w.bufs[last][:len(w.bufs[last])+len(frame)]
		} else {
			w.bufs = append(w.bufs, frame)
		}
	}
	defer clear(w.bufs) // so that the frames can be freed
	w.unsent = w.bufs
	now := time.Now()
	for took := now; ; now = time.Now() { // took: when the client last took a byte
		if !w.deadline(now) {
			return sent, errEnded
		}
		n, err := w.writeSome()
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
		case time.Since(took) >= w.h.patience && w.h.tail.Head() > w.cursor.Load()+maxBehind:
			w.stopSlow()
		}
	}
}

// writeSome writes from unsent until the write deadline and returns how many bytes the client took.
func (w *writer) writeSome() (int64, error) {
	if conn := w.ws.NetConn(); len(w.unsent) > 1 {
		return w.unsent.WriteTo(conn)
	} else {
		n, err := conn.Write(w.unsent[0])
		w.unsent[0] = w.unsent[0][n:]
		return int64(n), err
	}
}

// adjacent says whether b begins in memory where a ends.
func adjacent(a, b []byte) bool {
	return len(a) < cap(a) && &a[:len(a)+1][len(a)] == &b[0]
}
