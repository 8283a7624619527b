package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Page asks for a part of a list; zero values mean the service's defaults.
type Page struct {
	Limit  int
	Offset int
	After  string // Next of the page before; it goes on at any depth, and Offset is then for show
}

// pageLimit is the number of rows that a service answers when it was asked for none.
const pageLimit = 50

// Extent says how much of a list an answer shows.
type Extent struct {
	Total int    // rows that match, or where the service stopped counting
	Exact bool   // Total is all of them
	Next  string // Page.After of the page behind this one; empty at the end
}

// List is a page of a list, newest first.
type List[T any] struct {
	Rows []T
	Extent
}

// list asks for one page. Query is changed.
func list[T any](ctx context.Context, c *Client, path string, query url.Values, p Page) (List[T], error) {
	for name, n := range map[string]int{"limit": p.Limit, "offset": p.Offset} {
		if n > 0 {
			query.Set(name, strconv.Itoa(n))
		}
	}
	if p.After != "" {
		query.Set("after", p.After)
	}
	var l List[T]
	h, err := c.do(ctx, call{method: http.MethodGet, path: path, query: query}, &l.Rows)
	l.Total, _ = strconv.Atoi(h.Get("X-Total-Count"))
	l.Exact = h.Get("X-Total-Count-Exact") != "false"
	l.Next = next(h.Get("Link"))
	return l, err
}

// follow asks for pages until there are as many rows as p asks for or the list has ended: for lists
// whose pages may end early, or be empty, because a request looks at so much and no more. The total
// is that of the first page.
func follow[T any](p Page, page func(Page) (List[T], error)) (List[T], error) {
	want := p.Limit
	if want <= 0 {
		want = pageLimit
	}
	all, err := page(p)
	for err == nil && all.Next != "" && len(all.Rows) < want {
		var more List[T]
		p.Limit, p.Offset, p.After = want-len(all.Rows), 0, all.Next
		more, err = page(p)
		all.Rows, all.Next = append(all.Rows, more.Rows...), more.Next
		if n := len(all.Rows); n > all.Total {
			all.Total = n
		}
	}
	if all.Next == "" && len(all.Rows) >= all.Total {
		all.Exact = true
	}
	return all, err
}

// next returns the cursor of the link to the next page, empty when there is none.
func next(link string) string {
	for part := range strings.SplitSeq(link, ",") {
		target, rel, _ := strings.Cut(part, ";")
		if !strings.Contains(rel, `rel="next"`) {
			continue
		}
		if u, err := url.Parse(strings.Trim(strings.TrimSpace(target), "<>")); err == nil {
			return u.Query().Get("after")
		}
	}
	return ""
}
