package rigtest

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// declared is what the document of a service says about its operations.
type declared struct{ operations []declaredOperation }

type declaredOperation struct {
	method   string
	path     *regexp.Regexp
	body     bool // takes one
	statuses map[string]bool
}

// documents are those of the services that were asked, by address.
var documents sync.Map

// checkDeclared fails the test when an operation answers with a status that its document does not
// declare (reliability-bar I01). What is no operation of the document is left alone, and so is the
// answer to a body where none is taken.
func checkDeclared(t *testing.T, r *http.Request, status int) {
	t.Helper()
	base := r.URL.Scheme + "://" + r.URL.Host
	found, ok := documents.Load(base)
	if !ok {
		found, _ = documents.LoadOrStore(base, sync.OnceValue(func() *declared { return read(base) }))
	}
	d := found.(func() *declared)()
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for _, op := range d.operations {
		if op.method != method || !op.path.MatchString(r.URL.EscapedPath()) {
			continue
		}
		stray := !op.body && r.ContentLength != 0 && (status == 400 || status == 413 || status == 415 || status == 422)
		// What the HTTP server says before the operation hears of it.
		stray = stray || status == http.StatusRequestHeaderFieldsTooLarge
		if !op.statuses[strconv.Itoa(status)] && status != http.StatusNotModified && !stray {
			t.Errorf("%s %s answers %d, which its document does not declare", r.Method, r.URL.Path, status)
		}
		return
	}
}

// read returns what the service at base declares; nothing when it has no document.
func read(base string) *declared {
	d := &declared{}
	resp, err := http.Get(base + "/openapi.json")
	if err != nil {
		return d
	}
	defer func() { _ = resp.Body.Close() }()
	var doc struct {
		Paths map[string]map[string]struct {
			RequestBody any
			Responses   map[string]any
		}
	}
	if json.NewDecoder(resp.Body).Decode(&doc) != nil {
		return d
	}
	parameter := regexp.MustCompile(`\\\{[a-z_]+\\\}`)
	for path, methods := range doc.Paths {
		pattern := regexp.MustCompile("^" + parameter.ReplaceAllString(regexp.QuoteMeta(path), "[^/]+") + "/?$")
		for method, op := range methods {
			statuses := map[string]bool{}
			for status := range op.Responses {
				statuses[status] = true
			}
			d.operations = append(d.operations, declaredOperation{strings.ToUpper(method), pattern, op.RequestBody != nil, statuses})
		}
	}
	return d
}
