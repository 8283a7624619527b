package apitoken

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/revocation"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/instant"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// Why a token was revoked, as events, audit entries and lists say it.
const (
	ReasonRevoked  = "revoked"          // somebody asked for it
	ReasonRotated  = "rotated"          // its successor took over at once
	ReasonDisabled = "owner_disabled"   // the owner may not act any more
	ReasonDeleted  = "owner_deleted"    // the owner is gone
	ReasonPassword = "password_changed" // whoever knew the old password may have made it
	ReasonFactor   = "factor_enrolled"  // it was made without the factor that the owner has now
)

// Draft describes a token to make.
type Draft struct {
	ID       string // empty for a fresh one
	Name     string // a free text
	Owner    string // id
	Username string // of the owner, as policies name it
	Maker    string // id of the account that makes it
	MFA      bool   // the maker's session has a second factor
	Scope    authz.Scope
	Expires  time.Time
}

// checkExpiry refuses an expiry that has passed, or is further away than MaxTTL.
func (ts *Registry) checkExpiry(expires, now time.Time) error {
	why := ""
	switch {
	case !expires.After(now):
		why = "must lie in the future"
	case expires.After(now.Add(ts.MaxTTL)):
		why = "must lie at most " + ts.MaxTTL.String() + " ahead ([tokens] api_max_ttl)"
	default:
		return nil
	}
	return fault.New(fault.Invalid, "token.expiry", "/expires_at: %s", why).With(fault.Field{Pointer: "/expires_at", Message: why})
}

// Create makes a token and returns it with its text, which is shown to nobody again. may is asked
// in the transaction whether the maker may do this now.
func (ts *Registry) Create(ctx context.Context, d Draft, may func(*store.Tx) error) (Token, string, error) {
	now := ts.now()
	if err := authz.CheckScope(d.Scope); err != nil {
		return Token{}, "", err
	}
	if err := ts.checkExpiry(d.Expires, now); err != nil {
		return Token{}, "", err
	}
	text, hash := token.NewAPI(d.Username)
	t := Token{Created: now, Expires: d.Expires.UTC().Truncate(time.Second), Hash: hash, ID: cmp.Or(d.ID, id.New()), Maker: d.Maker,
		MFA: d.MFA, Name: d.Name, Owner: d.Owner, Scope: d.Scope, Username: d.Username}
	act := change.New("token.create", "tokens/"+t.ID, t.details())
	err := ts.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		if err := may(tx); err != nil {
			return err
		}
		act.Emit(change.TokenCreated, t.ID, change.Data{Name: t.Name, UserID: t.Owner})
		return add(tx, t, now)
	})
	return t, text, err
}

// details returns what the audit entry of a new token says.
func (t Token) details() map[string]any {
	scope := make([]string, len(t.Scope))
	for i, r := range t.Scope {
		scope[i] = r.String()
	}
	return map[string]any{"name": t.Name, "owner": t.Owner, "owner_name": t.Username, "scope": scope,
		"expires": instant.Format(t.Expires)}
}

// add puts a new token into the transaction.
func add(tx *store.Tx, t Token, now time.Time) error {
	row, err := holders.Load(tx, t.Owner)
	if err != nil {
		return err
	}
	h := row.Value
	h.ID = t.Owner
	h.Live = slices.DeleteFunc(h.Live, func(l live) bool { return l.Expires <= now.Unix() })
	if len(h.Live) >= MaxLive {
		return fault.New(fault.Conflict, "token.too_many",
			"this owner has %d API tokens that are good, the most there may be; revoke one that is not needed (DELETE /tokens/{id})",
			len(h.Live))
	}
	h.Live = append(h.Live, live{Expires: t.Expires.Unix(), ID: t.ID})
	if err := holders.Save(tx, h); err != nil {
		return err
	}
	return save(tx, t, table.Create)
}

// load returns a token inside a transaction, or ErrNotFound.
func load(tx *store.Tx, tokenID string) (Token, error) {
	row, err := table.Load(tx, tokenID)
	if err == nil && row.Rev == 0 {
		err = ErrNotFound
	}
	return row.Value, err
}

// Revoke ends a token at once. One that is over already stays as it is, and its revocation is told
// again.
func (ts *Registry) Revoke(ctx context.Context, tokenID string) error {
	act := change.New("token.revoke", "tokens/"+tokenID, nil)
	return ts.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		t, err := load(tx, tokenID)
		if err != nil {
			return err
		}
		act.Details["name"], act.Details["owner"] = t.Name, t.Owner
		if err := drop(tx, t); err != nil {
			return err
		}
		return revoke(tx, act, t, ReasonRevoked, ts.now())
	})
}

// drop takes a token off the list of its owner.
func drop(tx *store.Tx, t Token) error {
	row, err := holders.Load(tx, t.Owner)
	if err != nil || row.Rev == 0 {
		return err
	}
	row.Value.Live = slices.DeleteFunc(row.Value.Live, func(l live) bool { return l.ID == t.ID })
	return holders.Save(tx, row.Value)
}

// revoke marks a token as revoked in the transaction of act, and tells both services.
func revoke(tx *store.Tx, act *change.Act, t Token, reason string, now time.Time) error {
	if t.Ended == nil || t.Reason == ReasonRecovered {
		t.Ended, t.Reason = &now, reason
	}
	act.Revoke(token.RevokeToken(t.ID, now.Add(revocation.Keep).Unix()))
	act.Emit(change.TokenRevoked, t.ID, change.Data{Name: t.Name, Reason: t.Reason, UserID: t.Owner})
	return save(tx, t, table.Save)
}

// RevokeAll revokes the tokens of an owner in the transaction of act: all, or those for which only
// says true.
func RevokeAll(tx *store.Tx, act *change.Act, owner, reason string, now time.Time, only func(Token) bool) error {
	now = now.UTC().Truncate(time.Second)
	row, err := holders.Load(tx, owner)
	if err != nil || row.Rev == 0 {
		return err
	}
	h, kept := row.Value, []live{}
	for _, l := range h.Live {
		r, err := table.Load(tx, l.ID)
		if err != nil {
			return err
		}
		if r.Rev == 0 || l.Expires <= now.Unix() {
			continue
		}
		if only != nil && !only(r.Value) {
			kept = append(kept, l)
			continue
		}
		if err := revoke(tx, act, r.Value, reason, now); err != nil {
			return err
		}
	}
	if h.Live = kept; len(kept) == 0 {
		holders.Remove(tx, owner)
		return nil
	}
	return holders.Save(tx, h)
}

// WithoutFactor says whether a token was made in a session without a second factor.
func WithoutFactor(t Token) bool { return !t.MFA }
