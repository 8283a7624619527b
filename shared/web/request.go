package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/trace"
	"github.com/provisioning-platform/platform/shared/web/body"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
	"github.com/provisioning-platform/platform/shared/web/ratelimit"
)

// endpoint is a route as it is served: its literal, its binding and its metrics.
type endpoint struct {
	route    *Route
	face     Face // of the route, complete
	bind     *binding
	mutates  bool
	unrouted *fault.Error // answer of what is no route
}

// request is one request on its way through. It belongs to the goroutine that serves it.
type request struct {
	s           *Server
	ep          *endpoint
	c           *gin.Context
	r           *http.Request
	began       time.Time
	caller      Caller
	scene       audit.Context
	resource    authz.Resource
	act         authz.Act          // all that the policies were asked about
	asked       [2]authz.Asked     // room for act, which is seldom about more
	ctx         context.Context    // what handlers and log lines get; made by context
	err         error              // why it was refused, for the log
	in          any                // what the handler gets, when it could be read; its texts are masked in the log
	keyed       *idempotency.Run   // the run under its Idempotency-Key
	fingerprint string             // of the request, when it has an Idempotency-Key
	stop        context.CancelFunc // of the context of a change that outlives its client; nil for others
	releaseRoom func()             // gives back the room that the body takes; nil when it takes none
	unread      bool               // the client may still be sending the body
	contentType string             // of an answer whose encoder names none
	foreign     error              // why no version is what the client accepts
	took        time.Duration      // until the answer was written
	own, parent trace.SpanContext  // of its span
}

// maxBody is the most bytes of a body that are read.
func (ep *endpoint) maxBody() int64 {
	if ep.bind == nil {
		return DefaultMaxBody
	}
	return ep.bind.maxBody
}

func (s *Server) newEndpoint(r *Route, b *binding) *endpoint {
	return &endpoint{route: r, face: s.complete(r.Face), bind: b, mutates: r.Mutates()}
}

// unrouted returns the router's handler of what it does not know: the refusal f, in the face of the
// path.
func (s *Server) unrouted(f *fault.Error) gin.HandlerFunc {
	serve := func(face *Face) gin.HandlerFunc {
		route := &Route{Permission: Open(), Limit: Free, Method: http.MethodGet}
		return s.serve(&endpoint{route: route, face: s.complete(face), unrouted: f})
	}
	plain, below := serve(nil), map[string]gin.HandlerFunc{}
	for _, r := range s.routes {
		if r.Face != nil && r.Face.Prefix != "" && below[r.Face.Prefix] == nil {
			below[r.Face.Prefix] = serve(r.Face)
		}
	}
	return func(c *gin.Context) {
		for prefix, handler := range below {
			if strings.HasPrefix(c.Request.URL.Path, prefix) {
				handler(c)
				return
			}
		}
		plain(c)
	}
}

// serve returns the router's handler of an endpoint.
func (s *Server) serve(ep *endpoint) gin.HandlerFunc {
	return func(c *gin.Context) {
		x := &request{s: s, ep: ep, c: c, r: c.Request, began: s.now()}
		defer x.finish()
		x.prepare()
		if err := x.run(); err != nil {
			x.refuse(err)
		}
	}
}

// prepare gives the request its id, its caller's address and the headers that every answer has.
func (x *request) prepare() {
	h := x.c.Writer.Header()
	rid := x.ep.face.RequestID(x.r.Header.Get("X-Request-Id"))
	h["X-Request-Id"] = []string{rid}
	x.s.secure(h, x.r)
	if x.ep.face.Headers != nil {
		x.ep.face.Headers(h, rid)
	}
	if len(x.r.TransferEncoding) > 0 { // it may have had a length as well, which net/http drops: what follows is nobody's request
		h["Connection"] = []string{"close"}
	}
	x.caller.At, x.caller.IP, x.caller.RequestID = x.began.Truncate(time.Microsecond), x.s.clientAddress(x.r), rid
	x.scene = audit.Context{Op: x.ep.route.Op, Origin: x.s.cfg.Service, RequestID: rid}
	x.scene.Actor.IP = x.caller.IP.String()
	x.contentType, x.foreign = x.ep.face.Accept(x.r.Header["Accept"])
	x.unread = x.r.ContentLength != 0
}

// maxParam is the most bytes of a path parameter. Names are that long at most (decision 20); what
// is longer, such as a token in the wrong place, is not asked about.
const maxParam = 256

// run takes the request through all stages; the order is decision 23's.
func (x *request) run() error {
	switch {
	case x.s.draining.Load():
		x.c.Header("Connection", "close")
		return fault.New(fault.Unavailable, "service.draining", "the service is stopping; try again shortly").After(time.Second)
	case x.ep.unrouted != nil:
		if x.s.cfg.CORS.preflight(x.c.Writer.Header(), x.r) {
			x.write(http.StatusNoContent, "", nil)
			return nil
		}
		return x.ep.unrouted
	}
	long := false
	for i, p := range x.c.Params { // before a refusal records it
		long = long || len(p.Value) > maxParam
		x.c.Params[i].Value = x.recognise(p)
	}
	if err := x.limitAndAuthenticate(); err != nil {
		return err
	}
	if long {
		return fault.New(fault.NotFound, "http.not_found", "there is nothing at this path; /docs lists those there are")
	}
	if x.foreign != nil {
		return x.foreign
	}
	x.enterTrace()
	if x.ep.route.Stream != nil {
		if err := x.authorise(x.resources(nil), false); err != nil {
			return err
		}
		x.ep.route.Stream.ServeHTTP(x.c.Writer, x.r.WithContext(x.context()))
		return nil
	}
	if wait := x.ep.route.Wait; wait > 0 {
		if err := http.NewResponseController(x.c.Writer).SetWriteDeadline(x.began.Add(wait)); err != nil &&
			!errors.Is(err, http.ErrNotSupported) {
			return fmt.Errorf("extend the time for the answer: %w", err)
		}
		// A stop does not wait for such an answer: what it waits for goes on after the start.
		ctx, cancel := context.WithCancel(x.context())
		defer cancel()
		defer context.AfterFunc(x.s.drained, cancel)()
		x.ctx = ctx
	}
	return x.handle()
}

