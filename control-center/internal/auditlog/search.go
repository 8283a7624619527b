package auditlog

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Bounds of a search with combined filters (decision 11).
const (
	countTo = 10_000 // matching rows are counted so far
	lookAt  = 50_000 // rows are looked at so far

	idSlack = 5 * time.Millisecond // between the time in an entry's id and the entry's own
)

// ErrNotFound is the answer to an unknown row.
var ErrNotFound = fault.New(fault.NotFound, "audit.not_found", "there is no audit record with this id")

// Filter selects rows; zero values select all. From and To are inclusive. Before is the id of a row with
// which a search begins.
type Filter struct {
	UserID, Action, Resource string
	From, To                 time.Time
	Before                   string
}

// Found is a page of rows, newest first. Total is exact unless counting stopped.
type Found struct {
	Rows  []Row
	Total int
	Exact bool
}

// Get returns one row.
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

// Plain returns the query that lists what f selects with totals from the store's counters, if one does: at
// most one text and no time. Its Before is the caller's business.
func (f Filter) Plain() (store.Query, bool) {
	q, texts := f.narrowest()
	return q, texts < 2 && len(q.Prefix) < indexValue-utf8.UTFMax && !strings.ContainsRune(q.Prefix, utf8.RuneError) && f.From.IsZero() && f.To.IsZero()
}

// narrowest returns the query of the index that holds the fewest rows as a rule, and how many texts f names.
func (f Filter) narrowest() (q store.Query, texts int) {
	q.Reverse = true
	for _, c := range []struct{ index, value string }{{"user_id", f.UserID}, {"resource", f.Resource}, {"action", f.Action}} {
		if c.value == "" {
			continue
		}
		if texts++; q.Index == "" {
			q.Index, q.Prefix, q.Exact = c.index, cut(c.value), true
		}
	}
	return q, texts
}

// Search returns a page of the rows that match. It walks the narrowest index from the newest row in question
// and compares the rest.
func (x *Index) Search(ctx context.Context, f Filter, skip, limit int) (Found, error) {
	q, _ := f.narrowest()
	out := Found{Exact: true}
	upper := ""
	if !f.To.IsZero() {
		upper = idAt(f.To.Add(idSlack))
	}
	if from := f.Before + "\x01"; f.Before != "" && (upper == "" || from < upper) { // the row itself is part of it
		upper = from
	}
	if upper != "" {
		q.After = store.Cursor{Value: q.Prefix, ID: upper}
	}
	lower := ""
	if !f.From.IsZero() {
		lower = idAt(f.From.Add(-idSlack))
	}
	q.Limit = store.MaxPage
	for looked := 0; ; {
		found, page, err := Table.List(ctx, x.DB, q)
		if err != nil {
			return out, err
		}
		for _, r := range found {
			if lower != "" && r.Value.ID < lower {
				return out, nil
			}
			if !f.matches(r.Value) {
				continue
			}
			if out.Total >= skip && len(out.Rows) < limit {
				out.Rows = append(out.Rows, r.Value)
			}
			if out.Total++; out.Total >= countTo && len(out.Rows) >= limit {
				out.Total, out.Exact = countTo, false
				return out, nil
			}
		}
		if looked += len(found); !page.More || looked >= lookAt {
			out.Exact = !page.More
			return out, nil
		}
		q.After = page.Next
	}
}

func (f Filter) matches(r Row) bool {
	return (f.UserID == "" || r.UserID == f.UserID) && (f.Action == "" || r.Action == f.Action) && (f.Resource == "" || r.Resource == f.Resource) &&
		(f.From.IsZero() || !r.Timestamp.Before(f.From)) && (f.To.IsZero() || !r.Timestamp.After(f.To))
}

// idAt returns the lowest id of an entry made at t: ids begin with their millisecond.
func idAt(t time.Time) string {
	ms := max(t.UnixMilli(), 0)
	hex := fmt.Sprintf("%012x", ms)
	return hex[:8] + "-" + hex[8:12]
}
