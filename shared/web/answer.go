package web

import (
	"bytes"
	"net/http"
	"strings"
	"sync"

	"cmp"
	"strconv"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web/ratelimit"
)

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
		if f.Kind == fault.Unauthenticated && strings.HasPrefix(f.Code, "api_token.") { // the text is the same for every reason
			return fault.New(fault.Unauthenticated, refusedToken.Code, "%s", f.Message)
		}
		return f
	}
	return fault.New(fault.Internal, "internal", "internal error; the operator finds the cause in the log under request id %s", requestID)
}

// buffers keeps the buffers of answers.
type buffers struct{ pool sync.Pool }

func newBuffers() *buffers {
	return &buffers{pool: sync.Pool{New: func() any { return new(bytes.Buffer) }}}
}

func (b *buffers) get() *bytes.Buffer { return b.pool.Get().(*bytes.Buffer) }

func (b *buffers) put(used *bytes.Buffer) {
	if used.Cap() <= 1<<20 { // a rare huge answer is not kept
		used.Reset()
		b.pool.Put(used)
	}
}

// answer writes the output of a handler, with the status of its own that it may have.
func (x *request) answer(in, out any) error {
	h := x.c.Writer.Header()
	if p, ok := out.(Pieces); ok {
		return x.pieces(p)
	}
	raw, isRaw := out.(Raw)
	if isRaw && raw.MaxAge > 0 {
		h.Set("Cache-Control", "max-age="+ratelimit.Seconds(raw.MaxAge))
	}
	if x.notModified(out) {
		x.c.Writer.WriteHeader(http.StatusNotModified)
		return nil
	}
	for name, value := range raw.Headers {
		h.Set(name, value)
	}
	buf := x.s.buffers.get()
	defer x.s.buffers.put(buf)
	contentType, err := x.encode(buf, in, out)
	if err != nil {
		return err
	}
	status := x.ep.route.status()
	if own, ok := out.(interface{ Status() int }); ok {
		status = own.Status()
	}
	if x.keyed != nil {
		x.tell(status, contentType, buf.Bytes(), out)
		x.settle()
	}
	x.write(status, contentType, buf.Bytes())
	return nil
}

// notModified sets the ETag of an output that has one, and says whether the client has this very
// state.
func (x *request) notModified(out any) bool {
	tagged, ok := out.(interface{ ETag() string })
	if !ok || tagged.ETag() == "" {
		return false
	}
	tag := `"` + tagged.ETag() + `"`
	x.c.Writer.Header().Set("ETag", tag)
	return x.ep.route.Method == http.MethodGet && listsTag(x.r.Header["If-None-Match"], tag)
}

// listsTag says whether an If-None-Match header names the tag: in a list, as a weak one, or by "*"
// (RFC 9110 13.1.2).
func listsTag(lines []string, tag string) bool {
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			if item = strings.TrimSpace(item); item == "*" || strings.TrimPrefix(item, "W/") == tag {
				return true
			}
		}
	}
	return false
}

// encode writes an output in the wire format of the route, and the headers of a page.
func (x *request) encode(buf *bytes.Buffer, in, out any) (contentType string, err error) {
	if raw, ok := out.(Raw); ok {
		buf.Write(raw.Body)
		return raw.ContentType, nil
	}
	if p, ok := out.(pager); ok {
		of := p.page()
		if asked, ok := in.(interface{ paging() *Paging }); ok {
			paginate(x.c.Writer.Header(), x.r, asked.paging(), of)
		}
		out = of.items
	}
	return x.ep.face.Data(buf, out)
}

// write sends one complete answer; an empty content type is the one that was negotiated.
func (x *request) write(status int, contentType string, body []byte) {
	h := x.c.Writer.Header()
	if len(body) > 0 || status != http.StatusNoContent {
		h["Content-Type"] = []string{cmp.Or(contentType, x.contentType)}
	}
	x.took = x.s.now().Sub(x.began)
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.c.Writer.WriteHeader(status)
	if _, err := x.c.Writer.Write(body); err != nil {
		x.err = err // the client went away
	}
}
