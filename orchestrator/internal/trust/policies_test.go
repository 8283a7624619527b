package trust_test

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/trust"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/store"
)

// changePolicy makes the control-center's next policy set: with another policy of that number, or
// without it.
func (c *center) changePolicy(n int, gone bool) {
	c.change(func(c *center) {
		next := authz.Change{ID: fmt.Sprint("p", n)}
		c.source.Version++
		c.source.Policies = slices.DeleteFunc(slices.Clone(c.source.Policies), func(p authz.Policy) bool { return p.ID == next.ID })
		if !gone {
			next.Policy = &authz.Policy{ID: next.ID, Name: next.ID, Enabled: true, Version: "1.0.0",
				Rules: []authz.Rule{{Effect: "Deny", Resource: fmt.Sprintf("servers:v%d-*", c.source.Version), Action: []string{"create"}}}}
			c.source.Policies = append(c.source.Policies, *next.Policy)
		}
		c.recent = append(c.recent, next)
	})
}

// wantSet wants the set in force to be the control-center's.
func wantSet(t *testing.T, c *center, tr *trust.Trust, when string) {
	t.Helper()
	got, want := tr.Policies().Source(), c.source
	want.Policies = slices.SortedFunc(slices.Values(want.Policies), func(a, b authz.Policy) int { return cmp.Compare(a.ID, b.ID) })
	if got.Version != want.Version || !reflect.DeepEqual(got.Policies, want.Policies) {
		t.Errorf("%s: version %d with %d policies, want %d with %d", when, got.Version, len(got.Policies), want.Version, len(want.Policies))
	}
}

// TestPolicies_areFollowedChangeByChangeAndSurviveARestart makes more changes than are kept beside
// the stored source.
func TestPolicies_areFollowedChangeByChangeAndSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, db := newCenter(t), memory(t)
		tr := start(t, db, c)
		settle(2 * time.Second)
		for i := range 601 {
			c.changePolicy(i%50, i%7 == 0)
			if i%2 == 0 {
				settle(20 * time.Millisecond)
			}
			if i%100 > 0 {
				continue
			}
			settle(2 * time.Second)
			again := &trust.Trust{DB: db, Issuer: issuer, Now: time.Now}
			if err := again.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantSet(t, c, tr, fmt.Sprint("change ", i))
			wantSet(t, c, again, fmt.Sprint("restarted after change ", i))
		}
		if c.whole != 1 {
			t.Errorf("everything was told %d times", c.whole)
		}
		kept, err := db.List(t.Context(), store.Query{Kind: "trust_policy", Total: true})
		if err != nil || kept.Total > 256 {
			t.Errorf("%d changes are kept, %v", kept.Total, err)
		}
	})
}

// TestPolicies_changesOfAnotherHistoryAreNotMixedIn gives the control-center another store, in
// which changes lead on from the version that is known.
func TestPolicies_changesOfAnotherHistoryAreNotMixedIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, db := newCenter(t), memory(t)
		tr := start(t, db, c)
		for i := range 5 {
			c.changePolicy(i, false)
		}
		settle(2 * time.Second)
		wantSet(t, c, tr, "first")
		c.change(func(c *center) { c.down = true })
		settle(time.Second)
		c.change(func(c *center) {
			c.down, c.epoch = false, "e2"
			c.source.Policies, c.recent = nil, nil
			c.source.Version = 1
		})
		for i := range 9 {
			c.changePolicy(100+i, false)
		}
		settle(3 * time.Second)
		wantSet(t, c, tr, "another epoch")
	})
}
