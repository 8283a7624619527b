package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestOpenAPI_equalsRoutesBothWays is Z02: the document, the table and the router hold the same operations.
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
	var documented, listed, routed []string
	for path, ops := range doc.Paths {
		for method, op := range ops {
			documented = append(documented, strings.ToUpper(method)+" "+path+" "+op.OperationID)
		}
	}
	internal := map[string]bool{}
	for _, r := range g.Routes() {
		if r.Internal {
			internal[r.Method+" "+documentPath(r.Path)] = true
			continue
		}
		listed = append(listed, fmt.Sprint(r.Method, " ", documentPath(r.Path), " ", r.Op))
	}
	for _, r := range g.engine.Routes() {
		if at := r.Method + " " + documentPath(r.Path); r.Method != http.MethodHead && !internal[at] {
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
		`"thing":{"additionalProperties":false,"properties":{"big":{"format":"int64","type":"integer"},`,
		`"name":{"description":"whatitiscalled","maxLength":256,"minLength":1,"type":"string"}`, `"required":["name"]`,
		`"size":{"default":3,"format":"int64","maximum":10,"minimum":0,"type":"integer"}`, `"enum":["small","large"]`,
		`"parts":{"items":{"$ref":"#/components/schemas/part"},"type":"array"}`, `"name":"Idempotency-Key"`, `"x-permission":"createthings"`,
		`"X-Total-Count"`, `"note":{"anyOf":[{"type":"string"},{"type":"null"}]}`, `"name":"id","required":true,"schema":{"type":"string"}`,
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
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "style-src 'sha256-") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	for _, bad := range []string{"http://", "https://", "<script", "src=", "//cdn", "/internal/"} {
		if strings.Contains(body, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	for _, want := range []string{"createThing", "/things/{id}", "what it is called", "parts[].id", "permission: create things"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}
