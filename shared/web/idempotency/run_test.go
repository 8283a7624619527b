package idempotency

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

const scope, key = "alice\x00createThing\x00/things", "k1"

// at is the clock of a test.
type at struct{ time.Time }

func (a *at) now() time.Time { return a.Time }

// open returns the keys of one process over db; a second call is the next process.
func open(db store.DB, clock *at, secret string) *Records {
	return &Records{DB: db, Secret: []byte(secret), Now: clock.now, Log: obs.Discard()}
}

func fresh() (store.DB, *at) {
	return memstore.New(store.Schema{Service: "test", Kinds: Kinds()}), &at{time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)}
}

// begin begins a run that must be new.
func begin(t *testing.T, k *Records, print string) *Run {
	t.Helper()
	r, answer, err := k.Begin(t.Context(), scope, key, print)
	if err != nil || answer != nil {
		t.Fatalf("answer %+v, %v", answer, err)
	}
	return r
}

// work commits what Settlement gives and ends the run as package web does.
func work(t *testing.T, db store.DB, r *Run, success bool) {
	t.Helper()
	writes, err := r.Settlement(success)
	if err != nil {
		t.Fatal(err)
	}
	if len(writes) > 0 {
		if _, err := db.Commit(t.Context(), store.Batch{Writes: writes}); err != nil {
			t.Fatal(err)
		}
	}
}

