package openapi

import (
	"maps"
	"reflect"
	"slices"
	"strconv"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web/body"
)

// answers adds what an operation answers when nothing is refused.
func (d *Document) answers(r RouteDoc, c *schemas, op, responses map[string]any) error {
	status := strconv.Itoa(r.Status)
	switch {
	case r.Stream != nil:
		return d.speech(r, c, op, responses)
	case r.Bare:
		return d.bare(r, c, responses)
	case r.Raw:
		responses[status] = d.plainResponse("The document itself, without the envelope.", r.Produces)
		return nil
	}
	s, list, err := outputOf(r)
	if err != nil {
		return err
	}
	data, example := c.of(s, true), exampleOf(s, &body.Rules{Example: r.Example}, true)
	if list {
		data, example = map[string]any{"type": "array", "items": data, "description": "the rows of this page"}, []any{example}
	} else {
		data["description"] = "what was asked for"
		if s.Kind == body.Text {
			data["description"], data["examples"] = "a sentence that says what was done, or the id of what was made", []any{example}
		}
	}
	envelope := map[string]any{
		"type": "object", "description": "The envelope of every answer.", "required": []any{"success", "data"},
		"properties": map[string]any{"success": map[string]any{"type": "boolean", "const": true, "description": "true: nothing was refused",
			"examples": []any{true}}, "data": data},
	}
	ref := c.envelope(s, list, r.ID, envelope)
	out := d.jsonResponse(success(r), ref, map[string]any{"success": true, "data": example})
	if r.Page {
		out["headers"] = pageHeaders()
	}
	responses[status] = out
	return nil
}

// bare adds an answer that has nothing around it.
func (d *Document) bare(r RouteDoc, c *schemas, responses map[string]any) error {
	schema, example := map[string]any{"type": "null"}, any(nil)
	if r.Output != nil {
		s, list, err := outputOf(r)
		if err != nil {
			return err
		}
		schema, example = c.of(s, true), exampleOf(s, nil, true)
		if list {
			schema, example = map[string]any{"type": "array", "items": schema}, []any{example}
		}
	}
	responses[strconv.Itoa(r.Status)] = map[string]any{"description": success(r),
		"content": map[string]any{d.Types[0]: map[string]any{"schema": schema, "example": example}}}
	return nil
}

func success(r RouteDoc) string {
	if r.Status == 201 {
		return "It was made."
	}
	return "It was done."
}

// shapeOf returns the shape of a value's type.
func shapeOf(v any) (*body.Shape, error) { return body.NewShapes().Of(reflect.TypeOf(v)) }

// sortedCodes returns the close codes in order.
func sortedCodes(closes map[int]string) []int { return slices.Sorted(maps.Keys(closes)) }

// speech adds what is known of a stream.
func (d *Document) speech(r RouteDoc, c *schemas, op, responses map[string]any) error {
	say := r.Stream
	responses[strconv.Itoa(r.Status)] = d.plainResponse(or(say.Doc, "A stream or text, without the envelope."), say.Type)
	for name, messages := range map[string][]any{"x-sends": say.Sends, "x-hears": say.Hears} {
		var refs []any
		for _, m := range messages {
			s, err := shapeOf(m)
			if err != nil {
				return err
			}
			refs = append(refs, c.of(s, name == "x-sends"))
		}
		if refs != nil {
			op[name] = refs
		}
	}
	if say.Closes != nil {
		codes := map[string]any{}
		for code, when := range say.Closes {
			codes[strconv.Itoa(code)] = when
		}
		op["x-close-codes"] = codes
	}
	return nil
}

func (d *Document) plainResponse(description, contentType string) map[string]any {
	out := map[string]any{"description": description}
	switch contentType {
	case "":
	case d.Types[0]:
		out["content"] = map[string]any{d.Types[0]: map[string]any{"schema": map[string]any{"type": "object"}}}
	default:
		out["content"] = map[string]any{contentType: map[string]any{"schema": map[string]any{"type": "string"}}}
	}
	return out
}

func (d *Document) jsonResponse(description string, schema, example map[string]any) map[string]any {
	of := map[string]any{"schema": schema, "example": example}
	return map[string]any{"description": description,
		"content": map[string]any{d.Types[0]: of, d.Types[1]: map[string]any{"schema": schema}}}
}

func pageHeaders() map[string]any {
	header := func(typ, text string, example any) map[string]any {
		return map[string]any{"description": text, "schema": map[string]any{"type": typ}, "example": example}
	}
	return map[string]any{
		"X-Total-Count":       header("integer", "rows that match now, or as many as were counted", 120),
		"X-Total-Count-Exact": header("string", "false when X-Total-Count is where counting stopped; absent when it is exact", "false"),
		"X-Limit":             header("integer", "rows at most on this page", 50),
		"X-Offset":            header("integer", "rows left out before this page", 0),
		"Link":                header("string", "rel=next goes on behind the last row, also of an empty page; rel=prev and rel=first where there are some", `</tasks?after=01997b1c-0000-7000-8000-000000000001&limit=50&offset=50>; rel="next"`),
	}
}

