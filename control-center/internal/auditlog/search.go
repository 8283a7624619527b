package auditlog

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Budget is how many rows a search reads in one request at most (decision 56).
const Budget = 2000

// idSlack is how far the time in an entry's id may be from the entry's own in logs of older
// programs; id.At makes them one.
const idSlack = 5 * time.Millisecond

// ErrNotFound is the answer to the id of no row.
var ErrNotFound = fault.New(fault.NotFound, "audit.not_found", "there is no audit record with this id")

// Filter selects rows. The zero value of a member selects all; From and To belong to the span.
type Filter struct {
	UserID, Action, Resource string
	From, To                 time.Time
}

// Get returns the row with that id, or ErrNotFound.
func (x *Index) Get(ctx context.Context, rowID string) (Row, error) {
	if !id.Valid(rowID) {
		return Row{}, ErrNotFound
	}
	r, err := Table.Get(ctx, x.DB, rowID)
	if err == nil && r.Rev == 0 {
		err = ErrNotFound
	}
	return r.Value, err
}

// Search returns a page of the rows that match, newest first. What one index answers is listed from
// it, with totals from its counter. Else Search walks the index that holds the fewest rows and
// compares the rest, at most Budget rows: the page may then be short or empty, and goes on with
// Next; Total counts the matches that were seen.
func (x *Index) Search(ctx context.Context, f Filter, p store.Place) (store.Window[Row], error) {
	queries := f.queries()
	if len(queries) < 2 && f.counted(queries[0]) {
		return Table.Window(ctx, x.DB, p, queries[0])
	}
	q, err := x.narrowest(ctx, queries)
	if err != nil {
		return store.Window[Row]{}, err
	}
	return x.walk(ctx, f, q, p)
}

// queries returns the lists that hold all that f selects: one for each text of f, or the whole
// index.
func (f Filter) queries() []store.Query {
	var all []store.Query
	for _, c := range []struct{ index, value string }{{"user_id", f.UserID}, {"resource", f.Resource}, {"action", f.Action}} {
		if c.value != "" {
			all = append(all, store.Query{Kind: Table.Kind, Index: c.index, Prefix: cut(c.value), Exact: true})
		}
	}
	if all == nil {
		all = []store.Query{{Kind: Table.Kind}}
	}
	return all
}

// counted says whether the list of q has only rows that f selects: f names no time, and its text
// stands uncut in the index.
func (f Filter) counted(q store.Query) bool {
	return f.From.IsZero() && f.To.IsZero() && len(q.Prefix) < indexValue-utf8.UTFMax && !strings.ContainsRune(q.Prefix, utf8.RuneError)
}

// narrowest returns the query with the fewest rows, by their counters.
func (x *Index) narrowest(ctx context.Context, queries []store.Query) (store.Query, error) {
	count := store.Query{Kind: Table.Kind}
	for _, q := range queries {
		count.Counts = append(count.Counts, store.CounterKey{Kind: q.Kind, Index: q.Index, Value: q.Prefix})
	}
	page, err := x.DB.List(ctx, count)
	best := 0
	for i, c := range page.Counts {
		if c.N < page.Counts[best].N {
			best = i
		}
	}
	return queries[best], err
}

// walk searches the list of q, row by row. A page that follows no other one counts the matches
// behind it too, as far as Budget goes.
func (x *Index) walk(ctx context.Context, f Filter, q store.Query, p store.Place) (w store.Window[Row], err error) {
	if err := p.Check(); err != nil {
		return w, err
	}
	lower, skip, last := "", p.Offset, ""
	if !f.From.IsZero() {
		lower = id.Since(f.From.Add(-idSlack))
	}
	if p.After != "" {
		skip = 0
	}
	q.Reverse, q.After = true, f.start(q, p)
	w.Inexact = p.After != "" || p.Before != "" // The rows in front are not counted.
	for left := Budget; left > 0; {
		q.Limit = min(left, store.MaxPage)
		rows, page, err := Table.List(ctx, x.DB, q)
		if err != nil {
			return w, err
		}
		for _, r := range rows {
			if r.Value.ID < lower {
				return w, nil
			}
			if last = r.Value.ID; !f.matches(r.Value) {
				continue
			}
			switch w.Total++; {
			case w.Total <= skip:
			case len(w.Rows) < p.Limit:
				w.Rows = append(w.Rows, r)
			default:
				w.Next = w.Rows[len(w.Rows)-1].Value.ID
				if p.After != "" {
					return w, nil
				}
			}
		}
		if !page.More {
			return w, nil
		}
		left, q.After = left-len(rows), page.Next
	}
	w.Inexact = true
	switch {
	case w.Total < skip:
		return w, fault.New(fault.Invalid, "paging.too_deep",
			"offset=%d is too deep in a search that compares rows, %d of them a request; follow the Link of a page, which goes on with "+
				"after=<id>, or narrow it with from=<time> and to=<time>", p.Offset, Budget)
	case len(w.Rows) == p.Limit: // The next page finds what arrives late behind this row.
		w.Next = w.Rows[len(w.Rows)-1].Value.ID
	default:
		w.Next = last
	}
	return w, nil
}

// start returns the place in the list of q behind which the walk begins.
func (f Filter) start(q store.Query, p store.Place) store.Cursor {
	from := ""
	narrow := func(id string) {
		if from == "" || id < from {
			from = id
		}
	}
	if !f.To.IsZero() {
		narrow(id.Since(f.To.Add(idSlack + time.Millisecond)))
	}
	if p.After != "" {
		narrow(p.After)
	} else if p.Before != "" {
		narrow(p.Before + "\x01") // The row itself is part of the list.
	}
	if from == "" {
		return store.Cursor{}
	}
	return store.Cursor{Value: q.Prefix, ID: from}
}

// matches compares a row with f in full.
func (f Filter) matches(r Row) bool {
	return (f.UserID == "" || r.UserID == f.UserID) && (f.Action == "" || r.Action == f.Action) &&
		(f.Resource == "" || r.Resource == f.Resource) &&
		(f.From.IsZero() || !r.Timestamp.Before(f.From)) && (f.To.IsZero() || !r.Timestamp.After(f.To))
}
