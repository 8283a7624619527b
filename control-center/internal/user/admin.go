package user

import (
	"context"
	"iter"

	"github.com/provisioning-platform/platform/shared/store"
)

// countAdmins calls the function countAdmins and, when an administrator goes, KeepsFactor.
func (us *Users) countAdmins(tx *store.Tx, before, after User) error {
	if err := countAdmins(tx, before, after); err != nil || after.usableAdmin() {
		return err
	}
	return us.KeepsFactor(tx, before)
}

// KeepsFactor refuses with ErrLastFactor a change after which u signs in no longer, when every
// sign-in needs a code and no other enabled administrator has a factor. The commit demands that the
// other one is as it was read here, so two changes at once never take away the last two.
func (us *Users) KeepsFactor(tx *store.Tx, u User) error {
	if !us.MFA || !u.usableAdmin() {
		return nil
	}
	if has, err := us.HasFactor(tx, u.ID); err != nil || !has {
		return err
	}
	for r, err := range table.All(tx.Context(), us.DB, store.Query{Index: "role_" + Admin, Prefix: "true", Exact: true}) {
		if err != nil {
			return err
		}
		if r.Value.ID == u.ID {
			continue
		}
		other, err := Load(tx, r.Value.ID)
		if err != nil {
			return err
		}
		if has, err := us.HasFactor(tx, r.Value.ID); err != nil || has && other.Value.usableAdmin() {
			return err
		}
	}
	return ErrLastFactor
}

// countAdmins keeps the number of usable administrators when an account changes from before to
// after. It refuses with ErrLastAdmin to let the number fall to none.
func countAdmins(tx *store.Tx, before, after User) error {
	if before.usableAdmin() == after.usableAdmin() {
		return nil
	}
	row, err := adminCounts.Load(tx, "admins")
	if err != nil {
		return err
	}
	g := row.Value
	g.ID = "admins"
	if after.usableAdmin() {
		g.Admins++
	} else if g.Admins--; g.Admins < 1 {
		return ErrLastAdmin
	}
	return adminCounts.Save(tx, g)
}

// Admins yields the enabled administrators of db.
func Admins(ctx context.Context, db store.DB) iter.Seq2[User, error] {
	return func(yield func(User, error) bool) {
		for r, err := range table.All(ctx, db, store.Query{Index: "role_" + Admin, Prefix: "true", Exact: true}) {
			if !yield(r.Value, err) {
				return
			}
		}
	}
}
