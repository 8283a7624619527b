package web

import (
	"context"

	"github.com/provisioning-platform/platform/shared/store"
)

// List answers a list route from a table: one page by offset, as view shows its rows. q says what is
// listed and in which direction; its paging fields are set here. The total comes from the store's
// counters, so an indexed query must be Exact and its index counted; for others count yourself.
//
// A descending list stays stable while rows are added (decision 11): links carry the id of the first row
// as before=, and with it offsets and the total are taken from that row on.
func List[T, V any](ctx context.Context, db store.DB, t store.Table[T], p Paging, q store.Query, view func(store.Row[T]) V) (Page[V], error) {
	q.Skip, q.Limit, q.Total = p.Offset, min(p.Limit, MaxLimit), true
	newer := 0
	if q.Reverse && p.Before != "" {
		var err error
		if newer, err = countNewer(ctx, db, t, q, p.Before); err != nil {
			return Page[V]{}, err
		}
		q.After = store.Cursor{ID: p.Before + "\x01"} // the row itself is part of the list
		if q.Index != "" {
			q.After.Value = q.Prefix
		}
	}
	rows, page, err := t.List(ctx, db, q)
	if err != nil {
		return Page[V]{}, err
	}
	out := Page[V]{Items: make([]V, len(rows)), Total: max(page.Total-newer, 0)}
	for i, r := range rows {
		out.Items[i] = view(r)
	}
	if q.Reverse && p.Before == "" && p.Offset == 0 && len(rows) > 0 {
		out.Before = t.ID(rows[0].Value)
	}
	return out, nil
}

// countNewer returns how many rows were added before the anchor since the list was begun. They are few;
// above a page the total is a little too large, and nothing else depends on it.
func countNewer[T any](ctx context.Context, db store.DB, t store.Table[T], q store.Query, anchor string) (int, error) {
	q.Skip, q.Limit, q.Total = 0, store.MaxPage, false
	rows, _, err := t.List(ctx, db, q)
	if err != nil {
		return 0, err
	}
	for i, r := range rows {
		if t.ID(r.Value) <= anchor {
			return i, nil
		}
	}
	return len(rows), nil
}
