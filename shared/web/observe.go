package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"cmp"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/obs"
)

// metrics are the figures of the HTTP side.
type metrics struct {
	requests obs.Counter
	duration obs.Histogram
	panics   obs.Counter
}

func newMetrics(r *obs.Registry) metrics {
	m := metrics{
		requests: r.Counter("http_requests_total", "Requests answered, by operation and status.", "op", "status"),
		duration: r.Histogram("http_request_duration_seconds", "Seconds until the answer was written, by operation.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}, "op"),
		panics: r.Counter("http_panics_total", "Handlers that panicked; each one is a bug."),
	}
	m.panics.Add(0)
	return m
}

// statusLeft is what log and metrics say of a request whose client left before its answer: no fault
// of the service.
const statusLeft = 499

// log writes the line of the request and counts it. The line names the route, never the path or the
// query: neither a token nor an id of somebody gets into a log that way.
func (x *request) log() {
	took, status := x.took, x.c.Writer.Status()
	if took == 0 { // a stream
		took = x.s.now().Sub(x.began)
	}
	if status == http.StatusOK && x.r.Header.Get("Upgrade") != "" && x.c.Writer.Size() <= 0 {
		status = http.StatusSwitchingProtocols // the socket wrote it past the writer
	}
	if status == http.StatusServiceUnavailable && errors.Is(x.r.Context().Err(), context.Canceled) {
		status = statusLeft
	}
	x.recordSpan(status)
	op := cmp.Or(x.ep.route.Op, "none")
	x.s.metrics.requests.Inc(op, strconv.Itoa(status))
	if r := x.ep.route; !r.Lasts && r.Wait == 0 {
		x.s.metrics.duration.Observe(took.Seconds(), op)
	}
	ctx := context.Background() // the attributes of the request's context stand in the line already
	level := slog.LevelInfo
	if r := x.ep.route; status == http.StatusOK && (r.Internal || r.Path == "/health" || r.Path == "/ready") {
		level = slog.LevelDebug // the services and a load balancer ask every second; only what goes wrong is news
	}
	if !x.s.cfg.Log.Enabled(ctx, level) {
		return
	}
	attrs := append(make([]slog.Attr, 0, 11),
		slog.String("method", method(x.r.Method)), slog.String("route", x.c.FullPath()), slog.Int("status", status),
		slog.Int("bytes", x.c.Writer.Size()), slog.Float64("ms", float64(took.Microseconds())/1000),
		slog.String("ip", x.scene.Actor.IP), slog.String("request_id", x.caller.RequestID), slog.String("op", x.ep.route.Op))
	if sub := x.caller.Claims.Subject; sub != "" {
		attrs = append(attrs, slog.String("sub", sub))
	}
	if x.err != nil {
		attrs = append(attrs, slog.String("code", fault.CodeOf(x.err)), slog.String("error", x.logText(x.err)))
	}
	x.s.cfg.Log.LogAttrs(ctx, level, "request", attrs...)
}

// method returns a request's method as the log shows it: whatever a client made up is one word.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodTrace:
		return m
	}
	return "OTHER"
}
