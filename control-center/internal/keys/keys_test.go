package keys_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/controltest"
	"github.com/provisioning-platform/platform/control-center/internal/keys"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/token"
)

func TestRotate_oldTokensLiveAndNoneIsSignedLater(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	r.Account(t, "dana")
	old := r.SignIn(t, "dana")
	before := r.Ring.Keys()
	kid, err := r.Ring.Rotate(ctx, nil)
	if err != nil || kid != before[1].ID {
		t.Fatalf("rotated to %s, announced was %s: %v", kid, before[1].ID, err)
	}
	r.Clock.Add(2 * time.Second)
	fresh := r.SignIn(t, "dana")
	if !r.Alive(old.Token) || !r.Alive(fresh.Token) {
		t.Fatal("a token died with the rotation")
	}
	if c, _ := r.Verify.Verify(fresh.Token, r.Clock.Now()); c.KeyID != kid {
		t.Fatalf("signed with %s", c.KeyID)
	}
	for range 3 {
		r.Clock.Add(26 * time.Hour)
		if _, err := r.Ring.Rotate(ctx, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range r.Ring.JWKS().Keys {
		if k.Kid == before[0].ID {
			t.Error("a retired key is published for ever")
		}
	}
	again := &keys.Ring{Changes: r.Changes, Sealer: r.Sealer, Now: r.Clock.Now}
	if err := again.Load(ctx); err != nil || len(again.Keys()) != len(r.Ring.Keys()) {
		t.Fatalf("after a restart: %v", err)
	}
}

func TestRemove_killsEveryTokenOfTheKey(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	r.Account(t, "dana")
	g := r.SignIn(t, "dana")
	kid := r.Ring.Keys()[0].ID
	if err := r.Ring.Remove(ctx, kid); err != nil {
		t.Fatal(err)
	}
	if r.Alive(g.Token) {
		t.Fatal("a token of a removed key lives")
	}
	f, err := r.Revoked.Feed(ctx, "", 1, 0)
	if err != nil || len(f.Items) != 2 || f.Items[0].Kind != token.ByKey || f.Items[0].Value != kid {
		t.Fatalf("feed %+v %v", f, err)
	}
	if named := f.Items[1]; named.Kind != token.AllKeys || !slices.Equal(named.Keys, r.Ring.JWKS().Keys) {
		t.Fatalf("the successor does not travel with the removal: %+v", named)
	}
	if next := r.SignIn(t, "dana"); !r.Alive(next.Token) {
		t.Fatal("nobody signs any more")
	}
	if err := r.Ring.Remove(ctx, "unknown"); !fault.Is(err, fault.NotFound) {
		t.Fatalf("unknown: %v", err)
	}
}

// TestRotate_inAHurryIsAConflictUntilTheNextKeyIsKnown: a key signs ten minutes after its
// announcement at the earliest, but for an emergency removal, whose successor the stream names in
// the same commit.
func TestRotate_inAHurryIsAConflictUntilTheNextKeyIsKnown(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	named := func() []token.JWK {
		f, err := r.Revoked.Feed(ctx, "", 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		return f.Items[len(f.Items)-1].Keys
	}
	if !slices.Equal(named(), r.Ring.JWKS().Keys) {
		t.Fatal("the stream of a fresh store does not name the keys")
	}
	if _, err := r.Ring.Rotate(ctx, nil); err != nil {
		t.Fatalf("the first keys were announced together: %v", err)
	}
	if !slices.Equal(named(), r.Ring.JWKS().Keys) {
		t.Fatal("a rotation does not travel in the stream")
	}
	r.Clock.Add(10*time.Minute - time.Second)
	before := r.Ring.Keys()
	_, err := r.Ring.Rotate(ctx, nil)
	if f := fault.Of(err); fault.CodeOf(err) != "key.announced_lately" || f.Kind != fault.Conflict || f.RetryAfter != time.Second {
		t.Fatalf("%+v", err)
	}
	if !slices.Equal(before, r.Ring.Keys()) {
		t.Fatal("a refused rotation changed the keys")
	}
	r.Clock.Add(time.Second)
	if _, err := r.Ring.Rotate(ctx, nil); err != nil {
		t.Fatal(err)
	}
	for range 3 { // whoever has the key has its successor's announcement too: no waiting
		all := r.Ring.Keys()
		current := all[slices.IndexFunc(all, func(k keys.TokenKey) bool { return k.State == token.Current })].ID
		if err := r.Ring.Remove(ctx, current); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(named(), r.Ring.JWKS().Keys) || holds(r, current) {
			t.Fatal("the stream does not name the successor, or the removed key verifies")
		}
	}
	if _, err := r.Ring.Rotate(ctx, nil); fault.CodeOf(err) != "key.announced_lately" {
		t.Fatalf("after a removal: %v", err)
	}
	if err := r.Ring.Announce(ctx); err != nil {
		t.Fatal(err)
	}
	f, _ := r.Revoked.Feed(ctx, "", 0, 0)
	head := f.Head
	again := &keys.Ring{Changes: r.Changes, Sealer: r.Sealer, Now: r.Clock.Now}
	if err := errors.Join(again.Load(ctx), again.Announce(ctx)); err != nil {
		t.Fatal(err)
	}
	if f, _ := r.Revoked.Feed(ctx, "", 0, 0); f.Head != head {
		t.Error("a start announces what the stream says already")
	}
}

// watched is a store that tells of what passes through.
type watched struct {
	store.DB
	got       func(store.Key) // after a read
	committed func()          // after a commit
}

func (w *watched) Get(ctx context.Context, k store.Key) (store.Doc, error) {
	d, err := w.DB.Get(ctx, k)
	if w.got != nil {
		w.got(k)
	}
	return d, err
}

func (w *watched) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	r, err := w.DB.Commit(ctx, b)
	if w.committed != nil {
		w.committed()
	}
	return r, err
}

func holds(r *controltest.Rig, kid string) bool {
	_, ok := r.Ring.Public.Key(kid)
	return ok
}

func TestRemove_isInForceThoughTheCallerHasLeft(t *testing.T) {
	t.Parallel()
	db := &watched{DB: memstore.New(controltest.Schema())}
	r := controltest.Over(t, db)
	kid := r.Ring.Keys()[0].ID
	ctx, leave := context.WithCancel(context.Background())
	db.committed = leave
	if err := r.Ring.Remove(ctx, kid); err != nil || holds(r, kid) {
		t.Fatalf("the removed key is still in use: %v %v", holds(r, kid), err)
	}
}

func TestLoad_neverPutsBackARemovedKey(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := &watched{DB: memstore.New(controltest.Schema())}
	r := controltest.Over(t, db)
	kid := r.Ring.Keys()[0].ID
	read, goOn := make(chan struct{}), make(chan struct{})
	var slow atomic.Bool
	db.got = func(k store.Key) {
		if k.Kind == "token_ring" && slow.CompareAndSwap(false, true) {
			close(read)
			<-goOn
		}
	}
	loaded, removed := make(chan error, 1), make(chan error, 1)
	go func() { loaded <- r.Ring.Load(ctx) }() // as Run does: it has read the ring and is slow from here on
	<-read
	go func() { removed <- r.Ring.Remove(ctx, kid) }()
	select {
	case err := <-removed:
		removed <- err
	case <-time.After(50 * time.Millisecond): // it waits for the other one
	}
	close(goOn)
	for _, done := range []chan error{loaded, removed} {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if holds(r, kid) {
		t.Fatal("the removed key is in use again")
	}
}
