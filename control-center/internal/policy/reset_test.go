package policy_test

import (
	"context"
	"slices"
	"testing"

	"github.com/provisioning-platform/platform/control-center/internal/policy"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/store"
)

// TestReset_leavesWhatTheProgramBringsInForceAndDeletesNothing resets a store with more policies
// than one commit changes, one of which denies everything.
func TestReset_leavesWhatTheProgramBringsInForceAndDeletesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := fresh()
	b := load(t, db)
	for i := range 20 {
		p := denyWeb()
		p.ID, p.Name = "", "many-"+string(rune('a'+i))
		if i == 7 {
			p.Rules = []authz.Rule{{Effect: "Deny", Resource: "*:*", Action: []string{"*"}, Condition: "user.username != 'root'"}}
		}
		if _, err := b.Create(ctx, policy.Draft{Name: p.Name, Version: "1", Rules: p.Rules, Enabled: true}, root); err != nil {
			t.Fatal(err)
		}
	}
	const builtin = "00000000-0000-8000-8000-000000000001"
	if err := b.Delete(ctx, builtin, "", root); err != nil {
		t.Fatal(err)
	}
	names, err := b.Reset(ctx)
	if err != nil || len(names) != 21 || !slices.Contains(names, "admin_access_policy") {
		t.Fatalf("%q %v", names, err)
	}
	if again, err := b.Reset(ctx); err != nil || len(again) != 0 {
		t.Errorf("a second reset changes %q (%v)", again, err)
	}
	b = load(t, db)
	if !allowed(b, "web-01") {
		t.Error("a policy denies still")
	}
	w, err := b.List(ctx, policy.Filter{}, store.Place{Limit: store.MaxPage})
	if err != nil || w.Total != 21 {
		t.Fatalf("%d policies are left (%v), want 21", w.Total, err)
	}
	for _, r := range w.Rows {
		if r.Value.Enabled != (r.Value.ID == builtin) {
			t.Errorf("%s is in force: %v", r.Value.Name, r.Value.Enabled)
		}
	}
}
