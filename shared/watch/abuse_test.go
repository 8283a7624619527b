package watch

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/shared/fault"
)

// raw is a client that keeps no rules.
type raw struct {
	net.Conn
	r *bufio.Reader
}

func (p *place) raw(t *testing.T, query string) *raw {
	t.Helper()
	u, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET /ws?%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "+
		"13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n", query, u.Host)
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v %v", resp, err)
	}
	if resp.Header.Get("Sec-WebSocket-Extensions") != "" {
		t.Error("compression was negotiated")
	}
	return &raw{conn, r}
}

// frame builds a client's frame; mask false leaves it unmasked.
func rawFrame(first byte, payload []byte, mask bool) []byte {
	b := []byte{first}
	bit := byte(0)
	if mask {
		bit = 0x80
	}
	switch n := len(payload); {
	case n < 126:
		b = append(b, bit|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, bit|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, bit|127), uint64(n))
	}
	if mask {
		b = append(b, 0, 0, 0, 0) // a key of zeros changes nothing
	}
	return append(b, payload...)
}

// closed reads until the close frame and returns its code, or 0 when the connection just ended.
func (c *raw) closed(t *testing.T) int {
	t.Helper()
	code, _ := c.ended(t)
	return code
}

// ended is closed with the reason beside the code.
func (c *raw) ended(t *testing.T) (code int, reason string) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(2*time.Second + busy))
	for {
		head := make([]byte, 2)
		if _, err := io.ReadFull(c.r, head); err != nil {
			return 0, ""
		}
		n := int(head[1])
		if n == 126 {
			var l uint16
			_ = binary.Read(c.r, binary.BigEndian, &l)
			n = int(l)
		}
		payload := make([]byte, n)
		if _, err := io.ReadFull(c.r, payload); err != nil {
			return 0, ""
		}
		if head[0] == 0x88 {
			return int(binary.BigEndian.Uint16(payload)), string(payload[2:])
		}
	}
}

// TestWatch_abuse is E06: frames that keep no rules close their socket within a second, and nobody
// else's.
func TestWatch_abuse(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	many := func(n int, frame []byte) []byte { return bytes.Repeat(frame, n) }
	cases := map[string]struct {
		send []byte
		code int
	}{
		"second reserved bit":   {rawFrame(0xa1, []byte(`{}`), true), 1002},
		"third reserved bit":    {rawFrame(0x91, []byte(`{}`), true), 1002},
		"compressed ping":       {rawFrame(0xc9, nil, true), 1002},
		"unknown control frame": {rawFrame(0x8b, nil, true), 1002},
		"unmasked ping":         {rawFrame(0x89, nil, false), 1002},
		"close of one byte":     {rawFrame(0x88, []byte{0x03}, true), 1000}, // taken for one without a code
		"close not in UTF-8":    {rawFrame(0x88, []byte{0x03, 0xe8, 0xff}, true), 1002},
		"length of 63 bits":     {append([]byte{0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 0, 0, 0, 0), 1009},
		// ends without a code
		"negative length":       {append([]byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 0, 0, 0, 0), 0},
		"unmasked":              {rawFrame(0x81, []byte(`{"type":"ping"}`), false), 1002},
		"reserved bit":          {rawFrame(0xc1, []byte(`{}`), true), 1002},
		"unknown opcode":        {rawFrame(0x83, []byte(`{}`), true), 1002},
		"binary":                {rawFrame(0x82, []byte{1, 2}, true), 1003},
		"not UTF-8":             {rawFrame(0x81, []byte{0xff, 0xfe}, true), 1007},
		"1 MiB":                 {rawFrame(0x81, make([]byte, 1<<20), true), 1009},
		"64 KiB and one":        {rawFrame(0x81, make([]byte, 64<<10+1), true), 1009},
		"fragments past 64 KiB": {append(rawFrame(0x01, make([]byte, 40<<10), true), rawFrame(0x00, make([]byte, 40<<10), true)...), 1009},
		"stray continuation":    {rawFrame(0x80, []byte("x"), true), 1002},
		"text inside fragments": {append(rawFrame(0x01, []byte("x"), true), rawFrame(0x81, []byte("x"), true)...), 1002},
		"long control frame":    {rawFrame(0x89, make([]byte, 126), true), 1002},
		"fragmented ping":       {rawFrame(0x09, []byte("x"), true), 1002},
		"ping flood":            {many(200, rawFrame(0x89, nil, true)), 1008},
		"pong flood":            {many(200, rawFrame(0x8a, nil, true)), 1008},
		"message flood":         {many(200, rawFrame(0x81, []byte(`{"type":"ping"}`), true)), 1008},
		"message never ended":   {rawFrame(0x01, []byte("x"), true), 1008},
		"frame never ended":     {rawFrame(0x81, make([]byte, 100), true)[:50], 1008},
		"close with reserved":   {rawFrame(0x88, []byte{0x03, 0xed}, true), 1002},
		"close":                 {rawFrame(0x88, []byte{0x03, 0xe8}, true), 1000},
		"empty close":           {rawFrame(0x88, nil, true), 1000},
	}
	if len(cases) < 25 {
		t.Errorf("%d cases", len(cases))
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := p.raw(t, "token=ann")
			began := time.Now()
			if _, err := conn.Write(c.send); err != nil {
				t.Log(err) // the server may close before all is out
			}
			if code := conn.closed(t); code != c.code || time.Since(began) > messageWithin+busy {
				t.Errorf("closed with %d after %v, want %d", code, time.Since(began), c.code)
			}
		})
	}
	t.Cleanup(func() {
		ws := p.dial(t, "token=ann")
		say(t, ws, `{"type":"ping"}`)
		if m := next(t, ws); m["type"] != "pong" {
			t.Errorf("the server does not live: %v", m)
		}
	})
}

