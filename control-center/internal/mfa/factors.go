package mfa

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/keys"
	"github.com/provisioning-platform/platform/control-center/internal/login"
	"github.com/provisioning-platform/platform/control-center/internal/revocation"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// pendingLife is how long an enrolment awaits its first code.
const pendingLife = 15 * time.Minute

// Faults of this package.
var (
	ErrCode      = fault.New(fault.Unauthenticated, "mfa.wrong_code", "this code is not valid now; wait for the next one and check the clock of the device")
	ErrNoPending = fault.New(fault.Conflict, "mfa.nothing_pending", "there is no enrolment to verify; start one with POST /mfa/enroll/totp")
	ErrNone      = fault.New(fault.NotFound, "mfa.none", "this account has no one-time-code factor")
	ErrActive    = fault.New(fault.Conflict, "mfa.active", "this account has a one-time-code factor already; remove it first (DELETE /mfa)")
)

// Factors changes the factors of accounts.
type Factors struct {
	DB      store.DB
	Revoked *revocation.Log
	Users   *user.Users
	Sealer  *keys.Sealer
	Issuer  string // the name shown in authenticator apps
	Now     func() time.Time
}

// Enrol starts an enrolment of the own account: the secret is shown once and counts after Verify.
func (fs *Factors) Enrol(ctx context.Context, userID string) (Enrolment, error) {
	u, err := user.Get(ctx, fs.DB, userID)
	if err != nil {
		return Enrolment{}, err
	}
	e, p, err := Generate(fs.Sealer, fs.Issuer, userID, u.Username, fs.Now())
	if err != nil {
		return Enrolment{}, err
	}
	act := &audit.Act{Action: "mfa.enrol", Resource: "users/" + userID}
	_, err = audit.Update(ctx, fs.DB, act, func(tx *store.Tx) error {
		row, err := Table.Load(tx, userID)
		if err != nil {
			return err
		}
		f := row.Value
		if f.Active {
			return ErrActive
		}
		f.ID, f.Pending = userID, &p
		return Table.Save(tx, f)
	})
	return e, err
}

// Verify proves a pending enrolment with a code and puts the factor in use. All tokens of the account die
// and all its sessions end, but for what keep lets live on in the same transaction: the session that has just
// proved the factor. keep may be nil.
func (fs *Factors) Verify(ctx context.Context, userID, code string, keep func(*store.Tx, user.User) error) error {
	var refused error
	act := &audit.Act{Action: "mfa.verify", Resource: "users/" + userID}
	err := fs.Revoked.Update(ctx, act, func(tx *store.Tx) ([]token.Revocation, error) {
		refused = nil
		row, err := Table.Load(tx, userID)
		if err != nil {
			return nil, err
		}
		f, now := row.Value, fs.Now()
		if f.Pending == nil || now.Sub(time.Unix(f.Pending.Since, 0)) > pendingLife {
			return nil, ErrNoPending
		}
		step := int64(0)
		if !f.Failures.Blocked(now) {
			if step, err = match(fs.Sealer, userID, f.Pending.Secret, code, now); err != nil {
				return nil, err
			}
		}
		if step == 0 {
			refused = ErrCode
			act.Result, act.Code = audit.Refused, ErrCode.Code
			f.Failures = f.Failures.Failed(now)
			return nil, Table.Save(tx, f)
		}
		if err := Table.Save(tx, f.Activate(*f.Pending, now, step)); err != nil {
			return nil, err
		}
		return fs.raise(tx, userID, keep)
	})
	if err != nil {
		return err
	}
	return refused
}

// EnrolFor gives an account a factor that is in use at once: the administrator who asks hands the
// secret over. A factor that exists is replaced and all sessions of the account end.
func (fs *Factors) EnrolFor(ctx context.Context, userID string, by user.By) (Enrolment, error) {
	u, err := user.Get(ctx, fs.DB, userID)
	if err != nil {
		return Enrolment{}, err
	}
	e, p, err := Generate(fs.Sealer, fs.Issuer, userID, u.Username, fs.Now())
	if err != nil {
		return Enrolment{}, err
	}
	act := &audit.Act{Action: "mfa.enrol_for", Resource: "users/" + userID, Details: map[string]any{"account": u.Username}}
	err = fs.Revoked.Update(ctx, act, func(tx *store.Tx) ([]token.Revocation, error) {
		row, err := user.Load(tx, userID)
		if err != nil {
			return nil, err
		}
		if err := by.May(row.Value, nil); err != nil {
			return nil, err
		}
		if err := Table.Save(tx, Factor{ID: userID}.Activate(p, fs.Now())); err != nil {
			return nil, err
		}
		return fs.raise(tx, userID, nil)
	})
	return e, err
}

// Remove takes the factor of an account away and ends all its sessions. Where every sign-in needs a code,
// the last administrator who has a factor keeps it.
func (fs *Factors) Remove(ctx context.Context, userID string, by user.By) error {
	act := &audit.Act{Action: "mfa.remove", Resource: "users/" + userID}
	return fs.Revoked.Update(ctx, act, func(tx *store.Tx) ([]token.Revocation, error) {
		u, err := user.Load(tx, userID)
		if err != nil {
			return nil, err
		}
		if u.Rev == 0 {
			return nil, user.ErrNotFound
		}
		if err := by.May(u.Value, nil); err != nil {
			return nil, err
		}
		row, err := Table.Load(tx, userID)
		if err != nil {
			return nil, err
		}
		if !row.Value.Active && row.Value.Pending == nil {
			return nil, ErrNone
		}
		if err := fs.Users.KeepsFactor(tx, u.Value); err != nil {
			return nil, err
		}
		Table.Remove(tx, userID)
		return fs.raise(tx, userID, nil)
	})
}

// Has says inside a transaction whether an account has a factor in use.
func Has(tx *store.Tx, userID string) (bool, error) {
	row, err := Table.Load(tx, userID)
	return row.Value.Active, err
}

// raise lifts the account's version inside tx and ends its sessions but for what keep, when not nil, lets
// live on.
func (fs *Factors) raise(tx *store.Tx, userID string, keep func(*store.Tx, user.User) error) ([]token.Revocation, error) {
	row, err := user.Load(tx, userID)
	if err != nil {
		return nil, err
	}
	if row.Rev == 0 {
		return nil, user.ErrNotFound
	}
	u := row.Value
	r := user.Raise(&u, true, fs.Now())
	if keep != nil {
		if err := keep(tx, u); err != nil {
			return nil, err
		}
	}
	return []token.Revocation{r}, user.Save(tx, u)
}

// Dummy is a factor nobody can answer: checking a code against it costs what checking a real one does.
func Dummy(sealer *keys.Sealer) (Factor, error) {
	_, p, err := Generate(sealer, "nobody", "nobody", "nobody", time.Time{})
	return Factor{Active: true, Failures: login.CodeFailures{}, ID: "nobody", Recovery: p.Recovery, Secret: p.Secret}, err
}
