package token

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// KeyID returns the kid of a public key: the first 16 bytes of its RFC 7638 thumbprint, in
// base64url.
func KeyID(pub ed25519.PublicKey) string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + encode64(pub) + `"}`))
	return encode64(sum[:16])
}

// header is the header of a token that we sign.
type header struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	Kind      Kind   `json:"typ"`
}

// Sign returns a token of the given kind over c. The signer stays with the caller and must hold an
// Ed25519 key; the kid is derived from its public half. c.KeyID and c.Kind are not looked at.
func Sign(c Claims, key crypto.Signer, kind Kind) (string, error) {
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return "", errors.New("sign token: the key is not an Ed25519 key")
	}
	payload, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	head, err := json.Marshal(header{Algorithm: "EdDSA", KeyID: KeyID(pub), Kind: kind})
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	text := encode64(head) + "." + encode64(payload)
	sig, err := key.Sign(rand.Reader, []byte(text), crypto.Hash(0))
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	if text += "." + encode64(sig); len(text) > maxToken {
		return "", fmt.Errorf("sign token: %d bytes are more than the %d a verifier reads", len(text), maxToken)
	}
	return text, nil
}

func encode64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
