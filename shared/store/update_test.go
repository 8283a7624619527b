package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/store/storetest"
)

type account struct {
	Balance int    `json:"balance"`
	ID      string `json:"id"`
	State   string `json:"state,omitempty"`
}

var accounts = store.Table[account]{Kind: "task", ID: func(a account) string { return a.ID },
	Index: func(a account) []store.IndexKey { return []store.IndexKey{{Name: "state", Value: a.State}} }}

func newDB(t *testing.T, in ...account) *memstore.Store {
	t.Helper()
	db := memstore.New(storetest.Schema())
	for _, a := range in {
		a := a
		if _, err := store.Update(t.Context(), db, func(tx *store.Tx) error { return accounts.Create(tx, a) }); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

func balance(t *testing.T, db store.DB, id string) int {
	t.Helper()
	row, err := accounts.Get(t.Context(), db, id)
	if err != nil {
		t.Fatal(err)
	}
	return row.Value.Balance
}

// add is one read-modify-write.
func add(ctx context.Context, db store.DB, id string, n int) error {
	_, err := store.Update(ctx, db, func(tx *store.Tx) error {
		row, err := accounts.Load(tx, id)
		if err != nil {
			return err
		}
		row.Value.Balance += n
		return accounts.Save(tx, row.Value)
	})
	return err
}

func TestUpdate_reRunsOnConflict(t *testing.T) {
	t.Parallel()
	db := newDB(t, account{ID: "a"})
	runs := 0
	r, err := store.Update(t.Context(), db, func(tx *store.Tx) error {
		row, err := accounts.Load(tx, "a")
		if err != nil {
			return err
		}
		if runs++; runs < 4 { // somebody is faster three times
			if err := add(t.Context(), db, "a", 10); err != nil {
				return err
			}
		}
		row.Value.Balance++
		tx.Append("events", []byte("counted"))
		return accounts.Save(tx, row.Value)
	})
	if err != nil || runs != 4 || balance(t, db, "a") != 31 {
		t.Errorf("%d runs, balance %d, %v; want 4 and 31", runs, balance(t, db, "a"), err)
	}
	if e, _ := db.Read(t.Context(), "events", 0, 10); e.Head != 1 || r.Seqs[0] != 1 {
		t.Errorf("head %d, receipt %v", e.Head, r)
	}
}

func TestUpdate_parallelWritersLoseNothing(t *testing.T) {
	t.Parallel()
	db := newDB(t, account{ID: "a"})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 20 {
				if err := add(t.Context(), db, "a", 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := balance(t, db, "a"); got != 320 {
		t.Errorf("balance %d, want 320", got)
	}
}

// Two transactions that each read what the other writes must not both succeed as if alone.
func TestUpdate_readsAreChecked(t *testing.T) {
	t.Parallel()
	db := newDB(t, account{ID: "a", Balance: 1}, account{ID: "b", Balance: 1})
	runs := 0
	_, err := store.Update(t.Context(), db, func(tx *store.Tx) error {
		runs++
		other, err := accounts.Load(tx, "b") // only read
		if err != nil {
			return err
		}
		if runs == 1 {
			if err := add(t.Context(), db, "b", 5); err != nil {
				return err
			}
		}
		return accounts.Save(tx, account{ID: "a", Balance: other.Value.Balance})
	})
	if err != nil || runs != 2 || balance(t, db, "a") != 6 {
		t.Errorf("%d runs, balance %d, %v; want 2 and 6", runs, balance(t, db, "a"), err)
	}
	// What was not there counts as read, too.
	runs = 0
	_, err = store.Update(t.Context(), db, func(tx *store.Tx) error {
		runs++
		row, err := accounts.Load(tx, "new")
		if err != nil {
			return err
		}
		if runs == 1 {
			if err := add(t.Context(), db, "a", 0); err != nil {
				return err
			}
			if _, err := store.Update(t.Context(), db,
				func(tx *store.Tx) error { return accounts.Create(tx, account{ID: "new"}) }); err != nil {
				return err
			}
		}
		return accounts.Save(tx, account{ID: "seen", Balance: int(row.Rev)})
	})
	if err != nil || runs != 2 || balance(t, db, "seen") == 0 {
		t.Errorf("%d runs, %v: an absent document that appeared was not noticed", runs, err)
	}
}

func TestUpdate_createTwice(t *testing.T) {
	t.Parallel()
	create := func(tx *store.Tx) error { return accounts.Create(tx, account{ID: "a", Balance: 2}) }
	for name, fn := range map[string]func(*store.Tx) error{
		"blind": create,
		"after reading it": func(tx *store.Tx) error {
			if _, err := accounts.Load(tx, "a"); err != nil {
				return err
			}
			return create(tx)
		},
		"in one transaction": func(tx *store.Tx) error {
			accounts.Remove(tx, "a")
			return errors.Join(create(tx), create(tx))
		},
	} {
		db := newDB(t, account{ID: "a", Balance: 1})
		runs := 0
		_, err := store.Update(t.Context(), db, func(tx *store.Tx) error { runs++; return fn(tx) })
		if !fault.Is(err, fault.Conflict) || runs > 2 || balance(t, db, "a") != 1 {
			t.Errorf("%s: %v after %d runs, balance %d; want a conflict after at most 2 runs", name, err, runs, balance(t, db, "a"))
		}
	}
	// Exactly one of many wins.
	db := newDB(t)
	var won atomic.Int64
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			_, err := store.Update(t.Context(), db, func(tx *store.Tx) error {
				return accounts.Create(tx, account{ID: "name", Balance: i})
			})
			if err == nil {
				won.Add(1)
			} else if !fault.Is(err, fault.Conflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d creators won", won.Load())
	}
}

func TestUpdate_seesItsOwnWrites(t *testing.T) {
	t.Parallel()
	db := newDB(t, account{ID: "a", Balance: 1}, account{ID: "b", Balance: 1})
	_, err := store.Update(t.Context(), db, func(tx *store.Tx) error {
		if err := accounts.Save(tx, account{ID: "a", Balance: 7}); err != nil {
			return err
		}
		accounts.Remove(tx, "b")
		a, errA := accounts.Load(tx, "a")
		b, errB := accounts.Load(tx, "b")
		if a.Value.Balance != 7 || a.Rev == 0 || b.Rev != 0 {
			return fmt.Errorf("sees %+v and %+v, %v, %v", a, b, errA, errB)
		}
		return accounts.Create(tx, account{ID: "b", Balance: 9}) // in the place of the removed one
	})
	if err != nil || balance(t, db, "a") != 7 || balance(t, db, "b") != 9 {
		t.Errorf("%v: balances %d and %d", err, balance(t, db, "a"), balance(t, db, "b"))
	}
}

func TestUpdate_endings(t *testing.T) {
	t.Parallel()
	db := newDB(t, account{ID: "a"})
	mine := errors.New("mine")
	if _, err := store.Update(t.Context(), db, func(tx *store.Tx) error { tx.Append("events", nil); return mine }); !errors.Is(err, mine) {
		t.Errorf("the error of the function: %v", err)
	}
	faulty := storetest.Faulty(db, func(int, store.Batch) storetest.Moment { return storetest.After })
	if _, err := store.Update(t.Context(), faulty,
		func(tx *store.Tx) error { return accounts.Save(tx, account{ID: "a", Balance: 3}) }); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a lost reply: %v", err)
	}
	if faulty.Commits() != 1 || balance(t, db, "a") != 3 {
		t.Errorf("%d commits after a lost reply, balance %d: it must not be retried", faulty.Commits(), balance(t, db, "a"))
	}
	faulty = storetest.Faulty(db, storetest.At(1, storetest.Before))
	if _, err := store.Update(t.Context(), faulty, func(tx *store.Tx) error { _, err := accounts.Load(tx, "a"); return err }); err != nil ||
		faulty.Commits() != 0 {
		t.Errorf("a transaction that only reads: %d commits, %v", faulty.Commits(), err)
	}
	if err := add(t.Context(), faulty, "a", 1); !fault.Is(err, fault.Unavailable) || balance(t, db, "a") != 3 {
		t.Errorf("failed before: %v, balance %d", err, balance(t, db, "a"))
	}
	if err := add(t.Context(), faulty, "a", 1); err != nil || balance(t, db, "a") != 4 {
		t.Errorf("afterwards: %v, balance %d", err, balance(t, db, "a"))
	}
	always := 0
	_, err := store.Update(t.Context(), db, func(tx *store.Tx) error {
		always++
		row, err := accounts.Load(tx, "a")
		if err != nil {
			return err
		}
		return errors.Join(add(t.Context(), db, "a", 1), accounts.Save(tx, row.Value))
	})
	if !fault.Is(err, fault.Conflict) || always < 10 {
		t.Errorf("conflicts without end: %v after %d runs", err, always)
	}
}

func TestTable_upgradesOnRead(t *testing.T) {
	t.Parallel()
	db := newDB(t, account{ID: "a", Balance: 1})
	upgraded := accounts
	upgraded.Upgrade = func(body []byte) ([]byte, error) {
		if string(body) != `{"balance":1,"id":"a"}` {
			return nil, fmt.Errorf("unexpected %s", body)
		}
		return []byte(`{"balance":100,"id":"a","state":"x"}`), nil
	}
	rows, page, err := upgraded.List(t.Context(), db, store.Query{Limit: 10, Total: true})
	if err != nil || page.Total != 1 || len(rows) != 1 || rows[0].Value.Balance != 100 || rows[0].Rev == 0 {
		t.Errorf("%+v, %+v, %v", rows, page, err)
	}
	if row, err := upgraded.Get(t.Context(), db, "nobody"); err != nil || row.Rev != 0 {
		t.Errorf("an absent row: %+v, %v", row, err)
	}
}
