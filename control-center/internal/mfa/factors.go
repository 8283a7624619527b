package mfa

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/apitoken"
	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/login"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/seal"
	"github.com/provisioning-platform/platform/shared/store"
)

// pendingLife is how long an enrolment waits for its first code.
const pendingLife = 15 * time.Minute

// Faults of this package.
var (
	ErrCode = fault.New(fault.Unauthenticated, "mfa.wrong_code",
		"this code is not valid now; wait for the next one and check the clock of the device")
	ErrNoPending = fault.New(fault.Conflict, "mfa.nothing_pending", "there is no enrolment to verify; start one with POST /mfa/enroll/totp")
	ErrNone      = fault.New(fault.NotFound, "mfa.none", "this account has no one-time-code factor")
	ErrActive    = fault.New(fault.Conflict, "mfa.active", "this account has a one-time-code factor already; remove it first (DELETE /mfa)")
)

// Factors enrols, verifies and removes the factors of accounts. It is built as a literal.
type Factors struct {
	Changes *change.Committer
	Users   *user.Users
	Sealer  *seal.Sealer
	Issuer  string // the name shown in authenticator apps
	Now     func() time.Time
}

// Enrol begins an enrolment of an account by its owner and returns what to show. The factor is in
// use after Verify. An account with a factor in use gets ErrActive.
func (fs *Factors) Enrol(ctx context.Context, userID string) (Enrolment, error) {
	u, err := fs.Users.Get(ctx, userID)
	if err != nil {
		return Enrolment{}, err
	}
	e, p, err := Generate(fs.Sealer, fs.Issuer, userID, u.Username, fs.Now())
	if err != nil {
		return Enrolment{}, err
	}
	act := change.New("mfa.enrol", "users/"+userID, nil)
	return e, fs.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		row, err := Table.Load(tx, userID)
		if err != nil {
			return err
		}
		f := row.Value
		if f.Active {
			return ErrActive
		}
		f.ID, f.Pending = userID, &p
		act.Emit(change.MFAStarted, userID, change.Data{})
		return Table.Save(tx, f)
	})
}

// Verify checks the first code of a pending enrolment and puts the factor in use. All older tokens
// of the account are refused then and all its sessions are over, but for the session that keep
// saves in the same transaction (session.StepUp). A wrong code is ErrCode, and no enrolment, or one
// older than 15 minutes, is ErrNoPending.
func (fs *Factors) Verify(ctx context.Context, userID, code string, keep func(*store.Tx, user.User) error) error {
	var refused error
	act := change.New("mfa.verify", "users/"+userID, nil)
	err := fs.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		refused = nil
		row, err := Table.Load(tx, userID)
		if err != nil {
			return err
		}
		f, now := row.Value, fs.Now()
		if f.Pending == nil || now.Sub(time.Unix(f.Pending.Since, 0)) > pendingLife {
			return ErrNoPending
		}
		step := int64(0)
		if !f.Failures.Blocked(now) {
			if step, err = match(fs.Sealer, userID, f.Pending.Secret, code, now); err != nil {
				return err
			}
		}
		if step == 0 {
			refused = ErrCode
			act.Result, act.Code = audit.Refused, ErrCode.Code
			act.Emit(change.MFAFailed, userID, change.Data{})
			f.Failures = f.Failures.Failed(now)
			return Table.Save(tx, f)
		}
		if err := Table.Save(tx, f.Activate(*f.Pending, now, step)); err != nil {
			return err
		}
		return fs.raise(tx, act, change.MFAEnrolled, userID, keep)
	})
	if err != nil {
		return err
	}
	return refused
}

// EnrolFor gives an account a factor that is in use at once, in place of one that it has, and
// returns what the administrator who asks hands over. All sessions of the account end.
func (fs *Factors) EnrolFor(ctx context.Context, userID string, by user.Caller) (Enrolment, error) {
	u, err := fs.Users.Get(ctx, userID)
	if err != nil {
		return Enrolment{}, err
	}
	e, p, err := Generate(fs.Sealer, fs.Issuer, userID, u.Username, fs.Now())
	if err != nil {
		return Enrolment{}, err
	}
	act := change.New("mfa.enrol_for", "users/"+userID, map[string]any{"account": u.Username})
	return e, fs.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		row, err := user.Load(tx, userID)
		if err != nil {
			return err
		}
		if err := by.Authorize(row.Value, nil); err != nil {
			return err
		}
		if err := Table.Save(tx, Factor{ID: userID}.Activate(p, fs.Now())); err != nil {
			return err
		}
		return fs.raise(tx, act, change.MFAEnrolled, userID, nil)
	})
}

// Remove removes the factor of an account and ends all its sessions. When every sign-in needs a
// code, the last administrator with a factor keeps it (user.ErrLastFactor). An account without a
// factor gets ErrNone.
func (fs *Factors) Remove(ctx context.Context, userID string, by user.Caller) error {
	act := change.New("mfa.remove", "users/"+userID, nil)
	return fs.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		u, err := user.Find(tx, userID)
		if err != nil {
			return err
		}
		if err := by.Authorize(u, nil); err != nil {
			return err
		}
		row, err := Table.Load(tx, userID)
		if err != nil {
			return err
		}
		if !row.Value.Active && row.Value.Pending == nil {
			return ErrNone
		}
		if err := fs.Users.KeepsFactor(tx, u); err != nil {
			return err
		}
		Table.Remove(tx, userID)
		return fs.raise(tx, act, change.MFARemoved, userID, nil)
	})
}

// Has says, inside a transaction, whether an account has a factor in use.
func Has(tx *store.Tx, userID string) (bool, error) {
	row, err := Table.Load(tx, userID)
	return row.Value.Active, err
}

// raise lifts the version of the account inside the transaction of act, emits the event t and ends
// all sessions of the account but for what keep, when not nil, lets live on. A factor that comes
// into use ends the API tokens that were made without one.
func (fs *Factors) raise(tx *store.Tx, act *change.Act, t change.Type, userID string, keep func(*store.Tx, user.User) error) error {
	u, err := user.Find(tx, userID)
	if err != nil {
		return err
	}
	act.Revoke(user.Raise(&u, true, fs.Now()))
	act.Emit(t, userID, change.Data{Username: u.Username})
	if t == change.MFAEnrolled {
		if err := apitoken.RevokeAll(tx, act, userID, apitoken.ReasonFactor, fs.Now(), apitoken.WithoutFactor); err != nil {
			return err
		}
	}
	if keep != nil {
		if err := keep(tx, u); err != nil {
			return err
		}
	}
	return user.Save(tx, u)
}

// Dummy returns a factor whose code nobody knows. Check takes the same time for it as for a real
// one.
func Dummy(sealer *seal.Sealer) (Factor, error) {
	_, p, err := Generate(sealer, "nobody", "nobody", "nobody", time.Time{})
	return Factor{Active: true, Failures: login.CodeFailures{}, ID: "nobody", Recovery: p.Recovery, Secret: p.Secret}, err
}
