package keys

import (
	"context"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/seal"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// errTooSoon returns the Conflict of a rotation whose next key was announced less than ten minutes
// ago.
func errTooSoon(k TokenKey, now time.Time) error {
	from := time.Unix(k.NotBefore, 0)
	return fault.New(fault.Conflict, "key.announced_lately",
		"the next key %s may be used from %s on: whoever keeps the published keys for five minutes must know it first; when the current "+
			"key has leaked, remove it (DELETE /keys/<kid>), which waits for nothing",
		k.ID, from.UTC().Format(time.RFC3339)).After(from.Sub(now))
}

// Announce appends the present keys to the revocation stream unless it names them already. It is
// called once after Load, because the stream of a fresh store is empty; each change of the keys
// names them by itself.
func (r *Ring) Announce(ctx context.Context) error {
	if slices.Equal(r.Changes.Revoked.Keys(), r.JWKS().Keys) {
		return nil
	}
	act := change.New("key.announce", "keys/token", nil)
	_, err := r.change(ctx, act, func(keys []TokenKey, _ time.Time) ([]TokenKey, error) {
		act.Emit(change.KeyAnnounced, signing(keys), change.Data{})
		return keys, nil
	})
	return err
}

// Rotate lets the announced key sign, retires the current one and announces another. It returns the
// id of the key that signs then; accept, when not nil, gets it before the commit. A next key that
// was announced less than ten minutes ago is a Conflict.
func (r *Ring) Rotate(ctx context.Context, accept func(kid string)) (string, error) {
	return r.change(ctx, change.New("key.rotate", "keys/token", nil), func(keys []TokenKey, now time.Time) ([]TokenKey, error) {
		for _, k := range keys {
			if k.State == token.Next && now.Unix() < k.NotBefore {
				return nil, errTooSoon(k, now)
			}
		}
		keys = advance(r.Sealer, keys, now)
		if accept != nil {
			accept(signing(keys))
		}
		return keys, nil
	})
}

// Renew replaces all keys of a store that was put back, in the transaction of its recovery. It
// returns the items that revoke the old keys and name the new ones, and the id of the key that
// signs.
func Renew(tx *store.Tx, s *seal.Sealer, now time.Time) (revoked []token.Revocation, signs string, err error) {
	row, err := rings.Load(tx, ringID)
	if err != nil {
		return nil, "", err
	}
	for _, k := range row.Value.Keys {
		revoked = append(revoked, token.RevokeKey(k.ID))
	}
	fresh := NewRing(s, now)
	signs = signing(fresh)
	if err := change.Emit(tx, change.KeyRotated, signs, change.Data{}); err != nil {
		return nil, "", err
	}
	return append(revoked, token.NameKeys(published(fresh))), signs, rings.Save(tx, ringDoc{ID: ringID, Keys: fresh})
}
