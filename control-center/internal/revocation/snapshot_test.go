package revocation_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/revocation"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// paused is a store whose commits return late: they are visible before.
type paused struct {
	store.DB
	committed, goOn chan struct{}
}

func (p paused) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	r, err := p.DB.Commit(ctx, b)
	p.committed <- struct{}{}
	<-p.goOn
	return r, err
}

func TestFeed_wholeStateHoldsWhatIsCommittedAndNotYetApplied(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l := fresh(never)
	p := paused{DB: l.DB.DB, committed: make(chan struct{}), goOn: make(chan struct{})}
	l.DB = feed.NewHub(p)
	done := make(chan error, 1)
	go func() { done <- revoke(l, "s1") }()
	<-p.committed
	f, err := l.Feed(ctx, "another epoch", 7, 0)
	if err != nil || f.Head != 1 || len(f.Items) != 1 {
		t.Errorf("who is told to go on behind %d never hears of the %d items up to there: %+v %v", f.Head, 1-len(f.Items), f, err)
	}
	close(p.goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestLoad_readsOnlyWhatMayStillMatter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(context.Background())
		l := fresh(never)
		forget := func(kid string) error { return commit(l, token.RevokeKey(kid)) }
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		must(forget("k1"))
		must(revoke(l, "s1"))
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		for range 2 {
			<-time.After(25 * time.Hour) // of the bubble's clock
			must(revoke(l, "s2"))
		}
		<-time.After(time.Minute)
		stop()
		must(<-done)

		ctx = context.Background()
		if page, err := l.DB.Read(ctx, revocation.Stream, store.Latest, 0); err != nil || page.First < 3 {
			t.Errorf("the stream is kept from %d on, %v; what is over was to be trimmed", page.First, err)
		}
		again := &revocation.Log{DB: l.DB, State: &token.Revocations{}, Epoch: "e1"}
		must(again.Load(ctx, time.Time{})) // a time at which nothing is over, so that all that was read is there
		if revoked(again, "s1") || !revoked(again, "s2") || again.State.Check(token.Claims{KeyID: "k1"}) == "" {
			t.Errorf("after the start: %+v", again.State.Snapshot())
		}
		f, err := again.Feed(ctx, "", 0, 0)
		if err != nil || !f.Reset || len(f.Items) != 2 || f.Head != 4 {
			t.Errorf("who begins below gets the whole state: %+v %v", f, err)
		}
		if f, err = again.Feed(ctx, "e1", 3, 0); err != nil || f.Reset || len(f.Items) != 1 {
			t.Errorf("who follows gets what is new: %+v %v", f, err)
		}
	})
}
