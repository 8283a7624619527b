package web

import (
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/provisioning-platform/platform/shared/store"
)

// Paging is embedded in the input of a list (decision 55). Limit is at most MaxLimit whatever was
// asked for.
type Paging struct {
	Limit  int    `query:"limit" default:"50" min:"1" doc:"rows at most; above 1000 is lowered to 1000"`
	Offset int    `query:"offset" default:"0" min:"0" doc:"rows to leave out, at most 100,000 from the nearer end of the list; with after only for show"`
	After  string `query:"after" max:"256" doc:"begin the page behind the row with this id, at any depth; Link carries it" example:"01997b1c-0000-7000-8000-000000000001"`
	Before string `query:"before" max:"256" doc:"begin the list at the row with this id, whatever was added since" example:"01997b1c-0000-7000-8000-000000000002"`
}

// MaxLimit is the most rows a page has.
const MaxLimit = store.MaxPage

func (p *Paging) paging() *Paging { return p }

// Place returns what was asked for as a store takes it.
func (p Paging) Place() store.Place {
	return store.Place{After: p.After, Before: p.Before, Offset: p.Offset, Limit: min(p.Limit, MaxLimit)}
}

// Page is the output of a list: the rows of this page and the number of all rows that match. Its
// headers and links are web's business.
type Page[T any] struct {
	Items   []T
	Total   int    // rows that match now
	Inexact bool   // Total is where counting stopped; there may be more
	Next    string // the value for after= in the link to the next page; empty when there is none
	Limit   int    // rows at most, when that is less than what was asked for
}

// PageOf returns the page of a window, each row as view shows it.
func PageOf[T, V any](w store.Window[T], view func(T) V) Page[V] {
	p := Page[V]{Items: make([]V, len(w.Rows)), Total: w.Total, Inexact: w.Inexact, Next: w.Next}
	for i := range w.Rows {
		p.Items[i] = view(w.Rows[i].Value)
	}
	return p
}

func (p Page[T]) page() pageOf {
	items := p.Items
	if items == nil {
		items = []T{}
	}
	return pageOf{items: items, count: len(items), total: p.Total, inexact: p.Inexact, next: p.Next, limit: p.Limit}
}

func (Page[T]) row() reflect.Type { return reflect.TypeFor[T]() }

// pageOf is a page without its type, for the writer.
type pageOf struct {
	items   any
	count   int
	total   int
	inexact bool
	next    string
	limit   int
}

type pager interface {
	page() pageOf
	row() reflect.Type
}

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
