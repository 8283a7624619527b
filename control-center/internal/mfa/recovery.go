package mfa

import (
	"strings"
	"unicode"

	"github.com/provisioning-platform/platform/shared/id"
)

// plainCode returns a recovery code in lower case, without blanks and hyphens.
func plainCode(code string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || unicode.IsSpace(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, code)
}

// hashCode returns the hash under which a recovery code is stored. One SHA-256 is enough for 80
// random bits, and with the user's id equal codes have different hashes.
func hashCode(userID, code string) string {
	return id.Digest(userID + "\x00" + code)
}
