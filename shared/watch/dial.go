package watch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/secret"
)

// Event is one event as a client receives it.
type Event struct {
	Type      string          `json:"event_type" doc:"what happened" example:"TaskStatusChanged"`
	Timestamp time.Time       `json:"timestamp" doc:"when"`
	Data      json.RawMessage `json:"data" doc:"what it was about; its members depend on the type" example:"{\"task_id\":\"01997b1c-0000-7000-8000-000000000001\",\"status\":\"completed\"}"`
	Metadata  map[string]any  `json:"metadata" doc:"the ids of data once more, as texts" example:"{\"task_id\":\"01997b1c-0000-7000-8000-000000000001\"}"`
	Sequence  uint64          `json:"sequence" doc:"place in the stream: go on after it with since"`
	Epoch     string          `json:"epoch" doc:"which stream it is: another one after the store was replaced" example:"5d7f4a2e-0a3e-4f4a-8a2e-5d7f4a2e0a3e"`
}

// renewBefore is how long before the end of its token a Conn shows the server a newer one.
const renewBefore = 20 * time.Second

// Fresh returns a token that is good now, and when it ends: the zero time for one that has no
// successor. A Conn calls it before it connects and before each such end.
type Fresh func(ctx context.Context) (raw secret.Text, ends time.Time, err error)

// Conn is a client's stream of events, for one goroutine.
type Conn struct {
	url      string
	fresh    Fresh
	ends     time.Time // of the token that it has connected with
	stop     func()    // ends the renewal of the token
	lastSeen uint64
	epoch    string // of the event lastSeen; empty when the server did not say it
	roots    *x509.CertPool
	ws       *websocket.Conn
}

// Dial opens the stream at address, "http://host/ws" or "ws://host/ws" with filters in the query.
// With an epoch it resumes after the event since; without one it begins now. It believes the
// authorities roots; nil: those of this machine. A refusal is a fault of the kind that its status
// means.
func Dial(ctx context.Context, address, token string, since uint64, epoch string, roots *x509.CertPool) (*Conn, error) {
	raw := secret.New(token)
	return DialFresh(ctx, address, func(context.Context) (secret.Text, time.Time, error) { return raw, time.Time{}, nil }, since, epoch,
		roots)
}

// DialFresh is Dial for a stream that outlives its token: it shows the server a newer one in band
// before each end.
func DialFresh(ctx context.Context, address string, fresh Fresh, since uint64, epoch string, roots *x509.CertPool) (*Conn, error) {
	if rest, ok := strings.CutPrefix(address, "http"); ok {
		address = "ws" + rest
	}
	c := &Conn{url: address, fresh: fresh, lastSeen: since, epoch: epoch, roots: roots}
	return c, c.connect(ctx)
}

func (c *Conn) connect(ctx context.Context) error {
	u, err := url.Parse(c.url)
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	if c.epoch != "" {
		q := u.Query()
		q.Set("since", strconv.FormatUint(c.lastSeen, 10))
		q.Set("epoch", c.epoch)
		u.RawQuery = q.Encode()
	}
	raw, ends, err := c.fresh(ctx)
	if err != nil {
		return err
	}
	head := http.Header{"Authorization": {"Bearer " + raw.Reveal()}}
	dialer := websocket.Dialer{HandshakeTimeout: 10 * time.Second, Proxy: http.ProxyFromEnvironment,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.roots}}
	ws, resp, err := dialer.DialContext(ctx, u.String(), head)
	if err != nil {
		if resp != nil {
			return refused(resp)
		}
		return fault.New(fault.Unavailable, "ws.unreachable", "the event stream cannot be reached").Because(err)
	}
	ws.SetReadLimit(4 << 20)
	if c.epoch == "" {
		c.epoch = resp.Header.Get(headEpoch)
		c.lastSeen, _ = strconv.ParseUint(resp.Header.Get(headSequence), 10, 64) // 0 from a server that does not say
	}
	heard := func() { _ = ws.SetReadDeadline(time.Now().Add(3 * pingEvery)) } // a closed socket shows in the read
	ws.SetPingHandler(func(data string) error {
		heard()
		return ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
	})
	heard()
	c.ws, c.ends, c.stop = ws, ends, func() {}
	if !ends.IsZero() {
		var renewing context.Context
		renewing, c.stop = context.WithCancel(context.WithoutCancel(ctx))
		go renew(renewing, ws, c.fresh, ends)
	}
	return nil
}

