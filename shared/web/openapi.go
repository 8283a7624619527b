package web

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/provisioning-platform/platform/shared/fault"
)

// documents returns the routes of the OpenAPI document and its page for people.
func (s *Server) documents() []Route {
	return []Route{
		{
			Method: http.MethodGet, Path: "/openapi.json", Op: "getOpenAPI", Summary: "This document, in OpenAPI 3.1",
			Permission: Open(), Handle: To(func(context.Context, None) (Raw, error) {
				return Raw{ContentType: typeJSON, Body: s.openapi, MaxAge: time.Minute}, nil
			}),
		},
		{
			Method: http.MethodGet, Path: "/docs", Op: "getDocs", Summary: "This document, as a page",
			Permission: Open(), Handle: To(func(context.Context, None) (Raw, error) { return s.page, nil }),
		},
	}
}

// document makes the OpenAPI document and the page from the table of routes. Called once, before the
// server serves.
func (s *Server) document() error {
	c, paths := newSchemas(), map[string]any{}
	for _, r := range s.routes {
		if r.Internal {
			continue
		}
		op, err := operation(r, c)
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
	doc := map[string]any{
		"openapi": "3.1.0",
		"info":    map[string]any{"title": s.cfg.Title, "version": or(s.cfg.Version, "v1"), "description": s.cfg.Description},
		"paths":   paths,
		"components": map[string]any{
			"schemas":         c.components,
			"securitySchemes": map[string]any{"bearer": map[string]any{"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
			"responses":       map[string]any{"Error": jsonResponse("The request was refused.", errorSchema())},
		},
	}
	var err error
	if s.openapi, err = json.Marshal(doc, json.Deterministic(true), jsontext.WithIndent("  ")); err != nil {
		return fmt.Errorf("encode OpenAPI document: %w", err)
	}
	s.page = page(s.cfg.Title, s.cfg.Description, s.routes)
	return nil
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
func operation(r Route, c *schemas) (map[string]any, error) {
	op := map[string]any{
		"operationId": r.Op, "summary": r.Summary, "tags": []any{tag(r.Path)},
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
			"required": true, "content": map[string]any{typeJSON: map[string]any{"schema": c.of(b.body, false)}},
		}
	}
	success, err := successResponse(r, c)
	if err != nil {
		return nil, err
	}
	responses := map[string]any{strconv.Itoa(r.status()): success}
	for _, status := range refusals(r, b) {
		responses[strconv.Itoa(status)] = map[string]any{"$ref": "#/components/responses/Error"}
	}
	op["responses"] = responses
	return op, nil
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
			p["schema"] = schema
			out = append(out, p)
		}
	}
	if r.idempotent() {
		out = append(out, map[string]any{
			"name": "Idempotency-Key", "in": "header", "required": false, "schema": map[string]any{"type": "string", "maxLength": maxClaimKey},
			"description": "Makes a repeat of this request within 24 hours return the first answer instead of acting again.",
		})
	}
	return out
}

// successResponse describes the answer of a route that went well.
func successResponse(r Route, c *schemas) (map[string]any, error) {
	if r.Stream != nil {
		return map[string]any{"description": "A stream or text; not enveloped."}, nil
	}
	t, list := r.Handle.out, false
	if t == reflect.TypeFor[Raw]() {
		return map[string]any{"description": "Success; not enveloped."}, nil
	}
	if p, ok := reflect.Zero(t).Interface().(pager); ok {
		t, list = p.row(), true
	}
	s, err := newShapes().of(t)
	if err != nil {
		return nil, err
	}
	data := c.of(s, true)
	if list {
		data = map[string]any{"type": "array", "items": data}
	}
	out := jsonResponse("Success.", map[string]any{
		"type": "object", "required": []any{"success", "data"},
		"properties": map[string]any{"success": map[string]any{"const": true}, "data": data},
	})
	if list {
		out["headers"] = map[string]any{
			"X-Total-Count":       header("integer", "rows that match now, or as many as were counted"),
			"X-Total-Count-Exact": header("string", "false when X-Total-Count is where counting stopped; absent when it is exact"),
			"X-Limit":             header("integer", "rows at most on this page"),
			"X-Offset":            header("integer", "rows left out before this page"),
			"Link":                header("string", "rel=next goes on behind the last row, also of an empty page; rel=prev and rel=first where there are some"),
		}
	}
	return out, nil
}

func header(kind, description string) map[string]any {
	return map[string]any{"description": description, "schema": map[string]any{"type": kind}}
}

func jsonResponse(description string, schema map[string]any) map[string]any {
	return map[string]any{
		"description": description,
		"content":     map[string]any{typeJSON: map[string]any{"schema": schema}, typeVendor: map[string]any{"schema": schema}},
	}
}

func errorSchema() map[string]any {
	text := map[string]any{"type": "string"}
	return map[string]any{
		"type": "object", "required": []any{"success", "error"},
		"properties": map[string]any{
			"success": map[string]any{"const": false}, "error": map[string]any{"type": "string", "minLength": 1}, "code": text, "request_id": text,
			"fields": map[string]any{"type": "array", "items": map[string]any{
				"type": "object", "required": []any{"pointer", "message"}, "properties": map[string]any{"pointer": text, "message": text},
			}},
		},
	}
}

// refusals returns the statuses a route may refuse with.
func refusals(r Route, b *binding) []int {
	kinds := []fault.Kind{fault.NotAcceptable, fault.Internal, fault.Unavailable}
	if r.Limit != Free {
		kinds = append(kinds, fault.Throttled)
	}
	if r.Permission.kind != permitOpen || r.Limit == Authentication {
		kinds = append(kinds, fault.Unauthenticated)
	}
	if r.Permission.kind != permitOpen {
		kinds = append(kinds, fault.Denied)
	}
	if len(b.query)+len(b.header) > 0 || b.hasBody {
		kinds = append(kinds, fault.Malformed)
	}
	if len(b.path) > 0 || r.Mutates() {
		kinds = append(kinds, fault.NotFound)
	}
	if b.hasBody {
		kinds = append(kinds, fault.Conflict, fault.TooLarge, fault.MediaType, fault.Invalid)
	}
	if r.Stream != nil {
		kinds = append(kinds, fault.Gone)
	}
	statuses := make([]int, len(kinds))
	for i, k := range kinds {
		statuses[i] = StatusOf(k)
	}
	return statuses
}

// tag groups operations by the first part of their path.
func tag(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return first
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// OpenAPI returns the document, as served.
func (s *Server) OpenAPI() []byte { return bytes.Clone(s.openapi) }
