package store

import (
	"context"
	"slices"

	"github.com/provisioning-platform/platform/shared/fault"
)

// MaxSkip is how many keys an offset walks over at most, from the nearer end of the list (decision
// 55).
const MaxSkip = 100_000

// Place says which page of a list a person wants to see (decision 55).
type Place struct {
	After  string // the page begins behind the row with this id, however deep; Offset is not looked at
	Before string // the list begins at the row with this id
	Offset int    // rows to leave out
	Limit  int    // rows at most, up to MaxPage
}

// Window is a page of a list, newest first.
type Window[T any] struct {
	Rows    []Row[T]
	Total   int    // rows of the whole list, as the counters say now
	Inexact bool   // counting stopped at Total, and there may be more rows
	Next    string // the After of the page behind this one; empty when there is none
}

// cursor returns the place in the list of q behind which the page begins, and how many rows it
// leaves out. q lists by id or one exact value of an index, newest first.
func (p Place) cursor(q Query) (after Cursor, skip int) {
	switch {
	case p.After != "":
		after.ID = p.After
	case p.Before != "":
		after.ID, skip = p.Before+"\x01", p.Offset // the row itself belongs to the list
	default:
		return after, p.Offset
	}
	if q.Index != "" {
		after.Value = q.Prefix
	}
	return after, skip
}

// Check returns a fault of kind Malformed for cursors that no row can have.
func (p Place) Check() error {
	for name, id := range map[string]string{"after": p.After, "before": p.Before} {
		if len(id) > MaxKey-1 || !isText(id) {
			return fault.New(fault.Malformed, "paging.cursor", "%s is no id of a row; take it from the Link of a page", name)
		}
	}
	return nil
}

// Window returns a page of the rows of some ranges together, newest first: by id, descending. A
// range is a query for all documents or for one exact value of a counted index; no document is in
// two of them. A page costs the same at any depth with After; an offset walks over keys, at most
// MaxSkip of them from the nearer end, and fails as Invalid ("paging.too_deep") farther inside the
// list.
func (t Table[T]) Window(ctx context.Context, db DB, p Place, ranges ...Query) (Window[T], error) {
	var w Window[T]
	if err := p.Check(); err != nil {
		return w, err
	}
	lanes := make([]lane, len(ranges))
	skip, limit, oldestFirst := 0, p.Limit, false
	for i, q := range ranges {
		q.Kind, q.Reverse, q.Total = t.Kind, true, true
		q.After, skip = p.cursor(q)
		lanes[i] = lane{q: q, more: true}
	}
	if skip > 0 && p.Before == "" { // from which end depends on the total
		total, err := count(ctx, db, lanes)
		if err != nil || skip >= total {
			return Window[T]{Total: total}, err
		}
		if oldestFirst = skip > total/2; oldestFirst {
			limit = min(limit, total-skip)
			skip = total - skip - limit
			for i := range lanes {
				lanes[i].q.Reverse = false
			}
		}
	}
	if skip > MaxSkip {
		return w, fault.New(fault.Invalid, "paging.too_deep",
			"offset=%d is too deep inside this list: at most %d rows are walked over, from its nearer end; follow the Link of a page, "+
				"which goes on with after=<id>, or narrow the list, with from=<time> where it takes one",
			p.Offset, MaxSkip)
	}
	docs, more, err := merge(ctx, db, lanes, skip, limit)
	if err != nil {
		return w, err
	}
	for _, l := range lanes {
		w.Total += l.total
	}
	if oldestFirst {
		slices.Reverse(docs)
		more = skip > 0
	}
	w.Rows = make([]Row[T], len(docs))
	for i, d := range docs {
		v, err := t.Decode(d)
		if err != nil {
			return w, err
		}
		w.Rows[i] = Row[T]{Value: v, Rev: d.Rev}
	}
	if more && len(docs) > 0 {
		w.Next = docs[len(docs)-1].Key.ID
	}
	return w, nil
}

// lane is a range that merge reads page by page.
type lane struct {
	q     Query
	docs  []Doc // documents that were read and not used yet
	more  bool  // there may be documents behind docs
	total int   // documents of the range when the first page was read
}

// load reads the next documents.
func (l *lane) load(ctx context.Context, db DB) error {
	page, err := db.List(ctx, l.q)
	if l.q.Total {
		l.total = page.Total
	}
	l.docs, l.more = page.Docs, page.More
	l.q.After, l.q.Skip, l.q.Total = page.Next, 0, false
	return err
}

// count returns how many documents the lanes have together.
func count(ctx context.Context, db DB, lanes []lane) (total int, err error) {
	if len(lanes) == 0 {
		return 0, nil
	}
	q := Query{Kind: lanes[0].q.Kind}
	for _, l := range lanes {
		q.Counts = append(q.Counts, CounterKey{Kind: l.q.Kind, Index: l.q.Index, Value: l.q.Prefix})
	}
	page, err := db.List(ctx, q)
	for _, c := range page.Counts {
		total += c.N
	}
	return total, err
}

// merge returns the documents of all lanes in the order of their ids, without the first skip ones,
// and whether there are more.
func merge(ctx context.Context, db DB, lanes []lane, skip, limit int) (docs []Doc, more bool, err error) {
	for i := range lanes {
		lanes[i].q.Limit = min(skip+limit, MaxPage)
	}
	if len(lanes) == 1 { // the engine walks over the keys alone
		lanes[0].q.Skip, lanes[0].q.Limit, skip = skip, limit, 0
	}
	for skip > 0 || len(docs) < limit {
		var first *lane
		for i := range lanes {
			l := &lanes[i]
			if len(l.docs) == 0 && l.more {
				if err := l.load(ctx, db); err != nil {
					return nil, false, err
				}
			}
			if len(l.docs) > 0 && (first == nil || (l.docs[0].Key.ID > first.docs[0].Key.ID) == l.q.Reverse) {
				first = l
			}
		}
		if first == nil {
			return docs, false, nil
		}
		if skip > 0 {
			skip--
		} else {
			docs = append(docs, first.docs[0])
		}
		first.docs = first.docs[1:]
	}
	return docs, slices.ContainsFunc(lanes, func(l lane) bool { return len(l.docs) > 0 || l.more }), nil
}
