package run

import (
	"context"
	"iter"

	"github.com/provisioning-platform/platform/shared/store"
)

// Rows yields every row of a table that a query finds, in the order of the query. It reads page by page, of MaxPage rows when
// the query sets no limit, and ends with the first error.
func Rows[T any](ctx context.Context, db store.DB, t store.Table[T], q store.Query) iter.Seq2[store.Row[T], error] {
	return func(yield func(store.Row[T], error) bool) {
		q := q
		if q.Limit == 0 {
			q.Limit = store.MaxPage
		}
		for {
			rows, page, err := t.List(ctx, db, q)
			if err != nil {
				yield(store.Row[T]{}, err)
				return
			}
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
			}
			if !page.More {
				return
			}
			q.After = page.Next
		}
	}
}

// All returns every row that Rows yields.
func All[T any](ctx context.Context, db store.DB, t store.Table[T], q store.Query) (all []store.Row[T], err error) {
	for row, err := range Rows(ctx, db, t, q) {
		if err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, nil
}
