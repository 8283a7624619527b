package web

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/web/ratelimit"
)

// refuse records a refusal where the audit log wants one, settles the request's key with it where
// it is the answer to the request, and answers it.
func (x *request) refuse(err error) {
	buf := x.s.buffers.get()
	defer x.s.buffers.put(buf)
	f, status, contentType := x.encodeRefusal(buf, err)
	if x.keyed != nil {
		if x.keyed.Untell(); definite(f) {
			x.tell(status, contentType, buf.Bytes(), nil)
		}
	}
	if failed := x.record(err); failed != nil {
		x.s.cfg.Log.LogAttrs(x.context(), slog.LevelError, "refusal could not be recorded", slog.String("error", x.logText(failed)))
		cause := err
		err = fault.New(fault.Unavailable, "audit.unavailable", "the audit log cannot be written right now; retry shortly").Because(cause)
		if fault.CodeOf(failed) == store.ErrFull.Code { // the text says what is full (decision 42)
			err = store.ErrFull.Because(cause)
		}
		buf.Reset()
		f, status, contentType = x.encodeRefusal(buf, err)
	} else if x.keyed != nil {
		x.settle()
	}
	x.err = err
	if f.Kind == fault.Internal {
		x.s.cfg.Log.LogAttrs(x.context(), slog.LevelError, "request failed", slog.String("error", x.logText(err)))
	}
	h := x.c.Writer.Header()
	switch {
	case f.RetryAfter > 0:
		h["Retry-After"] = []string{ratelimit.Seconds(f.RetryAfter)}
	case f.Kind == fault.Unavailable:
		h["Retry-After"] = []string{"1"}
	}
	if status == http.StatusUnauthorized {
		h["Www-Authenticate"] = []string{x.ep.face.Challenge}
	}
	if x.unread { // so that the answer need not wait for the body
		_ = http.NewResponseController(x.c.Writer).EnableFullDuplex()
	}
	x.write(status, contentType, buf.Bytes())
	x.discardBody()
}

// encodeRefusal writes what is shown of err in the wire format of the route.
func (x *request) encodeRefusal(to *bytes.Buffer, err error) (f *fault.Error, status int, contentType string) {
	f = shown(err, x.caller.RequestID)
	status = x.ep.face.Status(f)
	return f, status, x.ep.face.Error(to, status, f, x.caller.RequestID)
}

type requestKey struct{}

// Refuse answers a request to a Stream with an error, as any other route would: status, envelope,
// log line, audit record. Call it instead of writing an answer, never after.
func Refuse(w http.ResponseWriter, r *http.Request, err error) {
	if x, ok := r.Context().Value(requestKey{}).(*request); ok {
		x.refuse(err)
		return
	}
	f := shown(err, "") // a handler served without web, in a test
	http.Error(w, f.Message, StatusOf(f.Kind))
}

// finish ends the request: a panic becomes a 500, the request becomes one log line and its metrics.
func (x *request) finish() {
	x.releaseMemory()
	if x.keyed != nil {
		defer x.keyed.End()
	}
	if x.stop != nil {
		defer x.stop()
	}
	if p := recover(); p != nil {
		if p == http.ErrAbortHandler {
			panic(p)
		}
		x.s.metrics.panics.Inc()
		x.s.cfg.Log.LogAttrs(x.context(), slog.LevelError, "handler panicked",
			slog.String("panic", x.masked(fmt.Sprint(p))), slog.String("stack", string(debug.Stack())))
		if !x.c.Writer.Written() {
			x.refuse(fmt.Errorf("panic: %v", p))
		} else {
			x.log()
			panic(http.ErrAbortHandler) // half an answer is out: the client must see it break
		}
	}
	x.log()
}
