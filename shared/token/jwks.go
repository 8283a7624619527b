package token

import "fmt"

// JWK is one key in the form of RFC 7517 and RFC 8037, with our three additive members.
type JWK struct {
	Alg       string `json:"alg"`
	Crv       string `json:"crv"`
	Kid       string `json:"kid"`
	Kty       string `json:"kty"`
	RetiredAt int64  `json:"retired_at,omitempty"`
	State     State  `json:"state,omitempty"`
	Until     int64  `json:"until,omitempty"`
	Use       string `json:"use"`
	X         string `json:"x"`
}

// JWKS is what /.well-known/jwks.json serves.
type JWKS struct {
	Keys []JWK `json:"keys"`
}

// Publish returns the JWKS form of keys.
func Publish(keys []Key) JWKS {
	out := JWKS{Keys: []JWK{}}
	for _, k := range keys {
		out.Keys = append(out.Keys, JWK{Alg: "EdDSA", Crv: "Ed25519", Kid: k.ID, Kty: "OKP",
			RetiredAt: k.RetiredAt, State: k.State, Until: k.Until, Use: "sig", X: encode64(k.Public)})
	}
	return out
}

// Parse returns the keys of a set that Publish made. A key of another kind or an unsound one fails
// the whole set.
func (set JWKS) Parse() ([]Key, error) {
	var keys []Key
	for _, j := range set.Keys {
		if j.Kty != "OKP" || j.Crv != "Ed25519" || j.Alg != "EdDSA" && j.Alg != "Ed25519" || j.Use != "sig" {
			return nil, fmt.Errorf("parse JWKS: key %q is not an Ed25519 signing key", j.Kid)
		}
		pub, err := decode64(j.X)
		if err != nil {
			return nil, fmt.Errorf("parse JWKS: key %q: %w", j.Kid, err)
		}
		k := Key{ID: j.Kid, Public: pub, State: j.State, RetiredAt: j.RetiredAt, Until: j.Until}
		if k.State == "" {
			k.State = Current
		}
		if err := k.check(); err != nil {
			return nil, fmt.Errorf("parse JWKS: %w", err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}
