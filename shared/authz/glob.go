package authz

import (
	"strings"
	"unicode/utf8"
)

// glob says whether name matches pattern, in which * stands for any text, the empty one included,
// and ? for one character; everything else is itself. There are no regular expressions, so no
// pattern is slow: the cost is at most the product of two lengths of 256.
func glob(name, pattern string) bool {
	n, p := 0, 0
	star, back := -1, 0 // last * seen, and where in name to try again
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, back = p, n
			p++
		case p < len(pattern) && pattern[p] == '?':
			n += width(name[n:])
			p++
		case p < len(pattern) && pattern[p] == name[n]:
			n++
			p++
		case star >= 0:
			back += width(name[back:])
			n, p = back, star+1
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// width returns the length of the first character of s; a byte that is no text counts as one.
func width(s string) int {
	_, size := utf8.DecodeRuneInString(s)
	return size
}

// literal returns the part of pattern before its first wildcard, and whether that is all of it.
func literal(pattern string) (string, bool) {
	if i := strings.IndexAny(pattern, "*?"); i >= 0 {
		return pattern[:i], false
	}
	return pattern, true
}
