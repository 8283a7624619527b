package mfa_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/controltest"
	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/control-center/internal/session"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/token"
)

func TestEnrolment_countsOnlyAfterAGoodCode(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	u := r.Account(t, "dana")
	g := r.SignIn(t, "dana")
	if err := r.Factors.Verify(ctx, u.ID, "123456", nil); !fault.Is(err, fault.Conflict) {
		t.Fatalf("verify before enrolment: %v", err)
	}
	e, err := r.Factors.Enrol(ctx, u.ID)
	if err != nil || len(e.Secret) != 32 || !strings.HasPrefix(e.URI, "otpauth://totp/") || len(e.RecoveryCodes) != 10 {
		t.Fatalf("%+v %v", e, err)
	}
	if again := r.SignIn(t, "dana"); again.Token == "" {
		t.Fatal("a factor that was not proved is asked for")
	}
	if err := r.Factors.Verify(ctx, u.ID, r.Code(t, e.Secret, 3), nil); fault.CodeOf(err) != "mfa.wrong_code" {
		t.Fatalf("wrong code: %v", err)
	}
	code := r.Code(t, e.Secret, 0)
	if err := r.Factors.Verify(ctx, u.ID, code, nil); err != nil {
		t.Fatal(err)
	}
	if r.Alive(g.Token) {
		t.Error("a token from before the factor lives")
	}
	attempt := func(code string) error {
		_, err := r.Sessions.SignIn(ctx, session.Credentials{Username: "dana", Password: controltest.Password, Code: code})
		return err
	}
	if err := attempt(""); fault.CodeOf(err) != "auth.mfa_required" {
		t.Errorf("without a code: %v", err)
	}
	if err := attempt(code); err == nil {
		t.Error("the enrolment's code works again")
	}
	r.Clock.Add(30 * time.Second)
	if err := attempt(r.Code(t, e.Secret, 0)); err != nil {
		t.Errorf("with the next code: %v", err)
	}
	if _, err := r.Factors.Enrol(ctx, u.ID); !fault.Is(err, fault.Conflict) {
		t.Errorf("enrolment over a factor in use: %v", err)
	}
	if err := r.Factors.Remove(ctx, u.ID, controltest.Root); err != nil {
		t.Fatal(err)
	}
	if err := attempt(""); err != nil {
		t.Errorf("after removal: %v", err)
	}
	if err := r.Factors.Remove(ctx, u.ID, controltest.Root); !fault.Is(err, fault.NotFound) {
		t.Errorf("second removal: %v", err)
	}
}

