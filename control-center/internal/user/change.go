package user

import (
	"context"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/apitoken"
	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/revocation"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// Change holds new values for members of an account. A member that is nil stays as it is.
type Change struct {
	Email    *string
	Roles    []string
	Enabled  *bool
	Password *string
}

// Raise lifts the authorization version of u, so that every older token is refused; with end all
// sessions of u are over too. Who calls it saves u and gives the revocation that it returns to
// change.Act.Revoke.
func Raise(u *User, end bool, now time.Time) token.Revocation {
	u.AV++
	if end {
		u.Floor = u.AV
	}
	u.UpdatedAt = now.UTC().Truncate(time.Millisecond)
	return token.RevokeSubject(u.ID, u.AV, now.Add(revocation.Keep).Unix())
}

// Update changes the members of the account that c names, and refuses what Caller.Authorize
// refuses. Whether the policies allow the caller to change this account is decided before. A change
// of roles, state or password lifts the authorization version; one of state or password ends all
// sessions.
func (us *Users) Update(ctx context.Context, userID string, c Change, by Caller) error {
	if c.Email == nil && c.Roles == nil && c.Enabled == nil && c.Password == nil {
		return fault.New(fault.Invalid, "user.nothing", "nothing to change: give at least one of email, roles, enabled, password")
	}
	before, err := us.Get(ctx, userID)
	if err != nil {
		return err
	}
	if err := c.check(before, us.MFA); err != nil {
		return err
	}
	var hash string
	if c.Password != nil {
		if hash, err = us.Hasher.Hash(ctx, *c.Password); err != nil {
			return err
		}
	}
	act := change.New("user.update", "users/"+userID, c.details())
	return us.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		u, err := Find(tx, userID)
		if err != nil {
			return err
		}
		was := u
		act.Details["account"] = u.Username
		roles := slices.Sorted(slices.Values(c.Roles))
		rolesChange := c.Roles != nil && !slices.Equal(roles, u.Roles)
		stateChange := c.Enabled != nil && *c.Enabled != u.Enabled
		if err := by.Authorize(u, roles); err != nil {
			return err
		}
		if c.Email != nil && *c.Email != u.Email {
			if err := moveEmail(tx, u, *c.Email); err != nil {
				return err
			}
			u.Email = *c.Email
		}
		if rolesChange {
			u.Roles = roles
		}
		if stateChange {
			u.Enabled = *c.Enabled
		}
		if c.Password != nil {
			u.Password = hash
		}
		if err := us.countAdmins(tx, was, u); err != nil {
			return err
		}
		u.UpdatedAt = us.Now().UTC().Truncate(time.Millisecond)
		if rolesChange || stateChange || c.Password != nil {
			act.Revoke(Raise(&u, stateChange || c.Password != nil, us.Now()))
		}
		c.tell(act, was, u)
		if stateChange && !u.Enabled {
			err = apitoken.RevokeAll(tx, act, userID, apitoken.ReasonDisabled, us.Now(), nil)
		} else if c.Password != nil {
			err = apitoken.RevokeAll(tx, act, userID, apitoken.ReasonPassword, us.Now(), nil)
		}
		if err != nil {
			return err
		}
		return Save(tx, u)
	})
}

// tell emits the events of a change of an account from before to after: one for its state, one for
// its password and one for the rest, which is also what tells of a change to what it was before.
func (c Change) tell(act *change.Act, before, after User) {
	data := change.Data{Username: after.Username}
	state, password := before.Enabled != after.Enabled, c.Password != nil
	switch {
	case state && after.Enabled:
		act.Emit(change.UserEnabled, after.ID, data)
	case state:
		act.Emit(change.UserDisabled, after.ID, data)
	}
	if password {
		act.Emit(change.UserPasswordChanged, after.ID, data)
	}
	if before.Email != after.Email {
		data.Changed = append(data.Changed, "email")
	}
	if !slices.Equal(before.Roles, after.Roles) {
		data.Changed = append(data.Changed, "roles")
	}
	if len(data.Changed) > 0 || !state && !password {
		data.Roles = after.Roles
		act.Emit(change.UserUpdated, after.ID, data)
	}
}

// check returns one Invalid fault with all that is wrong with c for the account u, or nil.
func (c Change) check(u User, mfa bool) error {
	var w wrong
	email := u.Email
	if c.Email != nil {
		email = *c.Email
		w.add("/email", checkEmail(email))
	}
	if c.Roles != nil {
		w.add("/roles", checkRoles(c.Roles))
	}
	if c.Password != nil {
		w.add("/password", checkPassword(*c.Password, u.Username, email, mfa))
	}
	return w.fault()
}

// details returns what the audit entry says of c. Neither the password nor the address stands in
// it.
func (c Change) details() map[string]any {
	d := map[string]any{}
	if c.Email != nil {
		d["email_changed"] = true
	}
	if c.Roles != nil {
		d["roles"] = c.Roles
	}
	if c.Enabled != nil {
		d["enabled"] = *c.Enabled
	}
	if c.Password != nil {
		d["password_changed"] = true
	}
	return d
}

// moveEmail replaces the claim of the address of u by one of email. A taken address is a Conflict.
func moveEmail(tx *store.Tx, u User, email string) error {
	from, to := "email:"+mailbox(u.Email), "email:"+mailbox(email)
	if from == to {
		return nil
	}
	row, err := claims.Load(tx, to)
	if err != nil {
		return err
	}
	if row.Rev != 0 {
		return fault.New(fault.Conflict, "user.taken", "this e-mail address is taken (case does not count)")
	}
	claims.Remove(tx, from)
	return claims.Create(tx, claim{ID: to, User: u.ID})
}
