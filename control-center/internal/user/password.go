package user

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/provisioning-platform/platform/shared/naming"
)

// The figures of decision 24 and A47.
const (
	minPassword      = 15 // characters, when a password alone opens the account
	minPasswordMFA   = 8  // characters, when a one-time code is demanded as well
	mostPassword     = 256
	ownCharacters    = 6 // characters that remain when everything guessable is taken out
	ownCharactersMFA = 4
	differentRunes   = 5
	decoration       = 12 // digits and signs around a word, up to which they count for nothing: a date, or 123!
)

// checkPassword returns what is wrong with a new password, or "". It refuses what a guesser tries
// first: the commonest passwords, the words below in any combination, spelling (p4ssw0rd) and
// decoration, runs of the keyboard or the alphabet, repeated characters, and the account's own name
// and address in any spelling. Lengths are those of the normal form, which is what Hasher hashes.
func checkPassword(password, username, email string, mfa bool) string {
	password = naming.NFC(password)
	least, own := minPassword, ownCharacters
	if mfa {
		least, own = minPasswordMFA, ownCharactersMFA
	}
	n := utf8.RuneCountInString(password)
	switch {
	case n < least && mfa:
		return "a password has at least 8 characters"
	case n < least:
		return "a password has at least 15 characters; a few words in a row are easy to keep in mind"
	case n > mostPassword || len(password) > maxPassword:
		return "a password has at most 256 characters"
	}
	distinct := map[rune]bool{}
	for _, r := range password {
		if unicode.IsControl(r) {
			return "a password has no control characters"
		}
		distinct[r] = true
	}
	if len(distinct) < differentRunes {
		return "a password needs at least five different characters"
	}
	if typed := Fold(password); isCommon(typed) || unguessable(typed, ownWords(username, email)) < own {
		return "this password is among the first that are tried: it consists of common words, runs, the user name or the e-mail " +
			"address; add words of your own"
	}
	return ""
}

// unguessable returns how many characters of a folded password remain when all guessable parts are
// cut out, in the reading that leaves the fewest: as typed, with signs read as letters, and without
// decoration at the ends. own are the words of the account.
func unguessable(typed string, own []string) int {
	bare := strings.TrimFunc(typed, func(r rune) bool { return !unicode.IsLetter(r) })
	rest := min(remainder(typed, own), remainder(spell(typed), own))
	if utf8.RuneCountInString(typed)-utf8.RuneCountInString(bare) <= decoration {
		rest = min(rest, remainder(spell(bare), own))
	}
	return rest
}

// ownWords returns what a guesser takes from an account: its name and its address, whole and in
// parts, as letters and digits only, as typed and with signs read as letters, the longest first.
func ownWords(username, email string) []string {
	email = Fold(email)
	local, domain, _ := strings.Cut(email, "@")
	whole := []string{Fold(username), email, local, domain}
	for _, text := range whole {
		whole = append(whole, strings.FieldsFunc(text, separates)...)
	}
	var words []string
	for _, w := range whole {
		if w = bareWord(w); len(w) >= 3 {
			words = append(words, w, spell(w))
		}
	}
	slices.SortFunc(words, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) })
	return slices.Compact(words)
}

// separates says whether r stands between words, not in them.
func separates(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) }

// bareWord returns the letters and digits of s.
func bareWord(s string) string { return strings.Join(strings.FieldsFunc(s, separates), "") }

// cut replaces word in text by NUL, also where other characters than letters and digits stand
// between its letters.
func cut(text []rune, word string) {
	letters := []rune(word)
	for from := range text {
		at, to := 0, from
		for ; to < len(text) && at < len(letters); to++ {
			if text[to] == letters[at] {
				at++
			} else if at == 0 || text[to] == 0 || !separates(text[to]) {
				break
			}
		}
		if at == len(letters) {
			clear(text[from:to])
		}
	}
}

// remainder returns how many characters of plain remain when own, the words of guessed and
// predictable ones are cut out.
func remainder(plain string, own []string) int {
	text := []rune(plain)
	for _, w := range own {
		cut(text, w)
	}
	plain = string(text)
	for _, w := range strings.Fields(guessed) {
		plain = strings.ReplaceAll(plain, w, "\x00")
	}
	rest := []rune(strings.ReplaceAll(plain, "\x00", ""))
	count := 0
	for i, r := range rest {
		if i > 0 && predictable(rest[i-1], r) {
			continue
		}
		count++
	}
	return count
}

// predictable says whether b follows a by itself: the same character, the next or previous one of
// the alphabet, or its neighbour on a keyboard row.
func predictable(a, b rune) bool {
	if d := b - a; d >= -1 && d <= 1 {
		return true
	}
	for _, row := range [...]string{"qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop"} {
		i, j := strings.IndexRune(row, a), strings.IndexRune(row, b)
		if i >= 0 && j >= 0 && (i-j == 1 || j-i == 1) {
			return true
		}
	}
	return false
}

// spell undoes the usual replacements of letters by digits and signs.
func spell(s string) string {
	return strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "@", "a", "$", "s", "!", "i", "|",
		"l").Replace(s)
}

// guessed are the words guessers combine, ours and those of everybody, spelled as spell leaves
// them. Beside common.txt they make combinations guessable.
const guessed = `password passwort passwd passphrase kennwort motdepasse contrasena senha letmein welcome willkommen
 changeme change temporary default administrator admin root superuser sysadmin operator developer viewer auditor guest
 user test testing example sample demo hello iloveyou loveyou love princess sunshine monkey dragon master shadow
 superman batman football baseball basketball soccer hockey computer internet server cloud login logon access access
 provisioning platform orchestrator controlcenter control center deployment kubernetes docker container cluster
 upcloud amazon google azure microsoft summer winter spring autumn january february march april june july august
 september october november december monday tuesday wednesday thursday friday saturday sunday trustno michael jennifer
 jordan charlie thomas daniel jessica ashley secret qwerty qwertz azerty asdf zxcv abcdef starwars pokemon whatever
 freedom money company office business london berlin paris newyork madrid amsterdam vienna flower chocolate
 cookie banana orange purple yellow silver golden diamond ferrari mercedes porsche mustang harley corvette
 correcthorsebatterystaple correct-horse-battery-staple opensesame sesame nothing anything something blink
 hunter ranger killer tigger ginger pepper summer buster maggie bailey cheese coffee matrix phoenix eagle falcon
 thunder lightning warrior wizard knight samurai ninja pirate angel heaven jesus christ blessed family mother
 father brother sister baby honey sweet lovely forever always never together please thankyou goodbye`