// TestWatch_endlessFragmentsEnd is E06 for a message that always goes on.
func TestWatch_endlessFragmentsEnd(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	conn := p.raw(t, "token=ann")
	began := time.Now()
	go func() {
		_, _ = conn.Write(rawFrame(0x01, nil, true))
		for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
			if _, err := conn.Write(rawFrame(0x00, nil, true)); err != nil {
				return
			}
		}
	}()
	if code := conn.closed(t); code != 1008 || time.Since(began) > messageWithin+busy {
		t.Errorf("%d after %v", code, time.Since(began))
	}
}

// TestWatch_slowReaderIsCutAndOthersAreNot is E06 with fifty clients that read beside one that
// stalls: each of them gets each event once and in order, also behind the moment at which the other
// is cut off. That one learns why once it reads again, and goes on without a gap.
func TestWatch_slowReaderIsCutAndOthersAreNot(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	p.Handler.patience = 3 * time.Second
	slow := p.raw(t, "token=slow")
	if err := slow.Conn.(*net.TCPConn).SetReadBuffer(32 << 10); err != nil {
		t.Fatal(err)
	}
	const others, events, more = 50, 3000, 100
	var all sync.WaitGroup
	var behind atomic.Int64 // clients that have not read the first events
	behind.Store(others)
	for i := range others {
		ws := p.dial(t, fmt.Sprint("token=u", i))
		_ = ws.SetReadDeadline(time.Now().Add(2 * time.Minute))
		all.Go(func() {
			for want := 1; want <= events+more; want++ {
				_, data, err := ws.ReadMessage()
				if err != nil || !bytes.HasSuffix(data, fmt.Appendf(nil, `"sequence":%d}`, want)) {
					t.Errorf("client %d: want %d, got %.40s…, %v", i, want, data, err)
					behind.Store(0)
					return
				}
				if want == events {
					behind.Add(-1)
				}
			}
		})
	}
	p.flood(t, events)
	until(func() bool { return behind.Load() <= 0 })     // nobody waits for it
	until(func() bool { return p.Stats().SlowCut == 1 }) // or the test's own time limit
	p.flood(t, more)
	all.Wait()
	if cut := p.Stats().SlowCut; cut != 1 {
		t.Errorf("%d were cut off", cut)
	}
	code, reason := slow.ended(t)
	var resume int
	if _, err := fmt.Sscanf(reason, "you do not read fast enough; resume since=%d epoch=e1", &resume); code != 1013 || err != nil {
		t.Fatalf("closed with %d %q", code, reason)
	}
	again := p.dial(t, fmt.Sprintf("token=slow&epoch=e1&since=%d", resume))
	if m := next(t, again); m["sequence"] != float64(resume+1) {
		t.Errorf("it resumes behind %d with %v", resume, m["sequence"])
	}
}

