package web

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web/openapi"
)

// TestOpenAPI_equalsRoutesBothWays is Z02: the document, the table and the router hold the same
// operations.
func TestOpenAPI_equalsRoutesBothWays(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct{ OperationID string }
	}
	w := g.send("GET", "/openapi.json", "")
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || doc.OpenAPI != "3.1.0" {
		t.Fatalf("%v %s", err, doc.OpenAPI)
	}
	documentedPath := regexp.MustCompile(`[:*](\w+)`)
	var documented, listed, routed []string
	for path, ops := range doc.Paths {
		for method, op := range ops {
			documented = append(documented, strings.ToUpper(method)+" "+path+" "+op.OperationID)
		}
	}
	internal := map[string]bool{}
	for _, r := range g.Routes() {
		if r.Internal {
			internal[r.Method+" "+documentedPath.ReplaceAllString(r.Path, "{$1}")] = true
			continue
		}
		listed = append(listed, fmt.Sprint(r.Method, " ", documentedPath.ReplaceAllString(r.Path, "{$1}"), " ", r.Op))
	}
	for _, r := range g.engine.Routes() {
		if at := r.Method + " " + documentedPath.ReplaceAllString(r.Path, "{$1}"); r.Method != http.MethodHead && !internal[at] {
			routed = append(routed, at)
		}
	}
	slices.Sort(documented)
	slices.Sort(listed)
	slices.Sort(routed)
	if !slices.Equal(documented, listed) {
		t.Errorf("document\n%s\ntable\n%s", strings.Join(documented, "\n"), strings.Join(listed, "\n"))
	}
	for i, d := range documented {
		if i >= len(routed) || !strings.HasPrefix(d, routed[i]) || len(routed) != len(documented) {
			t.Errorf("router has %v", routed)
			break
		}
	}
}

func TestOpenAPI_describesInputsAndOutputs(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	doc := string(g.OpenAPI())
	compact := regexp.MustCompile(`\s+`).ReplaceAllString(doc, "")
	for _, want := range []string{
		`"Thing":{"additionalProperties":false,"properties":{"big":{"examples":[1],"format":"int64","type":"integer"},`,
		`"name":{"description":"whatitiscalled","examples":["web-01"],"maxLength":256,"minLength":1,"type":"string"}`, `"required":["name"]`,
		`"size":{"default":3,"examples":[3],"format":"int64","maximum":10,"minimum":0,"type":"integer"}`, `"enum":["small","large"]`,
		`"parts":{"items":{"$ref":"#/components/schemas/Part"},"type":"array"}`, `"name":"Idempotency-Key"`, `"x-permission":"createthings"`,
		`"X-Total-Count"`, `"note":{"anyOf":[{"type":"string"},{"type":"null"}],"examples":["text"]}`, `"name":"id","required":true,"schema":{"type":"string"}`,
		`"bearer":{"bearerFormat":"JWT","description":"Signin`, // how to get a token
	} {
		if !strings.Contains(compact, want) {
			t.Errorf("lacks %s", want)
		}
	}
	for ref := range strings.SplitSeq(doc, `"$ref": "#/components/`) {
		path, _, ok := strings.Cut(ref, `"`)
		if name, isSchema := strings.CutPrefix(path, "schemas/"); ok && isSchema && !strings.Contains(doc, `"`+name+`": {`) {
			t.Errorf("reference to nothing: %s", path)
		}
	}
	if strings.Contains(doc, "/internal/") {
		t.Error("shows internal routes")
	}
}

func TestDocs_isSelfContained(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	w := g.send("GET", "/docs", "")
	body := w.Body.String()
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/html; charset=utf-8" ||
		!strings.Contains(w.Header().Get("Content-Security-Policy"), "style-src 'sha256-") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	for _, bad := range []string{"http://", "https://", "<script", "src=", "//cdn", "/internal/"} {
		if strings.Contains(body, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	for _, want := range []string{"createThing", "/things/{id}", "what it is called", "parts[].id", "permission: create things",
		"Authorization: Bearer $TOKEN", "-X POST",
		"&#34;success&#34;: true", "data.note", "How to sign in"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

// TestOpenAPI_statusesAreThoseThatAnOperationCanGive: a client writes a branch for each.
func TestOpenAPI_statusesAreThoseThatAnOperationCanGive(t *testing.T) {
	t.Parallel()
	g := newRig(t, func(c *Config) {
		c.Routes = append(c.Routes,
			Route{Method: "POST", Path: "/ended", Op: "end", Permission: Authenticated(), Audit: "thing.end",
				Refuses: []fault.Kind{fault.Gone}, Handle: To(func(context.Context, None) (Notice, error) { return "", nil })},
			Route{Method: "GET", Path: "/ws", Op: "watch", Permission: Open(), Stream: http.NotFoundHandler(), Speaks: &openapi.StreamDoc{
				Query: struct {
					Since uint64 `query:"since" doc:"the last event you have" example:"7"`
				}{}, Status: 101, Doc: "Events, one a message.", Sends: []any{view{}}, Hears: []any{part{}},
				Closes: map[int]string{4401: "the token is over"}, Refuses: []fault.Kind{fault.Gone},
			}})
	})
	var doc struct {
		Paths map[string]map[string]struct {
			Responses  map[string]any
			Parameters []struct{ Name string }
			Sends      []any             `json:"x-sends"`
			Closes     map[string]string `json:"x-close-codes"`
		}
	}
	if err := json.Unmarshal(g.OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{
		"get /health": "200 406 500 503", "post /auth/login": "200 400 406 413 415 422 429 500 503",
		"get /things":  "200 400 401 403 406 422 429 500 503",
		"post /things": "201 400 401 403 406 409 413 415 422 429 500 503", "get /things/{id}": "200 401 403 404 406 429 500 503",
		"post /things/{id}/cancel": "200 400 401 403 404 406 409 422 429 500 503",
		"post /ended":              "200 400 401 403 406 409 410 422 429 500 503", "get /ws": "101 400 406 410 429 500 503",
	} {
		method, path, _ := strings.Cut(at, " ")
		if got := strings.Join(slices.Sorted(maps.Keys(doc.Paths[path][method].Responses)), " "); got != want {
			t.Errorf("%s: %s, want %s", at, got, want)
		}
	}
	ws := doc.Paths["/ws"]["get"]
	if len(ws.Parameters) != 1 || ws.Parameters[0].Name != "since" || len(ws.Sends) != 1 || ws.Closes["4401"] == "" {
		t.Errorf("%+v", ws)
	}
	page := g.send("GET", "/docs", "").Body.String()
	for _, want := range []string{"4401", "the token is over", "Events, one a message."} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}
