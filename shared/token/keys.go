package token

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"sync/atomic"
)

// State is where a key is in its life (reliability-bar 5.5).
type State string

// A key verifies in all three states, and signs in Current only.
const (
	Next     State = "next"     // published ahead, signs nothing yet
	Current  State = "current"  // signs
	Retiring State = "retiring" // signs nothing more; its older tokens live on
)

// Key is a public key that tokens are verified with.
type Key struct {
	ID        string
	Public    ed25519.PublicKey
	State     State
	Service   string // the one service that signs with it ("orchestrator"); empty: it signs for people
	RetiredAt int64  // Unix seconds of the switch; a retiring key accepts only tokens issued until then
	Until     int64  // Unix seconds after which the key accepts nothing; 0: no end set
}

// NewKey returns the key of pub with its derived id.
func NewKey(pub ed25519.PublicKey, state State) Key {
	return Key{ID: KeyID(pub), Public: pub, State: state}
}

// kind returns the only kind of token that the key may sign.
func (k Key) kind() Kind {
	if k.Service != "" {
		return Service
	}
	return Access
}

// accepts says whether a token issued at iat may stand on this key at now.
func (k Key) accepts(iat, now int64) bool {
	return (k.State != Retiring || iat <= k.RetiredAt) && (k.Until == 0 || now <= k.Until)
}

// KeySource finds keys by kid, in memory only: it is asked with texts that strangers chose.
type KeySource interface {
	Key(kid string) (Key, bool)
}

// KeySources are several sources as one: the first that knows a key answers.
type KeySources []KeySource

// Key returns the key with that id.
func (s KeySources) Key(kid string) (Key, bool) {
	for _, source := range s {
		if k, ok := source.Key(kid); ok {
			return k, true
		}
	}
	return Key{}, false
}

// KeySet is an in-memory KeySource that is replaced as a whole. The zero value is empty and ready.
type KeySet struct {
	keys atomic.Pointer[map[string]Key]
}

// Replace swaps in the given keys. It refuses, as a whole, a list with an unsound key, an id that
// is not derived from its key, or one key twice.
func (s *KeySet) Replace(keys []Key) error {
	m := make(map[string]Key, len(keys))
	for _, k := range keys {
		if err := k.check(); err != nil {
			return err
		}
		if _, twice := m[k.ID]; twice {
			return fmt.Errorf("key %s stands twice in the set", k.ID)
		}
		m[k.ID] = k
	}
	s.keys.Store(&m)
	return nil
}

// Key returns the key with that id.
func (s *KeySet) Key(kid string) (Key, bool) {
	if m := s.keys.Load(); m != nil {
		k, ok := (*m)[kid]
		return k, ok
	}
	return Key{}, false
}

// Len returns the number of keys.
func (s *KeySet) Len() int {
	if m := s.keys.Load(); m != nil {
		return len(*m)
	}
	return 0
}

func (k Key) check() error {
	switch {
	case len(k.Public) != ed25519.PublicKeySize || unsound(k.Public):
		return fmt.Errorf("key %q is not a sound Ed25519 key", k.ID)
	case k.ID != KeyID(k.Public):
		return fmt.Errorf("key %q does not carry the id of its thumbprint", k.ID)
	case k.State != Next && k.State != Current && k.State != Retiring:
		return fmt.Errorf("key %s has the unknown state %q", k.ID, k.State)
	}
	return nil
}

// unsound says whether pub is a point of small order or not in canonical form: with the former
// anybody can make signatures that verify, and crypto/ed25519 accepts both.
func unsound(pub []byte) bool {
	y := bytes.Clone(pub)
	y[31] &= 0x7f // the sign of x
	if y[31] == 0x7f && y[0] >= 0xec && allFF(y[1:31]) {
		return true // y = p-1 (order 2), or y >= p (not canonical)
	}
	for _, low := range smallOrder() {
		if bytes.Equal(y, low) {
			return true
		}
	}
	return false
}

func allFF(b []byte) bool {
	for _, c := range b {
		if c != 0xff {
			return false
		}
	}
	return true
}

// smallOrder lists the y of the points of order 1, 4 and 8.
func smallOrder() [][]byte {
	one := make([]byte, 32)
	one[0] = 1
	return [][]byte{one, make([]byte, 32),
		{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
			0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
		{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
			0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a}}
}
