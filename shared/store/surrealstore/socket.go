package surrealstore

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/lxzan/gws"
	"github.com/surrealdb/surrealdb.go/pkg/connection"
	surrealgws "github.com/surrealdb/surrealdb.go/pkg/connection/gws"
	"github.com/surrealdb/surrealdb.go/pkg/connection/rpc"
	"github.com/surrealdb/surrealdb.go/surrealcbor"
)

const (
	dialTimeout = 5 * time.Second
	maxReply    = 1 << 30 // bytes; a page of the largest documents
	maxRequest  = 64 << 20
)

// errClosed is what calls on a connection that is gone end with.
var errClosed = errors.New("connection to SurrealDB is closed")

// socket is one WebSocket connection to the server, used once and never redialled. It stands in for
// the library's gws connection, which it embeds for what it does not replace: that one leaves calls
// waiting until their deadline when the connection breaks, races on its close error, answers a
// call after Close with neither result nor error, and cannot carry a commit of 16 MiB.
type socket struct {
	*surrealgws.Connection
	addr  string
	codec *surrealcbor.Codec
	conn  *gws.Conn
	heard atomic.Int64 // unix nanoseconds of the last message; the watchdog reads it

	mu      sync.Mutex // guards what follows
	next    uint64
	waiting map[string]chan connection.RPCResponse[cbor.RawMessage] // buffered: the reader never blocks
	gone    chan struct{}
	cause   error
	release func() bool // of endWith; nil before
}

var _ connection.Connection = (*socket)(nil)

// newSocket returns a socket for the server at u (scheme ws or wss); Connect dials.
func newSocket(u *url.URL) *socket {
	conf := connection.NewConfig(u)
	conf.Logger = nil
	codec := surrealcbor.New()
	conf.Marshaler, conf.Unmarshaler = codec, codec
	return &socket{
		Connection: surrealgws.New(conf), addr: conf.BaseURL + "/rpc", codec: codec,
		waiting: map[string]chan connection.RPCResponse[cbor.RawMessage]{}, gone: make(chan struct{}),
	}
}

// Connect dials and starts the reader.
func (s *socket) Connect(ctx context.Context) error {
	conn, resp, err := gws.NewClient(messageReader{socket: s}, &gws.ClientOption{
		Addr:                s.addr,
		RequestHeader:       http.Header{"Sec-WebSocket-Protocol": []string{"cbor"}},
		HandshakeTimeout:    dialTimeout,
		ReadMaxPayloadSize:  maxReply,
		WriteMaxPayloadSize: maxRequest,
		ReadBufferSize:      64 << 10,
		NewDialer:           func() (gws.Dialer, error) { return dialer{ctx}, nil },
	})
	if resp != nil {
		_ = resp.Body.Close()
	}
	if err != nil {
		return err
	}
	s.conn = conn
	s.heard.Store(time.Now().UnixNano())
	go conn.ReadLoop()
	return nil
}

// Close ends the connection and every call that waits on it.
func (s *socket) Close(context.Context) error {
	s.end(errClosed)
	return s.conn.NetConn().Close()
}

// Send makes a call of the given method.
func (s *socket) Send(ctx context.Context, method string, params ...any) (*connection.RPCResponse[cbor.RawMessage], error) {
	return s.Call(ctx, &connection.RPCRequest{Method: method, Params: params})
}

// Call makes one call. It returns when the reply is there, the connection ends or ctx does.
func (s *socket) Call(ctx context.Context, req *connection.RPCRequest) (*connection.RPCResponse[cbor.RawMessage], error) {
	reply := make(chan connection.RPCResponse[cbor.RawMessage], 1)
	s.mu.Lock()
	s.next++
	id := strconv.FormatUint(s.next, 36)
	s.waiting[id] = reply
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.waiting, id)
		s.mu.Unlock()
	}()

	req.ID = id
	data, err := s.codec.Marshal(req)
	if err != nil {
		return nil, errEncode{err}
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(callTimeout)) // a peer that does not read must not hold us
	if err := s.conn.WriteMessage(gws.OpcodeBinary, data); err != nil {
		return nil, err
	}
	select {
	case r := <-reply:
		if r.Error != nil {
			return nil, r.Error
		}
		return &r, nil
	case <-s.gone:
		return nil, s.cause // written before gone was closed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Use selects the namespace and database.
func (s *socket) Use(ctx context.Context, namespace, database string) error {
	return connection.Send[any](s, ctx, nil, "use", namespace, database)
}

// SignIn signs in and returns the token.
func (s *socket) SignIn(ctx context.Context, auth any) (string, error) {
	return rpc.SignIn(s, ctx, auth)
}

// endWith closes the connection when ctx ends. One that ends before is forgotten by ctx, which
// outlives many.
func (s *socket) endWith(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause == nil {
		s.release = context.AfterFunc(ctx, func() { _ = s.Close(context.Background()) })
	}
}

func (s *socket) end(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil {
		return
	}
	s.cause = cause
	close(s.gone)
	if s.release != nil {
		s.release()
	}
}

// errEncode is a request that could not be encoded, so that nothing was sent.
type errEncode struct{ error }

// dialer connects with the deadline of the caller.
type dialer struct{ ctx context.Context }

// Dial connects.
func (d dialer) Dial(network, addr string) (net.Conn, error) {
	return (&net.Dialer{Timeout: dialTimeout, KeepAlive: 5 * time.Second}).DialContext(d.ctx, network, addr)
}

// messageReader hands replies to the calls that wait for them.
type messageReader struct {
	gws.BuiltinEventHandler
	socket *socket
}

// OnMessage passes one reply on; a reply nobody waits for any more is dropped.
func (r messageReader) OnMessage(_ *gws.Conn, message *gws.Message) {
	data := bytes.Clone(message.Bytes())
	_ = message.Close()
	s := r.socket
	s.heard.Store(time.Now().UnixNano())
	var reply connection.RPCResponse[cbor.RawMessage]
	if err := s.codec.Unmarshal(data, &reply); err != nil {
		s.end(errors.Join(errors.New("a reply that cannot be decoded"), err))
		return
	}
	id, ok := reply.ID.(string)
	if !ok && reply.Error != nil { // a request the server could not even read; whose, it does not say
		s.end(reply.Error)
		return
	}
	s.mu.Lock()
	waiting := s.waiting[id]
	delete(s.waiting, id)
	s.mu.Unlock()
	if waiting != nil {
		waiting <- reply
	}
}

// OnPing answers, as the protocol demands.
func (r messageReader) OnPing(conn *gws.Conn, payload []byte) { _ = conn.WritePong(payload) }

// OnClose ends every call that waits.
func (r messageReader) OnClose(_ *gws.Conn, err error) { r.socket.end(errors.Join(errClosed, err)) }
