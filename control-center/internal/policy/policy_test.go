package policy_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/policy"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

func book(t *testing.T, db store.DB) *policy.Book {
	t.Helper()
	b := &policy.Book{DB: db, Authority: &authz.Authority{}, Now: time.Now, Log: obs.Discard()}
	if err := b.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	return b
}

func fresh() store.DB {
	return memstore.New(store.Schema{Service: "control_center", Kinds: policy.Kinds()})
}

func denyWeb() authz.Policy {
	return authz.Policy{Enabled: true, ID: "p1", Name: "no-web", Version: "1.0.0", Rules: []authz.Rule{{Effect: authz.EffectDeny, Resource: "servers:web-*", Action: []string{"create"}}}}
}

func allowed(b *policy.Book, name string) bool {
	return b.Authority.Decide(authz.Request{
		Subject: authz.Subject{ID: "u1", Roles: []string{"operator"}}, Action: "create", Resource: authz.Resource{Type: "servers", Name: name}, Time: time.Now(),
	}).Allowed
}

func TestBook_changeIsInForceWhenItReturns(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := book(t, fresh())
	if !allowed(b, "web-01") {
		t.Fatal("the operator's default right is missing")
	}
	version := b.Authority.Set().Version()
	if err := b.Put(ctx, "policy.create", denyWeb()); err != nil {
		t.Fatal(err)
	}
	if allowed(b, "web-01") || !allowed(b, "db-01") || b.Authority.Set().Version() != version+1 {
		t.Fatal("the policy is not in force")
	}
	bad := denyWeb()
	bad.Rules[0].Condition = "user.role =="
	if err := b.Put(ctx, "policy.update", bad); !fault.Is(err, fault.Invalid) || allowed(b, "web-01") {
		t.Fatalf("a broken policy: %v", err)
	}
	if err := b.Remove(ctx, "p1"); err != nil || !allowed(b, "web-01") {
		t.Fatalf("removed: %v", err)
	}
	if err := b.Remove(ctx, "p1"); !fault.Is(err, fault.NotFound) {
		t.Fatalf("removed twice: %v", err)
	}
}

func TestBook_survivesARestart(t *testing.T) {
	t.Parallel()
	db := fresh()
	b := book(t, db)
	if err := b.Put(context.Background(), "policy.create", denyWeb()); err != nil {
		t.Fatal(err)
	}
	again := book(t, db)
	if allowed(again, "web-01") || again.Authority.Set().Version() != b.Authority.Set().Version() {
		t.Fatal("another set after a restart")
	}
}

func TestFeed_wakesOnAChange(t *testing.T) {
	synctest.Test(t, feedWakes)
}

func feedWakes(t *testing.T) {
	ctx := context.Background()
	b := book(t, fresh())
	version := b.Authority.Set().Version()
	if f := b.Feed(ctx, 0, 0); f.Source == nil || f.Version != version {
		t.Fatalf("first contact: %+v", f)
	}
	if f := b.Feed(ctx, version, 0); f.Source != nil || f.Version != version {
		t.Fatalf("nothing new: %+v", f)
	}
	began := time.Now()
	got := make(chan authz.Feed, 1)
	go func() { got <- b.Feed(ctx, version, 2*time.Second) }()
	synctest.Wait()
	if err := b.Put(ctx, "policy.create", denyWeb()); err != nil {
		t.Error(err)
	}
	if f := <-got; f.Source == nil || f.Version != version+1 || time.Since(began) != 0 {
		t.Errorf("after %s: %+v", time.Since(began), f)
	}
}
