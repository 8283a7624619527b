// Package webtest holds an OpenAPI document to what somebody needs who has nothing else: every
// operation and every member says what it is and shows an example. It owns no rule about what they
// say.
package webtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Described fails the test for every operation, parameter and member of a document without a
// description or an example, and for a text whose example says nothing.
func Described(t *testing.T, document []byte) {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID, Summary, Description string
			Parameters                        []struct {
				Name, Description string
				Example           any
				Schema            map[string]any
			}
			RequestBody struct {
				Content map[string]struct{ Example any }
			}
			Responses map[string]struct {
				Description string
				Content     map[string]struct{ Example any }
			}
			Sends []any `json:"x-sends"`
		}
		Components struct{ Schemas map[string]map[string]any }
		Tags       []struct{ Name, Description string }
	}
	if err := json.Unmarshal(document, &doc); err != nil {
		t.Fatal(err)
	}
	var missing []string
	note := func(missed bool, format string, args ...any) {
		if missed {
			missing = append(missing, fmt.Sprintf(format, args...))
		}
	}
	for path, item := range doc.Paths {
		for method, op := range item {
			at := strings.ToUpper(method) + " " + path
			note(op.Summary == "" || op.Description == "", "%s: summary or description", at)
			for _, p := range op.Parameters {
				note(p.Description == "", "%s: description of the parameter %s", at, p.Name)
				note(p.Example == nil || vague(p.Example), "%s: example of the parameter %s", at, p.Name)
			}
			for contentType, c := range op.RequestBody.Content {
				note(c.Example == nil, "%s: example of the body as %s", at, contentType)
			}
			for status, r := range op.Responses {
				json, enveloped := r.Content["application/json"]
				_, both := r.Content["application/vnd.provisioning.v1+json"]
				note(enveloped && both && json.Example == nil, "%s: example of the answer %s", at, status)
			}
		}
	}
	for name, schema := range doc.Components.Schemas {
		properties, _ := schema["properties"].(map[string]any)
		for member, p := range properties {
			of := p.(map[string]any)
			note(of["description"] == nil, "%s.%s: description", name, member)
			if of["$ref"] != nil || refers(of) {
				continue // its members have examples
			}
			examples, _ := of["examples"].([]any)
			note(len(examples) == 0 || vague(examples[0]), "%s.%s: example", name, member)
		}
	}
	for _, tag := range doc.Tags {
		note(tag.Description == tag.Name, "the group %s: description", tag.Name)
	}
	slices.Sort(missing)
	if missing = slices.Compact(missing); len(missing) > 0 {
		t.Errorf("%d things are not described:\n%s", len(missing), strings.Join(missing, "\n"))
	}
	if len(doc.Paths) < 10 {
		t.Errorf("only %d paths: the look is blind", len(doc.Paths))
	}
}

// vague says whether an example is the one of a text about which nothing is known.
func vague(example any) bool {
	switch v := example.(type) {
	case string:
		return v == "text"
	case []any:
		return len(v) > 0 && vague(v[0])
	}
	return false
}

// refers says whether a schema is a list of, or may be, another component.
func refers(schema map[string]any) bool {
	if items, ok := schema["items"].(map[string]any); ok && items["$ref"] != nil {
		return true
	}
	for _, one := range slices.Collect(maps.Values(schema)) {
		if list, ok := one.([]any); ok {
			for _, s := range list {
				if of, ok := s.(map[string]any); ok && of["$ref"] != nil {
					return true
				}
			}
		}
	}
	return false
}
