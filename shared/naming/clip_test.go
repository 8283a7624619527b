package naming

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClip_isUTF8OfAtMostThatManyBytes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"", 4, ""}, {"abcd", 4, "abcd"}, {"abcde", 4, "a…"}, {"äbcde", 5, "ä…"}, {"äöü", 5, "ä…"}, {"äöü", 6, "äöü"}, {"abc", 0, "…"},
		{"a\xffb", 9, "a\uFFFDb"},
		{strings.Repeat("\xff\xfe", 9), 9, "\uFFFD"},
	} {
		got := Clip(c.in, c.n)
		if got != c.want || !utf8.ValidString(got) || len(got) > max(c.n, len("…")) {
			t.Errorf("%q in %d bytes is %q, want %q", c.in, c.n, got, c.want)
		}
	}
}
