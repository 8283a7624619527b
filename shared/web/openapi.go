package web

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/provisioning-platform/platform/shared/fault"
)

// Noun is a group of operations in the document and on its page.
type Noun struct {
	Name  string   // "Batches"
	Doc   string   // what it is, in a sentence or two
	Paths []string // the first parts of the paths of its operations: "batch"
}

// StreamDoc describes a Stream for the document, because web neither binds nor encodes it.
type StreamDoc struct {
	Query   any            // a struct with query tags; nil when it takes no parameters
	Status  int            // of an answer that is no refusal; 0 means 200
	Type    string         // its content type, when it has a body
	Doc     string         // what the answer is
	Sends   []any          // the messages of a socket, each as its struct
	Hears   []any          // the messages that a client may send
	Closes  map[int]string // the codes with which the service closes a socket, and when
	Refuses []fault.Kind   // beyond what every route of this kind may refuse
}

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

// signIn says how to authenticate, in the document and on its page.
const signIn = "Sign in at the control-center: POST /auth/login with the user name, the password and, if the account has a second factor, a code of it. " +
	"Send the token of the answer in each request: Authorization: Bearer <token>. It is good for some minutes; POST /auth/refresh gives the next one."

// document makes the OpenAPI document and the page from the table of routes. Called once, before
// the server serves.
func (s *Server) document() error {
	c, paths, nouns := newSchemas(), map[string]any{}, nounsOf(s.cfg.Nouns, s.routes)
	for _, r := range s.routes {
		if r.Internal {
			continue
		}
		op, err := operation(r, c, nouns)
		if err != nil {
			return fmt.Errorf("document route %s: %w", r.Op, err)
		}
		at := documentPath(r.Path)
		item, _ := paths[at].(map[string]any)
		if item == nil {
			item = map[string]any{}
			paths[at] = item
		}
		item[strings.ToLower(r.Method)] = op
	}
	tags := make([]any, len(nouns))
	for i, n := range nouns {
		tags[i] = map[string]any{"name": n.Name, "description": or(n.Doc, n.Name)}
	}
	doc := map[string]any{
		"openapi": "3.1.0",
		"info":    map[string]any{"title": s.cfg.Title, "version": or(s.cfg.Version, "v1"), "description": s.cfg.Description + "\n\n" + signIn},
		"servers": []any{map[string]any{"url": "/", "description": "where this document is served"}},
		"tags":    tags,
		"paths":   paths,
		"components": map[string]any{
			"schemas":         c.components,
			"securitySchemes": map[string]any{"bearer": map[string]any{"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": signIn}},
			"responses":       refusalResponses(c),
		},
	}
	var err error
	if s.openapi, err = json.Marshal(doc, json.Deterministic(true), jsontext.WithIndent("  ")); err != nil {
		return fmt.Errorf("encode OpenAPI document: %w", err)
	}
	s.page, err = page(s.cfg, s.routes, nouns)
	return err
}

// nounsOf returns the configured nouns, and one for each operation that is of none of them.
func nounsOf(configured []Noun, routes []Route) []Noun {
	nouns := slices.Clone(configured)
	for _, r := range routes {
		if at := firstPart(r.Path); !r.Internal && nounOf(r, nouns) == "" {
			nouns = append(nouns, Noun{Name: at, Paths: []string{at}})
		}
	}
	return nouns
}

// nounOf returns the name of the noun that an operation is of.
func nounOf(r Route, nouns []Noun) string {
	at := firstPart(r.Path)
	for _, n := range nouns {
		if slices.Contains(n.Paths, at) {
			return n.Name
		}
	}
	return ""
}

// firstPart returns the first part of a path.
func firstPart(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return first
}

// documentPath writes a path as OpenAPI does: "/users/{id}".
func documentPath(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if p != "" && (p[0] == ':' || p[0] == '*') {
			parts[i] = "{" + p[1:] + "}"
		}
	}
	return strings.Join(parts, "/")
}

