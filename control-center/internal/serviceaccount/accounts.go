package serviceaccount

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/apitoken"
	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/revocation"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/naming"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// Roster creates, changes, deletes and lists service accounts. It is built as a literal.
type Roster struct {
	DB      *feed.Hub
	Changes *change.Committer
	Now     func() time.Time
}

// Draft describes a service account to create.
type Draft struct {
	ID          string // empty for a fresh one
	Name        string
	Description string
	Owner       string // id of the person who answers for it
	Roles       []string
	Accept      func(Account) // called in the transaction with what is created; nil: nobody asks
}

// Create stores a new service account, which is enabled, and returns it. Nobody gives roles that
// they do not have (user.Caller.Authorize). A taken name is a Conflict.
func (as *Roster) Create(ctx context.Context, d Draft, by user.Caller) (Account, error) {
	fields := checkRoles(d.Roles)
	if !naming.Valid(d.Name) {
		fields = append(fields, fault.Field{Pointer: "/name", Message: naming.Rule})
	}
	if err := cmp.Or(invalid(fields), by.Authorize(user.User{}, d.Roles)); err != nil {
		return Account{}, err
	}
	now := as.Now().UTC().Truncate(time.Millisecond)
	a := Account{CreatedAt: now, Description: d.Description, Enabled: true, ID: cmp.Or(d.ID, id.New()), Name: d.Name, Owner: d.Owner,
		Roles: slices.Sorted(slices.Values(d.Roles)), UpdatedAt: now, Version: 1}
	act := change.New("service_account.create", "service-accounts/"+a.ID,
		map[string]any{"name": a.Name, "owner": a.Owner, "roles": a.Roles})
	return a, as.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		if err := owned(tx, a.Owner); err != nil {
			return err
		}
		taken, err := names.Load(tx, strings.ToLower(a.Name))
		if err != nil {
			return err
		}
		if taken.Rev != 0 {
			return fault.New(fault.Conflict, "service_account.taken", "this name is taken by another service account (case does not count)")
		}
		if err := names.Create(tx, nameClaim{Account: a.ID, ID: strings.ToLower(a.Name)}); err != nil {
			return err
		}
		if d.Accept != nil {
			d.Accept(a)
		}
		act.Emit(change.ServiceAccountCreated, a.ID, change.Data{Enabled: &a.Enabled, Name: a.Name, Roles: a.Roles, UserID: a.Owner})
		return save(tx, a, table.Create)
	})
}

// owned refuses an owner who is no person's account.
func owned(tx *store.Tx, owner string) error {
	row, err := user.Load(tx, owner)
	if err == nil && row.Rev == 0 {
		err = invalid([]fault.Field{{Pointer: "/owner", Message: "must be the id of a person's account"}})
	}
	return err
}

// Patch holds new values for members of a service account. A member that is nil stays as it is.
type Patch struct {
	Description *string
	Enabled     *bool
	Owner       *string
	Roles       []string
}

// Update changes the members that c names. A change of roles is in force at once; disabling revokes
// all tokens of the account.
func (as *Roster) Update(ctx context.Context, accountID string, c Patch, by user.Caller) error {
	if c.Roles != nil {
		if err := invalid(checkRoles(c.Roles)); err != nil {
			return err
		}
	}
	act := change.New("service_account.update", "service-accounts/"+accountID, nil)
	return as.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		a, err := find(tx, accountID)
		if err != nil {
			return err
		}
		was := a
		if err := by.Authorize(user.User{Roles: a.Roles}, c.Roles); err != nil {
			return err
		}
		if c.Owner != nil && *c.Owner != a.Owner {
			if err := owned(tx, *c.Owner); err != nil {
				return err
			}
			a.Owner = *c.Owner
		}
		if c.Description != nil {
			a.Description = *c.Description
		}
		if c.Enabled != nil {
			a.Enabled = *c.Enabled
		}
		if c.Roles != nil {
			a.Roles = slices.Sorted(slices.Values(c.Roles))
		}
		a.UpdatedAt = as.Now().UTC().Truncate(time.Millisecond)
		act.Details["name"], act.Details["roles"], act.Details["enabled"], act.Details["owner"] = a.Name, a.Roles, a.Enabled, a.Owner
		if was.Enabled != a.Enabled || !slices.Equal(was.Roles, a.Roles) {
			act.Revoke(raise(&a, as.Now()))
		}
		tell(act, was, a)
		if was.Enabled && !a.Enabled {
			if err := apitoken.RevokeAll(tx, act, a.ID, apitoken.ReasonDisabled, as.Now(), nil); err != nil {
				return err
			}
		}
		return save(tx, a, table.Save)
	})
}

// raise lifts the version of an account, so that claims of before are refused.
func raise(a *Account, now time.Time) token.Revocation {
	a.Version++
	return token.RevokeSubject(a.ID, a.Version, now.Add(revocation.Keep).Unix())
}

// tell emits the events of a change: one for the state, and one for the rest, which is also what
// tells of a change to what was before.
func tell(act *change.Act, was, a Account) {
	data := change.Data{Name: a.Name, UserID: a.Owner}
	state := was.Enabled != a.Enabled
	switch {
	case state && a.Enabled:
		act.Emit(change.ServiceAccountEnabled, a.ID, data)
	case state:
		act.Emit(change.ServiceAccountDisabled, a.ID, data)
	}
	for name, other := range map[string]bool{"description": was.Description != a.Description, "owner": was.Owner != a.Owner,
		"roles": !slices.Equal(was.Roles, a.Roles)} {
		if other {
			data.Changed = append(data.Changed, name)
		}
	}
	slices.Sort(data.Changed)
	if len(data.Changed) > 0 || !state {
		data.Roles = a.Roles
		act.Emit(change.ServiceAccountUpdated, a.ID, data)
	}
}

// Delete removes a service account and revokes its tokens. Its name is free again, and its audit
// entries stay.
func (as *Roster) Delete(ctx context.Context, accountID string, by user.Caller) error {
	act := change.New("service_account.delete", "service-accounts/"+accountID, nil)
	return as.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		a, err := find(tx, accountID)
		if err != nil {
			return err
		}
		act.Details["name"] = a.Name
		if err := by.Authorize(user.User{Roles: a.Roles}, nil); err != nil {
			return err
		}
		names.Remove(tx, strings.ToLower(a.Name))
		table.Remove(tx, a.ID)
		act.Revoke(raise(&a, as.Now()))
		act.Emit(change.ServiceAccountDeleted, a.ID, change.Data{Name: a.Name, UserID: a.Owner})
		if err := apitoken.RevokeAll(tx, act, a.ID, apitoken.ReasonDeleted, as.Now(), nil); err != nil {
			return err
		}
		return user.Announce(tx, token.SubjectState{Deleted: true, Kind: token.SubjectServiceAccount, Roles: []string{}, Sub: a.ID,
			Version: a.Version})
	})
}
