package policy_test

import (
	"context"
	"reflect"
	"testing"

	"github.com/provisioning-platform/platform/control-center/internal/policy"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

func TestVersions_stayAsTheyWereAndComeBackWithOneRevert(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := load(t, fresh())
	if err := put(b, denyWeb()); err != nil {
		t.Fatal(err)
	}
	other := denyWeb()
	other.Rules[0].Resource = "servers:db-*"
	if err := put(b, other); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(ctx, p1, "", root); err != nil {
		t.Fatal(err)
	}
	w, err := b.Versions(ctx, p1, store.Place{Limit: 1})
	if err != nil || w.Total != 2 || len(w.Rows) != 1 || w.Rows[0].Value.Revision != 2 || w.Rows[0].Value.Version != "1.0.1" ||
		w.Next == "" {
		t.Fatalf("%+v %v", w, err)
	}
	if w, err = b.Versions(ctx, p1, store.Place{Limit: 1, After: w.Next}); err != nil || len(w.Rows) != 1 ||
		w.Rows[0].Value.Revision != 1 ||
		w.Next != "" {
		t.Fatalf("%+v %v", w, err)
	}
	d, err := b.Revert(ctx, p1, 1, "", root, nil)
	if err != nil || d.Revision != 3 || d.Version != "1.0.0" || allowed(b, "web-01") || !allowed(b, "db-01") {
		t.Fatalf("reverted to 1: %+v %v", d, err)
	}
	if _, err := b.Revert(ctx, p1, 9, "", root, nil); fault.CodeOf(err) != "policy.no_version" {
		t.Errorf("to a revision that never was: %v", err)
	}
	if v, err := b.Version(ctx, p1, 2); err != nil || v.Rules[0].Resource != "servers:db-*" {
		t.Errorf("%+v %v", v, err)
	}
}

func TestUpdate_ofAPolicyThatSomebodyElseChangedIsRefused(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := load(t, fresh())
	if err := put(b, denyWeb()); err != nil {
		t.Fatal(err)
	}
	off := false
	for match, want := range map[string]string{`"2"`: "policy.changed", `"x", "7"`: "policy.changed"} {
		if err := b.Update(ctx, p1, policy.Edit{Enabled: &off}, match, root); fault.CodeOf(err) != want || allowed(b, "web-01") {
			t.Errorf("If-Match %s: %v", match, err)
		}
	}
	if err := b.Update(ctx, p1, policy.Edit{Enabled: &off}, `"7", "1"`, root); err != nil || !allowed(b, "web-01") {
		t.Errorf("the right one: %v", err)
	}
	if err := b.Delete(ctx, p1, `"1"`, root); fault.CodeOf(err) != "policy.changed" {
		t.Errorf("deleted: %v", err)
	}
	if err := b.Delete(ctx, p1, "*", root); err != nil {
		t.Errorf("deleted: %v", err)
	}
	if err := b.Update(ctx, p1, policy.Edit{Enabled: &off}, "*", root); !fault.Is(err, fault.NotFound) {
		t.Errorf("a deleted one: %v", err)
	}
}

func TestCreate_aNameIsTakenInAnyCase(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := load(t, fresh())
	if err := put(b, denyWeb()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Create(ctx, policy.Draft{Name: "No-Web", Version: "1", Rules: denyWeb().Rules}, root); fault.CodeOf(
		err,
	) != "policy.name_taken" {
		t.Errorf("%v", err)
	}
	name := "ADMIN_access_policy"
	if err := b.Update(ctx, p1, policy.Edit{Name: &name}, "", root); fault.CodeOf(err) != "policy.name_taken" {
		t.Errorf("renamed: %v", err)
	}
	name = "NO-web"
	if err := b.Update(ctx, p1, policy.Edit{Name: &name}, "", root); err != nil {
		t.Errorf("another spelling of the own name: %v", err)
	}
}

func TestUpdate_theVersionRisesInItsLastPart(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := load(t, fresh())
	on := true
	for _, c := range [][2]string{{"1.0.0", "1.0.1"}, {"1.9", "1.10"}, {"7", "8"}, {"draft", "draft.1"}, {"1.0.x", "1.0.x.1"},
		{"99999999999999999999", "99999999999999999999.1"}} {
		d, err := b.Create(ctx, policy.Draft{Name: "v" + c[0], Version: c[0], Rules: denyWeb().Rules}, root)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Update(ctx, d.ID, policy.Edit{Enabled: &on}, "", root); err != nil {
			t.Fatal(err)
		}
		if d, err = b.Get(ctx, d.ID); err != nil || d.Version != c[1] {
			t.Errorf("%s rises to %s, want %s (%v)", c[0], d.Version, c[1], err)
		}
	}
}

func TestCompare_namesThePlacesAndNoOthers(t *testing.T) {
	t.Parallel()
	r := func(effect, resource string) authz.Rule {
		return authz.Rule{Effect: effect, Resource: resource, Action: []string{"create"}}
	}
	a := policy.Document{
		Name:    "a",
		Version: "1",
		Rules:   []authz.Rule{r("Allow", "servers:a"), r("Allow", "servers:b"), r("Allow", "servers:c"), r("Allow", "servers:d")},
	}
	b := policy.Document{
		Name:    "b",
		Version: "1",
		Enabled: true,
		Rules:   []authz.Rule{r("Deny", "servers:z"), r("Allow", "servers:a"), r("Deny", "servers:b"), r("Allow", "servers:c")},
	}
	found, err := policy.Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	var places []string
	for _, d := range found {
		places = append(places, d.Pointer+" "+string(d.Before)+" "+string(d.After))
	}
	want := []string{
		`/name "a" "b"`, `/enabled false true`,
		`/rules/0  {"action":["create"],"effect":"Deny","resource":"servers:z"}`,
		`/rules/2/effect "Allow" "Deny"`,
		`/rules/3 {"action":["create"],"effect":"Allow","resource":"servers:d"} `,
	}
	if !reflect.DeepEqual(places, want) {
		t.Errorf("%q", places)
	}
	if same, _ := policy.Compare(a, a); len(same) != 0 {
		t.Errorf("%v", same)
	}
}
