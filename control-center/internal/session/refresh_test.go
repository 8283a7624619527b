package session_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/controltest"
	"github.com/provisioning-platform/platform/control-center/internal/session"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/store/storetest"
)

// TestRefresh_lostAnswerIsRepeatedAndReuseEndsTheSession is A22: the same successor within 10 s,
// reuse after that.
func TestRefresh_lostAnswerIsRepeatedAndReuseEndsTheSession(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	r.Account(t, "dana")
	first := r.SignIn(t, "dana")
	second, err := r.Sessions.Refresh(ctx, first.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	if second.Refresh == first.Refresh || second.Token == first.Token {
		t.Fatal("nothing was rotated")
	}
	r.Clock.Add(9 * time.Second)
	again, err := r.Sessions.Refresh(ctx, first.Refresh)
	if err != nil || again.Refresh != second.Refresh || again.Token != second.Token {
		t.Fatalf("within the grace: %v", err)
	}
	r.Clock.Add(2 * time.Second)
	if _, err := r.Sessions.Refresh(ctx, first.Refresh); err == nil {
		t.Fatal("a used token worked after the grace")
	}
	if r.Alive(second.Token) || r.Alive(first.Token) {
		t.Fatal("access tokens outlive the reuse")
	}
	if _, err := r.Sessions.Refresh(ctx, second.Refresh); err == nil {
		t.Fatal("the family outlives the reuse")
	}
	all := entries(t, r)
	found := false
	for _, e := range all {
		found = found || e.Details["reason"] == "refresh_reuse"
	}
	if !found {
		t.Fatal("the reuse is not in the audit log")
	}
}

// TestRefresh_crashBetweenCommitAndAnswer is A22 with the fault between rotation and answer.
func TestRefresh_crashBetweenCommitAndAnswer(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, moment := range []storetest.Moment{storetest.Before, storetest.After} {
		armed := false
		r := controltest.Over(t, storetest.Faulty(memstore.New(controltest.Schema()), func(int, store.Batch) storetest.Moment {
			if armed {
				armed = false
				return moment
			}
			return storetest.Never
		}))
		r.Account(t, "dana")
		first := r.SignIn(t, "dana")
		armed = true
		if _, err := r.Sessions.Refresh(ctx, first.Refresh); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("outcome unknown is shown as %v", err)
		}
		second, err := r.Sessions.Refresh(ctx, first.Refresh)
		if err != nil || !r.Alive(second.Token) {
			t.Fatalf("the same token again: %v", err)
		}
		if _, err := r.Sessions.Refresh(ctx, second.Refresh); err != nil {
			t.Fatalf("its successor: %v", err)
		}
	}
}

func TestRefresh_usedSuccessorMakesTheFirstOneReuse(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	r.Account(t, "dana")
	first := r.SignIn(t, "dana")
	second, _ := r.Sessions.Refresh(ctx, first.Refresh)
	third, err := r.Sessions.Refresh(ctx, second.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Sessions.Refresh(ctx, first.Refresh); err == nil || r.Alive(third.Token) {
		t.Fatalf("parent after grandchild: %v", err)
	}
}

func TestRefresh_fiftyAtOnceHaveOneSuccessor(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"refresh token", "access token"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			r := controltest.New(t)
			r.Account(t, "dana")
			g := r.SignIn(t, "dana")
			presented := g.Refresh
			if form == "access token" {
				presented = g.Token
			}
			var mu sync.Mutex
			successors, granted := map[string]bool{}, 0
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					next, err := r.Sessions.Refresh(context.Background(), presented)
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						granted++
						successors[next.Refresh] = true
					} else if err != session.ErrRefresh { //nolint:errorlint // it must be this very fault
						t.Errorf("unexpected: %v", err)
					}
				})
			}
			wg.Wait()
			if len(successors) != 1 {
				t.Fatalf("%d successors of %d grants", len(successors), granted)
			}
			for s := range successors {
				if _, err := r.Sessions.Refresh(context.Background(), s); err != nil {
					t.Fatalf("the successor does not work: %v", err)
				}
			}
		})
	}
}

