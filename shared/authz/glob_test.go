package authz

import "testing"

// TestGlob_aQuestionMarkIsOneCharacter and not one byte: a Deny of "web-?" holds for web-é too.
func TestGlob_aQuestionMarkIsOneCharacter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, pattern string
		want          bool
	}{
		{"web-1", "web-?", true}, {"web-", "web-?", false}, {"web-12", "web-?", false},
		{"web-é", "web-?", true}, {"web-é", "web-??", false}, {"web-€", "*-??", false}, {"web-€", "*??-?", true},
		{"€", "*??", false}, {"€", "*?", true}, {"é€", "??", true}, {"aé", "*é", true}, {"é", "*\xa9", false},
		{"\xff\xfe", "??", true}, {"", "*", true}, {"", "?", false}, {"a*b", "a?b", true}, {"aXbXc", "a*b*c", true}, {"ab", "a*b*c", false},
	} {
		if got := glob(c.name, c.pattern); got != c.want {
			t.Errorf("glob(%q, %q) = %v", c.name, c.pattern, got)
		}
	}
}
