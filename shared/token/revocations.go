package token

import (
	"sort"
	"strconv"
	"sync"
)

// A Kind says what a Revocation revokes. AllKeys revokes nothing.
const (
	BySession  = "sid" // one session
	BySubject  = "sub" // a user's tokens with an authorization version below av
	ByProvider = "idp" // sessions of an identity provider issued until at
	ByKey      = "kid" // every token of a signing key
	ByToken    = "jti" // one token
	ByAll      = "all" // every token issued until at: log everybody out

	AllKeys = "keys" // the public keys that verify tokens from here on are exactly Keys
)

// Revocation is one row of the revocation stream, on the wire and in the stream alike. Seq is the
// place in the stream: empty in a stored entry, filled in by whoever reads it.
type Revocation struct {
	At    int64  `json:"at,omitempty"` // idp, all: tokens issued until this Unix second are revoked
	AV    int64  `json:"av,omitempty"` // sub: the lowest authorization version that is still good
	Exp   int64  `json:"exp"`          // Unix second after which no token it speaks of can be alive; 0: never
	Keys  []JWK  `json:"keys,omitempty"`
	Kind  string `json:"kind"`
	Seq   uint64 `json:"seq,omitempty"`
	Value string `json:"value"`
}

// Key names what the item speaks of; a later item with the same key replaces or strengthens it.
func (i Revocation) Key() string { return i.Kind + ":" + i.Value }

// Feed is one answer of the revocation feed: the items above the sequence that was asked for,
// ascending. Reset says that Items is the whole state and what was known before is void (first
// contact, another epoch, or a place below what is kept).
type Feed struct {
	Epoch string       `json:"epoch"` // identity of the stream; changes when its store is replaced
	Head  uint64       `json:"head"`  // the sequence to ask after next
	Items []Revocation `json:"items"`
	Reset bool         `json:"reset,omitempty"`
}

// Revocations is what is revoked, as both programs check it. The zero value is empty and ready. All
// methods are safe for concurrent use.
type Revocations struct {
	mu    sync.RWMutex
	items map[string]map[string]Revocation // kind, value
	head  uint64
}

// Apply takes an item in. Applying one twice, or an older one later, changes nothing. It reports
// whether anything changed.
func (r *Revocations) Apply(i Revocation) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.head = max(r.head, i.Seq)
	if r.items == nil {
		r.items = map[string]map[string]Revocation{}
	}
	old, known := r.items[i.Kind][i.Value]
	switch {
	case known && i.Kind == AllKeys: // the later set replaces the earlier one
		if i.Seq <= old.Seq {
			return false
		}
	case known: // keep the stronger of each
		i.Seq, i.AV, i.At = max(i.Seq, old.Seq), max(i.AV, old.AV), max(i.At, old.At)
		if i.Exp == 0 || old.Exp == 0 {
			i.Exp = 0
		} else {
			i.Exp = max(i.Exp, old.Exp)
		}
		if i.Seq == old.Seq && i.AV == old.AV && i.At == old.At && i.Exp == old.Exp {
			return false
		}
	}
	if r.items[i.Kind] == nil {
		r.items[i.Kind] = map[string]Revocation{}
	}
	r.items[i.Kind][i.Value] = i
	return true
}

// Check says why a token with these claims is revoked, "" when it is not. It looks at claims only,
// never at token text, so no respelling gets past it.
func (r *Revocations) Check(c Claims) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if i, ok := r.items[BySubject][c.Subject]; ok && c.AuthVersion < i.AV {
		return "the user's rights or credentials changed to version " + strconv.FormatInt(i.AV, 10)
	}
	if _, ok := r.items[BySession][c.SessionID]; ok {
		return "the session has ended"
	}
	if _, ok := r.items[ByToken][c.ID]; ok {
		return "the token was withdrawn"
	}
	if _, ok := r.items[ByKey][c.KeyID]; ok {
		return "the signing key was removed"
	}
	if i, ok := r.items[ByProvider][c.Provider]; ok && c.Provider != "" && c.IssuedAt <= i.At {
		return "the identity provider was disabled or removed"
	}
	if i, ok := r.items[ByAll][""]; ok && c.IssuedAt <= i.At {
		return "everybody was signed out"
	}
	return ""
}

// Keys returns the newest set of keys that the stream named, nil when it named none. Read only.
func (r *Revocations) Keys() []JWK {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.items[AllKeys][""].Keys
}

// Head returns the highest sequence applied.
func (r *Revocations) Head() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.head
}

// Snapshot returns what is revoked, in the order of the stream.
func (r *Revocations) Snapshot() []Revocation {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := []Revocation{}
	for _, kind := range r.items {
		for _, i := range kind {
			out = append(out, i)
		}
	}
	sort.Slice(out, func(a, b int) bool { return out[a].Seq < out[b].Seq })
	return out
}

// Restore replaces everything by items and the given head.
func (r *Revocations) Restore(items []Revocation, head uint64) {
	fresh := Revocations{}
	for _, i := range items {
		fresh.Apply(i)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.items, r.head = fresh.items, max(head, fresh.head)
}

// ForgetAfter is how many seconds an item is kept when the last token that it speaks of is dead. A
// wall clock may be ahead by up to that; when it is set right, tokens come back to life, and what
// was revoked must not.
const ForgetAfter = 24 * 60 * 60

// Expire forgets items whose tokens were all dead ForgetAfter before now (Unix seconds) and returns
// them.
func (r *Revocations) Expire(now int64) []Revocation {
	r.mu.Lock()
	defer r.mu.Unlock()
	var gone []Revocation
	for _, kind := range r.items {
		for value, i := range kind {
			if i.Exp != 0 && i.Exp+leeway+ForgetAfter < now {
				delete(kind, value)
				gone = append(gone, i)
			}
		}
	}
	return gone
}

// RevokeSession revokes one session; exp is when its last access token is dead.
func RevokeSession(sid string, exp int64) Revocation {
	return Revocation{Kind: BySession, Value: sid, Exp: exp}
}

// RevokeSubject revokes a user's tokens with an authorization version below av.
func RevokeSubject(sub string, av, exp int64) Revocation {
	return Revocation{Kind: BySubject, Value: sub, AV: av, Exp: exp}
}

// RevokeToken revokes one token until it would have expired.
func RevokeToken(jti string, exp int64) Revocation {
	return Revocation{Kind: ByToken, Value: jti, Exp: exp}
}

// RevokeKey revokes every token of a signing key, for ever.
func RevokeKey(kid string) Revocation { return Revocation{Kind: ByKey, Value: kid} }

// NameKeys says which keys verify tokens from here on.
func NameKeys(set JWKS) Revocation { return Revocation{Kind: AllKeys, Keys: set.Keys} }
