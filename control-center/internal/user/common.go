package user

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// common.txt holds the 10,000 passwords that stand most often in what was stolen from other
// services, one a line, in lower case and in the order of their bytes (A47 wants 3,000 at least).
// 3,395 of them are of a length that is allowed.
//
//go:embed common.txt
var common string

// commonWords are the lines of common.txt and their spellings without signs for letters, in order.
var commonWords = sync.OnceValue(func() []string {
	words := strings.Fields(common)
	for _, w := range words {
		words = append(words, spell(w))
	}
	slices.Sort(words)
	return slices.Compact(words)
})

// isCommon says whether a folded password is a common one: as typed or with signs read as letters,
// with or without decoration at the ends, once or several times.
func isCommon(typed string) bool {
	for _, s := range []string{typed, spell(typed)} {
		runes := []rune(s)
		lead, trail := slices.IndexFunc(runes, unicode.IsLetter), slices.IndexFunc(reversed(runes), unicode.IsLetter)
		least := 1
		if lead < 0 { // digits decorate digits, but a few of them are in every number
			lead, trail, least = len(runes), len(runes), minPasswordMFA
		}
		for i := 0; i <= min(lead, decoration); i++ {
			for j := 0; j <= min(trail, decoration-i) && i+j <= len(runes)-least; j++ {
				if listed(string(runes[i : len(runes)-j])) {
					return true
				}
			}
		}
	}
	return false
}

// listed says whether s, or what s is repetitions of, is a line of common.txt.
func listed(s string) bool {
	_, whole := slices.BinarySearch(commonWords(), s)
	_, part := slices.BinarySearch(commonWords(), unit(s))
	return whole || part
}

func reversed(runes []rune) []rune {
	runes = slices.Clone(runes)
	slices.Reverse(runes)
	return runes
}

// unit returns the shortest text that s is repetitions of.
func unit(s string) string {
	if s == "" {
		return s
	}
	// A text that repeats after n bytes is found again in its double n bytes later.
	return s[:strings.Index((s + s)[1:], s)+1]
}