// renew shows the server a newer token before each end, until ctx ends or the socket is closed. A
// failure is tried again while there is time; the server closes a socket whose token has ended.
func renew(ctx context.Context, ws *websocket.Conn, fresh Fresh, ends time.Time) {
	for {
		left := time.Until(ends)
		if !clock.Pause(ctx, max(left-renewBefore, left/2, time.Second), nil) {
			return
		}
		raw, next, err := fresh(ctx)
		if err != nil || !next.After(ends) {
			continue
		}
		_ = ws.SetWriteDeadline(time.Now().Add(10 * time.Second)) // a closed socket shows in the write
		if ws.WriteJSON(map[string]string{"type": "auth", "token": raw.Reveal()}) != nil {
			return
		}
		ends = next
	}
}

// refused returns the fault that an HTTP answer in place of an upgrade means.
func refused(resp *http.Response) error {
	var body struct {
		Error string `json:"error"`
	}
	data, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // without a body the message is the status
	if json.Unmarshal(data, &body) != nil || body.Error == "" {
		body.Error = resp.Status
	}
	kinds := map[int]fault.Kind{
		400: fault.Malformed, 401: fault.Unauthenticated, 403: fault.Denied, 404: fault.NotFound,
		410: fault.Gone, 429: fault.Throttled, 503: fault.Unavailable,
	}
	return fault.New(kinds[resp.StatusCode], "ws.refused", "%s", body.Error)
}

// Next returns the next event. When the connection breaks, Next connects again after pauses of
// 100 ms to 5 s and resumes behind the last event. It returns an error when ctx ends, or a fault
// when the server refuses for good: Unauthenticated (the token is no longer good, and Fresh has no
// other), Denied, Malformed, or Gone (the events that come next are not kept).
func (c *Conn) Next(ctx context.Context) (Event, error) {
	pause := 100 * time.Millisecond
	for {
		if c.ws != nil {
			e, err := c.receive(ctx)
			if err == nil || ctx.Err() != nil {
				return e, errors.Join(err, ctx.Err())
			}
			_ = c.Close() // broken already
			if websocket.IsCloseError(err, closeUnauthenticated) && c.ends.IsZero() {
				return Event{}, fault.New(fault.Unauthenticated, "ws.token_over", "the token is no longer good; sign in again")
			}
		}
		if !clock.Pause(ctx, pause, nil) {
			return Event{}, ctx.Err()
		}
		pause = min(2*pause, 5*time.Second)
		err := c.connect(ctx)
		if f := fault.Of(err); err != nil && (f == nil || !passes(f.Kind)) {
			return Event{}, err
		}
	}
}

// passes says whether a refusal of that kind may be over in a moment.
func passes(k fault.Kind) bool {
	return k == fault.Unavailable || k == fault.Throttled || k == fault.Internal
}

// receive reads one event from the open connection.
func (c *Conn) receive(ctx context.Context) (Event, error) {
	ws := c.ws
	stop := context.AfterFunc(ctx, func() { _ = ws.Close() }) // ends the read
	defer stop()
	for {
		_, data, err := ws.ReadMessage()
		if err != nil {
			return Event{}, err
		}
		var e Event
		if err := json.Unmarshal(data, &e); err != nil {
			return Event{}, fmt.Errorf("watch: an event is not readable: %w", err)
		}
		if e.Type == "" && e.Sequence == 0 {
			continue // an answer to a message
		}
		c.lastSeen, c.epoch = e.Sequence, e.Epoch
		return e, nil
	}
}

// Close ends the stream.
func (c *Conn) Close() error {
	if c.ws == nil {
		return nil
	}
	ws := c.ws
	c.ws = nil
	c.stop()
	return ws.Close()
}
