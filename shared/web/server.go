package web

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/trace"
	"github.com/provisioning-platform/platform/shared/web/body"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
	"github.com/provisioning-platform/platform/shared/web/openapi"
	"github.com/provisioning-platform/platform/shared/web/ratelimit"
)

// Config is what a service is made of. Log, Store (for the record of refusals and idempotency),
// Key, Authenticate and Decide are required as soon as a route needs them; NewServer says so.
type Config struct {
	Service     string // "orchestrator", "control-center": the origin of audit records
	Title       string // of the OpenAPI document
	Version     string // of the program, in the OpenAPI document only
	Description string
	Nouns       []openapi.Noun // the groups of the document, the main ones first
	Routes      []Route

	Log     *slog.Logger
	Metrics *obs.Registry // nil: no metrics
	Traces  *trace.Tracer // nil: no traces
	Store   store.DB
	Key     []byte           // of the data folder: what bodies are compared under, for an Idempotency-Key
	Now     func() time.Time // nil: time.Now

	// Authenticate verifies a bearer token. Unauthenticated and Denied faults are shown,
	// Unavailable means that keys or revocations are not known right now.
	Authenticate func(ctx context.Context, raw string, r *http.Request) (token.Claims, error)
	// Decide answers one question of authorization. It never fails: what cannot be decided is
	// denied.
	Decide func(authz.Request) authz.Decision
	// Known says whether the text of a path parameter that is no UUID may name something: the id of
	// a signing key that exists, the number of an entry. Any other is replaced by "unrecognised"
	// before it is asked about, recorded or logged. nil knows UUIDs only.
	Known func(param, value string) bool
	// Admit may refuse a route before anybody is authenticated: a service that is degraded refuses
	// what changes something (decision 5). What it refuses counts in no rate limit. nil admits
	// everything.
	Admit func(Route) error

	RateLimits     ratelimit.Limits
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed; none by default
	CORS           CORS           // pages of other origins that may call; none by default
	HSTS           bool           // over TLS tell browsers to come over TLS only

	// AdmitPeer may refuse a request on the service-to-service port, before it is authenticated.
	// When it is set, Internal routes exist there and nowhere else; nil: there is no such port.
	AdmitPeer func(Route, *http.Request) error
}

// Server is the HTTP side of a service: an http.Handler made from the table of routes.
type Server struct {
	cfg       Config
	now       func() time.Time
	engine    *gin.Engine
	peer      *gin.Engine // of the service-to-service port; nil when there is none
	routes    []Route
	limits    *ratelimit.Limiter
	buffers   *buffers
	admission *body.Admission
	keys      idempotency.Records
	metrics   metrics
	openapi   []byte             // made once, by document
	page      Raw                // made once, by document
	draining  atomic.Bool        // set once, by Drain
	drained   context.Context    // ends with Drain
	drain     context.CancelFunc // ends drained
}

// NewServer checks the table and builds the server. Every fault in the table is an error here, not
// at the first request.
func NewServer(cfg Config) (*Server, error) {
	s := &Server{
		cfg: cfg, now: cfg.Now, buffers: newBuffers(),
		admission: body.NewAdmission(), metrics: newMetrics(cfg.Metrics),
	}
	s.drained, s.drain = context.WithCancel(context.Background())
	if s.now == nil {
		s.now = time.Now
	}
	s.keys.DB, s.keys.Secret, s.keys.Now, s.keys.Log = cfg.Store, cfg.Key, s.now, cfg.Log
	if cfg.Log == nil || cfg.Service == "" {
		return nil, fmt.Errorf("web: Log and Service are required")
	}
	for _, p := range cfg.TrustedProxies {
		if p.Bits() == 0 {
			return nil, fmt.Errorf("web: trusted proxy %s covers every address", p)
		}
	}
	s.limits = ratelimit.New(cfg.RateLimits, s.now)
	gin.SetMode(gin.ReleaseMode)
	s.engine = router()
	engines := []*gin.Engine{s.engine}
	if cfg.AdmitPeer != nil {
		s.peer = router()
		engines = append(engines, s.peer)
	}
	if err := s.register(); err != nil {
		return nil, err
	}
	for _, e := range engines {
		e.NoRoute(s.unrouted(fault.New(fault.NotFound, "http.not_found", "there is nothing at this path; /docs lists those there are")))
		e.NoMethod(s.unrouted(fault.New(fault.MethodUnknown, "http.method",
			"this path does not have that method; see the Allow header")))
	}
	return s, nil
}

