package policy_test

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/policy"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

func load(t *testing.T, db store.DB) *policy.Policies {
	t.Helper()
	b := &policy.Policies{Changes: &change.Committer{DB: db}, Authority: &authz.Authority{}, Now: time.Now, Log: obs.Discard()}
	if err := b.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	return b
}

func fresh() store.DB {
	return memstore.New(store.Schema{Service: "control_center", Kinds: append(policy.Kinds(), user.Kinds()...)})
}

// p1 is the id of denyWeb.
const p1 = "01997b1c-0000-7000-8000-0000000000ff"

// listAll is the first page of a list.
var listAll = store.Place{Limit: store.MaxPage}

// root is an administrator with a second factor.
var root = policy.Caller{
	Subject: authz.Subject{ID: "01997b1c-0000-7000-8000-00000000aaaa", Username: "root", Roles: []string{"admin"}, MFA: true},
	IP:      "192.0.2.1",
	Time:    time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC),
}

// put creates p or, when there is a policy with its id, changes it.
func put(b *policy.Policies, p authz.Policy) error {
	ctx := context.Background()
	if _, err := b.Get(ctx, p.ID); err == nil {
		return b.Update(ctx, p.ID, policy.Edit{Name: &p.Name, Rules: p.Rules, Enabled: &p.Enabled}, "", root)
	}
	_, err := b.Create(ctx, policy.Draft{ID: p.ID, Name: p.Name, Version: p.Version, Rules: p.Rules, Enabled: p.Enabled}, root)
	return err
}

func denyWeb() authz.Policy {
	return authz.Policy{
		Enabled: true,
		ID:      p1,
		Name:    "no-web",
		Version: "1.0.0",
		Rules:   []authz.Rule{{Effect: authz.EffectDeny, Resource: "servers:web-*", Action: []string{"create"}}},
	}
}

func allowed(b *policy.Policies, name string) bool {
	return b.Authority.Decide(authz.Request{
		Subject: authz.Subject{
			ID:    "u1",
			Roles: []string{"operator"},
		}, Action: "create", Resource: authz.Resource{Type: "servers", Name: name}, Time: time.Now(),
	}).Allowed
}

func TestPolicies_changeIsInForceWhenItReturns(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := load(t, fresh())
	if !allowed(b, "web-01") {
		t.Fatal("the operator's default right is missing")
	}
	version := b.Authority.Set().Version()
	if err := put(b, denyWeb()); err != nil {
		t.Fatal(err)
	}
	if allowed(b, "web-01") || !allowed(b, "db-01") || b.Authority.Set().Version() != version+1 {
		t.Fatal("the policy is not in force")
	}
	bad := denyWeb()
	bad.Rules[0].Condition = "user.role =="
	if err := put(b, bad); !fault.Is(err, fault.Invalid) || allowed(b, "web-01") {
		t.Fatalf("a broken policy: %v", err)
	}
	if err := b.Delete(ctx, p1, "", root); err != nil || !allowed(b, "web-01") {
		t.Fatalf("removed: %v", err)
	}
	if err := b.Delete(ctx, p1, "", root); !fault.Is(err, fault.NotFound) {
		t.Fatalf("removed twice: %v", err)
	}
}

func TestPolicies_survivesARestart(t *testing.T) {
	t.Parallel()
	db := fresh()
	b := load(t, db)
	if err := put(b, denyWeb()); err != nil {
		t.Fatal(err)
	}
	again := load(t, db)
	if allowed(again, "web-01") || again.Authority.Set().Version() != b.Authority.Set().Version() {
		t.Fatal("another set after a restart")
	}
}

func TestFeed_wakesOnAChange(t *testing.T) {
	synctest.Test(t, feedWakes)
}

func feedWakes(t *testing.T) {
	ctx := context.Background()
	b := load(t, fresh())
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
	if err := put(b, denyWeb()); err != nil {
		t.Error(err)
	}
	if f := <-got; f.Source != nil || len(f.Changes) != 1 || f.Changes[0].Policy.Name != "no-web" || f.Version != version+1 ||
		time.Since(began) != 0 {
		t.Errorf("after %s: %+v", time.Since(began), f)
	}
}

