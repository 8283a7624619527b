package web

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"strings"
	"time"
)

// docsStyle is the page's only style; the page has no script and asks nobody for anything.
const docsStyle = `body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
h2{margin-top:2.5rem;border-bottom:1px solid #d0d7de}code{font-family:ui-monospace,monospace}
details{border:1px solid #d0d7de;border-radius:6px;margin:.5rem 0;padding:.4rem .8rem}
summary{cursor:pointer}b{display:inline-block;min-width:5rem}
table{border-collapse:collapse;width:100%;margin:.5rem 0}td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #eaeef2}
small{color:#57606a}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}h2,details,td,th{border-color:#30363d}small{color:#9198a1}a{color:#79c0ff}}`

// page renders the table of routes for people.
func page(title, description string, routes []Route) Raw {
	var b strings.Builder
	esc := html.EscapeString
	fmt.Fprintf(&b, "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\"><title>%s</title><style>%s</style></head><body>",
		esc(title), docsStyle)
	fmt.Fprintf(&b, "<h1>%s</h1><p>%s</p><p>The same as a document: <a href=\"/openapi.json\">openapi.json</a> (OpenAPI 3.1).</p>", esc(title), esc(description))
	var groups []string
	byGroup := map[string][]Route{}
	for _, r := range routes {
		if r.Internal {
			continue
		}
		g := tag(r.Path)
		if byGroup[g] == nil {
			groups = append(groups, g)
		}
		byGroup[g] = append(byGroup[g], r)
	}
	for _, g := range groups {
		fmt.Fprintf(&b, "<h2 id=\"%s\">%s</h2>", esc(g), esc(g))
		for _, r := range byGroup[g] {
			route(&b, r)
		}
	}
	b.WriteString("</body></html>")
	sum := sha256.Sum256([]byte(docsStyle))
	return Raw{
		ContentType: "text/html; charset=utf-8", Body: []byte(b.String()), MaxAge: time.Minute,
		Headers: map[string]string{"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"},
	}
}

// route renders one operation: who may do it and what it takes.
func route(b *strings.Builder, r Route) {
	esc := html.EscapeString
	fmt.Fprintf(b, "<details id=\"%s\"><summary><b>%s</b><code>%s</code> %s</summary><p><small>operation <code>%s</code>, permission: %s, answers %d</small></p>",
		esc(r.Op), r.Method, esc(documentPath(r.Path)), esc(r.Summary), esc(r.Op), esc(r.Permission.String()), r.status())
	bind, err := bindingOf(r)
	if err != nil {
		return // bindingOf has accepted the route before
	}
	var rows []string
	row := func(where, name, must string, f *field) {
		rows = append(rows, fmt.Sprintf("<tr><td><code>%s</code></td><td>%s</td><td>%s%s</td><td>%s%s</td></tr>",
			esc(name), where, esc(strings.TrimPrefix(strings.TrimPrefix(f.shape.want(), "a "), "an ")), must, esc(f.rules.doc), choices(f)))
	}
	for _, f := range bind.path {
		row("path", f.name, ", required", f)
	}
	for _, f := range bind.query {
		row("query", f.name, required(f), f)
	}
	for _, f := range bind.header {
		row("header", f.name, required(f), f)
	}
	if bind.body != nil {
		bodyRows(bind.body, "", row, 0)
	}
	if rows != nil {
		b.WriteString("<table><tr><th>name</th><th>in</th><th>value</th><th></th></tr>" + strings.Join(rows, "") + "</table>")
	}
	b.WriteString("</details>")
}

// bodyRows lists the members of a body, nested ones with their path.
func bodyRows(s *shape, prefix string, row func(where, name, must string, f *field), depth int) {
	for _, f := range s.fields {
		row("body", prefix+f.name, required(f), f)
		inner, name := f.shape, prefix+f.name
		for inner.kind == shapeList || inner.kind == shapePointer {
			if inner.kind == shapeList {
				name += "[]"
			}
			inner = inner.elem
		}
		if inner.kind == shapeObject && depth < 4 {
			bodyRows(inner, name+".", row, depth+1)
		}
	}
}

func required(f *field) string {
	if f.rules.required {
		return ", required"
	}
	return ""
}

// choices tells the words and the default of a value.
func choices(f *field) string {
	text := ""
	if f.rules.enum != nil {
		text += " <small>" + html.EscapeString(oneOf(f.rules.enum)) + "</small>"
	}
	if f.rules.hasFallback {
		text += " <small>default " + html.EscapeString(f.rules.fallback) + "</small>"
	}
	return text
}
