package openapi

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web/body"
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
	of      *Document
	address string // the shell variable that holds the address of the service in curl lines
	err     error  // of an operation whose route was accepted before, so it stays nil
}

// Page returns the document as a page for people: the nouns first, then how to sign in, then each
// operation with what it takes, what it answers and a line for the shell. policy is the
// Content-Security-Policy under which the page's style works.
func (d *Document) Page() (page []byte, policy string, err error) {
	p, nouns := &docs{of: d, address: strings.ToUpper(strings.ReplaceAll(d.Service, "-", "_"))}, nounsOf(d.Nouns, d.Operations)
	title := html.EscapeString(d.Title)
	fmt.Fprintf(p, "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport "+
		"content=\"width=device-width,initial-scale=1\"><title>%s</title><style>%s</style></head><body>", title, docsStyle)
	fmt.Fprintf(p, "<h1>%s</h1><p>%s</p><dl>", title, html.EscapeString(d.Description))
	for _, n := range nouns {
		fmt.Fprintf(p, "<dt><a href=\"#%s\">%s</a></dt><dd>%s</dd>", html.EscapeString(n.anchor()), html.EscapeString(n.Name),
			html.EscapeString(n.Doc))
	}
	p.WriteString("</dl><p>The same as a document: <a href=\"/openapi.json\">openapi.json</a> (OpenAPI 3.1).</p>")
	p.signIn()
	for _, n := range nouns {
		fmt.Fprintf(p, "<h2 id=\"%s\">%s</h2><p>%s</p>", html.EscapeString(n.anchor()), html.EscapeString(n.Name), html.EscapeString(n.Doc))
		for _, r := range d.Operations {
			if nounOf(r, nouns) == n.Name {
				p.operation(r)
			}
		}
	}
	p.WriteString("</body></html>")
	sum := sha256.Sum256([]byte(docsStyle))
	policy = "default-src 'none'; frame-ancestors 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	return []byte(p.String()), policy, p.err
}

// anchor is where the page shows the noun.
func (n Noun) anchor() string { return strings.ToLower(strings.ReplaceAll(n.Name, " ", "-")) }

// signIn says how to get a token, with the lines that all others below stand on.
func (d *docs) signIn() {
	if d.of.Basic {
		fmt.Fprintf(d, "<h2 id=\"sign-in\">How to sign in</h2><p>%s</p><pre>%s</pre>", html.EscapeString(signInBasic), html.EscapeString(
			d.address+"=127.0.0.1:7777   # where this API listens, with its path\nNAME=… PASSWORD=…"))
		d.WriteString("<p>An answer without data is <code>null</code>. A refusal is an object with <code>detail</code>, and 422 with " +
			"<code>message</code> and <code>errors</code>; both have <code>code</code>.</p>")
		return
	}
	lines := "CONTROL_CENTER=127.0.0.1:9080   # where the control-center listens\n"
	if d.address != "CONTROL_CENTER" {
		lines += d.address + "=127.0.0.1:9090     # where this service listens\n"
	}
	lines += "curl -s $CONTROL_CENTER/auth/login -H 'Content-Type: application/json' \\\n" +
		"  -d '{\"username\": \"admin\", \"password\": \"…\", \"mfa_code\": \"123456\"}'\n" +
		"TOKEN=…   # the member token of the answer; or the file that `control-center auth login` keeps it in"
	fmt.Fprintf(d, "<h2 id=\"sign-in\">How to sign in</h2><p>%s</p><pre>%s</pre>", html.EscapeString(signIn), html.EscapeString(lines))
	d.WriteString("<p>Every answer is an object with <code>success</code> and either <code>data</code> or <code>error</code>, " +
		"<code>code</code> and, where members are wrong, <code>fields</code>.</p>")
}

// operation renders one operation.
func (d *docs) operation(r RouteDoc) {
	esc := html.EscapeString
	fmt.Fprintf(d, "<details id=\"%s\"><summary><b>%s</b><code>%s</code> %s</summary><p>%s</p><p><small>operation <code>%s</code>, "+
		"permission: %s</small></p>",
		esc(r.ID), r.Method, esc(documentPath(r.Path)), esc(r.Summary), esc(explain(r)), esc(r.ID), esc(r.Permission))
	var rows []string
	for _, f := range r.Parameters {
		rows = append(rows, row(f.In, f.Name, f.Member))
	}
	if r.Body != nil {
		rows = members(rows, "body", r.Body, "", 0)
	}
	d.table("Takes", rows)
	fmt.Fprintf(d, "<h4>Try it</h4><pre>%s</pre>", esc(d.curl(r)))
	d.answer(r)
	d.WriteString("<h4>Refuses with</h4><p><small>")
	kinds := slices.SortedFunc(slices.Values(r.Refuses), func(a, b fault.Kind) int { return d.of.statusOf(r, a) - d.of.statusOf(r, b) })
	for i, k := range kinds {
		if i > 0 {
			d.WriteString(", ")
		}
		fmt.Fprintf(d, "%d %s", d.of.statusOf(r, k), esc(refusalName(k)))
	}
	d.WriteString("</small></p></details>")
}