// TestFeed_tellsChangesAndEverythingToWhoIsFarBehind follows from every version there was.
func TestFeed_tellsChangesAndEverythingToWhoIsFarBehind(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := fresh()
	b := load(t, db)
	first := b.Authority.Set().Version()
	follower := &authz.Authority{}
	src := b.Authority.Set().Source()
	set, _, err := authz.Load(nil, src)
	if err != nil {
		t.Fatal(err)
	}
	follower.Swap(set)
	for i := range 300 {
		p := denyWeb()
		p.ID, p.Name, p.Rules[0].Resource = fmt.Sprintf(
			"01997b1c-0000-7000-8000-%012d",
			i%7,
		), fmt.Sprint(
			"p",
			i%7,
		), fmt.Sprintf(
			"servers:web-%d",
			i,
		)
		if err := put(b, p); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			if err := b.Delete(ctx, p.ID, "", root); err != nil {
				t.Fatal(err)
			}
		}
		if i%5 == 0 {
			f := b.Feed(ctx, follower.Set().Version(), 0)
			if f.Source != nil {
				t.Fatalf("everything for %d changes", f.Version-follower.Set().Version())
			}
			if _, err := follower.Set().Apply(f.Version, f.Changes...); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(follower.Set().Source(), b.Authority.Set().Source()) {
				t.Fatalf("another set after change %d", i)
			}
		}
	}
	for _, version := range []uint64{0, first, b.Authority.Set().Version() + 1} {
		if f := b.Feed(ctx, version, 0); f.Source == nil || !reflect.DeepEqual(*f.Source, b.Authority.Set().Source()) {
			t.Errorf("version %d: %d changes", version, len(f.Changes))
		}
	}
	if again := load(t, db); !reflect.DeepEqual(again.Authority.Set().Source(), b.Authority.Set().Source()) {
		t.Error("another set after a restart")
	}
}

// reading counts the documents that are read.
type reading struct {
	store.DB
	docs int
}

func (r *reading) List(ctx context.Context, q store.Query) (store.Page, error) {
	page, err := r.DB.List(ctx, q)
	r.docs += len(page.Docs)
	return page, err
}

func (r *reading) Get(ctx context.Context, k store.Key) (store.Doc, error) {
	r.docs++
	return r.DB.Get(ctx, k)
}

// TestPolicies_aChangeCostsTheSameHoweverManyPoliciesThereAre compares what the last of
// many changes reads.
func TestPolicies_aChangeCostsTheSameHoweverManyPoliciesThereAre(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	read := func(n int) int {
		db := &reading{DB: fresh()}
		var batch store.Batch
		for i := range n {
			p := denyWeb()
			w, err := policy.Table.Write(
				policy.Document{
					Enabled: true,
					ID:      fmt.Sprintf("01997b1c-0001-7000-8000-%012d", i),
					Name:    fmt.Sprint("n", i),
					Rules:   p.Rules,
					Version: "1.0.0",
				},
				store.Absent(),
			)
			if err != nil {
				t.Fatal(err)
			}
			if batch.Writes = append(batch.Writes, w); len(batch.Writes) == store.MaxWrites || i == n-1 {
				if _, err := db.Commit(ctx, batch); err != nil {
					t.Fatal(err)
				}
				batch.Writes = nil
			}
		}
		b := load(t, db)
		for i := range 30 {
			p := denyWeb()
			p.Rules[0].Condition = fmt.Sprintf("time.hour < %d", i%24)
			db.docs = 0
			if err := put(b, p); err != nil {
				t.Fatal(err)
			}
			if f := b.Feed(ctx, b.Authority.Set().Version()-1, 0); f.Source != nil {
				t.Fatal("everything is told for one change")
			}
		}
		return db.docs
	}
	if few, many := read(10), read(10_000); few != many || few == 0 {
		t.Errorf("a change reads %d documents with 10,000 policies and %d with 10", many, few)
	}
}

// TestPolicies_aChangeStoredBehindTheirBackComesInForce: a commit whose outcome was unknown takes
// place after its change has read the set again. What GET shows was not what held until the next
// change.
func TestPolicies_aChangeStoredBehindTheirBackComesInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := fresh()
		b, behind := load(t, db), load(t, db)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		if err := put(behind, denyWeb()); err != nil {
			t.Fatal(err)
		}
		<-time.After(3 * time.Second)
		if allowed(b, "web-1") {
			t.Error("the stored policy does not hold")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
