package web

import (
	"log/slog"
	"net/http"

	"github.com/provisioning-platform/platform/shared/trace"
)

// enterTrace gives a request its span. A caller who has not signed in gets none: a stranger must
// not fill the collector of the operator. Neither do routes that are asked every few seconds (those
// between the services, metrics), nor streams, whose length says nothing about the work.
func (x *request) enterTrace() {
	r := x.ep.route
	stranger := r.Permission.kind == permitOpen || r.Permission.kind == permitService
	if x.s.cfg.Traces == nil || stranger || r.Limit == Free || r.Stream != nil {
		return
	}
	x.own, x.parent = x.s.cfg.Traces.Enter(x.r.Header.Get("traceparent"))
}

// recordSpan sends the span of a request that was answered with status.
func (x *request) recordSpan(status int) {
	if x.own.None() {
		return
	}
	failed := ""
	if status >= http.StatusInternalServerError {
		failed = http.StatusText(status)
	}
	route := x.c.FullPath()
	x.s.cfg.Traces.Record(trace.EndedSpan{
		Own: x.own, Parent: x.parent, Kind: trace.Server, Name: x.r.Method + " " + route, Begin: x.began, End: x.s.now(), Failed: failed,
		Attributes: []slog.Attr{
			slog.String("http.request.method", x.r.Method), slog.String("http.route", route), slog.Int("http.response.status_code", status),
			slog.String("request.id", x.caller.RequestID),
		},
	})
}
