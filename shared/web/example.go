package web

import (
	"github.com/go-json-experiment/json"
)

// exampleTime is the time in examples.
const exampleTime = "2025-09-26T10:00:00.000000Z"

// maxExample is how deep examples of types that hold themselves go.
const maxExample = 6

// exampleOf returns a value of a shape: what the tag example says, else one that the rules allow.
// Answers hold every member, requests those that are required, have an example, or are lists of
// objects; neither holds what is rare.
func exampleOf(s *shape, r *rules, output bool) any { return example(s, r, output, 0) }

func example(s *shape, r *rules, output bool, depth int) any {
	if r == nil {
		r = &rules{}
	}
	for s.kind == shapePointer {
		s = s.elem
	}
	switch {
	case r.example != "":
		return typed(s, r.example)
	case r.hasFallback && s.kind != shapeObject:
		return typed(s, r.fallback)
	case r.enum != nil && s.kind == shapeList:
		return []any{r.enum[0]}
	case r.enum != nil:
		return r.enum[0]
	}
	switch s.kind {
	case shapeWhole, shapeNumber:
		return number(max(r.min, 1))
	case shapeBool:
		return true
	case shapeTime:
		return exampleTime
	case shapeList:
		if depth > maxExample || s.elem.kind == shapeAny {
			return []any{}
		}
		return []any{example(s.elem, nil, output, depth+1)}
	case shapeTable, shapeAny:
		return map[string]any{}
	case shapeObject:
		v := map[string]any{}
		for _, f := range s.fields {
			switch objects := f.shape.kind == shapeList && f.shape.elem.kind == shapeObject; {
			case depth > maxExample:
			case f.rules.rare && output && !f.rules.omit:
				v[f.name] = nil
			case f.rules.rare:
			case output || objects || f.rules.required || f.rules.example != "":
				v[f.name] = example(f.shape, &f.rules, output, depth+1)
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
