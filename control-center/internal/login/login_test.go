package login

import (
	"testing"
	"time"
)

func TestDecide_order(t *testing.T) {
	t.Parallel()
	good := Facts{Known: true, Enabled: true, Password: true, Factor: true, CodeGiven: true, Code: true, CodeFactor: "otp"}
	with := func(change func(*Facts)) Facts { f := good; change(&f); return f }
	for _, c := range []struct {
		name   string
		facts  Facts
		reason string
		need   bool
	}{
		{"everything right", good, "", false},
		{"unknown", with(func(f *Facts) { f.Known = false }), "unknown_user", false},
		{"paused beats wrong", with(func(f *Facts) { f.Blocked, f.Password = true, false }), "delayed", false},
		{"wrong password beats disabled", with(func(f *Facts) { f.Password, f.Enabled = false, false }), "wrong_password", false},
		{"disabled beats missing code", with(func(f *Facts) { f.Enabled, f.CodeGiven = false, false }), "disabled", false},
		{"wrong password never asks for a code", with(func(f *Facts) { f.Password, f.CodeGiven = false, false }), "wrong_password", false},
		{"code missing", with(func(f *Facts) { f.CodeGiven, f.Code = false, false }), "code_missing", true},
		{"codes suspended", with(func(f *Facts) { f.CodeBlocked = true }), "codes_suspended", false},
		{"wrong code", with(func(f *Facts) { f.Code = false }), "wrong_code", false},
		{"no factor", with(func(f *Facts) { f.Factor = false }), "", false},
		{"no factor where one is demanded", with(func(f *Facts) { f.Factor, f.Demanded = false, true }), "factor_missing", false},
		{"wrong password where a factor is demanded", with(func(f *Facts) { f.Factor, f.Password, f.Demanded = false, false, true }),
			"wrong_password", false},
	} {
		v := Decide(c.facts)
		if v.Reason != c.reason || v.NeedCode != c.need || v.Granted != (c.reason == "") {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
	if v := Decide(with(func(f *Facts) { f.Factor = false })); v.ACR != "aal1" || len(v.AMR) != 1 {
		t.Errorf("without a factor: %+v", v)
	}
}

// TestFailures_pauseDoublesToAMinute is A42 for the figures: from the tenth failure on 1, 2, 4 to
// 60 s.
func TestFailures_pauseDoublesToAMinute(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_790_000_000, 0)
	f := Failures{}
	for i := range 9 {
		if f = f.Failed(now); f.Blocked(now) {
			t.Fatalf("paused after %d", i+1)
		}
	}
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		f = f.Failed(now)
		if end := now.Add(want * time.Second); !f.Blocked(end.Add(-time.Millisecond)) || f.Blocked(end) {
			t.Fatalf("after %d failures the pause is not %d s", f.Count, want)
		}
		if again := f.Failed(now); again != f {
			t.Fatal("an attempt during the pause counts")
		}
		now = now.Add(want * time.Second)
	}
	if f = f.Failed(now.Add(failureWindow + time.Minute)); f.Count != 1 {
		t.Fatalf("the count does not start anew: %+v", f)
	}
}

// TestCodeFailures_guessOdds is A35 for a guesser who has a year.
func TestCodeFailures_guessOdds(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_790_000_000, 0)
	c, attempts := CodeFailures{}, 0
	for end := now.Add(365 * 24 * time.Hour); now.Before(end); now = now.Add(10 * time.Second) {
		if !c.Blocked(now) {
			attempts++
			c = c.Failed(now)
		}
	}
	if attempts != codesBeforeLimit || !c.Suspended() {
		t.Fatalf("a guesser had %d attempts in a year", attempts)
	}
}

// TestFailures_ofAClockThatWasAheadAreOver: a pause that was set by a wrong clock ends with its
// correction.
func TestFailures_ofAClockThatWasAheadAreOver(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_790_000_000, 0)
	for _, ahead := range []time.Duration{time.Second, time.Minute, time.Hour, 100 * 24 * time.Hour} {
		f, c := Failures{}, CodeFailures{}
		for range 20 {
			f, c = f.Failed(now.Add(ahead)), c.Failed(now.Add(ahead))
		}
		if !f.Blocked(now.Add(ahead)) || !c.Blocked(now.Add(ahead)) {
			t.Fatal("nothing is paused")
		}
		if f.Blocked(now) || c.Blocked(now) {
			t.Errorf("paused though the clock, which was %s ahead, is right again", ahead)
		}
		if f, c = f.Failed(now), c.Failed(now); f.Count != 1 || c.InWindow != 1 {
			t.Errorf("the count goes on from the wrong time: %+v %+v", f, c)
		}
	}
}
