package revocation_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/revocation"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/store/storetest"
	"github.com/provisioning-platform/platform/shared/token"
)

func fresh(plan func(int, store.Batch) storetest.Moment) *revocation.Log {
	db := memstore.New(store.Schema{Service: "control_center", Kinds: revocation.Kinds()})
	return &revocation.Log{DB: feed.NewHub(storetest.Faulty(db, plan)), State: &token.Revocations{}, Epoch: "e1"}
}

func never(int, store.Batch) storetest.Moment { return storetest.Never }

// commit commits a change that revokes items, as the packages that decide what to revoke do.
func commit(l *revocation.Log, items ...token.Revocation) error {
	act := change.New("auth.logout", "sessions", nil)
	changes := change.Committer{DB: l.DB, Revoked: l.State}
	return changes.Commit(context.Background(), act, func(tx *store.Tx) error {
		tx.Append("elsewhere", []byte("{}"))
		tx.Append("elsewhere", []byte("{}"))
		act.Emit(change.SessionRevoked, "", change.Data{})
		act.Revoke(items...)
		return nil
	})
}

func revoke(l *revocation.Log, sid string) error {
	return commit(l, token.RevokeSession(sid, time.Now().Add(time.Hour).Unix()))
}

func revoked(l *revocation.Log, sid string) bool {
	return l.State.Check(token.Claims{SessionID: sid}) != ""
}

func TestCommit_isInForceWhenItReturnsAndAfterARestart(t *testing.T) {
	t.Parallel()
	l := fresh(never)
	if err := revoke(l, "s1"); err != nil || !revoked(l, "s1") || revoked(l, "s2") {
		t.Fatal("not in force", err)
	}
	again := &revocation.Log{DB: l.DB, State: &token.Revocations{}, Epoch: "e1"}
	if err := again.Load(context.Background(), time.Now()); err != nil || !revoked(again, "s1") {
		t.Fatal("lost by a restart", err)
	}
}

func TestCommit_knowsThePlaceOfItsItemsBesideOtherStreams(t *testing.T) {
	t.Parallel()
	l := fresh(never)
	for n := range uint64(3) {
		err := commit(l, token.RevokeSession("s1", 0), token.RevokeSession("s2", 0))
		if head := l.State.Head(); err != nil || head != 2*n+2 {
			t.Fatalf("after %d items the place is %d: %v", 2*n+2, head, err)
		}
	}
}

func TestCommit_unknownOutcomeIsNeitherAssumedNorMissed(t *testing.T) {
	for _, moment := range []storetest.Moment{storetest.Before, storetest.After} {
		synctest.Test(t, func(t *testing.T) {
			l := fresh(storetest.At(2, moment)) // the first is Run's own
			ctx, stop := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- l.Run(ctx) }()
			synctest.Wait()
			if err := revoke(l, "s1"); !fault.Is(err, fault.Unavailable) {
				t.Errorf("%v", err)
			}
			<-time.After(2 * time.Second) // of the bubble's clock
			if revoked(l, "s1") != (moment == storetest.After) {
				t.Errorf("moment %d: in force is %v", moment, revoked(l, "s1"))
			}
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFeed_longPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		l := fresh(never)
		began := time.Now()
		f, err := l.Feed(ctx, "e1", 0, time.Minute)
		if err != nil || len(f.Items) != 0 || time.Since(began) != 2*time.Second {
			t.Errorf("heartbeat after %s: %+v %v", time.Since(began), f, err)
		}
		got := make(chan token.Feed, 1)
		go func() { f, _ := l.Feed(ctx, "e1", 0, time.Minute); got <- f }()
		synctest.Wait()
		began = time.Now()
		if err := revoke(l, "s1"); err != nil {
			t.Error(err)
		}
		if f = <-got; len(f.Items) != 1 || f.Head != 1 || f.Items[0].Seq != 1 || f.Reset || time.Since(began) != 0 {
			t.Errorf("news after %s: %+v", time.Since(began), f)
		}
		for what, f := range map[string]func() (token.Feed, error){
			"another epoch":  func() (token.Feed, error) { return l.Feed(ctx, "e0", 1, 0) },
			"a future place": func() (token.Feed, error) { return l.Feed(ctx, "e1", 99, 0) },
		} {
			if f, err := f(); err != nil || !f.Reset || len(f.Items) != 1 || f.Head != 1 || f.Epoch != "e1" {
				t.Errorf("%s: %+v %v", what, f, err)
			}
		}
	})
}