// flood emits events of 2 KB, many more than the buffers of a connection hold.
func (p *place) flood(t *testing.T, events int) {
	for range events / 50 {
		p.emit(t, strings.Repeat("x", 2000), 50)
	}
}

// TestWatch_busyClientsAreWaitedFor is a fast batch that meets clients which do not read for some
// seconds.
func TestWatch_busyClientsAreWaitedFor(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	const clients, events = 8, 2500
	small := websocket.Dialer{NetDial: func(network, address string) (net.Conn, error) {
		conn, err := net.Dial(network, address)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(32 << 10)
		}
		return conn, err
	}}
	var busy []*websocket.Conn
	for i := range clients {
		ws, _, err := small.Dial(fmt.Sprint(p.url, "?token=u", i), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ws.Close() })
		busy = append(busy, ws)
	}
	p.flood(t, events)
	pause := time.NewTimer(3 * time.Second) // the old patience was two
	<-pause.C
	var all sync.WaitGroup
	for i, ws := range busy {
		all.Go(func() {
			_ = ws.SetReadDeadline(time.Now().Add(time.Minute))
			for want := 1; want <= events; want++ {
				var m struct{ Sequence int }
				if err := ws.ReadJSON(&m); err != nil || m.Sequence != want {
					t.Errorf("client %d: want %d, got %d, %v", i, want, m.Sequence, err)
					return
				}
			}
		})
	}
	all.Wait()
	if n := p.Stats().SlowCut; n > 0 {
		t.Errorf("%d were cut off", n)
	}
}

// TestWatch_whoReadsSlowlyIsNotCutOff reads 100 KB a second, far behind, for longer than the
// patience is.
func TestWatch_whoReadsSlowlyIsNotCutOff(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	p.Handler.patience = 2 * time.Second
	slow := p.raw(t, "token=slow")
	const events = 6000
	p.flood(t, events)
	piece := make([]byte, 10<<10)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < 6*time.Second; <-tick.C {
		if _, err := io.ReadFull(slow.r, piece); err != nil {
			t.Fatalf("cut off after %v: %v, %d", time.Since(began), err, p.Stats().SlowCut)
		}
	}
	last := []byte(fmt.Sprintf(`"sequence":%d}`, events))
	for tail := []byte(nil); !bytes.Contains(tail, last); {
		n, err := slow.r.Read(piece)
		if err != nil {
			t.Fatalf("cut off: %v, %d", err, p.Stats().SlowCut)
		}
		tail = append(tail[max(0, len(tail)-len(last)):], piece[:n]...)
	}
}

func TestDial_resumesByItself(t *testing.T) {
	t.Parallel()
	p := start(t, nil)
	p.emit(t, "TaskStatusChanged", 3)
	c, err := Dial(t.Context(), "http"+strings.TrimPrefix(p.url, "ws"), "ann", 0, "e1", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for want := uint64(1); want <= 60; want++ {
		if want%20 == 0 {
			for _, open := range p.open() {
				open.ws.NetConn().Close() // the network breaks
			}
		}
		if want > 3 {
			p.emit(t, "TaskStatusChanged", 1)
		}
		e, err := c.Next(t.Context())
		if err != nil || e.Sequence != want || e.Type != "TaskStatusChanged" {
			t.Fatalf("want %d, got %d, %v", want, e.Sequence, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Next(ctx); ctx.Err() == nil || err == nil {
		t.Errorf("Next does not end with its context: %v", err)
	}
	if _, err := Dial(t.Context(), p.url, "expired", 0, "", nil); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a bad token: %v", err)
	}
	if _, err := Dial(t.Context(), p.url, "ann", 7, "other", nil); !fault.Is(err, fault.Gone) {
		t.Errorf("another epoch: %v", err)
	}
	p.dead.Store(true)
	if _, err := c.Next(t.Context()); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a revoked session: %v", err)
	}
}
