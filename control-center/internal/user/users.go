package user

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// Faults of this package.
var (
	ErrNotFound  = fault.New(fault.NotFound, "user.not_found", "there is no user with this id")
	ErrLastAdmin = fault.New(fault.Conflict, "user.last_admin", "this is the last enabled administrator; make another one first")
	ErrRoles     = fault.New(fault.Denied, "user.roles_above_own", "nobody can give roles that they do not have, or change an administrator without being one")

	ErrLastFactor = fault.New(fault.Conflict, "user.last_admin_factor", "no other enabled administrator has a one-time-code factor, and nobody signs in without one here ([mfa] required); give another administrator one first")
	ErrOutdated   = fault.New(fault.Unauthenticated, "auth.outdated", "this account was changed a moment ago; refresh your token or sign in again, and retry")
)

// Users are the accounts.
type Users struct {
	DB      *feed.Hub
	Changes *change.Committer
	Epoch   string // identity of the subject stream (bootstrap.Epoch)
	Hasher  *Hasher
	MFA     bool // a one-time code is demanded at login, so shorter passwords are allowed
	Now     func() time.Time

	HasFactor func(*store.Tx, string) (bool, error) // whether the account of that id has a one-time-code factor in use
}

// New describes an account to create.
type New struct {
	ID       string // empty: a fresh one
	Username string
	Email    string
	Password string
	Roles    []string
	Enabled  bool
}

// check returns the faults of a new account, all at once.
func (n New) check(mfa bool) error {
	var f []fault.Field
	add := func(pointer, text string) {
		if text != "" {
			f = append(f, fault.Field{Pointer: pointer, Message: text})
		}
	}
	add("/username", checkName(n.Username))
	add("/email", checkEmail(n.Email))
	add("/password", checkPassword(n.Password, n.Username, n.Email, mfa))
	add("/roles", checkRoles(n.Roles))
	return invalid(f)
}

// Make returns the account n describes, not stored yet.
func Make(ctx context.Context, h *Hasher, n New, mfa bool, now time.Time) (User, error) {
	if err := n.check(mfa); err != nil {
		return User{}, err
	}
	hash, err := h.Hash(ctx, n.Password)
	if err != nil {
		return User{}, err
	}
	now = now.UTC().Truncate(time.Millisecond)
	return User{AV: 1, CreatedAt: now, Email: n.Email, Enabled: n.Enabled, ID: cmp.Or(n.ID, id.New()), Password: hash,
		Roles: slices.Sorted(slices.Values(n.Roles)), UpdatedAt: now, Username: n.Username}, nil
}

// By is who asks for a change.
type Caller struct {
	ID    string
	Roles []string
	AV    int64 // authorization version of the token that asks
}

// May refuses to by what only an administrator may do to u: raise roles to want beyond the own ones, the
// own account's included, or touch an administrator. An administrator has every right already. Whoever
// changes the own account asks with a token of its present version: one that died between its verification
// and this transaction, because a factor came into use, changes nothing.
func (by Caller) Authorize(u User, want []string) error {
	if by.ID == u.ID && by.AV != u.AV {
		return ErrOutdated
	}
	if slices.Contains(by.Roles, Admin) {
		return nil
	}
	above := func(r string) bool { return !slices.Contains(by.Roles, r) && !slices.Contains(u.Roles, r) }
	if slices.Contains(u.Roles, Admin) || slices.ContainsFunc(want, above) {
		return ErrRoles
	}
	return nil
}

// Create makes an account. Its name and address must not be taken in any spelling.
func (us *Users) Create(ctx context.Context, n New, by Caller) (User, error) {
	if err := by.Authorize(User{}, n.Roles); err != nil {
		return User{}, err
	}
	if n.ID != "" { // a request that is repeated under its Idempotency-Key may have done its work before
		if done, err := table.Get(ctx, us.DB, n.ID); err != nil || done.Rev != 0 {
			return done.Value, err
		}
	}
	u, err := Make(ctx, us.Hasher, n, us.MFA, us.Now())
	if err != nil {
		return User{}, err
	}
	act := change.New("user.create", "users/"+u.ID, map[string]any{"account": u.Username, "roles": u.Roles, "enabled": u.Enabled})
	return u, us.Changes.Commit(ctx, act, func(tx *store.Tx) error { return Insert(tx, act, u) })
}

// Insert puts a complete account into the transaction of act: its document, its claims, the count of admins and the
// event.
func Insert(tx *store.Tx, act *change.Act, u User) error {
	act.Emit(change.UserCreated, u.ID, change.Data{Enabled: &u.Enabled, Roles: u.Roles, Username: u.Username})
	for _, c := range []claim{{ID: "name:" + Fold(u.Username), User: u.ID}, {ID: "email:" + mailbox(u.Email), User: u.ID}} {
		row, err := claims.Load(tx, c.ID)
		if err != nil {
			return err
		}
		if row.Rev != 0 {
			return fault.New(fault.Conflict, "user.taken", "this user name or e-mail address is taken (case and look-alike characters do not count)")
		}
		if err := claims.Create(tx, c); err != nil {
			return err
		}
	}
	if err := countAdmins(tx, User{}, u); err != nil {
		return err
	}
	if err := announce(tx, u.Subject()); err != nil {
		return err
	}
	return table.Create(tx, u)
}

