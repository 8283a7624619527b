package apitoken

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// useEvery is how often the last uses are stored: a request costs no commit.
const useEvery = time.Minute

// usesAtOnce is how many last uses one commit stores.
const usesAtOnce = 200

// Use notes the last use of tokens, here or at the orchestrator.
func (ts *Registry) Use(uses ...token.APIUse) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.used == nil {
		ts.used = map[string]int64{}
	}
	for _, u := range uses {
		ts.used[u.ID] = max(ts.used[u.ID], u.At)
	}
}

// Run stores the last uses once a minute until ctx ends, and then once more. It returns nil: what
// could not be stored is stored the next time.
func (ts *Registry) Run(ctx context.Context) error {
	tick := time.NewTicker(useEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			ts.keepUses(ctx)
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			ts.keepUses(end)
			return nil
		}
	}
}

// keepUses stores what Use has noted.
func (ts *Registry) keepUses(ctx context.Context) {
	ts.mu.Lock()
	noted := ts.used
	ts.used = nil
	ts.mu.Unlock()
	var some []token.APIUse
	for tokenID, at := range noted {
		if some = append(some, token.APIUse{At: at, ID: tokenID}); len(some) == usesAtOnce {
			ts.keepSome(ctx, some)
			some = nil
		}
	}
	ts.keepSome(ctx, some)
}

// keepSome stores some last uses in one commit. It leaves no audit entry and no event, because
// nobody's rights change.
func (ts *Registry) keepSome(ctx context.Context, uses []token.APIUse) {
	if len(uses) == 0 {
		return
	}
	_, err := store.Update(ctx, ts.DB, func(tx *store.Tx) error {
		for _, u := range uses {
			row, err := table.Load(tx, u.ID)
			if err != nil {
				return err
			}
			if t := row.Value; row.Rev != 0 && (t.LastUsed == nil || t.LastUsed.Unix() < u.At) {
				at := time.Unix(u.At, 0).UTC()
				t.LastUsed = &at
				if err := table.Save(tx, t); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		ts.Use(uses...)
	}
}
