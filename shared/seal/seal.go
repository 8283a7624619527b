package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/provisioning-platform/platform/shared/id"
)

// Sealer seals secrets at rest: each value has a data key of its own (AES-256-GCM), which is
// wrapped by the key-encryption key. Both layers bind kind, id, field and the key's id, so a
// ciphertext that is moved to another document or member does not open.
type Sealer struct {
	kek cipher.AEAD
	id  string
}

// New returns a Sealer for a 32-byte key-encryption key.
func New(kek []byte) (*Sealer, error) {
	aead, err := gcm(kek)
	if err != nil {
		return nil, err
	}
	return &Sealer{kek: aead, id: id.Digest(append([]byte("kek id\x00"), kek...))[:8]}, nil
}

// errSealed says no more than this on purpose: which layer failed is of use to an attacker only.
var errSealed = errors.New("sealed value does not open: damaged, moved, or sealed with another key")

// Seal returns plain sealed for the member field of document id of the given kind, as printable
// text.
func (s *Sealer) Seal(kind, id, field string, plain []byte) string {
	dek := make([]byte, 32)
	_, _ = rand.Read(dek)
	data, err := gcm(dek)
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	aad := s.aad(kind, id, field)
	return strings.Join([]string{"v1", s.id, encode(sealWith(s.kek, dek, aad)), encode(sealWith(data, plain, aad))}, ".")
}

// Open returns what Seal was given for the same kind, id and field.
func (s *Sealer) Open(kind, id, field, sealed string) ([]byte, error) {
	parts := strings.Split(sealed, ".")
	if len(parts) != 4 || parts[0] != "v1" || parts[1] != s.id {
		return nil, errSealed
	}
	aad := s.aad(kind, id, field)
	dek, err := openWith(s.kek, parts[2], aad)
	if err != nil {
		return nil, errSealed
	}
	data, err := gcm(dek)
	if err != nil {
		return nil, errSealed
	}
	plain, err := openWith(data, parts[3], aad)
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}

func (s *Sealer) aad(kind, id, field string) []byte {
	return []byte(strings.Join([]string{kind, id, field, s.id}, "\x00"))
}

func gcm(key []byte) (cipher.AEAD, error) {
	if len(key) != 32 {
		return nil, errors.New("a sealing key has 32 bytes")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func sealWith(a cipher.AEAD, plain, aad []byte) []byte { return a.Seal(nil, nil, plain, aad) }

func openWith(a cipher.AEAD, text string, aad []byte) ([]byte, error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	return a.Open(nil, nil, b, aad)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
