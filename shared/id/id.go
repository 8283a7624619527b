// Package id makes the ids of both programs: UUIDs of version 7 (RFC 9562), which sort by the
// millisecond of their making, so that "newest first" is the key order of the store.
package id

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"

	"github.com/google/uuid"
)

// New returns a fresh time-ordered id in the canonical 36-character text form. Ids of one process
// ascend strictly.
func New() string { return uuid.Must(uuid.NewV7()).String() }

// At returns a fresh id of version 7 that says the time t, whatever the clock shows, to a quarter
// of a microsecond. Ids that one process makes for the same t ascend, but for a turn every four
// minutes: the random part begins with the low bits of the time of making.
func At(t time.Time) string {
	u := uuid.Must(uuid.NewV7())
	made := binary.BigEndian.Uint64(u[:8])
	binary.BigEndian.PutUint32(u[8:], 2<<30|uint32(made>>16<<12|made&0xfff)&(1<<30-1))
	ms := uint64(max(t.UnixMilli(), 0))
	binary.BigEndian.PutUint64(u[:8], ms<<16|7<<12|uint64(t.Nanosecond()%1e6)>>8)
	return u.String()
}

// Since returns the lowest id that At gives to times from the millisecond of t on.
func Since(t time.Time) string {
	var u uuid.UUID
	binary.BigEndian.PutUint64(u[:8], uint64(max(t.UnixMilli(), 0))<<16)
	return u.String()
}

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

// Digest returns the SHA-256 of text in 64 hexadecimal digits; a prefix of it names a text among
// few.
func Digest[T string | []byte](text T) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// MaxWithin is how many ids there are within another.
const MaxWithin = 1 << 24

// familyText is how much of the text of an id its family shares: all but the last 24 bits.
const familyText = 36 - 6

// Within returns the n-th id, from 0, of the family of owner, a valid id: it differs from it in the
// last 24 bits only. What belongs together stands together in the order of ids, and is found
// without an index: see Family. n is below MaxWithin.
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

// Canonical returns an id in its canonical lower-case form when s is one in any case (RFC 9562
// section 4), and any other text as it is.
func Canonical(s string) string {
	if low := strings.ToLower(s); low != s && Valid(low) {
		return low
	}
	return s
}

// Valid says whether s is an id in the canonical lower-case text form.
func Valid(s string) bool {
	u, err := uuid.Parse(s)
	return err == nil && len(s) == 36 && u.String() == s
}
