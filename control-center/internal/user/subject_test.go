package user_test

import (
	"context"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/controltest"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/token"
)

// TestSubjects_everyChangeOfAnAccountIsToldInItsCommit walks through all that changes an account
// and compares the stream with the account, and what changes nothing of it with silence.
func TestSubjects_everyChangeOfAnAccountIsToldInItsCommit(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	head := func() uint64 {
		f, err := r.Users.Follow(ctx, 0, 0)
		must(err)
		return f.Last
	}
	if head() != 1 {
		t.Fatalf("%d entries after the import of the first administrator", head())
	}
	u := r.Account(t, "dana")
	yes, no, password, email := true, false, "maroon lantern seventy", "d@example.com"
	for _, step := range []struct {
		what string
		told bool
		do   func() error
	}{
		{"roles", true, func() error {
			return r.Users.Update(ctx, u.ID, user.Change{Roles: []string{"viewer"}}, controltest.Root)
		}},
		{"the same roles", false, func() error {
			return r.Users.Update(ctx, u.ID, user.Change{Roles: []string{"viewer"}}, controltest.Root)
		}},
		{"disabled", true, func() error { return r.Users.Update(ctx, u.ID, user.Change{Enabled: &no}, controltest.Root) }},
		{"enabled", true, func() error { return r.Users.Update(ctx, u.ID, user.Change{Enabled: &yes}, controltest.Root) }},
		{"address", false, func() error { return r.Users.Update(ctx, u.ID, user.Change{Email: &email}, controltest.Root) }},
		{"sign-in", false, func() error { r.SignIn(t, "dana"); return nil }},
		{"password", true, func() error { return r.Users.Update(ctx, u.ID, user.Change{Password: &password}, controltest.Root) }},
		{"factor", true, func() error { _, err := r.Factors.EnrolFor(ctx, u.ID, controltest.Root); return err }},
		{"factor removed", true, func() error { return r.Factors.Remove(ctx, u.ID, controltest.Root) }},
		{"deleted", true, func() error { return r.Users.Delete(ctx, u.ID, controltest.Root, nil) }},
	} {
		before := head()
		must(step.do())
		if told := head() - before; told != map[bool]uint64{true: 1}[step.told] {
			t.Errorf("%s: %d entries", step.what, told)
		}
		f, err := r.Users.Follow(ctx, head()-1, 0)
		must(err)
		got := f.Items[0]
		if now, err := r.Users.Get(ctx, u.ID); err == nil && !got.Same(now.Subject()) {
			t.Errorf("%s: told %+v, is %+v", step.what, got, now.Subject())
		} else if err != nil && (!got.Deleted || got.Enabled || got.Sub != u.ID || got.Version < 7) {
			t.Errorf("%s: told %+v", step.what, got)
		}
	}
}

func TestFollow_isALongPoll(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	got := make(chan token.Subjects, 1)
	go func() { f, _ := r.Users.Follow(ctx, 1, time.Minute); got <- f }()
	u := r.Account(t, "dana")
	if f := <-got; len(f.Items) == 1 && f.Items[0].Sub != u.ID || f.Epoch != r.File.Deployment {
		t.Errorf("%+v", f)
	}
	if f, err := r.Users.Follow(ctx, 99, time.Minute); err != nil || len(f.Items) != 0 || f.Last != 2 {
		t.Errorf("a place beyond the end: %+v %v", f, err)
	}
}