func settle(t *testing.T, r *Run) {
	t.Helper()
	if err := r.Settle(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	r.End()
}

func stored(t *testing.T, db store.DB) []store.Doc {
	t.Helper()
	page, err := db.List(t.Context(), store.Query{Kind: kind, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return page.Docs
}

func TestBegin_aRepeatGetsTheAnswerOfTheWorksCommit(t *testing.T) {
	t.Parallel()
	db, clock := fresh()
	k := open(db, clock, "s")
	print := k.Fingerprint("", []byte("body"))
	r := begin(t, k, print)
	r.Tell(true, Answer{Status: 201, Type: "text/plain", Body: []byte("made")})
	work(t, db, r, true)
	before := stored(t, db)
	settle(t, r)
	if after := stored(t, db); len(after) != 1 || after[0].Rev != before[0].Rev {
		t.Errorf("the key was committed again: %v, then %v", before, after)
	}
	for _, process := range []*Records{k, open(db, clock, "s"), open(db, clock, "of another folder")} {
		_, a, err := process.Begin(t.Context(), scope, key, process.Fingerprint("", []byte("body")))
		if err != nil || a == nil || a.Status != 201 || a.Type != "text/plain" || string(a.Body) != "made" {
			t.Errorf("%+v, %v", a, err)
		}
	}
	for what, other := range map[string]string{
		"another body": k.Fingerprint("", []byte("bodY")), "another query": k.Fingerprint("x=1", []byte("body")),
	} {
		if _, _, err := k.Begin(t.Context(), scope, key, other); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, other := range []string{"bob\x00createThing\x00/things", "alice\x00createThing\x00/thing"} {
		r, a, err := k.Begin(t.Context(), other, key, print)
		if err != nil || a != nil || r == nil {
			t.Errorf("%q shares the key: %+v, %v", other, a, err)
		}
	}
}

func TestBegin_whileTheFirstRunsARepeatWaits(t *testing.T) {
	t.Parallel()
	db, clock := fresh()
	k := open(db, clock, "s")
	r := begin(t, k, "s:1")
	if _, _, err := k.Begin(t.Context(), scope, key, "s:1"); !fault.Is(err, fault.Conflict) || fault.Of(err).RetryAfter == 0 {
		t.Errorf("the same request: %v", err)
	}
	if _, _, err := k.Begin(t.Context(), scope, key, "s:2"); !fault.Is(err, fault.Invalid) {
		t.Errorf("another request: %v", err)
	}
	r.End()
	begin(t, k, "s:2") // nothing was committed, so the key is free
}

// TestRun_theProcessDies: what is found by the next process after a kill at each point of a run.
func TestRun_theProcessDies(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		until  func(*testing.T, store.DB, *Run)
		answer bool // a repeat is answered
		same   bool // a repeat runs again, under the same id
	}{
		"before its work": {func(*testing.T, store.DB, *Run) {}, false, false},
		"behind a claim":  {func(t *testing.T, _ store.DB, r *Run) { _ = r.Claim(t.Context()) }, false, true},
		"behind its work, whose answer was not known": {func(t *testing.T, db store.DB, r *Run) { work(t, db, r, true) }, false, true},
		"behind its work, whose answer was known": {func(t *testing.T, db store.DB, r *Run) {
			r.Tell(true, Answer{Status: 200})
			work(t, db, r, true)
		}, true, false},
		"behind its work, whose answer was taken back": {func(t *testing.T, db store.DB, r *Run) {
			r.Tell(true, Answer{Status: 200})
			r.Untell()
			work(t, db, r, true)
		}, false, true},
		"behind a refusal that it recorded": {func(t *testing.T, db store.DB, r *Run) {
			r.Tell(false, Answer{Status: 409})
			work(t, db, r, false)
		}, true, false},
		"behind a refusal beside a success that was told": {func(t *testing.T, db store.DB, r *Run) {
			r.Tell(true, Answer{Status: 200})
			work(t, db, r, false)
		}, false, false},
		"behind a refusal that no answer is told of": {func(t *testing.T, db store.DB, r *Run) { work(t, db, r, false) }, false, false},
	} {
		db, clock := fresh()
		first := begin(t, open(db, clock, "s"), "s:1")
		c.until(t, db, first)
		again, answer, err := open(db, clock, "s").Begin(t.Context(), scope, key, "s:1")
		if err != nil || (answer != nil) != c.answer || again != nil && (again.NewID() == first.NewID()) != c.same {
			t.Errorf("%s: answer %+v, run %+v, %v", what, answer, again, err)
		}
	}
}

// TestSettle_keepsWhatTheCommitOfTheWorkDidNotSay settles in a second commit: of an open key, of an
// answer that came out otherwise, and of one without work.
func TestSettle_keepsWhatTheCommitOfTheWorkDidNotSay(t *testing.T) {
	t.Parallel()
	for what, run := range map[string]func(*testing.T, store.DB, *Run){
		"the key was open": func(t *testing.T, db store.DB, r *Run) { work(t, db, r, true) },
		"another answer": func(t *testing.T, db store.DB, r *Run) {
			r.Tell(true, Answer{Status: 200, Body: []byte("first")})
			work(t, db, r, true)
		},
		"a claim": func(t *testing.T, db store.DB, r *Run) {
			if err := r.Claim(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := r.Claim(t.Context()); err != nil { // the second one does nothing
				t.Fatal(err)
			}
			work(t, db, r, true)
		},
		"no work": func(*testing.T, store.DB, *Run) {},
	} {
		db, clock := fresh()
		k := open(db, clock, "s")
		r := begin(t, k, "s:1")
		run(t, db, r)
		r.Tell(true, Answer{Status: 202, Body: []byte("last")})
		settle(t, r)
		_, a, err := k.Begin(t.Context(), scope, key, "s:1")
		if err != nil || a == nil || a.Status != 202 || string(a.Body) != "last" {
			t.Errorf("%s: %+v, %v", what, a, err)
		}
	}
}

// TestSettle_withoutAnAnswerCommitsNothing: a repeat of what ended in a failure runs again.
func TestSettle_withoutAnAnswerCommitsNothing(t *testing.T) {
	t.Parallel()
	db, clock := fresh()
	k := open(db, clock, "s")
	settle(t, begin(t, k, "s:1"))
	if docs := stored(t, db); len(docs) != 0 {
		t.Errorf("%v", docs)
	}
}

func TestTell_keepsNoSecretAndNoHugeAnswer(t *testing.T) {
	t.Parallel()
	db, clock := fresh()
	k := open(db, clock, "s")
	r := begin(t, k, "s:1")
	r.Tell(true, Answer{Status: 201, Body: []byte("the secret"), Object: "hook-1"})
	work(t, db, r, true)
	settle(t, r)
	if docs := stored(t, db); strings.Contains(string(docs[0].Body), "secret") {
		t.Errorf("%s", docs[0].Body)
	}
	_, a, err := k.Begin(t.Context(), scope, key, "s:1")
	if err != nil || a == nil || a.Object != "hook-1" || len(a.Body) != 0 {
		t.Errorf("%+v, %v", a, err)
	}
	huge := func() *Run {
		r, a, err := k.Begin(t.Context(), scope, "k2", "s:1")
		if err != nil || a != nil {
			t.Fatalf("%+v, %v", a, err)
		}
		return r
	}
	r = huge()
	r.Tell(true, Answer{Status: 200, Body: make([]byte, maxAnswer+1)})
	work(t, db, r, true)
	settle(t, r)
	if again := huge(); again.NewID() != r.NewID() {
		t.Error("the repeat of a huge answer does not find its work")
	}
}

// TestFingerprint_isWorthlessWithoutTheSecret is decision 50: a plain hash lets a thief of the
// store try passwords.
func TestFingerprint_isWorthlessWithoutTheSecret(t *testing.T) {
	t.Parallel()
	db, clock := fresh()
	a, b := open(db, clock, "one").Fingerprint("", []byte("x")), open(db, clock, "two").Fingerprint("", []byte("x"))
	if a[strings.IndexByte(a, ':'):] == b[strings.IndexByte(b, ':'):] {
		t.Error("two secrets, one fingerprint")
	}
	if differ(a, b) {
		t.Error("fingerprints under different secrets were compared")
	}
}

func TestSweep_takesWhatHasExpiredAndNothingElse(t *testing.T) {
	t.Parallel()
	db, clock := fresh()
	k := open(db, clock, "s")
	add := func(key string) {
		t.Helper()
		r, _, err := k.Begin(t.Context(), scope, key, "s:1")
		if err != nil {
			t.Fatal(err)
		}
		r.Tell(true, Answer{Status: 200})
		work(t, db, r, true)
		r.End()
	}
	for i := range sweepPage + 1 {
		add(strings.Repeat("x", i+1))
	}
	clock.Time = clock.Add(ttl / 2)
	add("young")
	if n, err := Sweep(t.Context(), db, clock.Time); n != 0 || err != nil {
		t.Errorf("%d too early, %v", n, err)
	}
	clock.Time = clock.Add(ttl / 2)
	begin(t, k, "s:another") // an expired key is free before it is swept
	var got []int
	for range 3 {
		n, err := Sweep(t.Context(), db, clock.Time)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, n)
	}
	if !slices.Equal(got, []int{sweepPage, 1, 0}) || len(stored(t, db)) != 1 {
		t.Errorf("swept %v, %d left", got, len(stored(t, db)))
	}
}

// failing is a store that answers no question.
type failing struct{ store.DB }

func (failing) Get(context.Context, store.Key) (store.Doc, error) {
	return store.Doc{}, store.ErrUnavailable
}

func TestBegin_aStoreThatFailsLeavesTheKeyFree(t *testing.T) {
	t.Parallel()
	db, clock := fresh()
	k := open(failing{db}, clock, "s")
	if _, _, err := k.Begin(t.Context(), scope, key, "s:1"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	k.DB = db
	begin(t, k, "s:1")
}
