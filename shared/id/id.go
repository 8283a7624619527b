// Package id makes the ids of both programs: UUIDs of version 7 (RFC 9562), which sort by the
// millisecond of their making, so that "newest first" is the key order of the store.
package id

import (
	"crypto/sha256"

	"github.com/google/uuid"
)

// New returns a fresh time-ordered id in the canonical 36-character text form. Ids of one process
// ascend strictly.
func New() string { return uuid.Must(uuid.NewV7()).String() }

// Random returns a fresh id of version 4, for things whose time of making is nobody's business.
func Random() string { return uuid.NewString() }

// Derived returns the same id for the same parts, always: the name under which something that
// must happen once is known before it happens (RFC 9562 version 8 over SHA-256).
func Derived(parts ...string) string {
	var room [128]byte
	text := room[:0]
	for _, p := range parts {
		text = append(append(text, p...), 0)
	}
	sum := sha256.Sum256(text)
	u := uuid.UUID(sum[:16])
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return u.String()
}

// MaxWithin is how many ids there are within another.
const MaxWithin = 1 << 24

// familyText is how much of the text of an id its family shares: all but the last 24 bits.
const familyText = 36 - 6

// Within returns the n-th id, from 0, of the family of owner, a valid id: it differs from it in the last 24 bits only. What
// belongs together stands together in the order of ids, and is found without an index: see Family. n is below MaxWithin.
func Within(owner string, n int) string {
	const hex = "0123456789abcdef"
	text := []byte(owner)
	for i := len(text) - 1; i >= familyText; i-- {
		text[i] = hex[n&15]
		n >>= 4
	}
	return string(text)
}

// Family returns what all ids within owner, a valid id, begin with.
func Family(owner string) string { return owner[:familyText] }

// Valid says whether s is an id in the canonical lower-case text form.
func Valid(s string) bool {
	u, err := uuid.Parse(s)
	return err == nil && len(s) == 36 && u.String() == s
}
