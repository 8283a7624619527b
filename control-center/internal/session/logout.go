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

// SignOut ends the session of the verified token c. It does so too when the session is over
// already.
func (ss *Sessions) SignOut(ctx context.Context, c token.Claims) error {
	act := change.New("auth.logout", "sessions/"+c.SessionID, nil)
	return ss.Changes.Commit(ctx, act, func(tx *store.Tx) error {
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

// StepUp returns a function that lets the session live on as one with a second factor (aal2).
// mfa.Factors.Verify calls it in the transaction in which this session has proved a new factor and
// all other sessions of the account end.
func StepUp(sid string) func(*store.Tx, user.User) error {
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

// Forget returns a function that removes what the packages session and mfa keep about an account.
// user.Users.Delete calls it in its transaction. The sessions stay until retention removes them:
// without the account they are over.
func Forget(userID string) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		mfa.Table.Remove(tx, userID)
		counts.Remove(tx, userID)
		return nil
	}
}
