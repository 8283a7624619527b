package web

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web/body"
)

// decode reads the body into the input of the route. A large body needs room before it is read, a
// small one before it is decoded; the room is given back when the request is answered.
func (x *request) decode(v reflect.Value) error {
	b := x.ep.bind
	size := x.r.ContentLength
	if size < 0 {
		size = b.maxBody // who does not say may send as much
	}
	if size > body.SmallBody && size <= b.maxBody {
		if err := x.reserveMemory(size); err != nil {
			return err
		}
	}
	raw := x.s.buffers.get()
	defer x.s.buffers.put(raw) // the input keeps nothing of it
	sent, err := b.read(x.c, raw)
	if err != nil {
		return err
	}
	if x.unread = false; x.releaseRoom == nil && len(sent) > 0 {
		if err := x.reserveMemory(size); err != nil {
			return err
		}
	}
	if x.ep.route.idempotent() && x.r.Header["Idempotency-Key"] != nil {
		x.fingerprint = x.s.keys.Fingerprint(x.r.URL.RawQuery+"\x00"+x.r.Header.Get("If-Match"), sent)
	}
	return b.decode(sent, v)
}

// reserveMemory waits for room for the body. Services are known to the operator and ask one after
// the other: they need none.
func (x *request) reserveMemory(size int64) (err error) {
	if x.ep.route.Permission.kind == permitService {
		return nil
	}
	x.releaseRoom, err = x.s.admission.Enter(x.r.Context(), x.caller.ID(), size)
	return err
}

// releaseMemory gives the room of the body back.
func (x *request) releaseMemory() {
	if x.releaseRoom != nil {
		x.releaseRoom()
		x.releaseRoom = nil
	}
}

// discardTimeout is how long a client may go on sending a body that nobody reads.
const discardTimeout = 5 * time.Second

// discardBody sends the answer and throws away what the client still sends. Who sends first and
// reads then, as most clients do, would otherwise see a broken connection instead of the answer.
func (x *request) discardBody() {
	if !x.unread || x.r.Header.Get("Expect") != "" {
		return // one that expects to be asked for its body does not send it
	}
	c := http.NewResponseController(x.c.Writer)
	if c.SetReadDeadline(time.Now().Add(discardTimeout)) == nil && c.Flush() == nil {
		_, _ = io.CopyN(io.Discard, x.r.Body, x.ep.maxBody()) // beyond that the connection is closed
	}
}

// read reads the body into room, within its limit and of the one format that is served.
func (b *binding) read(c *gin.Context, room *bytes.Buffer) ([]byte, error) {
	r := c.Request
	large := func() error {
		return fault.New(fault.TooLarge, "http.body_size", "the body is larger than %d bytes", b.maxBody)
	}
	if r.ContentLength > b.maxBody {
		c.Header("Connection", "close")
		return nil, large()
	}
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		if b.body != nil {
			return nil, fault.New(fault.Malformed, "json.empty", "the body must be a JSON object, but it is empty")
		}
		return nil, nil
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		c.Header("Connection", "close")
		return nil, fault.New(fault.MediaType, "http.encoding", "a body must not be compressed")
	}
	err := readAll(room, http.MaxBytesReader(c.Writer, r.Body, b.maxBody), r.ContentLength)
	body := room.Bytes()
	switch {
	case err != nil:
		if over := (*http.MaxBytesError)(nil); errors.As(err, &over) {
			return nil, large()
		}
		return nil, fault.New(fault.Malformed, "http.body", "the body could not be read to its end").Because(err)
	case len(body) == 0 && b.body == nil:
		return nil, nil
	case len(body) == 0:
		return nil, fault.New(fault.Malformed, "json.empty", "the body must be a JSON object, but it is empty")
	case !b.takes(r.Header.Get("Content-Type")):
		return nil, fault.New(fault.MediaType, "http.content_type", "the body must be sent as Content-Type: application/json")
	}
	return body, nil
}

// readAll reads to the end, in one piece when the length is known.
func readAll(to *bytes.Buffer, from io.Reader, length int64) error {
	if length < 0 {
		_, err := to.ReadFrom(from)
		return err
	}
	to.Grow(int(length))
	body := to.AvailableBuffer()[:length]
	_, err := io.ReadFull(from, body)
	to.Write(body)
	return err
}
