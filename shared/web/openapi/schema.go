package openapi

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/provisioning-platform/platform/shared/naming"
	"github.com/provisioning-platform/platform/shared/web/body"
)

// schemas turns shapes into JSON Schema as OpenAPI 3.1 has it; named structs are collected as
// components.
type schemas struct {
	components map[string]any
	names      map[use]string
}

// use is a type in one direction: what an answer always has, a request may leave out.
type use struct {
	typ    reflect.Type
	output bool
}

func newSchemas() *schemas {
	return &schemas{components: map[string]any{}, names: map[use]string{}}
}

// of returns the schema of a shape; output says that it describes an answer.
func (c *schemas) of(s *body.Shape, output bool) map[string]any {
	switch s.Kind {
	case body.Text:
		return map[string]any{"type": "string"}
	case body.Whole:
		return map[string]any{"type": "integer", "format": "int64"}
	case body.Number:
		return map[string]any{"type": "number"}
	case body.Bool:
		return map[string]any{"type": "boolean"}
	case body.Time:
		return map[string]any{"type": "string", "format": "date-time"}
	case body.Custom:
		if s.Type.Name() == "Text" { // secret.Text
			return map[string]any{"type": "string", "format": "password"}
		}
		return map[string]any{}
	case body.Pointer:
		of := c.of(s.Elem, output)
		if !output {
			return of
		}
		return map[string]any{"anyOf": []any{of, map[string]any{"type": "null"}}}
	case body.List:
		return map[string]any{"type": "array", "items": c.of(s.Elem, output)}
	case body.Table:
		return map[string]any{"type": "object", "additionalProperties": c.of(s.Elem, output)}
	case body.Object:
		return c.object(s, output)
	}
	return map[string]any{}
}

// object returns a reference to the component of a named struct, or the schema of an unnamed one.
func (c *schemas) object(s *body.Shape, output bool) map[string]any {
	if s.Type == nil || s.Type.Name() == "" {
		return c.members(s, output)
	}
	name, known := c.names[use{s.Type, output}]
	if !known {
		name = c.free(s.Type)
		c.names[use{s.Type, output}] = name
		c.components[name] = c.members(s, output)
	}
	return map[string]any{"$ref": "#/components/schemas/" + name}
}

// free returns an unused component name for a type: "taskView" is Task, "batchIn" is BatchRequest.
func (c *schemas) free(t reflect.Type) string {
	base, _, _ := strings.Cut(t.Name(), "[")
	if of, ok := strings.CutSuffix(base, "In"); ok {
		base = of + "Request"
	}
	base = capital(strings.TrimSuffix(base, "View"))
	name := base
	for i := 2; ; i++ {
		if _, taken := c.components[name]; !taken {
			c.components[name] = nil // taken while its members are worked out
			return name
		}
		name = base + strconv.Itoa(i)
	}
}

// capital returns a name with a capital in front.
func capital(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

// envelope returns a reference to the component of an answer whose data is of a shape, or a list of
// it. Answers that look the same are one component, so that a generated client has one type for
// them.
func (c *schemas) envelope(s *body.Shape, list bool, op string, schema map[string]any) map[string]any {
	base := capital(op)
	switch {
	case s.Kind == body.Text:
		base = "Text"
	case s.Kind == body.Object && s.Type.Name() != "":
		base = c.names[use{s.Type, true}]
	}
	name := base + "Answer"
	if list {
		name = base + "List"
	}
	if _, known := c.components[name]; !known {
		c.components[name] = schema
	}
	return map[string]any{"$ref": "#/components/schemas/" + name}
}

func (c *schemas) members(s *body.Shape, output bool) map[string]any {
	properties, required := map[string]any{}, []any{}
	for _, f := range s.Fields {
		properties[f.Name] = c.field(f, output)
		if f.Rules.Required || (output && !f.Rules.Omit) {
			required = append(required, f.Name)
		}
	}
	out := map[string]any{"type": "object", "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	if !output && len(s.Ignored) == 0 {
		out["additionalProperties"] = false
	}
	return out
}

// field returns the schema of a member or parameter with what its tags say.
func (c *schemas) field(f *body.Member, output bool) map[string]any {
	of, s := c.of(f.Shape, output), f.Shape
	for s.Kind == body.Pointer {
		s = s.Elem
	}
	to := of
	if _, isRef := of["$ref"]; isRef && f.Rules.Doc != "" {
		to = map[string]any{"$ref": of["$ref"]}
	}
	if f.Rules.Doc != "" {
		to["description"] = f.Rules.Doc
	}
	if s.Kind != body.Object && (s.Kind != body.List || s.Elem.Kind != body.Object) {
		to["examples"] = []any{exampleOf(f.Shape, &f.Rules, output)}
	}
	if f.Rules.HasDefault {
		to["default"] = typed(s, f.Rules.Default)
	}
	if f.Rules.Enum != nil {
		words := make([]any, len(f.Rules.Enum))
		for i, w := range f.Rules.Enum {
			words[i] = w
		}
		if s.Kind == body.List {
			to["items"].(map[string]any)["enum"] = words
		} else if to["anyOf"] == nil {
			to["enum"] = words
		}
	}
	bounds(to, s, &f.Rules)
	if f.Rules.Form == body.FormName {
		of := to
		if s.Kind == body.List {
			of = to["items"].(map[string]any)
		}
		of["pattern"], of["maxLength"] = naming.Pattern, naming.Max
	}
	return to
}

// bounds adds minimum and maximum under the name they have for this shape.
func bounds(to map[string]any, s *body.Shape, r *body.Rules) {
	low, high := "minimum", "maximum"
	switch s.Kind {
	case body.Text:
		low, high = "minLength", "maxLength"
	case body.List:
		low, high = "minItems", "maxItems"
	case body.Table:
		low, high = "minProperties", "maxProperties"
	case body.Whole, body.Number:
	default:
		return
	}
	if r.HasMin {
		to[low] = number(r.Min)
	} else if r.Required && s.Kind == body.Text && !r.Empty {
		to[low] = 1
	}
	if r.HasMax {
		to[high] = number(r.Max)
	}
}

func number(f float64) any {
	if f == float64(int64(f)) {
		return int64(f)
	}
	return f
}

// typed returns the text of a tag as the JSON value it stands for.
func typed(s *body.Shape, text string) any {
	switch s.Kind {
	case body.List:
		if v, ok := parsed(text); ok {
			return v
		}
		return []any{typed(s.Elem, text)}
	case body.Table, body.Any, body.Object, body.Custom:
		if v, ok := parsed(text); ok {
			return v
		}
	case body.Whole, body.Number:
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return number(f)
		}
	case body.Bool:
		return text == "true"
	}
	return text
}
