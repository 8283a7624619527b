package web

import (
	"bytes"
	"net/http"
	"strings"
	"sync"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web/body"
)

// Face writes answers in a wire format. The zero Face is the envelope; APIs with a format of their
// own bring both functions.
type Face struct {
	Data  func(to *bytes.Buffer, data any) (contentType string, err error)
	Error func(to *bytes.Buffer, status int, f *fault.Error, requestID string) (contentType string)
}

// StatusOf returns the HTTP status of a kind: the one table of that kind.
func StatusOf(k fault.Kind) int {
	switch k {
	case fault.Malformed:
		return http.StatusBadRequest
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Denied:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.MethodUnknown:
		return http.StatusMethodNotAllowed
	case fault.NotAcceptable:
		return http.StatusNotAcceptable
	case fault.Conflict:
		return http.StatusConflict
	case fault.Gone:
		return http.StatusGone
	case fault.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.MediaType:
		return http.StatusUnsupportedMediaType
	case fault.Invalid:
		return http.StatusUnprocessableEntity
	case fault.Throttled:
		return http.StatusTooManyRequests
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// codec encodes answers and keeps their buffers.
type codec struct{ buffers sync.Pool }

func newCodec() *codec {
	return &codec{buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }}}
}

func (c *codec) get() *bytes.Buffer { return c.buffers.Get().(*bytes.Buffer) }

func (c *codec) put(b *bytes.Buffer) {
	if b.Cap() <= 1<<20 { // a rare huge answer is not kept
		b.Reset()
		c.buffers.Put(b)
	}
}

// envelope writes {"success":true,"data":…}.
func (c *codec) envelope(to *bytes.Buffer, data any) error {
	to.WriteString(`{"success":true,"data":`)
	if err := body.Encode(to, data); err != nil {
		return err
	}
	to.WriteByte('}')
	return nil
}

// refusal is the envelope of an error; members behind error are additive.
type refusal struct {
	Success   bool          `json:"success"`
	Error     string        `json:"error"`
	Code      string        `json:"code"`
	Fields    []fault.Field `json:"fields,omitempty"`
	RequestID string        `json:"request_id,omitempty"`
}

func (c *codec) refuse(to *bytes.Buffer, f *fault.Error, requestID string) {
	v := refusal{Error: f.Message, Code: f.Code, Fields: f.Fields, RequestID: requestID}
	if err := body.Encode(to, &v); err != nil { // cannot happen: texts only
		to.Reset()
		to.WriteString(`{"success":false,"error":"internal error","code":"internal"}`)
	}
}

// refusedToken is what everybody hears whose token is no good. Which check it failed would help a
// forger; log and audit record say it.
var refusedToken = fault.New(fault.Unauthenticated, "token.refused", "the token is not valid; sign in again and retry with the new one")

// shown returns the fault to show for err: itself, the one answer to a bad token, or the fixed text
// of an internal one.
func shown(err error, requestID string) *fault.Error {
	if f := fault.Of(err); f != nil && f.Kind != fault.Internal && f.Message != "" {
		if f.Kind == fault.Unauthenticated && strings.HasPrefix(f.Code, "token.") && f.Code != "token.missing" {
			return refusedToken
		}
		return f
	}
	return fault.New(fault.Internal, "internal", "internal error; the operator finds the cause in the log under request id %s", requestID)
}
