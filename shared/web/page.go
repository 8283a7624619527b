package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// paginate sets the paging headers of a page (contracts/platform.md 1.10, decision 55). Links keep
// the path and every filter of the request; the one to the next page goes on behind the last row,
// its offset is for show.
func paginate(h http.Header, r *http.Request, in *Paging, p pageOf) {
	limit := in.Limit
	if p.limit > 0 {
		limit = p.limit
	}
	h["X-Total-Count"] = []string{strconv.Itoa(p.total)}
	h["X-Limit"] = []string{strconv.Itoa(limit)}
	h["X-Offset"] = []string{strconv.Itoa(in.Offset)}
	if p.inexact {
		h["X-Total-Count-Exact"] = []string{"false"}
	}
	var links []string
	link := func(rel, after, before string, offset int) {
		links = append(links, "<"+pageURL(r.URL, in.Limit, after, before, offset)+`>; rel="`+rel+`"`)
	}
	if p.next != "" {
		link("next", p.next, "", in.Offset+p.count)
	}
	if in.After == "" && in.Offset > 0 {
		link("prev", "", in.Before, max(0, min(in.Offset, p.total)-in.Limit))
	}
	if in.After != "" || in.Offset > 0 {
		link("first", "", in.Before, 0)
	}
	if links != nil {
		h["Link"] = []string{strings.Join(links, ", ")}
	}
}

// pageURL returns path and query of another page of the same list.
func pageURL(u *url.URL, limit int, after, before string, offset int) string {
	q := u.Query()
	q.Set("limit", strconv.Itoa(limit))
	q.Set("offset", strconv.Itoa(offset))
	for name, id := range map[string]string{"after": after, "before": before} {
		if q.Del(name); id != "" {
			q.Set(name, id)
		}
	}
	return u.EscapedPath() + "?" + q.Encode()
}