// router returns a router without routes, which redirects nobody.
func router() *gin.Engine {
	e := gin.New()
	e.RedirectTrailingSlash, e.RedirectFixedPath = false, false
	e.HandleMethodNotAllowed = true
	_ = e.SetTrustedProxies(nil) // fails for a network that is none only
	return e
}

// register adds all routes, the two of the document included, and HEAD for every GET.
func (s *Server) register() error {
	s.routes = append(append([]Route(nil), s.cfg.Routes...), s.documents()...)
	seen := map[string]string{}
	for i := range s.routes {
		r := &s.routes[i]
		if err := s.accept(*r, seen); err != nil {
			return err
		}
		b, err := bindingOf(*r)
		if err != nil {
			return err
		}
		ep := s.newEndpoint(r, b)
		b.takes, b.lenience = ep.face.Takes, ep.face.Body
		at, serve := s.engine, s.serve(ep)
		if r.Internal && s.peer != nil {
			at = s.peer
		}
		if err := handle(at, r.Method, r.Path, serve); err != nil {
			return err
		}
		if r.Method == http.MethodGet {
			if err := handle(at, http.MethodHead, r.Path, serve); err != nil {
				return err
			}
		}
	}
	return s.document()
}

// accept checks one route against the configuration and those before it.
func (s *Server) accept(r Route, seen map[string]string) error {
	if err := r.check(); err != nil {
		return err
	}
	for _, key := range []string{"op " + r.Op, r.Method + " " + r.Path} {
		if other, ok := seen[key]; ok {
			return fmt.Errorf("route %s %s (%s): already taken by %s", r.Method, r.Path, r.Op, other)
		}
		seen[key] = r.Op
	}
	switch {
	case r.Permission.kind != permitOpen && s.complete(r.Face).Authenticate == nil:
		return fmt.Errorf("route %s: Authenticate is required", r.Op)
	case r.Permission.kind == permitPolicy && s.cfg.Decide == nil:
		return fmt.Errorf("route %s: Decide is required", r.Op)
	case s.cfg.Store == nil && r.Mutates() && r.Permission.kind != permitOpen:
		return fmt.Errorf("route %s: Store is required", r.Op)
	case len(s.cfg.Key) == 0 && r.idempotent():
		return fmt.Errorf("route %s: Key is required", r.Op)
	}
	return nil
}

// handle registers one route with the router, which panics on a clash.
func handle(at *gin.Engine, method, path string, h gin.HandlerFunc) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("route %s %s: %v", method, path, p)
		}
	}()
	at.Handle(method, path, h)
	return nil
}

// ServeHTTP serves one request. One trailing slash is not part of the path (decision 21).
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { serveWith(s.engine, w, r) }

func serveWith(router *gin.Engine, w http.ResponseWriter, r *http.Request) {
	if p := r.URL.Path; len(p) > 1 && p[len(p)-1] == '/' {
		c := new(http.Request)
		*c = *r
		u := *r.URL
		u.Path, u.RawPath = strings.TrimSuffix(p, "/"), ""
		c.URL = &u
		r = c
	}
	router.ServeHTTP(w, r)
}

// Run deletes idempotency keys that have expired until ctx ends; then it returns nil. It is a
// component of the program.
func (s *Server) Run(ctx context.Context) error { return s.keys.Run(ctx) }

// Routes returns the table as served, the routes of the document included.
func (s *Server) Routes() []Route { return append([]Route(nil), s.routes...) }

// Drain makes every new request a 503 and ends the context of those that wait for a long answer
// (Route.Wait); what else is running goes on. There is no way back.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.drain()
}

// Timeouts of a connection. A handler that answers later than its write timeout is cut off, so long
// polls stay below half of it.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 60 * time.Second
	writeTimeout  = 90 * time.Second
	idleTimeout   = 120 * time.Second
	maxHeader     = 32 << 10
)

// HTTP returns the http.Server that serves s, with every timeout and size limited: HTTP/1.0, 1.1
// and 2, the last without TLS only for a client that knows it beforehand. The caller owns listeners
// and shutdown (process.Run).
func (s *Server) HTTP() *http.Server { return s.http(s) }

// PeerHTTP returns the http.Server of the service-to-service port, which has the Internal routes
// and nothing else; nil without Config.AdmitPeer.
func (s *Server) PeerHTTP() *http.Server {
	if s.peer == nil {
		return nil
	}
	return s.http(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveWith(s.peer, w, r) }))
}

func (s *Server) http(h http.Handler) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Protocols:         &protocols,
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
}