// operation returns the operation object of a route.
func operation(r Route, c *schemas, nouns []Noun) (map[string]any, error) {
	op := map[string]any{
		"operationId": r.Op, "summary": r.Summary, "description": explain(r), "tags": []any{nounOf(r, nouns)},
		"x-permission": r.Permission.String(), "security": []any{},
	}
	if r.ShowsSecret {
		op["x-shows-secret"] = true
	}
	if r.Permission.kind != permitOpen {
		op["security"] = []any{map[string]any{"bearer": []any{}}}
	}
	b, err := bindingOf(r)
	if err != nil {
		return nil, err
	}
	if params := parameters(r, b, c); len(params) > 0 {
		op["parameters"] = params
	}
	if b.body != nil {
		op["requestBody"] = map[string]any{
			"required": true,
			"content":  map[string]any{typeJSON: map[string]any{"schema": c.of(b.body, false), "example": exampleOf(b.body, nil, false)}},
		}
	}
	responses := map[string]any{}
	if err := answers(r, c, op, responses); err != nil {
		return nil, err
	}
	for _, k := range refusals(r, b) {
		status := strconv.Itoa(StatusOf(k))
		responses[status] = map[string]any{"$ref": "#/components/responses/" + refusalName(k)}
	}
	op["responses"] = responses
	return op, nil
}

// explain returns the description of an operation: what the route says about itself, and what its
// literal says about who may do it, how often, and how it is repeated.
func explain(r Route) string {
	var said []string
	add := func(text string) {
		if text != "" {
			said = append(said, strings.TrimSuffix(text, ".")+".")
		}
	}
	add(r.Summary)
	add(r.Doc)
	switch r.Permission.kind {
	case permitOpen:
		add("Needs no token")
	case permitAuthenticated:
		add("Needs a token; what else is needed depends on what it is about")
	case permitPolicy:
		add("Needs a token and the right to " + r.Permission.action + " " + r.Permission.resource)
	}
	switch r.Limit {
	case Free:
	case Authentication:
		add("Counts towards the rate limit of signing in, by address")
	case Batch:
		add("Counts towards the rate limit of batches, by user")
	default:
		if r.Permission.kind == permitOpen {
			add("Counts towards the general rate limit, by address")
		} else {
			add("Counts towards the general rate limit, by user")
		}
	}
	if r.Audit != "" {
		add("The audit log calls it " + r.Audit)
	}
	if r.ShowsSecret {
		add("The answer shows a secret once: a repeat with the same Idempotency-Key is 409")
	}
	return strings.Join(said, " ")
}

func parameters(r Route, b *binding, c *schemas) []any {
	var out []any
	for _, group := range []struct {
		in     string
		fields []*field
	}{{"path", b.path}, {"query", b.query}, {"header", b.header}} {
		for _, f := range group.fields {
			p := map[string]any{"name": f.name, "in": group.in, "required": group.in == "path" || f.rules.required}
			schema := c.field(f, false)
			if d, ok := schema["description"]; ok {
				p["description"] = d
				delete(schema, "description")
			}
			delete(schema, "examples")
			p["schema"], p["example"] = schema, exampleOf(f.shape, &f.rules, false)
			out = append(out, p)
		}
	}
	if r.idempotent() {
		out = append(out, map[string]any{
			"name": "Idempotency-Key", "in": "header", "required": false, "schema": map[string]any{"type": "string", "minLength": 1, "maxLength": maxClaimKey},
			"description": "Makes a repeat of this request within 24 hours return the first answer instead of acting again: a text of your own, fresh for each act.",
			"example":     "5d7f4a2e-0a3e-4f4a-8a2e-5d7f4a2e0a3e",
		})
	}
	return out
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// OpenAPI returns the document, as served.
func (s *Server) OpenAPI() []byte { return bytes.Clone(s.openapi) }

// outputOf returns the shape of what a route answers in the member data, and whether it is a list
// of them.
func outputOf(r Route) (s *shape, list bool, err error) {
	t := r.Handle.out
	if p, ok := reflect.Zero(t).Interface().(pager); ok {
		t, list = p.row(), true
	}
	s, err = newShapes().of(t)
	if err == nil && s.kind == shapeList {
		s, list = s.elem, true
	}
	return s, list, err
}