func TestEnrolment_expires(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	u := r.Account(t, "dana")
	e, err := r.Factors.Enrol(ctx, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	r.Clock.Add(16 * time.Minute)
	if err := r.Factors.Verify(ctx, u.ID, r.Code(t, e.Secret, 0), nil); !fault.Is(err, fault.Conflict) {
		t.Fatalf("%v", err)
	}
}

// TestEnrolFor_isInUseAtOnceAndBindsToItsAccount is S02 for two stored records: a secret moved to
// another account does not open.
func TestEnrolFor_isInUseAtOnceAndBindsToItsAccount(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	a, b := r.Account(t, "anna"), r.Account(t, "bert")
	ea, err := r.Factors.EnrolFor(ctx, a.ID, controltest.Root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Factors.EnrolFor(ctx, b.ID, controltest.Root); err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{"anna": true, "bert": false} {
		_, err := r.Sessions.SignIn(ctx, session.Credentials{Username: name, Password: controltest.Password, Code: r.Code(t, ea.Secret, 0)})
		if (err == nil) != ok {
			t.Errorf("%s with anna's code: %v", name, err)
		}
	}
	// A sealed secret that is copied to another account opens nothing.
	fa, _ := mfa.Table.Get(ctx, r.DB, a.ID)
	stolen := fa.Value
	stolen.ID = b.ID
	if _, _, err := mfa.Check(r.Sealer, stolen, "123456", r.Clock.Now()); err == nil {
		t.Error("a moved secret opens")
	}
	if _, err := r.Factors.EnrolFor(ctx, "01a214f4-773a-7d66-b5f6-c679470cebf7", controltest.Root); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown account: %v", err)
	}
}

// TestCheck_codeIsSixDigitsAndItsStepIsSpent is A30, A31 and A34: Check is tried by itself, so that
// no variant is refused merely because too many were wrong before it.
func TestCheck_codeIsSixDigitsAndItsStepIsSpent(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	found, err := mfa.Table.Get(context.Background(), r.DB, r.File.User.ID)
	if err != nil || !found.Value.Active {
		t.Fatalf("%+v %v", found, err)
	}
	accepted := func(f mfa.Factor, code string) (mfa.Factor, bool) {
		t.Helper()
		after, result, err := mfa.Check(r.Sealer, f, code, r.Clock.Now())
		if err != nil || result.Blocked {
			t.Fatalf("%q: %+v %v", code, result, err)
		}
		return after, result.OK
	}
	code := func(steps int) string { return r.Code(t, r.Admin.TOTPSecret, steps) }
	fresh, now := found.Value, code(0)
	spent, ok := accepted(fresh, now)
	if !ok {
		t.Fatal("a good code is refused")
	}
	full := strings.Map(func(d rune) rune { return d - '0' + '０' }, now)
	for _, variant := range []string{" " + now, now + " ", now + "\t", now + "\n", "\u00a0" + now, now + "\u200b", now + "\x00", "+" + now,
		"-" + now, "0" + now, now + "0", now[:5], now[:3] + " " + now[3:], now[:3] + "-" + now[3:],
		now + "," + now, full, "0x" + now, now + ".0", now + "e0", "", "000000x", strings.Repeat(now, 2)} {
		if _, ok := accepted(fresh, variant); ok {
			t.Errorf("%q is accepted", variant)
		}
		if _, ok := accepted(spent, variant); ok {
			t.Errorf("%q is accepted after its step", variant)
		}
	}
	for steps, want := range map[int]bool{-2: false, -1: true, 0: true, 1: true, 2: false} {
		if _, ok := accepted(fresh, code(steps)); ok != want {
			t.Errorf("step %+d: %v", steps, ok)
		}
	}
	for steps, want := range map[int]bool{-1: false, 0: false, 1: true} {
		if _, ok := accepted(spent, code(steps)); ok != want {
			t.Errorf("step %+d after step 0: %v", steps, ok)
		}
	}
}

// TestVerify_endsEveryOtherSessionOfTheAccount: what was signed in without the factor is over, and
// the session that proved it goes on as one with a second factor.
func TestVerify_endsEveryOtherSessionOfTheAccount(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	u := r.Account(t, "dana")
	own, other := r.SignIn(t, "dana"), r.SignIn(t, "dana")
	claims := func(raw string) token.Claims {
		t.Helper()
		c, err := r.Verify.Verify(raw, r.Clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	before, foreign := claims(own.Token), claims(r.SignIn(t, r.Account(t, "other").Username).Token)
	e, err := r.Factors.Enrol(ctx, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Factors.Verify(ctx, u.ID, r.Code(t, e.Secret, 0), session.StepUp(before.SessionID)); err != nil {
		t.Fatal(err)
	}
	if r.Alive(own.Token) || r.Alive(other.Token) {
		t.Error("a token from before the factor lives")
	}
	for what, raw := range map[string]string{"refresh": other.Refresh, "access": other.Token} {
		if _, err := r.Sessions.Refresh(ctx, raw); err != session.ErrRefresh { //nolint:errorlint // it must be this very fault
			t.Errorf("another session is refreshed with its %s token: %v", what, err)
		}
	}
	next, err := r.Sessions.Refresh(ctx, own.Refresh)
	if err != nil {
		t.Fatalf("the session that proved the factor: %v", err)
	}
	if c := claims(next.Token); c.ACR != "aal2" || !c.MFA() || c.SessionID != before.SessionID {
		t.Errorf("%+v", c)
	}
	// A request whose token was looked at a moment before the factor came into use changes nothing
	// after it.
	stale := user.Caller{ID: u.ID, Roles: u.Roles, AV: before.AuthVersion}
	password := "maroon lantern seventy"
	for what, change := range map[string]func() error{
		"removal":   func() error { return r.Factors.Remove(ctx, u.ID, stale) },
		"password":  func() error { return r.Users.Update(ctx, u.ID, user.Change{Password: &password}, stale) },
		"new one":   func() error { _, err := r.Factors.EnrolFor(ctx, u.ID, stale); return err },
		"enrolment": func() error { _, err := r.Factors.Enrol(ctx, u.ID); return err },
	} {
		if err := change(); err == nil {
			t.Errorf("%s with a token of before", what)
		}
	}
	// Nobody else's session is kept or lifted by naming it.
	if err := r.Factors.Remove(ctx, u.ID, controltest.Root); err != nil {
		t.Fatal(err)
	}
	if e, err = r.Factors.Enrol(ctx, u.ID); err != nil {
		t.Fatal(err)
	}
	if err := r.Factors.Verify(ctx, u.ID, r.Code(t, e.Secret, 0), session.StepUp(foreign.SessionID)); err != nil {
		t.Fatal(err)
	}
	if c := foreign; r.Revoked.State.Check(c) != "" {
		t.Error("somebody else's session ended")
	}
}

// TestRemove_theLastAdministratorsFactorStaysWhereCodesAreDemanded: with [mfa] required nobody
// could sign in to give anybody a factor any more. Disabling, demoting and deleting that
// administrator is the same.
func TestRemove_theLastAdministratorsFactorStaysWhereCodesAreDemanded(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	r.Users.MFA = true
	first := r.File.User.ID
	bare := r.Account(t, "bare", user.Admin) // an administrator without a factor
	no := false
	removals := map[string]func(id string) error{
		"factor":   func(id string) error { return r.Factors.Remove(ctx, id, controltest.Root) },
		"disabled": func(id string) error { return r.Users.Update(ctx, id, user.Change{Enabled: &no}, controltest.Root) },
		"demoted": func(id string) error {
			return r.Users.Update(ctx, id, user.Change{Roles: []string{"viewer"}}, controltest.Root)
		},
		"deleted": func(id string) error { return r.Users.Delete(ctx, id, controltest.Root, session.Forget(id)) },
	}
	for what, remove := range removals {
		if err := remove(first); fault.CodeOf(err) != "user.last_admin_factor" || !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := r.Users.Update(ctx, bare.ID, user.Change{Roles: []string{"viewer"}}, controltest.Root); err != nil {
		t.Errorf("an administrator who cannot sign in is not needed: %v", err)
	}
	for what, remove := range removals {
		second := r.Account(t, "second-"+what, user.Admin)
		if _, err := r.Factors.EnrolFor(ctx, second.ID, controltest.Root); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var went atomic.Int32
		for _, id := range []string{first, second.ID} {
			wg.Go(func() {
				if err := remove(id); err == nil {
					went.Add(1)
				} else if !fault.Is(err, fault.Conflict) {
					t.Errorf("%s: %v", what, err)
				}
			})
		}
		wg.Wait()
		if went.Load() != 1 {
			t.Fatalf("%s: %d of two at once", what, went.Load())
		}
		if f, err := mfa.Table.Get(ctx, r.DB, first); err != nil || !f.Value.Active {
			first = second.ID
		} else if u, err := r.Users.Get(ctx, first); err != nil || !u.Enabled || u.Roles[0] != user.Admin {
			first = second.ID
		}
	}
}

// TestCheck_aClockThatWasAheadKeepsNobodyOut: codes and failures of the wrong time count for
// themselves only.
func TestCheck_aClockThatWasAheadKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	found, err := mfa.Table.Get(context.Background(), r.DB, r.File.User.ID)
	if err != nil {
		t.Fatal(err)
	}
	f := found.Value
	accepted := func(code string) bool {
		t.Helper()
		after, result, err := mfa.Check(r.Sealer, f, code, r.Clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		f = after
		return result.OK
	}
	code := func(steps int) string { return r.Code(t, r.Admin.TOTPSecret, steps) }
	r.Clock.Add(time.Hour)
	var ahead []string
	for range 3 {
		ahead = append(ahead, code(0))
		if !accepted(code(0)) {
			t.Fatal("a good code is refused")
		}
		r.Clock.Add(30 * time.Second)
	}
	for range 6 { // suspended for five minutes
		accepted("not a code")
	}
	r.Clock.Add(-time.Hour - 90*time.Second)
	if !accepted(code(0)) {
		t.Fatal("the clock was ahead and is right again, and a good code is refused")
	}
	if accepted(code(0)) || accepted(code(-1)) {
		t.Error("a code is good twice, or an earlier one after a later one")
	}
	if !accepted(code(1)) {
		t.Error("the next code is refused")
	}
	r.Clock.Add(time.Hour)
	for _, used := range ahead {
		if accepted(used) {
			t.Error("a code that was used when the clock was ahead is good again at its time")
		}
		r.Clock.Add(30 * time.Second)
	}
	if !accepted(code(0)) {
		t.Error("the first code that was not used is refused")
	}
}

func TestCheck_aRecoveryCodeWorksWithBlanksAroundIt(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	found, err := mfa.Table.Get(context.Background(), r.DB, r.File.User.ID)
	if err != nil {
		t.Fatal(err)
	}
	f := found.Value
	for i, dress := range []func(string) string{
		func(c string) string { return " " + c }, func(c string) string { return c + "\r\n" },
		func(c string) string { return "\t" + c + "\u00a0" },
		func(c string) string { return strings.ReplaceAll(c, "-", " ") }, strings.ToUpper,
		func(c string) string { return strings.ReplaceAll(c, "-", "") },
	} {
		code := dress(r.Admin.RecoveryCodes[i])
		after, result, err := mfa.Check(r.Sealer, f, code, r.Clock.Now())
		if err != nil || !result.OK || result.Method != "rc" {
			t.Errorf("%q: %+v %v", code, result, err)
		}
		if _, again, _ := mfa.Check(r.Sealer, after, r.Admin.RecoveryCodes[i], r.Clock.Now()); again.OK {
			t.Errorf("%q works twice", code)
		}
		f = after
	}
}