// errorSchema is the envelope of a refusal.
func errorSchema() map[string]any {
	text := func(doc, example string) map[string]any {
		return map[string]any{"type": "string", "description": doc, "examples": []any{example}}
	}
	return map[string]any{
		"type": "object", "description": "The envelope of every refusal.", "required": []any{"success", "error", "code"},
		"properties": map[string]any{
			"success": map[string]any{"type": "boolean", "const": false, "description": "false: it was refused",
				"examples": []any{false}},
			"error": map[string]any{"type": "string", "minLength": 1,
				"description": "what is wrong, why, and what to do next, for people", "examples": []any{"there is no batch with this id"}},
			"code":       text("the same for programs: it does not change", "batch.not_found"),
			"request_id": text("names the request in the logs and in the audit log", "01997b1c-0000-7000-8000-000000000001"),
			"fields": map[string]any{
				"type": "array", "description": "every member or parameter that is wrong",
				"examples": []any{[]any{map[string]any{"pointer": "/name", "message": "is required"}}},
				"items":    map[string]any{"$ref": "#/components/schemas/ErrorField"},
			},
		},
	}
}

func errorFieldSchema() map[string]any {
	return map[string]any{
		"type": "object", "description": "One fault of a request.", "required": []any{"pointer", "message"},
		"properties": map[string]any{
			"pointer": map[string]any{"type": "string", "description": "a JSON pointer into the body, or the name of a parameter",
				"examples": []any{"/name"}},
			"message": map[string]any{"type": "string", "description": "what is wrong with it", "examples": []any{"is required"}},
		},
	}
}

// refusalDoc is how a kind of refusal is called in the document, what it means, and the code of an
// example.
type refusalDoc struct {
	kind             fault.Kind
	name, text, code string
}

var refusalDocs = []refusalDoc{
	{fault.Malformed, "Malformed", "The request cannot be read: a parameter, a header, or JSON that is none.", "input.query"},
	{fault.Unauthenticated, "Unauthenticated", "There is no token, or it is not valid (any more): sign in again.", "token.refused"},
	{fault.Denied, "Denied", "No policy allows this to the caller, or one forbids it. The text says which right is missing.",
		"authz.denied"},
	{fault.NotFound, "NotFound", "There is no such thing, or not any more.", "task.not_found"},
	{fault.NotAcceptable, "NotAcceptable", "The Accept header asks for a version of the API that does not exist.", "http.version"},
	{fault.Conflict, "Conflict", "The state of the thing does not allow it now, or the same request is still running.", "batch.ended"},
	{fault.Gone, "Gone", "It was there and is not kept any more.", "ws.reset"},
	{fault.TooLarge, "TooLarge", "The body is larger than this operation takes.", "http.body_size"},
	{fault.MediaType, "MediaType", "The body is not sent as application/json.", "http.content_type"},
	{fault.Invalid, "Invalid", "The body is JSON, and something in it is wrong. Each fault is named with its place.", "input.invalid"},
	{fault.Throttled, "Throttled", "Too many requests; Retry-After says when to come again.", "http.rate_limit"},
	{fault.Unavailable, "Unavailable", "It cannot be done right now; Retry-After says when to try again.", "service.draining"},
	{fault.Internal, "Internal", "A fault of the service. The operator finds its cause in the log under the request id.", "internal"},
}

// refusalName is the name of a kind's response among the components.
func refusalName(k fault.Kind) string {
	i := slices.IndexFunc(refusalDocs, func(r refusalDoc) bool { return r.kind == k })
	return refusalDocs[i].name
}

// refusalResponses returns the responses of all kinds. Their one schema is a component, so that a
// generated client has one type of error.
func (d *Document) refusalResponses(c *schemas) map[string]any {
	c.components["Error"], c.components["ErrorField"] = errorSchema(), errorFieldSchema()
	out := map[string]any{}
	for _, k := range refusalDocs {
		example := map[string]any{"success": false, "error": k.text, "code": k.code, "request_id": "01997b1c-0000-7000-8000-000000000001"}
		response := d.jsonResponse(k.text, map[string]any{"$ref": "#/components/schemas/Error"}, example)
		if k.kind == fault.Throttled || k.kind == fault.Unavailable {
			response["headers"] = map[string]any{"Retry-After": map[string]any{"description": "seconds to wait",
				"schema": map[string]any{"type": "integer"}, "example": 1}}
		}
		out[k.name] = response
	}
	return out
}
