package security

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// patience is how long a test waits for what takes an instant.
const patience = 10 * time.Second

// nowhere is an id that does not exist.
const nowhere = "00000000-0000-7000-8000-000000000000"

var parameter = regexp.MustCompile(`\{[a-z]+\}`)

// answer is a response.
type answer struct{ rigtest.Answer }

// data decodes the member data of the envelope.
func (a answer) data(t *testing.T, into any) {
	t.Helper()
	v := struct {
		Data any `json:"data"`
	}{into}
	if err := json.Unmarshal(a.Raw, &v); err != nil {
		t.Fatalf("%v: %s", err, a.Raw)
	}
}

// address returns where a service listens.
func (s *site) address(service string) string {
	if service == "orchestrator" {
		return s.Orchestrator.Address
	}
	return s.ControlCenter.Address
}

// send sends one request to a service, as rigtest.Send does.
func (s *site) send(t *testing.T, service, method, path, token string, body any, header ...string) answer {
	t.Helper()
	return answer{rigtest.Send(t, method, s.address(service)+path, token, body, header...)}
}

// operation is one operation of an OpenAPI document.
type operation struct {
	service, method, path, id string
	open                      bool
	keyed                     bool    // takes an Idempotency-Key
	secret                    bool    // says that its answer shows a secret once
	body                      *schema // nil: takes none
	query                     []string
}

// schema is as much of a JSON schema as the documents use.
type schema struct {
	Ref        string            `json:"$ref"`
	Type       any               `json:"type"`
	Properties map[string]schema `json:"properties"`
	Required   []string          `json:"required"`
	Items      *schema           `json:"items"`
	Enum       []any             `json:"enum"`
	Examples   []any             `json:"examples"`
}

// is says whether the schema allows a JSON type.
func (s schema) is(name string) bool {
	list, ok := s.Type.([]any)
	if !ok {
		return s.Type == name
	}
	for _, t := range list {
		if t == name {
			return true
		}
	}
	return false
}

// operations returns what both services publish.
func (s *site) operations(t *testing.T) []operation {
	t.Helper()
	var all []operation
	for _, service := range []string{"orchestrator", "control-center"} {
		var doc struct {
			Paths map[string]map[string]struct {
				OperationID string            `json:"operationId"`
				Shows       bool              `json:"x-shows-secret"`
				Security    *[]map[string]any `json:"security"`
				Parameters  []struct{ Name, In string }
				RequestBody struct {
					Content map[string]struct {
						Schema schema `json:"schema"`
					} `json:"content"`
				} `json:"requestBody"`
			} `json:"paths"`
			Components struct {
				Schemas map[string]schema `json:"schemas"`
			} `json:"components"`
		}
		if err := json.Unmarshal(s.send(t, service, "GET", "/openapi.json", "", nil).Raw, &doc); err != nil {
			t.Fatal(err)
		}
		for path, methods := range doc.Paths {
			for method, o := range methods {
				op := operation{service: service, method: strings.ToUpper(method), path: path, id: o.OperationID, open: o.Security == nil ||
					len(*o.Security) == 0, secret: o.Shows}
				if c, ok := o.RequestBody.Content["application/json"]; ok {
					body := resolve(c.Schema, doc.Components.Schemas)
					op.body = &body
				}
				for _, p := range o.Parameters {
					op.keyed = op.keyed || p.In == "header" && p.Name == "Idempotency-Key"
					if p.In == "query" {
						op.query = append(op.query, p.Name)
					}
				}
				all = append(all, op)
			}
		}
	}
	if len(all) < 35 {
		t.Fatalf("only %d operations are published", len(all))
	}
	return all
}

func resolve(s schema, from map[string]schema) schema {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		s = from[name]
	}
	resolved := map[string]schema{}
	for name, p := range s.Properties {
		resolved[name] = resolve(p, from)
	}
	if s.Properties != nil {
		s.Properties = resolved
	}
	if s.Items != nil {
		items := resolve(*s.Items, from)
		s.Items = &items
	}
	return s
}

// sample returns a value that the schema allows, with its required members only.
func (s schema) sample() any {
	switch {
	case len(s.Examples) > 0:
		return s.Examples[0]
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Properties != nil:
		v := map[string]any{}
		for _, name := range s.Required {
			v[name] = s.Properties[name].sample()
		}
		return v
	case s.is("array"):
		return []any{}
	case s.is("boolean"):
		return false
	case s.is("integer"), s.is("number"):
		return 1
	}
	return "x"
}

// url fills path parameters with an id.
func (o operation) url(id string) string {
	path := strings.ReplaceAll(o.path, "{index}", "999999999") // the one parameter that is a number
	return parameter.ReplaceAllLiteralString(path, id)
}

// String names the operation in failures.
func (o operation) String() string { return fmt.Sprint(o.service, " ", o.method, " ", o.path) }

// ended submits a simulated workflow as a person and returns its task's id once it has ended.
func (s *site) ended(t *testing.T, token string) string {
	t.Helper()
	a := s.send(t, "orchestrator", "POST", "/workflows/servers/create", token, map[string]any{"infra": "fast", "check_mode": true})
	var id string
	if a.data(t, &id); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Raw)
	}
	rigtest.Await(t, patience, "the task has ended", func() bool {
		var task client.Task
		s.send(t, "orchestrator", "GET", "/tasks/"+id, token, nil).data(t, &task)
		return task.Status != "Pending" && task.Status != "Running"
	})
	return id
}
