package user

import (
	"maps"
	"net/mail"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/cases"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/naming"
)

// maxName is how many bytes a user name or an e-mail address has at most (decision 20).
const maxName = 256

// Fold returns the form in which two spellings of one account's name are equal: in Unicode normal
// form NFKC, with cases folded, without invisible characters and outer blanks.
func Fold(name string) string {
	name = strings.Map(func(r rune) rune {
		if invisible(r) {
			return -1
		}
		return r
	}, name)
	name = strings.ToLower(cases.Fold().String(naming.NFKC(name))) // Fold alone turns lower case Cherokee into upper case.
	return strings.TrimSpace(naming.NFKC(name))
}

// domains reads domain names as mail servers do (UTS 46 without transitional mappings).
var domains = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.VerifyDNSLength(true))

// mailbox returns the form in which two spellings of one e-mail address are equal: folded, and with
// a domain in punycode as the Unicode text that it stands for.
func mailbox(email string) string {
	email = Fold(email)
	at := strings.LastIndexByte(email, '@')
	if domain, err := domains.ToUnicode(email[at+1:]); err == nil {
		email = Fold(email[:at+1] + domain)
	}
	return email
}

// invisible says whether nobody sees r: format and control characters, variation selectors,
// fillers.
func invisible(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// checkName returns what is wrong with a new user name, or "".
func checkName(name string) string {
	switch {
	case name == "":
		return "a user name is needed"
	case len(name) > maxName || len(Fold(name)) > maxName:
		return "a user name has at most 256 bytes"
	case naming.NFKC(name) != name:
		return "a user name must be in Unicode normal form NFKC, without look-alike characters"
	case strings.Contains(name, ":"):
		return "a user name has no colon: names with a prefix belong to services and roles"
	}
	for _, r := range name {
		if invisible(r) || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.In(r, unicode.Mn, unicode.Mc) &&
			!strings.ContainsRune("._-@+", r) {
			return "a user name consists of letters, digits and . _ - @ +"
		}
	}
	if first, _ := utf8.DecodeRuneInString(name); first == '-' || first == '.' || unicode.IsMark(first) {
		return "a user name does not begin with - or . or a mark without its letter"
	}
	if mixed := scripts(name); !together(mixed) {
		return "a user name is written in one script, this one in " + strings.Join(mixed, " and ") +
			": letters of another script look like its own"
	}
	return ""
}

// scripts returns the sorted names of the scripts that text is written in. A character that several
// scripts share, such as an ASCII digit, belongs to none.
func scripts(text string) []string {
	found := map[string]bool{}
	for _, r := range text {
		if unicode.In(r, unicode.Common, unicode.Inherited) {
			continue
		}
		for name, table := range unicode.Scripts {
			if unicode.Is(table, r) {
				found[name] = true
				break
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// together says whether one user name may have letters of all these scripts (decision 68): of one
// script, or of those of Japanese or Korean with Latin.
func together(scripts []string) bool {
	for _, group := range [][]string{{"Han", "Hiragana", "Katakana", "Latin"}, {"Han", "Hangul", "Latin"}} {
		if !slices.ContainsFunc(scripts, func(s string) bool { return !slices.Contains(group, s) }) {
			return true
		}
	}
	return len(scripts) <= 1
}

// checkEmail returns what is wrong with an e-mail address, or "".
func checkEmail(email string) string {
	const hint = "an e-mail address looks like name@example.com"
	a, err := mail.ParseAddress(email)
	if err != nil || a.Address != email || strings.ContainsFunc(email, invisible) || max(len(email), len(mailbox(email))) > maxName {
		return hint
	}
	local, domain, _ := strings.Cut(email, "@")
	if local == "" || strings.ContainsAny(domain, "@ ") {
		return hint
	}
	ascii, err := domains.ToASCII(domain)
	top := ascii[strings.LastIndexByte(ascii, '.')+1:]
	if err != nil || strings.Trim(top, "0123456789") == "" {
		return "no mail server can have the name " + domain + "; " + hint
	}
	return ""
}

// checkRoles returns what is wrong with a list of roles, or "".
func checkRoles(roles []string) string {
	if len(roles) == 0 {
		return "at least one role is needed: " + strings.Join(Roles(), ", ")
	}
	seen := map[string]bool{}
	for _, r := range roles {
		if !known(r) {
			return "unknown role; the roles are " + strings.Join(Roles(), ", ")
		}
		if seen[r] {
			return "a role is named twice"
		}
		seen[r] = true
	}
	return ""
}

// known says whether role is one of Roles.
func known(role string) bool { return slices.Contains(Roles(), role) }

// wrong collects what is wrong with the members of an account.
type wrong []fault.Field

// add notes what is wrong with the member that pointer names; an empty text is nothing.
func (w *wrong) add(pointer, text string) {
	if text != "" {
		*w = append(*w, fault.Field{Pointer: pointer, Message: text})
	}
}

// fault returns one Invalid fault for all that was noted, nil for nothing.
func (w wrong) fault() error {
	if len(w) == 0 {
		return nil
	}
	text := make([]string, len(w))
	for i, f := range w {
		text[i] = strings.TrimPrefix(f.Pointer, "/") + ": " + f.Message
	}
	return fault.New(fault.Invalid, "user.invalid", "%s", strings.Join(text, "; ")).With(w...)
}
