package user

import (
	"context"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/revocation"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// Change holds the members to change; nil ones stay as they are.
type Change struct {
	Email    *string
	Roles    []string
	Enabled  *bool
	Password *string
}

// Raise lifts the authorization version of u, so that every token made before dies; with end, all its
// sessions are over as well. The caller saves u and returns the revocation from its Log.Update.
func Raise(u *User, end bool, now time.Time) token.Revocation {
	u.AV++
	if end {
		u.Floor = u.AV
	}
	u.UpdatedAt = now.UTC().Truncate(time.Millisecond)
	return token.RevokeSubject(u.ID, u.AV, now.Add(revocation.Keep).Unix())
}

// Update changes what c names. Everybody may be given the right to change an own password only by the
// caller's policies; what by may never do whatever those say is checked here.
func (us *Users) Update(ctx context.Context, userID string, c Change, by By) error {
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
	act := &audit.Act{Action: "user.update", Resource: "users/" + userID, Details: c.details()}
	return us.Revoked.Update(ctx, act, func(tx *store.Tx) ([]token.Revocation, error) {
		row, err := Load(tx, userID)
		if err != nil {
			return nil, err
		}
		if row.Rev == 0 {
			return nil, ErrNotFound
		}
		u := row.Value
		act.Details["account"] = u.Username
		roles := slices.Sorted(slices.Values(c.Roles))
		rolesChange := c.Roles != nil && !slices.Equal(roles, u.Roles)
		stateChange := c.Enabled != nil && *c.Enabled != u.Enabled
		if err := by.May(u, roles); err != nil {
			return nil, err
		}
		if c.Email != nil && *c.Email != u.Email {
			if err := moveEmail(tx, u, *c.Email); err != nil {
				return nil, err
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
		if err := us.countAdmins(tx, row.Value, u); err != nil {
			return nil, err
		}
		u.UpdatedAt = us.Now().UTC().Truncate(time.Millisecond)
		var revoked []token.Revocation
		if rolesChange || stateChange || c.Password != nil {
			revoked = append(revoked, Raise(&u, stateChange || c.Password != nil, us.Now()))
		}
		return revoked, Save(tx, u)
	})
}

func (c Change) check(u User, mfa bool) error {
	var f []fault.Field
	add := func(pointer, text string) {
		if text != "" {
			f = append(f, fault.Field{Pointer: pointer, Message: text})
		}
	}
	email := u.Email
	if c.Email != nil {
		email = *c.Email
		add("/email", checkEmail(email))
	}
	if c.Roles != nil {
		add("/roles", checkRoles(c.Roles))
	}
	if c.Password != nil {
		add("/password", checkPassword(*c.Password, u.Username, email, mfa))
	}
	return invalid(f)
}

// details names what changes, without the password.
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
