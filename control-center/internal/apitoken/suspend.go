package apitoken

import (
	"context"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/shared/store"
)

// suspendAtOnce is how many tokens one commit suspends at most.
const suspendAtOnce = 200

// SuspendAll suspends every token of a store that was put back from a backup, because nobody knows
// which of them were revoked since (decision 51), and returns how many it suspended. Its owner
// rotates a token that is still wanted. It may be run again after a crash.
func SuspendAll(ctx context.Context, db store.DB, now time.Time) (suspended int, err error) {
	now = now.UTC().Truncate(time.Second)
	var good []string
	for row, err := range table.All(ctx, db, store.Query{}) {
		if err != nil {
			return 0, err
		}
		if t := row.Value; t.Ended == nil && now.Before(t.Expires) {
			good = append(good, t.ID)
		}
	}
	changes := change.Committer{DB: db}
	for some := range slices.Chunk(good, suspendAtOnce) {
		act := change.New("token.suspend", "tokens", map[string]any{"tokens": len(some)})
		if err := changes.Commit(ctx, act, func(tx *store.Tx) error {
			for _, tokenID := range some {
				t, err := load(tx, tokenID)
				if err != nil {
					return err
				}
				t.Ended, t.Reason = &now, ReasonRecovered
				holders.Remove(tx, t.Owner)
				act.Emit(change.TokenRevoked, t.ID, change.Data{Name: t.Name, Reason: t.Reason, UserID: t.Owner})
				if err := save(tx, t, table.Save); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return suspended, err
		}
		suspended += len(some)
	}
	return suspended, nil
}
