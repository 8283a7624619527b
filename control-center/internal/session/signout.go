package session

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
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

// sweepEvery is how often ended sessions and refresh tokens are removed.
const sweepEvery = 10 * time.Minute

// Run removes what is over. Nothing depends on it: an ended session is refused before it is removed.
func (d *Desk) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for n := store.MaxPage; n >= store.MaxPage; { // as long as a page of either kind is full
			var err error
			if n, err = d.Sweep(ctx); err != nil && !fault.Is(err, fault.Unavailable) {
				d.Log.Warn("ended sessions not removed; tried again later", "error", err)
			}
		}
		d.Revoked.State.Expire(d.Now().Unix())
	}
}

// Sweep removes up to a page of each kind and returns how many documents it removed.
func (d *Desk) Sweep(ctx context.Context) (int, error) {
	var over []store.Key
	limit := ends(d.Now().Unix())[0].Value
	for _, kind := range []string{sessions.Kind, refreshes.Kind} {
		page, err := d.Revoked.DB.List(ctx, store.Query{Kind: kind, Index: "ends", Limit: store.MaxPage})
		if err != nil {
			return 0, err
		}
		for _, doc := range page.Docs {
			if doc.Index[0].Value <= limit {
				over = append(over, doc.Key)
			}
		}
	}
	if len(over) == 0 {
		return 0, nil
	}
	act := &audit.Act{Action: "session.sweep", Resource: "sessions/ended", Details: map[string]any{"removed": len(over)}}
	_, err := audit.Update(ctx, d.Revoked.DB, act, func(tx *store.Tx) error {
		for _, k := range over {
			tx.Delete(k)
		}
		return nil
	})
	return len(over), err
}