func TestRefresh_accessTokenInTheSeedsForm(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	r.Account(t, "dana")
	first := r.SignIn(t, "dana")
	r.Clock.Add(time.Minute)
	second, err := r.Sessions.Refresh(ctx, first.Token)
	if err != nil {
		t.Fatal(err)
	}
	if r.Alive(first.Token) || !r.Alive(second.Token) || !second.ExpiresAt.After(first.ExpiresAt) {
		t.Fatal("the presented token lives, or its successor does not")
	}
	if _, err := r.Sessions.Refresh(ctx, first.Token); err == nil {
		t.Fatal("an exchanged token was exchanged again")
	}
	r.Clock.Add(15*time.Minute + time.Second)
	if _, err := r.Sessions.Refresh(ctx, second.Token); err == nil {
		t.Fatal("an expired token was refreshed")
	}
	if _, err := r.Sessions.Refresh(ctx, second.Refresh); err != nil {
		t.Fatalf("its refresh token: %v", err)
	}
	for _, bad := range []string{"", "rt_", "rubbish", first.Token + "x", "rt_" + first.Refresh} {
		if _, err := r.Sessions.Refresh(ctx, bad); err != session.ErrRefresh { //nolint:errorlint // it must be this very fault
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestRefresh_repeatedInItsGraceHandsOutNoDeadToken: what changed between a lost answer and its
// repetition killed the access token of that answer.
func TestRefresh_repeatedInItsGraceHandsOutNoDeadToken(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for what, change := range map[string]func(r *controltest.Rig, id string) error{
		"roles": func(r *controltest.Rig, id string) error {
			return r.Users.Update(ctx, id, user.Change{Roles: []string{"viewer"}}, controltest.Root)
		},
		"key":     func(r *controltest.Rig, _ string) error { return r.Ring.Remove(ctx, r.Ring.Keys()[0].ID) },
		"nothing": func(*controltest.Rig, string) error { return nil },
	} {
		r := controltest.New(t)
		u := r.Account(t, "dana")
		first := r.SignIn(t, "dana")
		lost, err := r.Sessions.Refresh(ctx, first.Refresh)
		if err != nil {
			t.Fatal(err)
		}
		if err := change(r, u.ID); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			again, err := r.Sessions.Refresh(ctx, first.Refresh)
			if err != nil || again.Refresh != lost.Refresh {
				t.Fatalf("%s: %v", what, err)
			}
			c, err := r.Verify.Verify(again.Token, r.Clock.Now())
			if err != nil || (what == "roles") != (c.Roles[0] == "viewer") {
				t.Errorf("%s: the repeated answer's token: %+v %v", what, c, err)
			}
			if (again.Token == lost.Token) != (what == "nothing") {
				t.Errorf("%s: the same token again: %v", what, again.Token == lost.Token)
			}
		}
		if next, err := r.Sessions.Refresh(ctx, lost.Refresh); err != nil || !r.Alive(next.Token) {
			t.Errorf("%s: the successor does not work: %v", what, err)
		}
	}
}

// TestRefresh_aSessionBegunByAClockThatWasAheadGoesOn: its sign-in lies in the future, where no
// verifier takes it.
func TestRefresh_aSessionBegunByAClockThatWasAheadGoesOn(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	r.Account(t, "dana")
	r.Clock.Add(time.Hour)
	g := r.SignIn(t, "dana")
	for range 20 {
		_, _ = r.Sessions.SignIn(ctx, session.Credentials{Username: "dana", Password: "wrong", IP: "192.0.2.1"})
	}
	r.Clock.Add(-time.Hour)
	next, err := r.Sessions.Refresh(ctx, g.Refresh)
	if err != nil || !r.Alive(next.Token) {
		t.Errorf("the refreshed token is not good: %v", err)
	}
	if again := r.SignIn(t, "dana"); !r.Alive(again.Token) {
		t.Error("a fresh sign-in is not good")
	}
	r.Clock.Add(11 * time.Second)
	if _, err := r.Sessions.Refresh(ctx, g.Refresh); err == nil {
		t.Error("the grace of a refresh lasts as long as the clock was ahead")
	}
}

// TestRefresh_idleAndAbsoluteEnd is A23 with the limits of decision 25: 8 h idle, 7 days in all.
func TestRefresh_idleAndAbsoluteEnd(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	r.Account(t, "dana")
	g := r.SignIn(t, "dana")
	lived, err := time.Duration(0), error(nil)
	for lived = 0; lived < 9*24*time.Hour; lived += 7 * time.Hour {
		if g, err = r.Sessions.Refresh(ctx, g.Refresh); err != nil {
			break
		}
		r.Clock.Add(7 * time.Hour)
	}
	if lived < 6*24*time.Hour || lived > 7*24*time.Hour+7*time.Hour {
		t.Fatalf("a session refreshed every 7 h ended after %s: %v", lived, err)
	}
	g = r.SignIn(t, "dana")
	r.Clock.Add(8*time.Hour + time.Second)
	if _, err := r.Sessions.Refresh(ctx, g.Refresh); err == nil {
		t.Fatal("an idle session was refreshed")
	}
}

// TestEndedSessionsAreRemoved lets sessions end in all three ways and wants nothing but the
// living one in the store, an hour after the last end; until then they are all there.
func TestEndedSessionsAreRemoved(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	r.Account(t, "dana")
	idle := r.SignIn(t, "dana")
	r.Clock.Add(7 * time.Hour)
	if _, err := r.Sessions.Refresh(ctx, r.SignIn(t, "dana").Refresh); err != nil {
		t.Fatal(err)
	}
	r.Clock.Add(time.Hour + time.Second) // the first has been idle for 8 h, the second for one
	left := func() (rows []int) {
		t.Helper()
		for _, c := range session.Classes(r.DB, retention.KeepRule{MaxAge: time.Hour}) {
			for {
				s, err := c.Next(ctx, r.Clock.Now())
				if err != nil {
					t.Fatal(err)
				}
				if s.Empty() {
					break
				}
				if _, err := r.DB.Commit(ctx, s.Batch); err != nil {
					t.Fatal(err)
				}
			}
			kept, err := c.Kept(ctx)
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, kept.Rows)
		}
		return rows
	}
	for _, c := range []struct {
		wait     time.Duration
		sessions int
		tokens   int // of the second session: one used, one not
	}{{0, 2, 3}, {time.Hour, 1, 2}, {7 * time.Hour, 0, 1}, {7 * 24 * time.Hour, 0, 0}} {
		r.Clock.Add(c.wait)
		if got := left(); !slices.Equal(got, []int{c.sessions, c.tokens}) {
			t.Errorf("after another %s: %v sessions and tokens, want %d and %d", c.wait, got, c.sessions, c.tokens)
		}
	}
	if _, err := r.Sessions.Refresh(ctx, idle.Refresh); err == nil {
		t.Error("a session that was removed is refreshed")
	}
}

func TestSignOut_tokenAndRefreshDie(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	r.Account(t, "dana")
	g, other := r.SignIn(t, "dana"), r.SignIn(t, "dana")
	c, err := r.Verify.Verify(g.Token, r.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Sessions.SignOut(ctx, c); err != nil {
		t.Fatal(err)
	}
	if r.Alive(g.Token) || !r.Alive(other.Token) {
		t.Fatal("the wrong session ended")
	}
	if _, err := r.Sessions.Refresh(ctx, g.Refresh); err == nil {
		t.Fatal("a signed-out session was refreshed")
	}
}

// TestChangesOfAnAccount_endItsTokensAndSessions is A26: this service refuses the next request, and
// the feed tells the other one.
func TestChangesOfAnAccount_endItsTokensAndSessions(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	no, yes, secret := false, true, "another violet harbour"
	for _, c := range []struct {
		name      string
		change    func(r *controltest.Rig, id string) error
		refreshes bool
	}{
		{"disabled", func(r *controltest.Rig, id string) error {
			return r.Users.Update(ctx, id, user.Change{Enabled: &no}, controltest.Root)
		}, false},
		{"disabled and enabled again", func(r *controltest.Rig, id string) error {
			if err := r.Users.Update(ctx, id, user.Change{Enabled: &no}, controltest.Root); err != nil {
				return err
			}
			return r.Users.Update(ctx, id, user.Change{Enabled: &yes}, controltest.Root)
		}, false},
		{"deleted", func(r *controltest.Rig, id string) error {
			return r.Users.Delete(ctx, id, controltest.Root, session.Forget(id))
		}, false},
		{"password", func(r *controltest.Rig, id string) error {
			return r.Users.Update(ctx, id, user.Change{Password: &secret}, user.Caller{ID: id, Roles: []string{"operator"}, AV: 1})
		}, false},
		{"roles", func(r *controltest.Rig, id string) error {
			return r.Users.Update(ctx, id, user.Change{Roles: []string{"viewer"}}, controltest.Root)
		}, true},
		{"factor by an administrator", func(r *controltest.Rig, id string) error {
			_, err := r.Factors.EnrolFor(ctx, id, controltest.Root)
			return err
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := controltest.New(t)
			u := r.Account(t, "dana")
			g := r.SignIn(t, "dana")
			if err := c.change(r, u.ID); err != nil {
				t.Fatal(err)
			}
			if r.Alive(g.Token) {
				t.Error("the access token lives")
			}
			next, err := r.Sessions.Refresh(ctx, g.Refresh)
			if (err == nil) != c.refreshes {
				t.Fatalf("refresh: %v", err)
			}
			if c.refreshes {
				claims, err := r.Verify.Verify(next.Token, r.Clock.Now())
				if err != nil || len(claims.Roles) != 1 || claims.Roles[0] != "viewer" {
					t.Fatalf("new roles are not in the refreshed token: %+v %v", claims, err)
				}
			}
			// What a peer that starts now hears says the same.
			f, err := r.Revoked.Feed(ctx, "another", 0, 0)
			if err != nil || !f.Reset || len(f.Items) == 0 {
				t.Fatalf("feed %+v %v", f, err)
			}
		})
	}
}
