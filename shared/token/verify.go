package token

import (
	"crypto/ed25519"
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
)

// Limits of a token.
const (
	maxToken = 16 << 10     // bytes, checked before anything is parsed
	leeway   = 30           // seconds of difference between clocks
	maxLife  = 24 * 3600    // seconds between iat and exp at most (decision 25)
	maxCall  = 120          // the same for a service token, which lives a minute (decision 4)
	maxTime  = 253402300799 // the last second of the year 9999
	refused  = "the token is not valid; sign in again and retry with the new one"
)

// Verifier checks tokens. Its fields are set once, in one literal; it is then safe for concurrent
// use and must not be copied.
type Verifier struct {
	Issuer   string              // the only accepted iss
	Audience string              // our own id; must be among aud
	Keys     KeySource           // by kid
	Revoked  func(Claims) string // says why a person's token is revoked, "" when it is not; nil: nothing is

	seen cache
}

// Verify returns the claims of raw when it is a good token at the given time. Their Kind says of
// what kind it is; whoever asks decides which kinds it takes. Every refusal is an Unauthenticated
// fault with the same message; its code says why (token.malformed, token.header, token.unknown_key,
// token.signature, token.type, token.claims, token.issuer, token.audience, token.expired,
// token.not_yet_valid, token.lifetime, token.key_retired, token.revoked).
func (v *Verifier) Verify(raw string, now time.Time) (Claims, error) {
	if len(raw) > maxToken {
		return Claims{}, refuse("token.malformed")
	}
	sum := sha256.Sum256([]byte(raw))
	c, key, known := v.seen.get(sum)
	if !known {
		var err error
		if c, key, err = v.open(raw); err != nil {
			return Claims{}, err
		}
	}
	// From here on everything may have changed since the text was first verified.
	if k, ok := v.Keys.Key(c.KeyID); !ok || !k.Public.Equal(key.Public) || k.Service != key.Service {
		return Claims{}, refuse("token.unknown_key")
	} else if !k.accepts(c.IssuedAt, now.Unix()) {
		return Claims{}, refuse("token.key_retired")
	}
	if err := v.inTime(c, now.Unix()); err != nil {
		return Claims{}, err
	}
	if c.Kind == Access && v.Revoked != nil && v.Revoked(c) != "" {
		return Claims{}, refuse("token.revoked")
	}
	if !known {
		v.seen.put(sum, c, key)
	}
	return c, nil
}

// open checks what never changes for one text: its spelling, header, signature and claims.
func (v *Verifier) open(raw string) (Claims, Key, error) {
	first, last := strings.IndexByte(raw, '.'), strings.LastIndexByte(raw, '.')
	if first < 0 || first == last || strings.IndexByte(raw[first+1:last], '.') >= 0 {
		return Claims{}, Key{}, refuse("token.malformed")
	}
	header, err := decode64(raw[:first])
	if err != nil {
		return Claims{}, Key{}, refuse("token.malformed")
	}
	payload, err := decode64(raw[first+1 : last])
	if err != nil {
		return Claims{}, Key{}, refuse("token.malformed")
	}
	sig, err := decode64(raw[last+1:])
	if err != nil {
		return Claims{}, Key{}, refuse("token.malformed")
	}
	kid, typ, ok := parseHeader(header)
	if !ok {
		return Claims{}, Key{}, refuse("token.header")
	}
	key, ok := v.Keys.Key(kid)
	if !ok {
		return Claims{}, Key{}, refuse("token.unknown_key")
	}
	if !signed(key.Public, []byte(raw[:last]), sig) {
		return Claims{}, Key{}, refuse("token.signature")
	}
	if typ != string(key.kind()) {
		return Claims{}, Key{}, refuse("token.type")
	}
	c, ok := parseClaims(payload, key)
	if !ok {
		return Claims{}, Key{}, refuse("token.claims")
	}
	c.KeyID, c.Kind = kid, key.kind()
	if c.Issuer != v.Issuer {
		return Claims{}, Key{}, refuse("token.issuer")
	}
	if !slices.Contains(c.Audience, v.Audience) {
		return Claims{}, Key{}, refuse("token.audience")
	}
	return c, key, nil
}

// signed says whether sig is a signature of text by the key, in the one form that it can have.
func signed(pub ed25519.PublicKey, text, sig []byte) bool {
	return len(sig) == ed25519.SignatureSize && ed25519.Verify(pub, text, sig)
}

// parseHeader accepts exactly alg, kid and typ. A crit, jku, jwk, x5u, zip or b64 is thereby
// refused.
func parseHeader(b []byte) (kid, typ string, ok bool) {
	m, err := parseObject(b)
	if err != nil || len(m) != 3 {
		return "", "", false
	}
	r := reader{m: m}
	alg := r.text("alg", true)
	kid, typ = r.text("kid", true), r.text("typ", true)
	if r.err != nil || alg != "EdDSA" && alg != "Ed25519" || len(kid) < 8 || len(kid) > 43 {
		return "", "", false
	}
	for i := 0; i < len(kid); i++ {
		if !isURL64(kid[i]) {
			return "", "", false
		}
	}
	return kid, typ, true
}

// parseClaims returns the claims that the kind of token must have that key signs. It ignores
// unknown members of a person's token, because the signature says that this program wrote them.
func parseClaims(b []byte, key Key) (Claims, bool) {
	m, err := parseObject(b)
	if err != nil {
		return Claims{}, false
	}
	r := reader{m: m}
	c := Claims{
		Issuer: r.text("iss", true), Subject: r.text("sub", true), Audience: r.texts("aud", true), ID: r.text("jti", true),
		IssuedAt: r.integer("iat", true), NotBefore: r.integer("nbf", true), Expires: r.integer("exp", true),
	}
	if key.kind() == Service {
		// A service token has those seven members only, the subject that its key belongs to, and
		// one audience. Roles, a session and a second factor are a person's.
		return c, r.err == nil && len(m) == 7 && len(c.Audience) == 1 && c.Subject == ServiceSubject(key.Service)
	}
	c.SessionID, c.AuthTime, c.AuthVersion = r.text("sid", true), r.integer("auth_time", true), r.integer("av", true)
	c.ACR, c.AMR, c.Roles = r.text("acr", true), r.texts("amr", true), r.texts("roles", false)
	c.Username, c.Provider = r.text("username", false), r.text("idp", false)
	return c, r.err == nil
}

func (v *Verifier) inTime(c Claims, now int64) error {
	limit := int64(maxLife)
	if c.Kind == Service {
		limit = maxCall
	}
	switch {
	case c.Expires-c.IssuedAt > limit || c.Expires <= c.IssuedAt:
		return refuse("token.lifetime")
	case now > c.Expires+leeway:
		return refuse("token.expired")
	case c.NotBefore > now+leeway || c.IssuedAt > now+leeway || c.AuthTime > now+leeway:
		return refuse("token.not_yet_valid")
	}
	return nil
}

func refuse(code string) error { return fault.New(fault.Unauthenticated, code, refused) }