// countAdmins is the function of that name, and KeepsFactor when an administrator goes.
func (us *Users) countAdmins(tx *store.Tx, before, after User) error {
	if err := countAdmins(tx, before, after); err != nil || after.usableAdmin() {
		return err
	}
	return us.KeepsFactor(tx, before)
}

// KeepsFactor refuses, where every sign-in needs a code, the change after which u can sign in no longer when
// no other administrator can. What it read of the other one is checked by the commit, so two of them can never
// both be the last.
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

// countAdmins keeps the number of usable admins when an account goes from before to after, and refuses
// to let it fall to none.
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

// Delete removes an account; its name and address are free again, its audit records stay. with, when
// not nil, removes what other packages keep about it in the same transaction.
func (us *Users) Delete(ctx context.Context, userID string, by Caller, with func(*store.Tx) error) error {
	if !id.Valid(userID) {
		return ErrNotFound
	}
	act := change.New("user.delete", "users/"+userID, nil)
	return us.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		row, err := Load(tx, userID)
		if err != nil {
			return err
		}
		if row.Rev == 0 {
			return ErrNotFound
		}
		u := row.Value
		act.Details["account"] = u.Username
		if err := by.Authorize(u, nil); err != nil {
			return err
		}
		if err := us.countAdmins(tx, u, User{}); err != nil {
			return err
		}
		claims.Remove(tx, "name:"+Fold(u.Username))
		claims.Remove(tx, "email:"+mailbox(u.Email))
		table.Remove(tx, userID)
		if with != nil {
			if err := with(tx); err != nil {
				return err
			}
		}
		act.Revoke(Raise(&u, true, us.Now()))
		act.Emit(change.UserDeleted, userID, change.Data{Username: u.Username})
		return announce(tx, token.Subject{Deleted: true, Kind: token.SubjectUser, Roles: []string{}, Sub: userID, Version: u.AV})
	})
}

// Get returns one account.
func (us *Users) Get(ctx context.Context, userID string) (User, error) {
	return Get(ctx, us.DB, userID)
}

// Get returns one account of db.
func Get(ctx context.Context, db store.DB, userID string) (User, error) {
	if !id.Valid(userID) {
		return User{}, ErrNotFound
	}
	row, err := table.Get(ctx, db, userID)
	if err == nil && row.Rev == 0 {
		err = ErrNotFound
	}
	return row.Value, err
}

// Named returns the account a typed name means, as the function Named; an empty one when there is none.
func (us *Users) ByName(ctx context.Context, name string) (User, error) {
	row, err := ByName(ctx, us.DB, name)
	return row.Value, err
}

// nobody is the id of no account: where there is none, its absence is read in place of one.
const noAccount = "00000000-0000-7000-8000-000000000000"

// Named returns the account a typed name means, in any spelling or by its e-mail address; revision
// 0 when there is none. The caller compares the spelling. It reads as much for a name that nobody
// has, so that the time says nothing.
func ByName(ctx context.Context, db store.DB, name string) (store.Row[User], error) {
	folded, address := Fold(name), mailbox(name)
	if folded == "" || max(len(folded), len(address)) > maxName {
		return store.Row[User]{}, nil
	}
	account := noAccount
	for _, id := range []string{"email:" + address, "name:" + folded} { // the name counts where both are somebody's
		c, err := claims.Get(ctx, db, id)
		if err != nil {
			return store.Row[User]{}, err
		}
		if c.Rev != 0 {
			account = c.Value.User
		}
	}
	return table.Get(ctx, db, account)
}

// Filter selects accounts; zero values select all.
type Filter struct {
	Role    string
	Enabled *bool
}

// queries returns the ranges that together hold what f selects; each is counted by the store.
func (f Filter) queries() []store.Query {
	states := []string{"true", "false"}
	if f.Enabled != nil {
		states = []string{strconv.FormatBool(*f.Enabled)}
	}
	index := "enabled"
	switch {
	case f.Role != "" && !known(f.Role):
		return nil
	case f.Role != "":
		index = "role_" + f.Role
	case f.Enabled == nil:
		return []store.Query{{}}
	}
	var all []store.Query
	for _, s := range states {
		all = append(all, store.Query{Index: index, Prefix: s, Exact: true})
	}
	return all
}

// List returns a page of accounts, newest first.
func (us *Users) List(ctx context.Context, f Filter, p store.Place) (store.Window[User], error) {
	return table.Window(ctx, us.DB, p, f.queries()...)
}
