package web

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/provisioning-platform/platform/shared/fault"
)

// docsStyle is the page's only style; the page has no script and asks nobody for anything.
const docsStyle = `body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
h2{margin-top:2.5rem;border-bottom:1px solid #d0d7de}h4{margin:1rem 0 .3rem}code,pre{font-family:ui-monospace,monospace}
pre{background:#f6f8fa;border-radius:6px;padding:.6rem .8rem;overflow:auto;font-size:.85rem}
details{border:1px solid #d0d7de;border-radius:6px;margin:.5rem 0;padding:.4rem .8rem}
summary{cursor:pointer}b{display:inline-block;min-width:5rem}dt{font-weight:600}
table{border-collapse:collapse;width:100%;margin:.5rem 0}td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #eaeef2}
small{color:#57606a}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}h2,details,td,th{border-color:#30363d}small{color:#9198a1}a{color:#79c0ff}pre{background:#161b22}}`

// docs writes the page. Its functions escape what they are given.
type docs struct {
	strings.Builder
	address string // the shell variable that holds the address of the service in curl lines
	err     error  // of a route that was accepted before, so it stays nil
}

// page renders the table of routes for people: the nouns first, then how to sign in, then each
// operation with what it takes, what it answers and a line for the shell.
func page(cfg Config, routes []Route, nouns []Noun) (Raw, error) {
	d := &docs{address: strings.ToUpper(strings.ReplaceAll(cfg.Service, "-", "_"))}
	title := html.EscapeString(cfg.Title)
	fmt.Fprintf(d, "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\"><title>%s</title><style>%s</style></head><body>", title, docsStyle)
	fmt.Fprintf(d, "<h1>%s</h1><p>%s</p><dl>", title, html.EscapeString(cfg.Description))
	for _, n := range nouns {
		fmt.Fprintf(d, "<dt><a href=\"#%s\">%s</a></dt><dd>%s</dd>", html.EscapeString(n.anchor()), html.EscapeString(n.Name), html.EscapeString(n.Doc))
	}
	d.WriteString("</dl><p>The same as a document: <a href=\"/openapi.json\">openapi.json</a> (OpenAPI 3.1).</p>")
	d.signIn()
	for _, n := range nouns {
		fmt.Fprintf(d, "<h2 id=\"%s\">%s</h2><p>%s</p>", html.EscapeString(n.anchor()), html.EscapeString(n.Name), html.EscapeString(n.Doc))
		for _, r := range routes {
			if !r.Internal && nounOf(r, nouns) == n.Name {
				d.operation(r)
			}
		}
	}
	d.WriteString("</body></html>")
	sum := sha256.Sum256([]byte(docsStyle))
	return Raw{
		ContentType: "text/html; charset=utf-8", Body: []byte(d.String()), MaxAge: time.Minute,
		Headers: map[string]string{"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"},
	}, d.err
}

// anchor is where the page shows the noun.
func (n Noun) anchor() string { return strings.ToLower(strings.ReplaceAll(n.Name, " ", "-")) }

// signIn says how to get a token, with the lines that all others below stand on.
func (d *docs) signIn() {
	lines := "CONTROL_CENTER=127.0.0.1:9080   # where the control-center listens\n"
	if d.address != "CONTROL_CENTER" {
		lines += d.address + "=127.0.0.1:9090     # where this service listens\n"
	}
	lines += "curl -s $CONTROL_CENTER/auth/login -H 'Content-Type: application/json' \\\n" +
		"  -d '{\"username\": \"admin\", \"password\": \"…\", \"mfa_code\": \"123456\"}'\n" +
		"TOKEN=…   # the member token of the answer; or the file that `control-center auth login` keeps it in"
	fmt.Fprintf(d, "<h2 id=\"sign-in\">How to sign in</h2><p>%s</p><pre>%s</pre>", html.EscapeString(signIn), html.EscapeString(lines))
	d.WriteString("<p>Every answer is an object with <code>success</code> and either <code>data</code> or <code>error</code>, <code>code</code> and, where members are wrong, <code>fields</code>.</p>")
}

// operation renders one operation.
func (d *docs) operation(r Route) {
	esc := html.EscapeString
	fmt.Fprintf(d, "<details id=\"%s\"><summary><b>%s</b><code>%s</code> %s</summary><p>%s</p><p><small>operation <code>%s</code>, permission: %s</small></p>",
		esc(r.Op), r.Method, esc(documentPath(r.Path)), esc(r.Summary), esc(explain(r)), esc(r.Op), esc(r.Permission.String()))
	b, err := bindingOf(r)
	if err != nil {
		d.err = err
		return
	}
	var rows []string
	for _, group := range []struct {
		in     string
		fields []*field
	}{{"path", b.path}, {"query", b.query}, {"header", b.header}} {
		for _, f := range group.fields {
			rows = append(rows, row(group.in, f.name, f))
		}
	}
	if b.body != nil {
		rows = members(rows, "body", b.body, "", 0)
	}
	d.table("Takes", rows)
	fmt.Fprintf(d, "<h4>Try it</h4><pre>%s</pre>", esc(d.curl(r, b)))
	d.answer(r)
	d.WriteString("<h4>Refuses with</h4><p><small>")
	kinds := refusals(r, b)
	slices.SortFunc(kinds, func(a, b fault.Kind) int { return StatusOf(a) - StatusOf(b) })
	for i, k := range kinds {
		if i > 0 {
			d.WriteString(", ")
		}
		fmt.Fprintf(d, "%d %s", StatusOf(k), esc(refusalName(k)))
	}
	d.WriteString("</small></p></details>")
}

