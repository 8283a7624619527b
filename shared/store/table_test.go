package store_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

func TestTable_allYieldsEveryRowOfEveryPageInOrder(t *testing.T) {
	t.Parallel()
	var in []account
	for i := range 10 {
		in = append(in, account{ID: fmt.Sprint(i), Balance: i, State: []string{"even", "odd"}[i%2]})
	}
	db := newDB(t, in...)
	for _, c := range []struct {
		q    store.Query
		want string
	}{
		{store.Query{}, "0123456789"}, {store.Query{Limit: 3}, "0123456789"}, {store.Query{Limit: 3, Reverse: true}, "9876543210"},
		{store.Query{Limit: 2, Skip: 3}, "3456789"},
		{store.Query{Index: "state", Prefix: "odd", Exact: true, Limit: 2}, "13579"}, {store.Query{Prefix: "x"}, ""},
		{store.Query{Limit: 5, After: store.Cursor{ID: "7"}}, "89"},
	} {
		all := accounts.All(t.Context(), db, c.q)
		for range 2 { // from the beginning each time
			got := ""
			for row, err := range all {
				if err != nil || row.Rev == 0 {
					t.Fatal(row, err)
				}
				got += fmt.Sprint(row.Value.Balance)
			}
			if got != c.want {
				t.Errorf("%+v: %s, want %s", c.q, got, c.want)
			}
		}
	}
}

func TestTable_allEndsWithTheErrorOfItsContextStoreOrRow(t *testing.T) {
	t.Parallel()
	db := newDB(t, account{ID: "a"}, account{ID: "b"}, account{ID: "c"})
	broken := accounts
	broken.Upgrade = func(body []byte) ([]byte, error) { return nil, fmt.Errorf("cannot read %s", body) }
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for name, c := range map[string]struct {
		table store.Table[account]
		ctx   context.Context
		q     store.Query
		rows  int
		kind  fault.Kind
	}{
		"a row that cannot be read": {broken, t.Context(), store.Query{}, 0, fault.Internal},
		"a refused query":           {accounts, t.Context(), store.Query{Limit: store.MaxPage + 1}, 0, fault.Invalid},
		"an ended context":          {accounts, ctx, store.Query{Limit: 1}, 1, fault.Unavailable},
	} {
		rows, failed := 0, error(nil)
		for _, err := range c.table.All(c.ctx, db, c.q) {
			if failed != nil {
				t.Errorf("%s: goes on behind an error", name)
			}
			if failed = err; err == nil {
				rows++
			}
			if c.ctx == ctx {
				cancel()
			}
		}
		if all, err := store.Collect(c.table.All(t.Context(), db, c.q)); (err != nil) != (c.ctx != ctx) || err != nil && all != nil {
			t.Errorf("%s: collected %d rows, %v", name, len(all), err)
		}
		if failed == nil || rows != c.rows || fault.Of(failed) != nil && fault.Of(failed).Kind != c.kind {
			t.Errorf("%s: %d rows, then %v", name, rows, failed)
		}
	}
}
