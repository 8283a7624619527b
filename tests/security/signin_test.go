package security

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestSignIn_everyClassLooksAlike is A40 and A41: every class of sign-ins that fail has one answer
// to the byte, and none is answered without the work of a hash. The least of a class's times is
// compared, which a busy machine moves little; differences below half a hash are beyond this test.
func TestSignIn_everyClassLooksAlike(t *testing.T) {
	s := shared
	const rounds = 9 // below the tenth failure, from which an account is slowed down
	for _, name := range []string{"wrong-one", "slowed-one"} {
		if _, err := s.hire(t.Context(), name, "viewer"); err != nil {
			t.Fatal(err)
		}
	}
	off, _ := s.coded(t, "disabled-one", "totp")
	suspended, _ := s.coded(t, "suspended-one", "totp")
	for _, name := range []string{"code-one", "code-two", "code-three"} {
		s.coded(t, name, "totp")
	}
	if a := s.send(t, "control-center", "PUT", "/users/"+s.people["disabled-one"].id, s.people["admin+mfa"].token,
		map[string]any{"enabled": false}); a.Status != 200 {
		t.Fatalf("disabling an account: status %d, want 200: %s", a.Status, a.Raw)
	}
	type try struct{ name, password, code string }
	classes := map[string][]try{ // of several tries each round takes the next one
		"unknown":                 {{"unknown-one", password, ""}},
		"unknown with a code":     {{"unknown-two", password, "000000"}},
		"wrong password":          {{"wrong-one", password + "x", ""}},
		"wrong password and code": {{"code-one", password + "x", "000000"}},
		// five of one account, then it is suspended
		"right password, wrong code":             {{"code-two", password, "000000"}, {"code-three", password, "000000"}},
		"right password and code, but suspended": {{"suspended-one", password, suspended}},
		"wrong password, often slowed down":      {{"slowed-one", password + "x", ""}},
		"disabled":                               {{"disabled-one", password, ""}},
		"disabled, with its code":                {{"disabled-one", password, off}},
	}
	signIn := func(try try) answer {
		body := map[string]any{"username": try.name, "password": try.password}
		if try.code != "" {
			body["mfa_code"] = try.code
		}
		return s.send(t, "control-center", "POST", "/auth/login", "", body)
	}
	for range 5 { // wrong codes, and further ones are not looked at
		signIn(try{"suspended-one", password, "000000"})
	}
	times, answers := map[string][]time.Duration{}, map[string][]string{}
	note := func(class string, a answer, took time.Duration) {
		times[class] = append(times[class], took)
		a.Header.Del("Date")
		rid := a.Header.Get("X-Request-Id")
		text := strings.ReplaceAll(fmt.Sprint(a.Status, sorted(a.Header), string(a.Raw)), rid, "RID")
		if !slices.Contains(answers[text], class) {
			answers[text] = append(answers[text], class)
		}
	}
	// The tenth wrong password slows an account down for a second, and then the right one is
	// refused as well. A machine that takes longer for the two is asked once more: a sign-in that
	// is granted begins the count anew.
	rigtest.Await(t, patience, "the right password is tried within a second of ten wrong ones", func() bool {
		var tenth time.Time
		for range 10 {
			tenth = time.Now()
			signIn(try{"slowed-one", password + "x", ""})
		}
		began := time.Now()
		a := signIn(try{"slowed-one", password, ""})
		if time.Since(tenth) > time.Second {
			return false
		}
		note("right password, but slowed down", a, time.Since(began))
		return true
	})
	for round := range rounds {
		for class, tries := range classes { // in random order
			began := time.Now()
			a := signIn(tries[round%len(tries)])
			note(class, a, time.Since(began))
		}
	}
	if len(answers) != 1 {
		t.Errorf("%d different answers, want one for all classes: %v", len(answers), answers)
	}
	slowest := time.Duration(0)
	for class := range classes {
		slowest = max(slowest, slices.Min(times[class]))
	}
	for class := range times {
		if fastest := slices.Min(times[class]); fastest < slowest/2 {
			t.Errorf("%s is answered in %s, another class takes %s: the hash is skipped", class, fastest, slowest)
		}
	}
}

func sorted(h http.Header) []string {
	var lines []string
	for name, v := range h {
		lines = append(lines, name+": "+strings.Join(v, ","))
	}
	slices.Sort(lines)
	return lines
}
