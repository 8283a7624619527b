package web

import (
	"reflect"
	"strconv"
	"strings"

	"github.com/provisioning-platform/platform/shared/naming"
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
func (c *schemas) of(s *shape, output bool) map[string]any {
	switch s.kind {
	case shapeText:
		return map[string]any{"type": "string"}
	case shapeWhole:
		return map[string]any{"type": "integer", "format": "int64"}
	case shapeNumber:
		return map[string]any{"type": "number"}
	case shapeBool:
		return map[string]any{"type": "boolean"}
	case shapeTime:
		return map[string]any{"type": "string", "format": "date-time"}
	case shapeCustom:
		if s.typ.Name() == "Text" { // secret.Text
			return map[string]any{"type": "string", "format": "password"}
		}
		return map[string]any{}
	case shapePointer:
		of := c.of(s.elem, output)
		if !output {
			return of
		}
		return map[string]any{"anyOf": []any{of, map[string]any{"type": "null"}}}
	case shapeList:
		return map[string]any{"type": "array", "items": c.of(s.elem, output)}
	case shapeTable:
		return map[string]any{"type": "object", "additionalProperties": c.of(s.elem, output)}
	case shapeObject:
		return c.object(s, output)
	}
	return map[string]any{}
}

// object returns a reference to the component of a named struct, or the schema of an unnamed one.
func (c *schemas) object(s *shape, output bool) map[string]any {
	if s.typ == nil || s.typ.Name() == "" {
		return c.members(s, output)
	}
	name, known := c.names[use{s.typ, output}]
	if !known {
		name = c.free(s.typ)
		c.names[use{s.typ, output}] = name
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
func (c *schemas) envelope(s *shape, list bool, op string, schema map[string]any) map[string]any {
	base := capital(op)
	switch {
	case s.kind == shapeText:
		base = "Text"
	case s.kind == shapeObject && s.typ.Name() != "":
		base = c.names[use{s.typ, true}]
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

func (c *schemas) members(s *shape, output bool) map[string]any {
	properties, required := map[string]any{}, []any{}
	for _, f := range s.fields {
		properties[f.name] = c.field(f, output)
		if f.rules.required || (output && !f.rules.omit) {
			required = append(required, f.name)
		}
	}
	out := map[string]any{"type": "object", "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	if !output && len(s.takes) == 0 {
		out["additionalProperties"] = false
	}
	return out
}

// field returns the schema of a member or parameter with what its tags say.
func (c *schemas) field(f *field, output bool) map[string]any {
	of, s := c.of(f.shape, output), f.shape
	for s.kind == shapePointer {
		s = s.elem
	}
	to := of
	if _, isRef := of["$ref"]; isRef && f.rules.doc != "" {
		to = map[string]any{"$ref": of["$ref"]}
	}
	if f.rules.doc != "" {
		to["description"] = f.rules.doc
	}
	if s.kind != shapeObject && (s.kind != shapeList || s.elem.kind != shapeObject) {
		to["examples"] = []any{exampleOf(f.shape, &f.rules, output)}
	}
	if f.rules.hasFallback {
		to["default"] = typed(s, f.rules.fallback)
	}
	if f.rules.enum != nil {
		words := make([]any, len(f.rules.enum))
		for i, w := range f.rules.enum {
			words[i] = w
		}
		if s.kind == shapeList {
			to["items"].(map[string]any)["enum"] = words
		} else if to["anyOf"] == nil {
			to["enum"] = words
		}
	}
	bounds(to, s, &f.rules)
	if f.rules.form == formName {
		of := to
		if s.kind == shapeList {
			of = to["items"].(map[string]any)
		}
		of["pattern"], of["maxLength"] = naming.Pattern, naming.Max
	}
	return to
}

// bounds adds minimum and maximum under the name they have for this shape.
func bounds(to map[string]any, s *shape, r *rules) {
	low, high := "minimum", "maximum"
	switch s.kind {
	case shapeText:
		low, high = "minLength", "maxLength"
	case shapeList:
		low, high = "minItems", "maxItems"
	case shapeTable:
		low, high = "minProperties", "maxProperties"
	case shapeWhole, shapeNumber:
	default:
		return
	}
	if r.hasMin {
		to[low] = number(r.min)
	} else if r.required && s.kind == shapeText {
		to[low] = 1
	}
	if r.hasMax {
		to[high] = number(r.max)
	}
}

func number(f float64) any {
	if f == float64(int64(f)) {
		return int64(f)
	}
	return f
}

// typed returns the text of a tag as the JSON value it stands for.
func typed(s *shape, text string) any {
	switch s.kind {
	case shapeList:
		if v, ok := parsed(text); ok {
			return v
		}
		return []any{typed(s.elem, text)}
	case shapeTable, shapeAny, shapeObject, shapeCustom:
		if v, ok := parsed(text); ok {
			return v
		}
	case shapeWhole, shapeNumber:
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return number(f)
		}
	case shapeBool:
		return text == "true"
	}
	return text
}
