package serviceaccount

import (
	"context"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// Recover goes on with the service accounts of a store that was put back from a backup (decision
// 51): each gets a version above what the orchestrator knows, and one that has lost rights since,
// or that nothing is known of, is disabled. It returns the names and reasons of those. It may be
// run again after a crash.
func Recover(ctx context.Context, db store.DB, known map[string]token.SubjectState, now time.Time) (disabled []user.Disabled, err error) {
	changes := change.Committer{DB: db}
	for row, err := range table.All(ctx, db, store.Query{}) {
		if err != nil {
			return disabled, err
		}
		k, named := known[row.Value.ID]
		why := lost(row.Value, k, named)
		act := change.New("service_account.recover", "service-accounts/"+row.Value.ID, map[string]any{"name": row.Value.Name, "why": why})
		if err := changes.Commit(ctx, act, func(tx *store.Tx) error {
			a, err := find(tx, row.Value.ID)
			if err != nil {
				return err
			}
			was := a
			a.Version = max(a.Version, k.Version)
			raise(&a, now) // nothing to revoke: every token of before is suspended
			a.Enabled = a.Enabled && why == ""
			tell(act, was, a)
			return save(tx, a, table.Save)
		}); err != nil {
			return disabled, err
		}
		if row.Value.Enabled && why != "" {
			disabled = append(disabled, user.Disabled{Username: row.Value.Username(), Why: why})
		}
	}
	return disabled, nil
}

// lost returns why an account must not stay enabled, "" when it may.
func lost(a Account, k token.SubjectState, named bool) string {
	switch {
	case !named:
		return "nothing is known of it"
	case k.Deleted:
		return "it was deleted since"
	case !k.Enabled:
		return "it was disabled since"
	case !slices.Equal(slices.Sorted(slices.Values(k.Roles)), slices.Sorted(slices.Values(a.Roles))):
		return "its roles were changed since"
	}
	return ""
}
