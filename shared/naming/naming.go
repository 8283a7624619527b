// Package naming is the one rule for what things may be called (decisions 38 and 68): servers,
// infras, providers, task services, operations, roles, policies and the like have names, which
// Valid judges; batches, checkpoints, descriptions and whatever else only people read have free
// texts, which Free judges. The API, settings files and recipes ask here.
//
// It does not know user names, whose rule is their package's, and does not escape: what was stored
// before a rule, and what comes from outside, is escaped where it is shown.
//
// The one rule: judge where a name comes in, and never where it is read again, so that what was
// stored keeps working.
package naming

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Max is the length of the longest name in bytes.
const Max = 128

// Pattern is the rule of Valid as a regular expression for OpenAPI documents.
const Pattern = `^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`

// Rule is the rule of Valid in words that complete "the name …".
const Rule = "must begin with a letter or a digit and hold only A-Z a-z 0-9 . _ -, at most 128 of them"

// Valid says whether s can name a thing: it fits Pattern. Such a name is one entry of a folder,
// cannot be read as an option of a program, and looks like no other one.
func Valid(s string) bool {
	if s == "" || len(s) > Max || !alphanumeric(s[0]) {
		return false
	}
	for i := 1; i < len(s); i++ {
		if c := s[i]; !alphanumeric(c) && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// The joiners that scripts and emoji need, the only format characters that a free text may hold.
const (
	zeroWidthNonJoiner = '\u200c'
	zeroWidthJoiner    = '\u200d'
)

// Free returns what keeps s from being a free text, in words that complete "the text …", and ""
// when nothing does: it is UTF-8 in Unicode normal form NFC, without control, format, line
// separator and paragraph separator characters.
func Free(s string) string {
	if !utf8.ValidString(s) {
		return "must be UTF-8"
	}
	for _, r := range s {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) && r != zeroWidthJoiner && r != zeroWidthNonJoiner {
			return "must be one line of visible text, without control, format and line separator characters"
		}
	}
	if !norm.NFC.IsNormalString(s) {
		return "must be in Unicode normal form NFC"
	}
	return ""
}

// NFC returns s in Unicode's canonical normal form, in which passwords are compared.
func NFC(s string) string { return norm.NFC.String(s) }

// NFKC returns s in Unicode's compatibility normal form, under which user names are compared.
func NFKC(s string) string { return norm.NFKC.String(s) }
