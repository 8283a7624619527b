package watch

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
)

// body300 is an event that makes a frame of about 300 bytes.
var body300 = []byte(`{"data":{"batch_id":"0193a0c0-0000-7000-8000-000000000001","task_id":"0193a0c0-0000-7000-8000-000000000000"},"event_type":"TaskStatusChanged","timestamp":"2026-01-01T00:00:00Z","metadata":{"batch_id":"0193a0c0-0000-7000-8000-000000000001"}}`)

// cheapLabels takes the labels of events out of the measurement.
func cheapLabels(c *Config) {
	c.Labels = func([]byte) Labels { return Labels{Category: "task"} }
}

// readers opens n sockets whose clients only count bytes.
func readers(b *testing.B, address string, n int, got *atomic.Int64) {
	for range n {
		ws, _, err := websocket.DefaultDialer.Dial(address, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { ws.Close() })
		go func() {
			buf := make([]byte, 64<<10)
			for conn := ws.NetConn(); ; {
				n, err := conn.Read(buf)
				got.Add(int64(n))
				if err != nil {
					return
				}
			}
		}()
	}
}

// bare is the least hub one can write with the library: a channel and a goroutine a socket.
func bare(b *testing.B) (address string, send func([]byte)) {
	var out []chan *websocket.PreparedMessage
	joined := make(chan chan *websocket.PreparedMessage)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{}
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		in := make(chan *websocket.PreparedMessage, 1024)
		go func() { _, _ = io.Copy(io.Discard, ws.NetConn()) }()
		joined <- in
		for m := range in {
			_ = ws.SetWriteDeadline(time.Now().Add(10 * time.Second))
			if ws.WritePreparedMessage(m) != nil {
				return
			}
		}
	}))
	b.Cleanup(server.Close)
	go func() {
		for in := range joined {
			out = append(out, in)
		}
	}()
	return "ws" + strings.TrimPrefix(server.URL, "http"), func(body []byte) {
		m, err := websocket.NewPreparedMessage(websocket.TextMessage, body)
		if err != nil {
			b.Fatal(err)
		}
		for _, in := range out {
			in <- m
		}
	}
}

// BenchmarkFanOut delivers events to 1,000 sockets: one commit an event, sent as fast as they are
// taken with at most 64 under way (stream) or one after the other (single). The bare hub is the
// limit.
func BenchmarkFanOut(b *testing.B) {
	const sockets = 1000
	run := func(b *testing.B, got *atomic.Int64, size int, window int, send func()) {
		for b.Loop() {
			base := got.Load()
			const events = 64
			for i := range events {
				send()
				until(func() bool { return got.Load()-base >= int64((i+1-window)*sockets*size) })
			}
			until(func() bool { return got.Load()-base >= int64(events*sockets*size) })
		}
		b.ReportMetric(float64(b.N)*64*sockets/b.Elapsed().Seconds(), "deliveries/s")
	}
	for _, mode := range []struct {
		name   string
		window int
	}{{"single", 0}, {"stream", 64}} {
		b.Run("ours/"+mode.name, func(b *testing.B) {
			p := start(b, cheapLabels)
			var got atomic.Int64
			readers(b, p.url+"?token=ann", sockets, &got)
			settle(&got)
			it := len(ready(100, body300).frame)
			seq := 99 // so that every sequence has as many digits
			for range seq {
				_, _ = p.hub.DB.Commit(b.Context(), store.Batch{Appends: []store.Append{{Stream: Stream, Body: []byte(`{"event_type":"none"}`)}}})
			}
			settle(&got)
			run(b, &got, it-1, mode.window, func() {
				if _, err := p.hub.Commit(b.Context(), store.Batch{Appends: []store.Append{{Stream: Stream, Body: body300}}}); err != nil {
					b.Fatal(err)
				}
			})
		})
		b.Run("bare/"+mode.name, func(b *testing.B) {
			address, send := bare(b)
			var got atomic.Int64
			readers(b, address, sockets, &got)
			settle(&got)
			it := ready(100, body300)
			run(b, &got, len(it.frame), mode.window, func() { send(it.body()) })
		})
	}
}

// endless is a store with as many events as were appended, all alike, that costs nothing by itself.
type endless struct {
	store.DB
	head atomic.Uint64
	page [store.MaxPage]store.Entry // of Read; the tail is the only reader
}

func (e *endless) Commit(_ context.Context, b store.Batch) (store.Receipt, error) {
	return store.Receipt{Rev: e.head.Add(uint64(len(b.Appends)))}, nil
}

func (e *endless) Read(_ context.Context, _ string, after uint64, limit int) (store.Entries, error) {
	head := e.head.Load()
	if after >= head {
		return store.Entries{Head: head}, nil
	}
	page := e.page[:min(head-after, uint64(limit))]
	for i := range page {
		page[i] = store.Entry{Seq: after + uint64(i) + 1, Body: body300}
	}
	return store.Entries{Entries: page, Head: head}, nil
}

// BenchmarkEvent commits groups of events and delivers them to sockets: what an event costs from
// the store's answer to the system call, in memory; the time is that in which the tail gathers.
func BenchmarkEvent(b *testing.B) {
	for _, sockets := range []int{1, 100} {
		for _, group := range []int{1, 32} {
			b.Run(fmt.Sprintf("sockets=%d/group=%d", sockets, group), func(b *testing.B) {
				const first = 1_000_000 // so that every sequence has as many digits
				db := &endless{}
				db.head.Store(first)
				p := start(b, func(c *Config) {
					cheapLabels(c)
					c.DB = feed.NewHub(db)
				})
				var got atomic.Int64
				readers(b, p.url+"?token=ann", sockets, &got)
				settle(&got)
				base := got.Load()
				commit := store.Batch{Appends: make([]store.Append, group)}
				for i := range commit.Appends {
					commit.Appends[i].Stream = Stream
				}
				b.ReportAllocs()
				b.ResetTimer()
				for sent := 0; sent < b.N; {
					if _, err := p.DB.Commit(b.Context(), commit); err != nil {
						b.Fatal(err)
					}
					sent += group
					for p.delivered.Load() < int64(sent*sockets) {
						runtime.Gosched()
					}
				}
				b.StopTimer()
				until(func() bool { return got.Load() > base })
			})
		}
	}
}

// settle waits until nothing arrives any more.
func settle(got *atomic.Int64) {
	for last := int64(-1); last != got.Load(); {
		last = got.Load()
		<-time.After(1200 * time.Millisecond)
	}
}

// until looks again and again until ok.
func until(ok func() bool) {
	for !ok() {
		<-time.After(50 * time.Microsecond)
	}
}
