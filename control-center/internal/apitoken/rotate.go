package apitoken

import (
	"cmp"
	"context"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// Rotation describes a successor of a token.
type Rotation struct {
	ID      string        // of the successor; empty for a fresh one
	Overlap time.Duration // how long the old one stays good, unless it expires before; 0: it ends at once
	Expires time.Time     // of the successor; zero: it lives as long as the old one was made for
	Maker   string        // id of the account that asks
	MFA     bool          // the maker's session has a second factor
}

// Rotate makes a token with the name, owner and scope of another one, and returns it with its text,
// which is shown to nobody again. The old one stays good for r.Overlap, unless it was suspended.
// One that is revoked, has expired or has a successor is ErrEnded. may is asked in the transaction
// whether the maker may do this now.
func (ts *Registry) Rotate(ctx context.Context, tokenID string, r Rotation, may func(*store.Tx) error) (Token, string, error) {
	before, err := ts.Get(ctx, tokenID)
	if err != nil {
		return Token{}, "", err
	}
	now := ts.now()
	if r.Expires.IsZero() {
		r.Expires = now.Add(min(before.life(), ts.MaxTTL))
	}
	if err := ts.checkExpiry(r.Expires, now); err != nil {
		return Token{}, "", err
	}
	text, hash := token.NewAPI(before.Username)
	t := Token{Created: now, Expires: r.Expires.UTC().Truncate(time.Second), Hash: hash, ID: cmp.Or(r.ID, id.New()), Maker: r.Maker,
		MFA: r.MFA, Name: before.Name, Owner: before.Owner, Scope: before.Scope, Username: before.Username}
	act := change.New("token.rotate", "tokens/"+tokenID, t.details())
	act.Details["successor"] = t.ID
	err = ts.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		old, err := load(tx, tokenID)
		if err != nil {
			return err
		}
		if err := may(tx); err != nil {
			return err
		}
		state := old.State(now)
		if state != Active && state != Suspended {
			return ErrEnded
		}
		old.Successor = t.ID
		act.Emit(change.TokenRotated, old.ID, change.Data{Name: old.Name, UserID: old.Owner})
		act.Emit(change.TokenCreated, t.ID, change.Data{Name: t.Name, UserID: t.Owner})
		if state == Suspended || r.Overlap == 0 {
			if err := drop(tx, old); err != nil {
				return err
			}
			if err := revoke(tx, act, old, ReasonRotated, now); err != nil {
				return err
			}
		} else if end := now.Add(r.Overlap); end.Before(old.Expires) {
			old.Expires = end
			if err := save(tx, old, table.Save); err != nil {
				return err
			}
		} else if err := save(tx, old, table.Save); err != nil {
			return err
		}
		return add(tx, t, now)
	})
	return t, text, err
}

// life returns how long the token was made for. A rotation shortens it, so it is called for tokens
// without a successor.
func (t Token) life() time.Duration { return t.Expires.Sub(t.Created) }
