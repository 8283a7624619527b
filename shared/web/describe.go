package web

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
	"github.com/provisioning-platform/platform/shared/web/openapi"
)

// documents returns the routes of the OpenAPI document and its page for people.
func (s *Server) documents() []Route {
	return []Route{
		{
			Method: http.MethodGet, Path: "/openapi.json", Op: "getOpenAPI", Summary: "This document, in OpenAPI 3.1", Produces: typeJSON,
			Permission: Open(), Handle: To(func(context.Context, None) (Raw, error) {
				return Raw{ContentType: typeJSON, Body: s.openapi, MaxAge: time.Minute}, nil
			}),
		},
		{
			Method: http.MethodGet, Path: "/docs", Op: "getDocs", Summary: "This document, as a page", Produces: "text/html",
			Permission: Open(), Handle: To(func(context.Context, None) (Raw, error) { return s.page, nil }),
		},
	}
}

// document makes the OpenAPI document and its page from the table of routes, once, before the
// server serves.
func (s *Server) document() error {
	d := openapi.Document{
		Service: s.cfg.Service, Title: s.cfg.Title, Version: s.cfg.Version,
		Description: s.cfg.Description, Nouns: s.cfg.Nouns,
		Status: StatusOf, Basic: s.basic(), Types: [2]string{typeJSON, typeVendor},
	}
	for _, r := range s.routes {
		if r.Internal {
			continue
		}
		o, err := r.describe()
		if err != nil {
			return fmt.Errorf("document route %s: %w", r.Op, err)
		}
		d.Operations = append(d.Operations, o)
	}
	var err error
	if s.openapi, err = d.JSON(); err != nil {
		return err
	}
	page, policy, err := d.Page()
	s.page = Raw{
		ContentType: "text/html; charset=utf-8", Body: page, MaxAge: time.Minute,
		Headers: map[string]string{"Content-Security-Policy": policy},
	}
	return err
}

// basic says whether those who ask send a user name and a password: all faces say so.
func (s *Server) basic() bool {
	faces := 0
	for _, r := range s.cfg.Routes {
		if r.Face == nil || r.Face.Challenge != "Basic" {
			return false
		}
		faces++
	}
	return faces > 0
}

// OpenAPI returns the document, as served.
func (s *Server) OpenAPI() []byte { return bytes.Clone(s.openapi) }

// describe returns what the document says about the route.
func (r Route) describe() (openapi.RouteDoc, error) {
	b, err := bindingOf(r)
	o := openapi.RouteDoc{
		Method: r.Method, Path: r.Path, ID: r.Op, Summary: r.Summary, Doc: r.Doc,
		Permission: r.Permission.String(), Open: r.Permission.kind == permitOpen,
		Notes: []string{r.Permission.sentence(), r.limitSentence()},
		Audit: r.Audit, ShowsSecret: r.ShowsSecret, Status: r.status(), Example: cmp.Or(r.Example, r.Handle.says), Produces: r.Produces,
	}
	if err != nil {
		return o, err
	}
	o.Body, o.Examples = b.body, r.Examples
	if o.Body != nil {
		o.Body.Exemplify(r.Examples)
	}
	for _, f := range b.path {
		o.Parameters = append(o.Parameters, openapi.Parameter{In: "path", Member: f})
	}
	for _, f := range b.query {
		o.Parameters = append(o.Parameters, openapi.Parameter{In: "query", Member: f})
	}
	for _, f := range b.header {
		o.Parameters = append(o.Parameters, openapi.Parameter{In: "header", Member: f})
	}
	if r.idempotent() {
		o.IdempotencyKey = idempotency.MaxKey
	}
	switch {
	case r.Speaks != nil:
		o.Stream = r.Speaks
		if o.Stream.Status != 0 {
			o.Status = o.Stream.Status
		}
	case r.Stream != nil:
		o.Stream = &openapi.StreamDoc{Type: "text/plain", Doc: "A stream or text, without the envelope."}
	case r.Face != nil && r.Handle.out != reflect.TypeFor[Raw]() && r.Handle.out != reflect.TypeFor[Pieces]():
		o.Bare = true
		if r.Handle.out != reflect.TypeFor[any]() {
			o.Output = r.Handle.out
		}
	case r.Handle.out == reflect.TypeFor[Raw]() || r.Handle.out == reflect.TypeFor[Pieces]():
		o.Raw = true
	default:
		o.Output = r.Handle.out
		if p, ok := reflect.Zero(o.Output).Interface().(pager); ok {
			o.Output, o.Page = p.row(), true
		}
	}
	if f := r.Face; f != nil && f.Status != nil {
		o.StatusOf = func(k fault.Kind) int { return f.Status(fault.New(k, "", "")) }
	}
	o.Refuses = r.refusals(&o)
	return o, nil
}

// sentence says who may use a route, for the document; empty for a service's.
func (p Permission) sentence() string {
	person := "; no API token is taken"
	if p.machines {
		person = ""
	}
	switch p.kind {
	case permitOpen:
		return "Needs no token"
	case permitAuthenticated:
		return "Needs a token; what else is needed depends on what it is about" + person
	case permitPolicy:
		return "Needs a token and the right to " + p.action + " " + p.resource + person
	}
	return ""
}

// limitSentence says in which rate limit the route counts.
func (r Route) limitSentence() string {
	switch {
	case r.Limit == Free:
		return ""
	case r.Limit == Authentication:
		return "Counts towards the rate limit of signing in, by address"
	case r.Limit == Batch:
		return "Counts towards the rate limit of batches, by user"
	case r.Permission.kind == permitOpen:
		return "Counts towards the general rate limit, by address"
	}
	return "Counts towards the general rate limit, by user"
}

// refusals returns the kinds that the route may refuse with: those that follow from its literal,
// and those that it names.
func (r Route) refusals(o *openapi.RouteDoc) []fault.Kind {
	kinds := append([]fault.Kind{fault.NotAcceptable, fault.Internal, fault.Unavailable}, r.Refuses...)
	add := func(when bool, more ...fault.Kind) {
		if when {
			kinds = append(kinds, more...)
		}
	}
	add(r.Limit != Free, fault.Throttled)
	add(!o.Open, fault.Unauthenticated, fault.Denied)
	for _, p := range o.Parameters {
		add(p.In == "path", fault.NotFound)
		add(p.In != "path", fault.Malformed)
	}
	add(o.Page, fault.Invalid) // too deep
	add(o.Body != nil, fault.Malformed, fault.TooLarge, fault.MediaType, fault.Invalid)
	add(o.IdempotencyKey > 0, fault.Malformed, fault.Conflict, fault.Invalid)
	if r.Speaks != nil {
		kinds = append(kinds, r.Speaks.Refuses...)
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}
