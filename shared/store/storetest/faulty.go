package storetest

import (
	"context"
	"sync"

	"github.com/provisioning-platform/platform/shared/store"
)

// Moment is when a planned fault strikes a commit.
type Moment uint8

// The moments.
const (
	Never  Moment = iota
	Before        // nothing is written, and the caller is told Unavailable
	After         // everything is written, but the caller is told Unavailable
)

// FaultyDB is a store whose commits fail as planned. All else goes through.
type FaultyDB struct {
	store.DB
	plan func(n int, b store.Batch) Moment

	mu sync.Mutex // guards n
	n  int
}

// Faulty wraps a store. plan is asked for every commit, numbered from 1 in the order of their
// arrival.
func Faulty(db store.DB, plan func(n int, b store.Batch) Moment) *FaultyDB {
	return &FaultyDB{DB: db, plan: plan}
}

// At is the plan that strikes the n-th commit only.
func At(n int, m Moment) func(int, store.Batch) Moment {
	return func(i int, _ store.Batch) Moment {
		if i == n {
			return m
		}
		return Never
	}
}

// Commits returns how many commits were asked for.
func (f *FaultyDB) Commits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

// Commit implements store.DB.
func (f *FaultyDB) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	f.mu.Lock()
	f.n++
	n := f.n
	f.mu.Unlock()
	m := f.plan(n, b)
	if m == Before {
		return store.Receipt{}, store.ErrUnavailable
	}
	r, err := f.DB.Commit(ctx, b)
	if m == After {
		return store.Receipt{}, store.ErrUnavailable
	}
	return r, err
}
