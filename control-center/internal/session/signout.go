package session

import (
	"context"
	"slices"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// SignOut ends the session of a verified token.
func (d *Sessions) SignOut(ctx context.Context, c token.Claims) error {
	act := change.New("auth.logout", "sessions/"+c.SessionID, nil)
	return d.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		row, err := sessions.Load(tx, c.SessionID)
		if err != nil {
			return err
		}
		sessions.Remove(tx, c.SessionID)
		act.Revoke(token.RevokeSession(c.SessionID, max(c.Expires, row.Value.TokenEnds)))
		act.Emit(change.SessionRevoked, c.SessionID, change.Data{Reason: "signed_out", UserID: c.Subject, Username: c.Username})
		return nil
	})
}

// Prove lets a session live on, as one with a second factor, in the transaction in which it has proved a
// factor and that ends all sessions of u.
func Prove(sid string) func(*store.Tx, user.User) error {
	return func(tx *store.Tx, u user.User) error {
		row, err := sessions.Load(tx, sid)
		if err != nil || row.Rev == 0 || row.Value.User != u.ID {
			return err
		}
		s := row.Value
		s.ACR, s.AMR, s.AV = "aal2", append(slices.Clone(s.AMR), "otp"), u.AV
		return sessions.Save(tx, s)
	}
}

// Forget removes what this package and mfa keep about an account, inside the transaction that deletes
// it. Its sessions need no touch: without the account they are over.
func Forget(userID string) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		mfa.Table.Remove(tx, userID)
		counts.Remove(tx, userID)
		return nil
	}
}
