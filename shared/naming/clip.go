package naming

import (
	"strings"
	"unicode/utf8"
)

// Clip returns s as UTF-8 of at most n bytes: U+FFFD stands for what is no UTF-8, and a longer text
// is cut between two characters and ends in "…".
func Clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= n {
		return s
	}
	n = max(n-len("…"), 0)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
