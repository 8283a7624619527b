package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"hash/crc32"
	"math/big"
	"strings"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
)

// API is the kind of a token for machines (decision 53). It is an opaque text, and each service
// knows what it stands for by its hash.
const API Kind = "api"

// Prefixes of API tokens, by which people and secret scanners know one when they see it.
const (
	UserPrefix           = "ppt_" // of a person's account
	ServiceAccountPrefix = "pps_" // of a service account
)

// An API token is a prefix, 256 random bits in base62 and the CRC-32 of both in base62, which tells
// a typing error from a token without asking anybody.
const (
	digits62   = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	randomSize = 43
	sumSize    = 6
	apiSize    = len(UserPrefix) + randomSize + sumSize
)

// serviceAccountName begins the user name of a service account in claims, policies and audit
// entries. No person's name holds a colon.
const serviceAccountName = "service-account:"

// ServiceAccountName returns the user name under which a service account acts.
func ServiceAccountName(name string) string { return serviceAccountName + name }

// NewAPI returns a fresh API token for an owner of that user name, and its hash.
func NewAPI(username string) (text, hash string) {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	prefix := UserPrefix
	if strings.HasPrefix(username, serviceAccountName) {
		prefix = ServiceAccountPrefix
	}
	text = prefix + base62(new(big.Int).SetBytes(b), randomSize)
	text += checksum(text)
	return text, apiHash(text)
}

// IsAPI says whether text claims to be an API token.
func IsAPI(text string) bool {
	return strings.HasPrefix(text, UserPrefix) || strings.HasPrefix(text, ServiceAccountPrefix)
}

// HashAPI returns the SHA-256 of an API token in hex. A text that nobody can have been given is
// refused with the code api_token.malformed. A random token of 256 bits needs no salt and no slow
// hash.
func HashAPI(text string) (string, error) {
	if len(text) != apiSize || !IsAPI(text) || checksum(text[:apiSize-sumSize]) != text[apiSize-sumSize:] {
		return "", RefuseAPI("api_token.malformed")
	}
	return apiHash(text), nil
}

func apiHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func checksum(text string) string {
	return base62(new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE([]byte(text)))), sumSize)
}

// base62 returns n with that many digits.
func base62(n *big.Int, size int) string {
	out, base, digit := make([]byte, size), big.NewInt(int64(len(digits62))), new(big.Int)
	for i := size - 1; i >= 0; i-- {
		n.DivMod(n, base, digit)
		out[i] = digits62[digit.Int64()]
	}
	return string(out)
}

// RefuseAPI returns the one refusal of an API token. The code, which begins with api_token, says
// why, for the audit log.
func RefuseAPI(code string) error {
	return fault.New(fault.Unauthenticated, code, "the API token is not valid: it is unknown, revoked or expired, or its owner is "+
		"disabled; make another one (control-center token create)")
}

// APITokenState is what both services know of an API token, on the wire and in its stream alike. A
// later item of the same token replaces an earlier one. Fields stand in the order of their JSON
// names; times are Unix seconds. Seq is its place in the stream: empty in a stored entry.
type APITokenState struct {
	Created  int64       `json:"created"`
	Expires  int64       `json:"expires"`
	Hash     string      `json:"hash"` // SHA-256, hex
	ID       string      `json:"id"`
	Revoked  bool        `json:"revoked,omitempty"`
	Scope    authz.Scope `json:"scope"`
	Seq      uint64      `json:"seq,omitempty"`
	Sub      string      `json:"sub"` // its owner: id of an account or a service account
	Username string      `json:"username"`
}

// APITokenStates is one answer of the feed of API tokens: a page of the entries above the sequence
// that was asked for, ascending. The stream read from its beginning names every token of its epoch
// that may still be good.
type APITokenStates struct {
	Epoch string          `json:"epoch"`
	Head  uint64          `json:"head"` // the sequence to ask after next
	Items []APITokenState `json:"items"`
	Last  uint64          `json:"last"` // the newest sequence there is
}

// Claims returns the claims of somebody who presents the token at a Unix second, when its owner is
// as given: the roles are those of now, and nothing in them is a second factor. The refusal is
// RefuseAPI with api_token.revoked, api_token.expired, api_token.owner or api_token.claims.
func (t APITokenState) Claims(owner SubjectState, now int64) (Claims, error) {
	switch {
	case t.Revoked:
		return Claims{}, RefuseAPI("api_token.revoked")
	case now >= t.Expires:
		return Claims{}, RefuseAPI("api_token.expired")
	case owner.Sub != t.Sub || owner.Deleted || !owner.Enabled:
		return Claims{}, RefuseAPI("api_token.owner")
	case len(t.Scope) == 0:
		return Claims{}, RefuseAPI("api_token.claims")
	}
	return Claims{
		Subject: t.Sub, ID: t.ID, IssuedAt: t.Created, NotBefore: t.Created, Expires: t.Expires, Roles: owner.Roles,
		Username: t.Username, AuthVersion: owner.Version, Scope: t.Scope, Kind: API,
	}, nil
}

// APIUse is the last use of an API token.
type APIUse struct {
	At int64  `json:"at"` // Unix second
	ID string `json:"id"`
}
