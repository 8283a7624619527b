package policy_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/control-center/internal/auditlog"
	"github.com/provisioning-platform/platform/control-center/internal/policy"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

func TestCheck_refusesAsTheChangeWouldAndStoresNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := load(t, fresh())
	if err := put(b, denyWeb()); err != nil {
		t.Fatal(err)
	}
	version := b.Authority.Set().Version()
	draft := policy.Document{Enabled: true, Name: "draft", Version: "1", Rules: denyWeb().Rules}
	for name, c := range map[string]struct {
		edit func(*policy.Document)
		code string
	}{
		"good":         {func(*policy.Document) {}, ""},
		"a taken name": {func(d *policy.Document) { d.Name = "NO-WEB" }, "policy.name_taken"},
		"the own name": {func(d *policy.Document) { d.ID, d.Name = p1, "NO-WEB" }, ""},
		"a lock-out": {func(d *policy.Document) {
			d.Rules = []authz.Rule{{Effect: "Deny", Resource: "*:*", Action: []string{"*"}}}
		}, "policy.lockout"},
		"an unknown id": {func(d *policy.Document) { d.ID = "01997b1c-0000-7000-8000-000000000000" }, "policy.not_found"},
		"a broken effect": {func(d *policy.Document) {
			d.Rules = []authz.Rule{{Effect: "Maybe", Resource: "servers:*", Action: []string{"read"}}}
		}, "policy.invalid"},
	} {
		d := draft
		c.edit(&d)
		if _, err := b.Check(ctx, d, root); err == nil && c.code != "" || err != nil && fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %q", name, err, c.code)
		}
	}
	if b.Authority.Set().Version() != version {
		t.Error("a check changed the policies in force")
	}
}

func TestCheck_warnsOfWhatIsProbablyNotMeant(t *testing.T) {
	t.Parallel()
	rule := func(effect, resource, condition string) authz.Rule {
		return authz.Rule{Effect: effect, Resource: resource, Action: []string{"create"}, Condition: condition}
	}
	c, err := load(t, fresh()).Check(context.Background(), policy.Document{Name: "w", Version: "1", Rules: []authz.Rule{
		rule("Allow", "servers:a", "user.role == 'viewer'"), rule("Deny", "servers:*", ""), rule("Deny", "servers:b", ""),
		rule("Allow", "tasks:*", ""), rule("Deny", "servers:*", ""), rule("Deny", "batches:c", "request.mfa"),
	}}, root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range c.Warnings {
		got = append(got, f.Pointer+" "+f.Message)
	}
	text := strings.Join(got, "\n")
	for _, want := range []string{"/rules/0 allows nothing", "/rules/2 adds nothing to /rules/1", "/rules/3 allows this to every user",
		"/rules/4 says the same as /rules/1"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, w := range c.Warnings {
		if w.Pointer == "/rules/1" || w.Pointer == "/rules/5" {
			t.Errorf("%s", text)
		}
	}
}

// TestRehearse_countsWhatTheDraftWouldHaveDecidedOtherwise asks decisions as the audit log keeps
// them.
func TestRehearse_countsWhatTheDraftWouldHaveDecidedOtherwise(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := load(t, fresh())
	row := func(n int, d *audit.DecisionRecord) store.Row[auditlog.Row] {
		details, err := json.Marshal(map[string]any{"decision": d, "username": "dana"})
		if err != nil {
			t.Fatal(err)
		}
		return store.Row[auditlog.Row]{Value: auditlog.Row{ID: string(rune('a' + n)), Action: "server.create", Details: details}}
	}
	decided := func(role, server string) *audit.DecisionRecord {
		a := authz.Act{Subject: authz.Subject{ID: "u1", Username: "dana", Roles: []string{role}}, IP: "192.0.2.7", Time: root.Time}
		a.Ask("create", authz.Resource{Type: "servers", Name: server})
		return audit.Decide(b.Authority.Decide, &a, 0, 0).Record
	}
	rows := []store.Row[auditlog.Row]{
		row(0, decided("operator", "web-01")), row(1, decided("operator", "db-01")), row(2, decided("viewer", "db-02")),
		row(
			3,
			&audit.DecisionRecord{Allowed: true, Policy: 1, Rule: "role:operator#0"},
		), row(4, &audit.DecisionRecord{Allowed: true, Of: "a", Rule: "role:operator#0"}), row(5, nil),
	}
	c, err := b.Check(ctx, policy.Document{Enabled: true, Name: "draft", Version: "1", Rules: []authz.Rule{
		{Effect: "Deny", Resource: "servers:web-*", Action: []string{"create"}},
		{Effect: "Allow", Resource: "servers:db-02", Action: []string{"create"}, Condition: "user.role == 'viewer'"},
	}}, root)
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Rehearse(ctx, c.Set, "", func(_ context.Context, after string) (store.Window[auditlog.Row], error) {
		if after == "" {
			return store.Window[auditlog.Row]{Rows: rows[:2], Next: "b"}, nil
		}
		return store.Window[auditlog.Row]{Rows: rows[2:]}, nil
	})
	if err != nil || r.Rows != 6 || r.Decisions != 3 || r.CannotTell != 1 || r.Deny != 1 || r.Allow != 1 || r.Next != "" {
		t.Fatalf("%+v %v", r, err)
	}
	if first := r.Changed[0]; first.Row.ID != "a" || first.Allowed || !first.InForce || first.Username != "dana" ||
		!strings.HasPrefix(first.Rule, "policy:") ||
		!strings.HasPrefix(first.Recorded, "role:") {
		t.Errorf("%+v", first)
	}
}
