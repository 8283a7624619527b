package id_test

import (
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/id"
)

func TestWithin_isValidAscendsAndStaysInTheFamily(t *testing.T) {
	t.Parallel()
	for _, owner := range []string{id.New(), id.Derived("a"), id.Random()} {
		last := ""
		for _, n := range []int{0, 1, 9, 10, 15, 16, 255, 4096, 1 << 20, id.MaxWithin - 1} {
			got := id.Within(owner, n)
			if !id.Valid(got) || got <= last || !strings.HasPrefix(got, id.Family(owner)) || !strings.HasPrefix(owner, id.Family(owner)) {
				t.Errorf("%d within %s is %s, after %s", n, owner, got, last)
			}
			last = got
		}
		if want := id.Family(owner) + "00000a"; id.Within(owner, 10) != want {
			t.Errorf("10 within %s is %s, want %s", owner, id.Within(owner, 10), want)
		}
	}
}

func TestAt_saysTheTimeAndAscendsWithin(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 3, 4, 10, 0, 0, 123_456_789, time.UTC)
	last := ""
	for _, at := range []time.Time{time.Unix(-5, 0), time.Unix(0, 0), day, day, day, day.Add(300 * time.Nanosecond),
		day.Add(time.Millisecond), day.Add(time.Hour), time.Now().Add(time.Hour)} {
		got := id.At(at)
		if !id.Valid(got) || got[14] != '7' || got <= last || got < id.Since(at) || got >= id.Since(at.Add(time.Millisecond)) &&
			at.Unix() >= 0 {
			t.Errorf("%v: %s, after %s, not since %s", at, got, last, id.Since(at))
		}
		last = got
	}
	seen := map[string]bool{}
	for range 100_000 {
		got := id.At(day)
		if seen[got] {
			t.Fatalf("%s twice", got)
		}
		seen[got] = true
	}
}

func TestCanonical_takesIDsInAnyCaseAndLeavesOtherTextsAlone(t *testing.T) {
	t.Parallel()
	own := id.New()
	for in, want := range map[string]string{strings.ToUpper(own): own, own: own, "": "", "Web-01": "Web-01", strings.ToUpper(own) +
		"X": strings.ToUpper(own) + "X", "{" + own + "}": "{" + own + "}",
		strings.ToUpper(strings.ReplaceAll(own, "-", "")): strings.ToUpper(strings.ReplaceAll(own, "-", ""))} {
		if got := id.Canonical(in); got != want {
			t.Errorf("%q became %q", in, got)
		}
	}
}
