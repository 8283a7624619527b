package keys

import (
	"crypto/ed25519"
	"encoding/base64"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/revocation"
	"github.com/provisioning-platform/platform/shared/seal"
	"github.com/provisioning-platform/platform/shared/token"
)

// TokenKey is one signing key as it is stored. Fields stand in the order of their JSON names; times
// are Unix seconds.
type TokenKey struct {
	ID        string      `json:"id"`
	NotBefore int64       `json:"not_before"` // Rotate lets a next key sign from then on
	Private   string      `json:"private"`    // Ed25519 seed, sealed
	Public    string      `json:"public"`     // base64url
	RetiredAt int64       `json:"retired_at"` // when a retiring key signed last
	Since     int64       `json:"since"`      // when the key came into its state
	State     token.State `json:"state"`
	Until     int64       `json:"until"` // until when a retiring key verifies
}

// verifies returns the public half of k, which verifies what k signed.
func (k TokenKey) verifies() (token.Key, error) {
	public, err := base64.RawURLEncoding.DecodeString(k.Public)
	return token.Key{ID: k.ID, Public: public, State: k.State, RetiredAt: k.RetiredAt, Until: k.Until}, err
}

// newKey returns a fresh key in that state, with its seed sealed.
func newKey(s *seal.Sealer, state token.State, now, notBefore time.Time) TokenKey {
	pub, priv, _ := ed25519.GenerateKey(nil)
	id := token.KeyID(pub)
	return TokenKey{ID: id, Private: s.Seal(rings.Kind, id, "private", priv.Seed()), Public: base64.RawURLEncoding.EncodeToString(pub),
		Since: now.Unix(), State: state, NotBefore: notBefore.Unix()}
}

// published returns keys in their published form. It leaves out one that cannot be read, which
// adopt refuses.
func published(keys []TokenKey) token.JWKS {
	var public []token.Key
	for _, k := range keys {
		if verifies, err := k.verifies(); err == nil {
			public = append(public, verifies)
		}
	}
	return token.Publish(public)
}

// signing returns the id of the key that signs.
func signing(keys []TokenKey) string {
	for _, k := range keys {
		if k.State == token.Current {
			return k.ID
		}
	}
	return ""
}

// advance returns the keys one step further in their life: the next one signs, the current one
// retires, those whose time is over are gone, and a fresh one is announced.
func advance(s *seal.Sealer, keys []TokenKey, now time.Time) []TokenKey {
	var out []TokenKey
	for _, k := range keys {
		switch {
		case k.State == token.Current:
			k.State, k.Since, k.RetiredAt = token.Retiring, now.Unix(), now.Unix()
			k.Until = now.Add(revocation.Keep + clockLeeway).Unix()
		case k.State == token.Next:
			k.State, k.Since = token.Current, now.Unix()
		case k.Until < now.Unix():
			continue
		}
		out = append(out, k)
	}
	return append(out, newKey(s, token.Next, now, now.Add(announced)))
}
