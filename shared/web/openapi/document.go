package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web/body"
)

// signIn says how to authenticate, in the document and on its page.
const signIn = "Sign in at the control-center: POST /auth/login with the user name, the password and, if the account has a second " +
	"factor, a code of it. " +
	"Send the token of the answer in each request: Authorization: Bearer <token>. It is good for some minutes; POST /auth/refresh gives " +
	"the next one."

// signInBasic is signIn where a user name and a password are asked for.
const signInBasic = "Send a user name and its password in each request: Authorization: Basic, or curl -u NAME:PASSWORD. A subscription " +
	"signs in with " +
	"its own name; the roles admin, prefill and publisher have theirs from the operator. Whatever does not fit the path is 401."

// signIn says how to authenticate at the service.
func (d *Document) signIn() string {
	if d.Basic {
		return signInBasic
	}
	return signIn
}

// scheme returns the name of the security scheme and the scheme.
func (d *Document) scheme() (name string, of map[string]any) {
	if d.Basic {
		return "HTTPBasic", map[string]any{"type": "http", "scheme": "basic", "description": signInBasic}
	}
	return "bearer", map[string]any{"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": signIn}
}

// JSON returns the document in OpenAPI 3.1.
func (d *Document) JSON() ([]byte, error) {
	c, paths, nouns := newSchemas(), map[string]any{}, nounsOf(d.Nouns, d.Operations)
	for _, r := range d.Operations {
		op, err := d.operation(r, c, nouns)
		if err != nil {
			return nil, fmt.Errorf("document route %s: %w", r.ID, err)
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
	scheme, secured := d.scheme()
	return indented(map[string]any{
		"openapi": "3.1.0",
		"info":    map[string]any{"title": d.Title, "version": or(d.Version, "v1"), "description": d.Description + "\n\n" + d.signIn()},
		"servers": []any{map[string]any{"url": "/", "description": "where this document is served"}},
		"tags":    tags,
		"paths":   paths,
		"components": map[string]any{
			"schemas":         c.components,
			"securitySchemes": map[string]any{scheme: secured},
			"responses":       d.refusalResponses(c),
		},
	})
}

// indented returns v as JSON for people, with maps in a fixed order.
func indented(v any) ([]byte, error) {
	var to bytes.Buffer
	e := json.NewEncoder(&to)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode OpenAPI document: %w", err)
	}
	return bytes.TrimSuffix(to.Bytes(), []byte("\n")), nil
}

// nounsOf returns the configured nouns, and one for each operation that is of none of them.
func nounsOf(configured []Noun, operations []RouteDoc) []Noun {
	nouns := slices.Clone(configured)
	for _, r := range operations {
		if at := firstPart(r.Path); nounOf(r, nouns) == "" {
			nouns = append(nouns, Noun{Name: at, Paths: []string{at}})
		}
	}
	return nouns
}

// nounOf returns the name of the noun that an operation is of.
func nounOf(r RouteDoc, nouns []Noun) string {
	name, longest := "", 0
	for _, n := range nouns {
		for _, p := range n.Paths {
			if at := strings.TrimPrefix(r.Path, "/"); len(p) > longest && (at == p || strings.HasPrefix(at, p+"/")) {
				name, longest = n.Name, len(p)
			}
		}
	}
	return name
}

// statusOf returns the status with which an operation refuses.
func (d *Document) statusOf(r RouteDoc, k fault.Kind) int {
	if r.StatusOf != nil {
		return r.StatusOf(k)
	}
	return d.Status(k)
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

// operation returns the operation object of an operation.
func (d *Document) operation(r RouteDoc, c *schemas, nouns []Noun) (map[string]any, error) {
	op := map[string]any{
		"operationId": r.ID, "summary": r.Summary, "description": explain(r), "tags": []any{nounOf(r, nouns)},
		"x-permission": r.Permission, "security": []any{},
	}
	if r.ShowsSecret {
		op["x-shows-secret"] = true
	}
	if !r.Open {
		scheme, _ := d.scheme()
		op["security"] = []any{map[string]any{scheme: []any{}}}
	}
	if params := parameters(r, c); len(params) > 0 {
		op["parameters"] = params
	}
	if r.Body != nil {
		op["requestBody"] = map[string]any{
			"required": true,
			"content":  map[string]any{d.Types[0]: map[string]any{"schema": c.of(r.Body, false), "example": exampleOf(r.Body, nil, false)}},
		}
	}
	responses := map[string]any{}
	if err := d.answers(r, c, op, responses); err != nil {
		return nil, err
	}
	for _, k := range r.Refuses {
		status := strconv.Itoa(d.statusOf(r, k))
		responses[status] = map[string]any{"$ref": "#/components/responses/" + refusalName(k)}
	}
	op["responses"] = responses
	return op, nil
}

// explain returns the description of an operation: its summary, its notes, and what its route says
// about the audit log and repeats.
func explain(r RouteDoc) string {
	said := append([]string{r.Summary, r.Doc}, r.Notes...)
	if r.Audit != "" {
		said = append(said, "The audit log calls it "+r.Audit)
	}
	if r.ShowsSecret {
		said = append(said, "The answer shows a secret once: a repeat with the same Idempotency-Key is 409")
	}
	said = slices.DeleteFunc(said, func(text string) bool { return text == "" })
	for i, text := range said {
		said[i] = strings.TrimSuffix(text, ".") + "."
	}
	return strings.Join(said, " ")
}

func parameters(r RouteDoc, c *schemas) []any {
	var out []any
	for _, f := range r.Parameters {
		p := map[string]any{"name": f.Name, "in": f.In, "required": f.In == "path" || f.Rules.Required}
		schema := c.field(f.Member, false)
		if d, ok := schema["description"]; ok {
			p["description"] = d
			delete(schema, "description")
		}
		delete(schema, "examples")
		p["schema"], p["example"] = schema, exampleOf(f.Shape, &f.Rules, false)
		out = append(out, p)
	}
	if r.IdempotencyKey > 0 {
		out = append(out, map[string]any{
			"name": "Idempotency-Key", "in": "header", "required": false,
			"schema": map[string]any{"type": "string", "minLength": 1, "maxLength": r.IdempotencyKey},
			"description": "Makes a repeat of this request within 24 hours return the first answer instead of acting again: a text of " +
				"your own, fresh for each act.",
			"example": "5d7f4a2e-0a3e-4f4a-8a2e-5d7f4a2e0a3e",
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

// outputOf returns the shape of what an operation answers in the member data, and whether it is a
// list of them.
func outputOf(r RouteDoc) (s *body.Shape, list bool, err error) {
	if s, err = body.NewShapes().Of(r.Output); err != nil {
		return nil, false, err
	}
	s.Exemplify(r.Examples)
	if s.Kind == body.List {
		return s.Elem, true, nil
	}
	return s, r.Page, err
}
