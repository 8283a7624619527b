package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a delivery. The first three are those of Standard Webhooks 1.0; the others are
// those of the contract (platform.md I20).
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp" // Unix seconds of the attempt
	HeaderSignature = "webhook-signature" // a signature for each valid secret, with blanks between them
	HeaderBody      = "X-Provisioning-Signature"
	HeaderEvent     = "X-Provisioning-Event"
	HeaderDelivery  = "X-Provisioning-Delivery"
)

// secretPrefix marks a secret whose key is the base64 text behind it (Standard Webhooks 1.0).
const secretPrefix = "whsec_"

// tolerance is how far the time of a delivery may be from the receiver's clock.
const tolerance = 5 * time.Minute

// The faults of a verification. They say which rule was broken, which is no secret to the receiver.
var (
	ErrHeaders   = errors.New("webhook: the headers webhook-id, webhook-timestamp and webhook-signature are not all there and well-formed")
	ErrStale     = errors.New("webhook: the delivery is older or newer than five minutes; a repetition by somebody else, or a wrong clock")
	ErrSignature = errors.New("webhook: no signature was made with one of the secrets over these bytes")
)

// key returns the HMAC key of a secret for Standard Webhooks: the decoded text behind "whsec_", or
// the bytes of any other secret.
func key(secret string) []byte {
	if text, ok := strings.CutPrefix(secret, secretPrefix); ok {
		if b, err := base64.StdEncoding.DecodeString(text); err == nil {
			return b
		}
	}
	return []byte(secret)
}

func sum(key []byte, parts ...string) []byte {
	mac := hmac.New(sha256.New, key)
	for _, p := range parts {
		mac.Write([]byte(p))
	}
	return mac.Sum(nil)
}

// Sign returns the signature of Standard Webhooks 1.0 (v1) for one secret: "v1," and the base64 of
// HMAC-SHA256 over id, timestamp and body with dots between them.
func Sign(secret, id string, at time.Time, body []byte) string {
	return "v1," + base64.StdEncoding.EncodeToString(sum(key(secret), id, ".", strconv.FormatInt(at.Unix(), 10), ".", string(body)))
}

// Digest returns "sha256=" and the lower-case hex of HMAC-SHA256 over body. The key is the text of
// the secret, also of one that begins with "whsec_" (contract I20).
func Digest(secret string, body []byte) string {
	return "sha256=" + hex.EncodeToString(sum([]byte(secret), string(body)))
}

// signatureMember is what stands in front of the digest in a signed body.
const signatureMember = `,"signature":"`

// memberLength is the length of the member with its comma and the brace behind it.
const memberLength = len(signatureMember) + len("sha256=") + 2*sha256.Size + len(`"}`)

// SignBody returns payload, a JSON object that is not empty, with the member "signature" as its
// last: the digest of the payload itself (contract I20).
func SignBody(secret string, payload []byte) []byte {
	out := make([]byte, 0, len(payload)+memberLength)
	out = append(out, payload[:len(payload)-1]...)
	out = append(out, signatureMember...)
	out = append(out, Digest(secret, payload)...)
	return append(out, `"}`...)
}

// VerifyBody checks the member "signature" of a body: it cuts the member's fixed length off, puts
// the brace back and compares the digest with those of the secrets. The fault is ErrSignature.
func VerifyBody(secrets []string, body []byte) error {
	cut := len(body) - memberLength
	if cut < 1 || !bytes.HasPrefix(body[cut:], []byte(signatureMember)) || !bytes.HasSuffix(body, []byte(`"}`)) {
		return ErrSignature
	}
	payload := append(bytes.Clone(body[:cut]), '}')
	got := body[cut+len(signatureMember) : len(body)-len(`"}`)]
	for _, s := range secrets {
		if hmac.Equal(got, []byte(Digest(s, payload))) {
			return nil
		}
	}
	return ErrSignature
}

// Verify checks the headers of Standard Webhooks over the raw bytes of a body: one of the
// signatures is of one of the secrets, and the delivery is not older or newer than five minutes.
// The faults are ErrHeaders, ErrStale and ErrSignature.
func Verify(secrets []string, h http.Header, body []byte, now time.Time) error {
	id, stamp, signatures := h.Get(HeaderID), h.Get(HeaderTimestamp), h.Get(HeaderSignature)
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || id == "" || signatures == "" {
		return ErrHeaders
	}
	at := time.Unix(seconds, 0)
	if now.Sub(at).Abs() > tolerance {
		return ErrStale
	}
	for got := range strings.FieldsSeq(signatures) {
		for _, s := range secrets {
			if hmac.Equal([]byte(got), []byte(Sign(s, id, at, body))) {
				return nil
			}
		}
	}
	return ErrSignature
}