// unrecognised stands in decisions, entries, texts and log lines for a path parameter that can name
// nothing. It may be a secret in the wrong place, and an audit log never forgets.
const unrecognised = "unrecognised"

// recognise returns a path parameter as everything behind it sees it: a UUID in its canonical
// spelling, by which policies know the object, what the service knows, and else unrecognised.
func (x *request) recognise(p gin.Param) string {
	if v := id.Canonical(p.Value); id.Valid(v) {
		return v
	}
	if known := x.s.cfg.Known; known != nil && len(p.Value) <= maxParam && known(p.Key, p.Value) {
		return p.Value
	}
	return unrecognised
}

// limitAndAuthenticate counts the request in its rate limit and learns who asks, in the order of
// decision 23.
func (x *request) limitAndAuthenticate() error {
	rt := x.ep.route
	if x.s.cfg.Admit != nil {
		if err := x.s.cfg.Admit(*rt); err != nil {
			return err
		}
	}
	if rt.Internal && x.s.cfg.AdmitPeer != nil {
		if err := x.s.cfg.AdmitPeer(*rt, x.r); err != nil {
			return err
		}
	}
	if rt.Limit == Authentication {
		if err := x.count(ratelimit.Authentication, addressKey(x.caller.IP)); err != nil {
			return err
		}
	}
	if rt.Permission.kind == permitOpen {
		if rt.Limit == General || rt.Limit == Batch {
			return x.count(ratelimit.Address, addressKey(x.caller.IP))
		}
		return nil
	}
	if err := x.authenticate(); err != nil {
		if fault.Is(err, fault.Unauthenticated) {
			if over := x.count(ratelimit.Address, addressKey(x.caller.IP)); over != nil {
				return over
			}
		}
		return err
	}
	switch rt.Limit {
	case General:
		if err := x.count(ratelimit.General, x.caller.Claims.Subject); err != nil {
			return err
		}
	case Batch:
		if err := x.count(ratelimit.Batch, x.caller.Claims.Subject); err != nil {
			return err
		}
	}
	return x.identity()
}

// count counts the request in a bucket, whose state the headers then show.
func (x *request) count(g ratelimit.Group, who string) error {
	if !x.s.cfg.RateLimits.Enabled {
		return nil
	}
	v := x.s.limits.Take(g, who)
	x.ep.face.Limits(x.c.Writer.Header(), v)
	if v.OK {
		return nil
	}
	return fault.New(fault.Throttled, "http.rate_limit", "too many requests: %d a minute are allowed here; try again in %s s", v.Limit,
		ratelimit.Seconds(v.Wait)).After(v.Wait)
}

// workLimit bounds a change whose client may have left.
const workLimit = time.Minute

// context returns the request's context with who asks, the scene of the audit log and the
// attributes of its log lines.
func (x *request) context() context.Context {
	if x.ctx != nil {
		return x.ctx
	}
	ctx := x.r.Context()
	if x.ep.route.outlivesClient() {
		ctx, x.stop = context.WithTimeout(context.WithoutCancel(ctx), workLimit)
	}
	ctx = audit.WithContext(ctx, &x.scene)
	ctx = context.WithValue(ctx, requestKey{}, x)
	if !x.own.None() {
		ctx = trace.With(ctx, x.own)
	}
	x.ctx = obs.With(ctx, slog.String("request_id", x.caller.RequestID), slog.String("op", x.ep.route.Op))
	return x.ctx
}

// handle authorises, binds and calls. What can be decided without the body is decided before it is
// read (decision 57): who may not do this at all costs no memory, and learns nothing about what was
// wrong with it.
func (x *request) handle() error {
	h := x.ep.route.Handle
	in := h.fresh()
	_, named := in.(interface{ Resources() []authz.Resource })
	if err := x.authorise(x.resources(nil), named); err != nil {
		return err
	}
	v := reflect.ValueOf(in).Elem()
	if err := x.ep.bind.bind(x.c, v); err != nil {
		return err
	}
	if x.ep.bind.hasBody {
		if err := x.decode(v); err != nil {
			return err
		}
	}
	x.in = in
	if named {
		if err := x.authorise(x.resources(in), false); err != nil {
			return err
		}
	}
	if v, ok := in.(interface{ Validate() []fault.Field }); ok {
		if faults := v.Validate(); len(faults) > 0 {
			return contentFault(faults)
		}
	}
	if p, ok := in.(interface{ paging() *Paging }); ok {
		p.paging().Limit = min(p.paging().Limit, MaxLimit)
	}
	if x.ep.route.Wait > 0 { // others need not wait for room until this one is answered
		x.releaseMemory()
	}
	if x.fingerprint != "" {
		if answered, err := x.begin(); answered || err != nil {
			return err
		}
	}
	out, err := h.call(x.context(), in)
	if err != nil {
		return err
	}
	return x.answer(in, out)
}

// contentFault returns the fault of what Validate found: 400 when only query parameters are wrong.
func contentFault(faults []fault.Field) error {
	for _, f := range faults {
		if f.Pointer == "" || f.Pointer[0] == '/' {
			return body.Invalid(faults)
		}
	}
	return fault.New(fault.Malformed, "input.query", "%s", body.Named(faults[0])).With(faults...)
}
