package user

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/apitoken"
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
	ErrRoles     = fault.New(fault.Denied, "user.roles_above_own",
		"nobody can give roles that they do not have, or change an administrator without being one")

	ErrLastFactor = fault.New(fault.Conflict, "user.last_admin_factor",
		"no other enabled administrator has a one-time-code factor, and nobody signs in without one here ([mfa] required); give another "+
			"administrator one first")
	ErrOutdated = fault.New(fault.Unauthenticated, "auth.outdated",
		"this account was changed a moment ago; refresh your token or sign in again, and retry")
)

// Users creates, changes, deletes and lists accounts. It is built as a literal.
type Users struct {
	DB      *feed.Hub
	Changes *change.Committer
	Epoch   string // identity of the subject stream (bootstrap.Epoch)
	Hasher  *Hasher
	MFA     bool // [mfa] required: nobody signs in without a one-time code, so a password may have 8 characters
	Now     func() time.Time

	// HasFactor says whether the account with that id has a one-time-code factor in use (mfa.Has).
	HasFactor func(*store.Tx, string) (bool, error)
}

// Draft describes an account to create. Make and Users.Create check it.
type Draft struct {
	ID       string // empty for a fresh one
	Username string
	Email    string
	Password string
	Roles    []string
	Enabled  bool
	Accept   func(User) // called by Users.Create with the account before it is stored; may be nil
}

// check returns one Invalid fault with all that is wrong with n, or nil.
func (n Draft) check(mfa bool) error {
	var w wrong
	w.add("/username", checkName(n.Username))
	w.add("/email", checkEmail(n.Email))
	w.add("/password", checkPassword(n.Password, n.Username, n.Email, mfa))
	w.add("/roles", checkRoles(n.Roles))
	return w.fault()
}

// Make returns the account that n describes, with the hash of its password; it stores nothing.
func Make(ctx context.Context, h *Hasher, n Draft, mfa bool, now time.Time) (User, error) {
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

// Caller is who asks for a change of an account.
type Caller struct {
	ID    string
	Roles []string
	AV    int64 // authorization version in the caller's token
}

// Authorize refuses with ErrRoles what only an administrator may do to the account u, whatever the
// policies say: to give roles, in want, that neither the caller nor u has, and to change an
// administrator. It refuses with ErrOutdated a caller who changes the own account with a token of
// an older version than the account has in this transaction: a factor has come into use since the
// token was verified.
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

// Create stores a new account and returns it. A name or address that is taken in any spelling is a
// Conflict.
func (us *Users) Create(ctx context.Context, n Draft, by Caller) (User, error) {
	if err := by.Authorize(User{}, n.Roles); err != nil {
		return User{}, err
	}
	u, err := Make(ctx, us.Hasher, n, us.MFA, us.Now())
	if err != nil {
		return User{}, err
	}
	if n.Accept != nil {
		n.Accept(u)
	}
	act := change.New("user.create", "users/"+u.ID, map[string]any{"account": u.Username, "roles": u.Roles, "enabled": u.Enabled})
	return u, us.Changes.Commit(ctx, act, func(tx *store.Tx) error { return Insert(tx, act, u) })
}

// Insert puts a complete account into the transaction of act: its document, its claims, the count
// of admins and the event.
func Insert(tx *store.Tx, act *change.Act, u User) error {
	act.Emit(change.UserCreated, u.ID, change.Data{Enabled: &u.Enabled, Roles: u.Roles, Username: u.Username})
	for _, c := range []claim{{ID: "name:" + Fold(u.Username), User: u.ID}, {ID: "email:" + mailbox(u.Email), User: u.ID}} {
		row, err := claims.Load(tx, c.ID)
		if err != nil {
			return err
		}
		if row.Rev != 0 {
			return fault.New(fault.Conflict, "user.taken",
				"this user name or e-mail address is taken (case and look-alike characters do not count)")
		}
		if err := claims.Create(tx, c); err != nil {
			return err
		}
	}
	if err := countAdmins(tx, User{}, u); err != nil {
		return err
	}
	if err := Announce(tx, u.Subject()); err != nil {
		return err
	}
	if err := publish(tx, User{}, u, u.CreatedAt); err != nil {
		return err
	}
	return table.Create(tx, u)
}

// Delete removes an account. Its name and address are free again, and its audit entries stay. with,
// when not nil, removes in the same transaction what other packages keep about the account.
func (us *Users) Delete(ctx context.Context, userID string, by Caller, with func(*store.Tx) error) error {
	if !id.Valid(userID) {
		return ErrNotFound
	}
	act := change.New("user.delete", "users/"+userID, nil)
	return us.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		u, err := Find(tx, userID)
		if err != nil {
			return err
		}
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
		if err := apitoken.RevokeAll(tx, act, userID, apitoken.ReasonDeleted, us.Now(), nil); err != nil {
			return err
		}
		if err := publish(tx, u, User{}, us.Now()); err != nil {
			return err
		}
		return Announce(tx, token.SubjectState{Deleted: true, Kind: token.SubjectUser, Roles: []string{}, Sub: userID, Version: u.AV})
	})
}

// After returns up to limit accounts in the order of their ids behind the id after, which may be
// empty.
func (us *Users) After(ctx context.Context, after string, limit int) (users []User, err error) {
	rows, _, err := table.List(ctx, us.DB, store.Query{After: store.Cursor{ID: after}, Limit: limit})
	for _, row := range rows {
		users = append(users, row.Value)
	}
	return users, err
}

// Get returns the account with that id, or ErrNotFound.
func (us *Users) Get(ctx context.Context, userID string) (User, error) {
	if !id.Valid(userID) {
		return User{}, ErrNotFound
	}
	row, err := table.Get(ctx, us.DB, userID)
	if err == nil && row.Rev == 0 {
		err = ErrNotFound
	}
	return row.Value, err
}

// ByName returns the account that the function ByName finds; an empty one when there is none.
func (us *Users) ByName(ctx context.Context, name string) (User, error) {
	row, err := ByName(ctx, us.DB, name)
	return row.Value, err
}

// noAccount is the id of no account. ByName reads it where there is none, so that it takes the same
// time.
const noAccount = "00000000-0000-7000-8000-000000000000"

// ByName returns the account with that name in any spelling, or else with that e-mail address; the
// revision is 0 when there is none. Who needs the exact name compares it. ByName reads as much for
// a name that nobody has, so that its time tells nothing.
func ByName(ctx context.Context, db store.DB, name string) (store.Row[User], error) {
	folded, address := Fold(name), mailbox(name)
	if folded == "" || max(len(folded), len(address)) > maxName {
		return store.Row[User]{}, nil
	}
	account := noAccount
	for _, id := range []string{"email:" + address, "name:" + folded} { // The name counts where both belong to somebody.
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

// Filter selects accounts. The zero value of a member selects all.
type Filter struct {
	Role    string
	Enabled *bool
}

// queries returns the ranges that together hold the accounts that f selects. The store counts each
// of them.
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
