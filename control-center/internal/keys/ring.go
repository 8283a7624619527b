package keys

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/seal"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

const (
	rotateAfter = 30 * 24 * time.Hour // Run rotates when a key has signed for this long
	announced   = 10 * time.Minute    // a key is published for this long before Rotate lets it sign: twice the life of a cached key set
	clockLeeway = time.Minute
)

// ringDoc holds all keys of the ring in one document, so that each change of them is one
// conditional write.
type ringDoc struct {
	ID   string     `json:"id"`
	Keys []TokenKey `json:"keys"`
}

var rings = store.Table[ringDoc]{Kind: "token_ring", ID: func(r ringDoc) string { return r.ID }}

const ringID = "ring"

// Kinds declares the documents of this package.
func Kinds() []store.Kind { return []store.Kind{{Name: rings.Kind}} }

// ErrNoKey is the answer to the id of no key.
var ErrNoKey = fault.New(fault.NotFound, "key.not_found", "there is no signing key with this id")

// Ring is the set of keys that sign tokens: one that signs, one that is announced as the next, and
// those that retire. It is built as a literal; Load comes before its first use.
type Ring struct {
	Changes *change.Committer
	Sealer  *seal.Sealer
	Now     func() time.Time
	Log     *slog.Logger

	Public token.KeySet // the keys that verify, for the control-center's own verifier

	loading sync.Mutex // held by Load, so that no Load puts back what a later one has replaced

	mu      sync.RWMutex
	current ed25519.PrivateKey // under mu
	keys    []TokenKey         // under mu
}

// NewRing returns the keys that a fresh deployment begins with: one that signs and one that is
// announced.
func NewRing(s *seal.Sealer, now time.Time) []TokenKey {
	// The next key may sign at once, for nobody has cached a key set without it.
	return []TokenKey{newKey(s, token.Current, now, now), newKey(s, token.Next, now, now)}
}

// Insert puts the keys of a fresh deployment into the transaction of act.
func Insert(tx *store.Tx, act *change.Act, keys []TokenKey) error {
	act.Emit(change.KeyRotated, signing(keys), change.Data{})
	return rings.Create(tx, ringDoc{ID: ringID, Keys: keys})
}

// Load reads the ring from the store.
func (r *Ring) Load(ctx context.Context) error {
	r.loading.Lock()
	defer r.loading.Unlock()
	row, err := rings.Get(ctx, r.Changes.DB, ringID)
	if err != nil {
		return err
	}
	return r.adopt(row.Value.Keys)
}

// adopt puts the stored keys in use. The fault is that of a key that does not open, or that none of
// them signs.
func (r *Ring) adopt(stored []TokenKey) error {
	var current ed25519.PrivateKey
	public := make([]token.Key, 0, len(stored))
	for _, k := range stored {
		verifies, err := k.verifies()
		if err != nil {
			return fmt.Errorf("token key %s: %w", k.ID, err)
		}
		public = append(public, verifies)
		if k.State != token.Current {
			continue
		}
		seed, err := r.Sealer.Open(rings.Kind, k.ID, "private", k.Private)
		if err != nil {
			return fmt.Errorf("token key %s: %w", k.ID, err)
		}
		current = ed25519.NewKeyFromSeed(seed)
	}
	if current == nil {
		return fmt.Errorf("the store holds no signing key; restore it from a backup")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current, r.keys = current, stored
	return r.Public.Replace(public)
}

// Sign returns a token of that kind with the claims c, signed with the current key.
func (r *Ring) Sign(c token.Claims, kind token.Kind) (string, error) {
	r.mu.RLock()
	key := r.current
	r.mu.RUnlock()
	return token.Sign(c, key, kind)
}

// Keys returns the keys without their private halves, the newest last.
func (r *Ring) Keys() []TokenKey {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]TokenKey, len(r.keys))
	for i, k := range r.keys {
		k.Private = ""
		out[i] = k
	}
	return out
}

// JWKS returns all keys that may verify a token, in their published form.
func (r *Ring) JWKS() token.JWKS {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return published(r.keys)
}

// Remove removes a key at once. The control-center refuses every token that it signed when Remove
// returns, and the orchestrator when it reads the revocation stream. In place of the current key
// the announced one signs, however lately it was announced (decision 70), because the orchestrator
// reads its name in the same stream. An unknown id is ErrNoKey.
func (r *Ring) Remove(ctx context.Context, kid string) error {
	act := change.New("key.remove", "keys/"+kid, nil)
	_, err := r.change(ctx, act, func(keys []TokenKey, now time.Time) ([]TokenKey, error) {
		i := slices.IndexFunc(keys, func(k TokenKey) bool { return k.ID == kid })
		if i < 0 {
			return nil, ErrNoKey
		}
		switch keys[i].State {
		case token.Current:
			keys = advance(r.Sealer, keys, now)
		case token.Next:
			keys = append(keys, newKey(r.Sealer, token.Next, now, now.Add(announced)))
		}
		act.Revoke(token.RevokeKey(kid))
		act.Emit(change.KeyRemoved, kid, change.Data{})
		return slices.DeleteFunc(keys, func(k TokenKey) bool { return k.ID == kid }), nil
	})
	return err
}

// change stores what fn makes of the keys, names them in the revocation stream and puts them in
// use. It returns the id of the key that signs then. fn may change the slice it is given.
func (r *Ring) change(ctx context.Context, act *change.Act, fn func([]TokenKey, time.Time) ([]TokenKey, error)) (string, error) {
	var next []TokenKey
	err := r.Changes.Commit(ctx, act, func(tx *store.Tx) error {
		row, err := rings.Load(tx, ringID)
		if err != nil {
			return err
		}
		before := signing(row.Value.Keys)
		if next, err = fn(row.Value.Keys, r.Now()); err != nil {
			return err
		}
		signs := signing(next)
		if signs != before {
			act.Emit(change.KeyRotated, signs, change.Data{})
		}
		act.Details = map[string]any{"signs": signs}
		act.Revoke(token.NameKeys(published(next)))
		return rings.Save(tx, ringDoc{ID: ringID, Keys: next})
	})
	if err != nil && !fault.Is(err, fault.Unavailable) {
		return "", err
	}
	// Load reads what is stored, because of two changes at once the later one counts and one with
	// an unknown outcome may have happened. It goes on when whoever asked is gone; when it fails,
	// Run reads the keys within a minute.
	if loaded := r.Load(context.WithoutCancel(ctx)); err == nil {
		err = loaded
	}
	if err != nil {
		return "", err
	}
	return signing(next), nil
}

// Run reads the keys each minute, for a change may have had an unknown outcome, and rotates them
// when the current one has signed for thirty days. It returns nil when ctx ends.
func (r *Ring) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := r.Load(ctx)
		for _, k := range r.Keys() {
			if err == nil && k.State == token.Current && r.Now().Sub(time.Unix(k.Since, 0)) > rotateAfter {
				_, err = r.Rotate(ctx, nil)
			}
		}
		if err != nil && ctx.Err() == nil {
			r.Log.Warn("signing keys not read or rotated; tried again in a minute", "error", err)
		}
	}
}
