package user

import (
	"context"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// recoverAtOnce is how many accounts one commit of a recovery changes at most.
const recoverAtOnce = 200

// Recovery goes on with the accounts of a store that was put back from a backup, so that nobody
// gets back what was taken away since (decision 51).
type Recovery struct {
	// what the orchestrator knows of each account, by user id; nil for nothing, so that nobody but
	// Admin stays enabled
	Known map[string]token.SubjectState
	Admin string // name of the administrator who stays enabled; empty when another one does
	Now   time.Time
}

// Recovered is what Recovery.Run did.
type Recovered struct {
	Disabled []Disabled
	Lost     []string // ids of accounts that the orchestrator knows and the backup does not have
}

// Disabled is an account that Recovery.Run disabled, and why.
type Disabled struct {
	Username string
	Why      string
}

// Run lifts the version of each account above what the orchestrator knows, ends all its sessions,
// and disables the account when it was changed since the backup. It may be run again after a crash.
// When no enabled administrator would be left it changes nothing and returns a Conflict.
func (r Recovery) Run(ctx context.Context, db store.DB) (done Recovered, err error) {
	var ids []string
	here, admins, named := map[string]bool{}, 0, false
	for row, err := range table.All(ctx, db, store.Query{}) {
		if err != nil {
			return done, err
		}
		u := row.Value
		ids, here[u.ID] = append(ids, u.ID), true
		if r.Admin != "" && u.Username == r.Admin {
			named = true
			if why := r.unfit(u); why != "" {
				return done, fault.New(fault.Conflict, "recover.admin", "%s cannot be the administrator who stays enabled: %s", r.Admin,
					why)
			}
		}
		why := r.why(u)
		if u.usableAdmin() && why == "" {
			admins++
		}
		if u.Enabled && why != "" {
			done.Disabled = append(done.Disabled, Disabled{Username: u.Username, Why: why})
		}
	}
	if r.Admin != "" && !named {
		return done, fault.New(fault.NotFound, "recover.admin", "there is no account with the name %s", r.Admin)
	}
	if admins == 0 {
		return done, fault.New(fault.Conflict, "recover.no_admin",
			"no administrator would be left who can enable the others; name one with --admin NAME")
	}
	for sub, k := range r.Known {
		if !here[sub] && !k.Deleted && k.Kind != token.SubjectServiceAccount {
			done.Lost = append(done.Lost, sub)
		}
	}
	slices.Sort(done.Lost)
	for chunk := range slices.Chunk(ids, recoverAtOnce) {
		if err := r.chunk(ctx, db, chunk); err != nil {
			return done, err
		}
	}
	return done, nil
}

// unfit returns why u cannot be the administrator who stays enabled, "" when it can.
func (r Recovery) unfit(u User) string {
	switch k, known := r.Known[u.ID]; {
	case !u.usableAdmin():
		return "it is no enabled administrator in the backup"
	case known && (k.Deleted || !k.Enabled || !slices.Contains(k.Roles, Admin)):
		return "the orchestrator knows that it was disabled, demoted or deleted since"
	}
	return ""
}

// why returns why u must not stay enabled, "" when it may.
func (r Recovery) why(u User) string {
	if r.Admin != "" && u.Username == r.Admin {
		return ""
	}
	k, known := r.Known[u.ID]
	switch {
	case !known:
		return "nothing is known of it"
	case k.Deleted:
		return "it was deleted since"
	case !k.Enabled:
		return "it was disabled since"
	case !slices.Equal(slices.Sorted(slices.Values(k.Roles)), slices.Sorted(slices.Values(u.Roles))):
		return "its roles were changed since"
	case k.Version > u.AV:
		return "its password or factors were changed since"
	}
	return ""
}

// chunk changes the accounts with these ids in one commit. It revokes nothing, because the recovery
// replaces all signing keys, so that no older token verifies.
func (r Recovery) chunk(ctx context.Context, db store.DB, ids []string) error {
	act := change.New("user.recover", "users", nil)
	changes := change.Committer{DB: db}
	return changes.Commit(ctx, act, func(tx *store.Tx) error {
		disabled, admins := []string{}, int64(0)
		for _, id := range ids {
			row, err := Load(tx, id)
			if err != nil {
				return err
			}
			u := row.Value
			act.Emit(change.UserRecovered, u.ID, change.Data{Username: u.Username})
			if why := r.why(u); why != "" && u.Enabled {
				u.Enabled = false
				disabled = append(disabled, u.ID)
				act.Emit(change.UserDisabled, u.ID, change.Data{Reason: why, Username: u.Username})
				if row.Value.usableAdmin() {
					admins--
				}
			}
			u.AV = max(u.AV, r.Known[id].Version)
			Raise(&u, true, r.Now)
			if err := Save(tx, u); err != nil {
				return err
			}
		}
		act.Details["disabled"], act.Details["accounts"] = disabled, len(ids)
		if admins == 0 {
			return nil
		}
		g, err := adminCounts.Load(tx, "admins")
		if err != nil {
			return err
		}
		g.Value.Admins += admins
		return adminCounts.Save(tx, g.Value)
	})
}