// table writes rows, if there are any.
func (d *docs) table(title string, rows []string) {
	if rows != nil {
		fmt.Fprintf(d, "<h4>%s</h4><table><tr><th>name</th><th>in</th><th>value</th><th></th></tr>%s</table>", title,
			strings.Join(rows, ""))
	}
}

// answer shows what a route answers when nothing is refused: its shape and an example.
func (d *docs) answer(r RouteDoc) {
	if r.Stream != nil || r.Raw {
		d.speech(r)
		return
	}
	if r.Bare && r.Output == nil {
		fmt.Fprintf(d, "<h4>Answers %d</h4><pre>null</pre>", r.Status)
		return
	}
	s, list, err := outputOf(r)
	if err != nil {
		d.err = err
		return
	}
	data, prefix := exampleOf(s, &body.Rules{Example: r.Example}, true), "data"
	if list {
		data, prefix = []any{data}, "data[]"
	}
	said := any(map[string]any{"success": true, "data": data})
	if r.Bare {
		said, prefix = data, strings.TrimPrefix(prefix, "data")
	}
	fmt.Fprintf(d, "<h4>Answers %d</h4><pre>%s</pre>", r.Status, html.EscapeString(d.pretty(said)))
	if s.Kind == body.Object {
		d.table("Members of the answer", members(nil, "answer", s, strings.TrimPrefix(prefix+".", "."), 0))
	}
}

// speech shows what a stream says.
func (d *docs) speech(r RouteDoc) {
	say := r.Stream
	if say == nil {
		fmt.Fprintf(d, "<h4>Answers %d</h4><p>%s, without the envelope.</p>", r.Status, html.EscapeString(or(r.Produces, "Text")))
		return
	}
	fmt.Fprintf(d, "<h4>Answers %d</h4><p>%s</p>", r.Status, html.EscapeString(say.Doc))
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
func (d *docs) curl(r RouteDoc) string {
	path := documentPath(r.Path)
	for _, f := range r.Parameters {
		if f.In == "path" {
			path = strings.ReplaceAll(path, "{"+f.Name+"}", fmt.Sprint(exampleOf(f.Shape, &f.Rules, false)))
		}
	}
	if r.Stream != nil && r.Status == http.StatusSwitchingProtocols {
		return "websocat \"ws://$" + d.address + path + "\" \\\n  -H \"Authorization: Bearer $TOKEN\""
	}
	line := "curl"
	if r.Method != http.MethodGet {
		line += " -X " + r.Method
	}
	line += " \"$" + d.address + path + "\""
	if !r.Open {
		if d.of.Basic {
			line += " \\\n  -u \"$NAME:$PASSWORD\""
		} else {
			line += " \\\n  -H \"Authorization: Bearer $TOKEN\""
		}
	}
	if r.Body != nil {
		line += " \\\n  -H 'Content-Type: application/json' \\\n  -d '" + strings.ReplaceAll(d.pretty(exampleOf(r.Body, nil, false)), "'", `'\''`) + "'"
	}
	return line
}

// pretty returns a value as JSON for people.
func (d *docs) pretty(v any) string {
	text, err := indented(v)
	if err != nil {
		d.err = err
	}
	return string(text)
}

// row is one member or parameter.
func row(where, name string, f *body.Member) string {
	esc := html.EscapeString
	must := ""
	if f.Rules.Required && where != "answer" {
		must = ", required"
	}
	return fmt.Sprintf("<tr><td><code>%s</code></td><td>%s</td><td>%s%s</td><td>%s%s</td></tr>",
		esc(name), where, esc(strings.TrimPrefix(strings.TrimPrefix(f.Shape.Want(), "a "), "an ")), must, esc(f.Rules.Doc), choices(f))
}

// members appends a row for each member of an object, nested ones with their path.
func members(rows []string, where string, s *body.Shape, prefix string, depth int) []string {
	for _, f := range s.Fields {
		rows = append(rows, row(where, prefix+f.Name, f))
		inner, name := f.Shape, prefix+f.Name
		for inner.Kind == body.List || inner.Kind == body.Pointer {
			if inner.Kind == body.List {
				name += "[]"
			}
			inner = inner.Elem
		}
		if inner.Kind == body.Object && depth < 4 {
			rows = members(rows, where, inner, name+".", depth+1)
		}
	}
	return rows
}

// choices tells the words, the bounds and the default of a value.
func choices(f *body.Member) string {
	var said []string
	r := &f.Rules
	if r.Enum != nil {
		said = append(said, body.OneOf(r.Enum))
	}
	if r.HasMin {
		said = append(said, "at least "+fmt.Sprint(number(r.Min)))
	}
	if r.HasMax {
		said = append(said, "at most "+fmt.Sprint(number(r.Max)))
	}
	if r.HasDefault {
		said = append(said, "default "+strconv.Quote(r.Default))
	}
	if said == nil {
		return ""
	}
	return " <small>" + html.EscapeString(strings.Join(said, ", ")) + "</small>"
}
