package openapi

import (
	"encoding/json"

	"github.com/provisioning-platform/platform/shared/web/body"
)

// exampleTime is the time in examples.
const exampleTime = "2025-09-26T10:00:00.000000Z"

// maxExample is how deep examples of types that hold themselves go.
const maxExample = 6

// exampleOf returns a value of a shape: what the tag example says, else one that the rules allow.
// Answers hold every member, requests those that are required, have an example, or are lists of
// objects; neither holds what is rare.
func exampleOf(s *body.Shape, r *body.Rules, output bool) any { return example(s, r, output, 0) }

func example(s *body.Shape, r *body.Rules, output bool, depth int) any {
	if r == nil {
		r = &body.Rules{}
	}
	for s.Kind == body.Pointer {
		s = s.Elem
	}
	switch {
	case r.Example != "":
		return typed(s, r.Example)
	case r.HasDefault && s.Kind != body.Object:
		return typed(s, r.Default)
	case r.Enum != nil && s.Kind == body.List:
		return []any{r.Enum[0]}
	case r.Enum != nil:
		return r.Enum[0]
	}
	switch s.Kind {
	case body.Whole, body.Number:
		return number(max(r.Min, 1))
	case body.Bool:
		return true
	case body.Time:
		return exampleTime
	case body.List:
		if depth > maxExample || s.Elem.Kind == body.Any {
			return []any{}
		}
		return []any{example(s.Elem, nil, output, depth+1)}
	case body.Table, body.Any:
		return map[string]any{}
	case body.Object:
		v := map[string]any{}
		for _, f := range s.Fields {
			switch objects := f.Shape.Kind == body.List && f.Shape.Elem.Kind == body.Object; {
			case depth > maxExample:
			case f.Rules.Rare && output && !f.Rules.Omit:
				v[f.Name] = nil
			case f.Rules.Rare:
			case output || objects || f.Rules.Required || f.Rules.Example != "":
				v[f.Name] = example(f.Shape, &f.Rules, output, depth+1)
			}
		}
		return v
	}
	return "text"
}

// parsed returns the JSON value of a text, if it is one.
func parsed(text string) (any, bool) {
	var v any
	err := json.Unmarshal([]byte(text), &v)
	return v, err == nil
}
