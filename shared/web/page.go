package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// paginate sets the paging headers of a page (contracts/platform.md 1.10). Links keep the path and
// every filter of the request.
func paginate(h http.Header, r *http.Request, in *Paging, p pageOf) {
	h["X-Total-Count"] = []string{strconv.Itoa(p.total)}
	h["X-Limit"] = []string{strconv.Itoa(in.Limit)}
	h["X-Offset"] = []string{strconv.Itoa(in.Offset)}
	if p.inexact {
		h["X-Total-Count-Exact"] = []string{"false"}
	}
	before := in.Before
	if p.before != "" {
		before = p.before
	}
	var links []string
	link := func(rel string, offset int) {
		links = append(links, "<"+pageURL(r.URL, in.Limit, offset, before)+`>; rel="`+rel+`"`)
	}
	if p.count > 0 && (in.Offset+p.count < p.total || (p.inexact && p.count == in.Limit)) {
		link("next", in.Offset+p.count)
	}
	if in.Offset > 0 {
		link("prev", max(0, in.Offset-in.Limit))
		link("first", 0)
	}
	if links != nil {
		h["Link"] = []string{strings.Join(links, ", ")}
	}
}

// pageURL returns path and query of another page of the same list.
func pageURL(u *url.URL, limit, offset int, before string) string {
	q := u.Query()
	q.Set("limit", strconv.Itoa(limit))
	q.Set("offset", strconv.Itoa(offset))
	if before != "" {
		q.Set("before", before)
	}
	return u.EscapedPath() + "?" + q.Encode()
}