// table writes rows, if there are any.
func (d *docs) table(title string, rows []string) {
	if rows != nil {
		fmt.Fprintf(d, "<h4>%s</h4><table><tr><th>name</th><th>in</th><th>value</th><th></th></tr>%s</table>", title, strings.Join(rows, ""))
	}
}

// answer shows what a route answers when nothing is refused: its shape and an example.
func (d *docs) answer(r Route) {
	if r.Stream != nil || r.Handle.out == reflect.TypeFor[Raw]() {
		d.speech(r)
		return
	}
	s, list, err := outputOf(r)
	if err != nil {
		d.err = err
		return
	}
	data, prefix := exampleOf(s, &rules{example: r.Example}, true), "data"
	if list {
		data, prefix = []any{data}, "data[]"
	}
	fmt.Fprintf(d, "<h4>Answers %d</h4><pre>%s</pre>", r.status(), html.EscapeString(d.pretty(map[string]any{"success": true, "data": data})))
	if s.kind == shapeObject {
		d.table("Members of the answer", members(nil, "answer", s, prefix+".", 0))
	}
}

// speech shows what a stream says.
func (d *docs) speech(r Route) {
	say := r.Speaks
	if say == nil {
		fmt.Fprintf(d, "<h4>Answers %d</h4><p>%s, without the envelope.</p>", r.status(), html.EscapeString(or(r.Produces, "Text")))
		return
	}
	fmt.Fprintf(d, "<h4>Answers %d</h4><p>%s</p>", say.status(r), html.EscapeString(say.Doc))
	for _, side := range []struct {
		title    string
		messages []any
	}{{"The service sends", say.Sends}, {"A client may send", say.Hears}} {
		for _, m := range side.messages {
			s, err := shapeOf(m)
			if err != nil {
				d.err = err
				return
			}
			fmt.Fprintf(d, "<h4>%s</h4><pre>%s</pre>", side.title, html.EscapeString(d.pretty(exampleOf(s, nil, true))))
			d.table("Members", members(nil, "message", s, "", 0))
		}
	}
	if say.Closes != nil {
		d.WriteString("<h4>Close codes</h4><table>")
		for _, code := range sortedCodes(say.Closes) {
			fmt.Fprintf(d, "<tr><td>%d</td><td>%s</td></tr>", code, html.EscapeString(say.Closes[code]))
		}
		d.WriteString("</table>")
	}
}

// curl returns the line for the shell that makes the request of the example.
func (d *docs) curl(r Route, b *binding) string {
	path := documentPath(r.Path)
	for _, f := range b.path {
		path = strings.ReplaceAll(path, "{"+f.name+"}", fmt.Sprint(exampleOf(f.shape, &f.rules, false)))
	}
	if r.Speaks != nil && r.Speaks.Status == http.StatusSwitchingProtocols {
		return "websocat \"ws://$" + d.address + path + "\" \\\n  -H \"Authorization: Bearer $TOKEN\""
	}
	line := "curl"
	if r.Method != http.MethodGet {
		line += " -X " + r.Method
	}
	line += " \"$" + d.address + path + "\""
	if r.Permission.kind != permitOpen {
		line += " \\\n  -H \"Authorization: Bearer $TOKEN\""
	}
	if b.body != nil {
		line += " \\\n  -H 'Content-Type: application/json' \\\n  -d '" + strings.ReplaceAll(d.pretty(exampleOf(b.body, nil, false)), "'", `'\''`) + "'"
	}
	return line
}

// pretty returns a value as JSON for people.
func (d *docs) pretty(v any) string {
	text, err := json.Marshal(v, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		d.err = err
	}
	return string(text)
}

// row is one member or parameter.
func row(where, name string, f *field) string {
	esc := html.EscapeString
	must := ""
	if f.rules.required && where != "answer" {
		must = ", required"
	}
	return fmt.Sprintf("<tr><td><code>%s</code></td><td>%s</td><td>%s%s</td><td>%s%s</td></tr>",
		esc(name), where, esc(strings.TrimPrefix(strings.TrimPrefix(f.shape.want(), "a "), "an ")), must, esc(f.rules.doc), choices(f))
}

// members appends a row for each member of an object, nested ones with their path.
func members(rows []string, where string, s *shape, prefix string, depth int) []string {
	for _, f := range s.fields {
		rows = append(rows, row(where, prefix+f.name, f))
		inner, name := f.shape, prefix+f.name
		for inner.kind == shapeList || inner.kind == shapePointer {
			if inner.kind == shapeList {
				name += "[]"
			}
			inner = inner.elem
		}
		if inner.kind == shapeObject && depth < 4 {
			rows = members(rows, where, inner, name+".", depth+1)
		}
	}
	return rows
}

// choices tells the words, the bounds and the default of a value.
func choices(f *field) string {
	var said []string
	r := &f.rules
	if r.enum != nil {
		said = append(said, oneOf(r.enum))
	}
	if r.hasMin {
		said = append(said, "at least "+plain(r.min))
	}
	if r.hasMax {
		said = append(said, "at most "+plain(r.max))
	}
	if r.hasFallback {
		said = append(said, "default "+strconv.Quote(r.fallback))
	}
	if said == nil {
		return ""
	}
	return " <small>" + html.EscapeString(strings.Join(said, ", ")) + "</small>"
}
