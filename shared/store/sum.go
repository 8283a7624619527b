package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
)

// CounterKey names one counter: the documents of a kind (Index empty) or those with one value of a
// counted index.
type CounterKey struct {
	Kind, Index, Value string
}

// Count is the value of a counter. Sum is set when the counter is that of a whole kind which is
// summed: the digests of the bodies of its documents, added up. Two sets of bodies with one sum are
// equal, as long as nobody searches for others: it finds damage and is no seal against an attacker.
type Count struct {
	N   int
	Sum Sum
}

// Sum is a number of 256 bits, big-endian: the digest of a body, or digests added modulo 2^256.
type Sum [sha256.Size]byte

// Digest returns the SHA-256 of a body.
func Digest(body []byte) Sum { return sha256.Sum256(body) }

// Plus returns s + o modulo 2^256.
func (s Sum) Plus(o Sum) Sum { return s.with(o, bits.Add64) }

// Minus returns s - o modulo 2^256.
func (s Sum) Minus(o Sum) Sum { return s.with(o, bits.Sub64) }

// with combines s and o word by word, least first.
func (s Sum) with(o Sum, combine func(x, y, carry uint64) (word, carryOut uint64)) Sum {
	var carry, word uint64
	for at := len(s) - 8; at >= 0; at -= 8 {
		word, carry = combine(binary.BigEndian.Uint64(s[at:]), binary.BigEndian.Uint64(o[at:]), carry)
		binary.BigEndian.PutUint64(s[at:], word)
	}
	return s
}

// String returns the 64 hexadecimal digits of s.
func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// ParseSum reads what String returned; the empty text is 0.
func ParseSum(text string) (s Sum, err error) {
	if text == "" {
		return s, nil
	}
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(s) {
		return s, fmt.Errorf("%q is no sum of %d hexadecimal digits", text, 2*len(s))
	}
	return Sum(b), nil
}

// Digest notes in writes the digests of the bodies whose kinds are summed. A driver calls it with
// its own copy of the writes before it calls Judge.
func (s Schema) Digest(writes []Write) {
	for i := range writes {
		w := &writes[i]
		if kind, _ := s.Kind(w.Key.Kind); kind.Summed && w.Action == Put {
			w.digest = Digest(w.Body)
		}
	}
}
