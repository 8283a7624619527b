package session

import (
	"context"

	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// SignOut ends the session of a verified token.
func (d *Desk) SignOut(ctx context.Context, c token.Claims) error {
	act := &audit.Act{Action: "auth.logout", Resource: "sessions/" + c.SessionID}
	return d.Revoked.Update(ctx, act, func(tx *store.Tx) ([]token.Revocation, error) {
		row, err := sessions.Load(tx, c.SessionID)
		if err != nil {
			return nil, err
		}
		sessions.Remove(tx, c.SessionID)
		return []token.Revocation{token.RevokeSession(c.SessionID, max(c.Expires, row.Value.TokenEnds))}, nil
	})
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
