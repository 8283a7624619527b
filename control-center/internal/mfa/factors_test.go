package mfa_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/controltest"
	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/control-center/internal/session"
	"github.com/provisioning-platform/platform/shared/fault"
)

func TestEnrolment_countsOnlyAfterAGoodCode(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	u := r.Account(t, "dana")
	g := r.SignIn(t, "dana")
	if err := r.Factors.Verify(ctx, u.ID, "123456"); !fault.Is(err, fault.Conflict) {
		t.Fatalf("verify before enrolment: %v", err)
	}
	e, err := r.Factors.Enrol(ctx, u.ID)
	if err != nil || len(e.Secret) != 32 || !strings.HasPrefix(e.URI, "otpauth://totp/") || len(e.RecoveryCodes) != 10 {
		t.Fatalf("%+v %v", e, err)
	}
	if again := r.SignIn(t, "dana"); again.Token == "" {
		t.Fatal("a factor that was not proved is asked for")
	}
	if err := r.Factors.Verify(ctx, u.ID, r.Code(t, e.Secret, 3)); fault.CodeOf(err) != "mfa.wrong_code" {
		t.Fatalf("wrong code: %v", err)
	}
	code := r.Code(t, e.Secret, 0)
	if err := r.Factors.Verify(ctx, u.ID, code); err != nil {
		t.Fatal(err)
	}
	if r.Alive(g.Token) {
		t.Error("a token from before the factor lives")
	}
	if _, err := r.Desk.Refresh(ctx, g.Refresh); err != nil {
		t.Errorf("its session is over: %v", err)
	}
	try := func(code string) error {
		_, err := r.Desk.SignIn(ctx, session.Credentials{Username: "dana", Password: controltest.Password, Code: code})
		return err
	}
	if err := try(""); fault.CodeOf(err) != "auth.mfa_required" {
		t.Errorf("without a code: %v", err)
	}
	if err := try(code); err == nil {
		t.Error("the enrolment's code works again")
	}
	r.Clock.Add(30 * time.Second)
	if err := try(r.Code(t, e.Secret, 0)); err != nil {
		t.Errorf("with the next code: %v", err)
	}
	if _, err := r.Factors.Enrol(ctx, u.ID); !fault.Is(err, fault.Conflict) {
		t.Errorf("enrolment over a factor in use: %v", err)
	}
	if err := r.Factors.Remove(ctx, u.ID); err != nil {
		t.Fatal(err)
	}
	if err := try(""); err != nil {
		t.Errorf("after removal: %v", err)
	}
	if err := r.Factors.Remove(ctx, u.ID); !fault.Is(err, fault.NotFound) {
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
	if err := r.Factors.Verify(ctx, u.ID, r.Code(t, e.Secret, 0)); !fault.Is(err, fault.Conflict) {
		t.Fatalf("%v", err)
	}
}

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
		_, err := r.Desk.SignIn(ctx, session.Credentials{Username: name, Password: controltest.Password, Code: r.Code(t, ea.Secret, 0)})
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

// TestCheck_codeIsSixDigitsAndItsStepIsSpent is A30, A31 and A34: Check is tried by itself, so that no variant is
// refused merely because too many were wrong before it.
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
	for _, variant := range []string{" " + now, now + " ", now + "\t", now + "\n", "\u00a0" + now, now + "\u200b", now + "\x00", "+" + now, "-" + now, "0" + now, now + "0", now[:5], now[:3] + " " + now[3:], now[:3] + "-" + now[3:],
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
