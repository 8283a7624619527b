package naming

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// odd are the names that were accepted for servers before there was a rule: each was an option, a
// path, a pattern or a trick on a terminal somewhere.
var odd = []string{
	"-oProxyCommand=touch pwned;", "-", "--", ".", "..", ".ssh", "_x", " ", " web", "web ", "we b", "a/b", `a\b`, "*", "web-?", "[a]", "~", "~root", "$(id)", "`id`", "a;b", "a|b", "a&b", "a'b", `a"b`,
	"a\nb", "a\rb", "a\tb", "a\x00b", "\x1b[2J", "\x7f", "a=b", "a:b", "a@b", "a,b", "a%b", "a#b", "a{b}", "a<b>", "web\u202e10",
	"web\u200b01", "\ufeffweb", "wéb", "wе-b", "𝕏", "\xff", "",
	strings.Repeat("x", Max+1),
}

func TestValid_takesNoNameThatMeansMoreThanItself(t *testing.T) {
	t.Parallel()
	for _, s := range odd {
		if Valid(s) {
			t.Errorf("Valid(%q)", s)
		}
	}
	for _, s := range []string{"a", "0", "web-01", "Web_01.example.com", "1.0.0", "a..b", "a-", "a.", "admin_access_policy",
		strings.Repeat("x", Max)} {
		if !Valid(s) {
			t.Errorf("Valid(%q) is false", s)
		}
	}
}

// TestValid_isItsPattern compares with the regular expression that the OpenAPI documents show.
func TestValid_isItsPattern(t *testing.T) {
	t.Parallel()
	pattern := regexp.MustCompile(Pattern)
	all := append(slices.Clone(odd), "a\n", "a-b", strings.Repeat("x", Max), strings.Repeat("x", Max)+"\n")
	for a := range 256 {
		for b := range 256 {
			all = append(all, string([]byte{byte(a), byte(b)}), string([]byte{'a', byte(a), byte(b)}))
		}
	}
	for _, s := range all {
		if Valid(s) != pattern.MatchString(s) {
			t.Errorf("Valid(%q) is %v", s, Valid(s))
		}
	}
}

func TestFree(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", " ", "Umzug nach Köln – Teil 2 (*)", "Zoë", "अनुक्रम", "क्\u200dष", "می\u200cخواهم", "👩\u200d🚀",
		"-oProxyCommand=x", "../../x", "{{7*7}}", "\U0010fffd"} {
		if why := Free(s); why != "" {
			t.Errorf("Free(%q): %s", s, why)
		}
	}
	for _, s := range []string{"a\nb", "a\rb", "a\tb", "\x00", "\x1b[31mred", "\x7f", "\u0085", "\u200b", "\u200e", "\u202e", "\u2066",
		"\u2028", "\u2029", "\u00ad", "\ufeff", "\U000e0041", "Zoe\u0308", "Å\u212b", "\xff"} {
		if Free(s) == "" {
			t.Errorf("Free(%q) takes it", s)
		}
	}
}
