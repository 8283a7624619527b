package policy_test

import (
	"context"
	"testing"

	"github.com/provisioning-platform/platform/control-center/internal/controltest"
	"github.com/provisioning-platform/platform/control-center/internal/policy"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
)

// TestLockout_isRefusedAndEveryOtherDenyIsNot is decision 64: a change is refused when its caller,
// as this request comes, or every administrator, wherever and whenever, could change policies
// before it and not after it.
func TestLockout_isRefusedAndEveryOtherDenyIsNot(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	root := root
	root.Subject.ID = r.Account(t, "root", "admin").ID
	clerk := r.Account(t, "clerk", "operator")
	// The clerk may change policies by a policy, and is no administrator.
	if _, err := r.Policies.Create(ctx, policy.Draft{Name: "clerks", Version: "1", Enabled: true, Rules: []authz.Rule{
		{Effect: "Allow", Resource: "policies:*", Action: []string{"create", "update"},
			Condition: "user.username == 'clerk'"}}}, root); err != nil {
		t.Fatal(err)
	}
	by := map[string]policy.Caller{
		"root":  root,
		"clerk": {Subject: authz.Subject{ID: clerk.ID, Username: "clerk", Roles: []string{"operator"}}, IP: "192.0.2.9", Time: root.Time},
	}
	for name, c := range map[string]struct {
		who, resource, action, condition string
		refused                          bool
	}{
		"everybody":                    {"root", "policies:*", "update", "", true},
		"everything":                   {"root", "*:*", "*", "", true},
		"without his name":             {"root", "*:*", "*", "user.username != 'root'", false},
		"from his address":             {"root", "policies:*", "update", "request.ip == '192.0.2.1'", true},
		"from another address":         {"root", "policies:*", "update", "request.ip != '192.0.2.1'", false},
		"at this hour":                 {"root", "*:*", "*", "time.hour == 12", true},
		"at another hour":              {"root", "*:*", "*", "time.hour == 13", false},
		"with the second factor":       {"root", "policies:*", "update", "request.mfa", true},
		"without a second factor":      {"root", "policies:*", "update", "!request.mfa", false},
		"each by the beginning":        {"root", "policies:0*", "update", "", true},
		"one other policy":             {"root", "policies:01997b1c-0000-7000-8000-000000000001", "update", "", false},
		"only to create":               {"root", "policies:*", "create", "", false},
		"servers":                      {"root", "servers:*", "*", "", false},
		"administrators, by the clerk": {"clerk", "policies:*", "update", "user.role == 'admin'", true},
		"their address, by the clerk":  {"clerk", "policies:*", "update", "user.role == 'admin' && request . ip != '10.0.0.1'", false},
		"one of them, by the clerk":    {"clerk", "policies:*", "update", "user.role == 'admin' && user.username != 'admin'", false},
		"himself, by the clerk":        {"clerk", "policies:*", "update", "user.id == '" + clerk.ID + "'", true},
	} {
		n := policy.Draft{
			Name:    "lock",
			Version: "1",
			Rules:   []authz.Rule{{Effect: "Deny", Resource: c.resource, Action: []string{c.action}, Condition: c.condition}},
			Enabled: true,
		}
		before := r.Policies.Authority.Set().Version()
		d, err := r.Policies.Create(ctx, n, by[c.who])
		if refused := fault.CodeOf(err) == "policy.lockout"; refused != c.refused || !refused && err != nil {
			t.Errorf("%s: %v, want a refusal: %v", name, err, c.refused)
		}
		if err != nil {
			if r.Policies.Authority.Set().Version() != before {
				t.Errorf("%s: a refused change is in force", name)
			}
			n.Enabled = false
			if d, err = r.Policies.Create(ctx, n, by[c.who]); err != nil {
				t.Fatalf("%s, not in force: %v", name, err)
			}
			on := true
			if err := r.Policies.Update(ctx, d.ID, policy.Edit{Enabled: &on}, "", by[c.who]); fault.CodeOf(err) != "policy.lockout" {
				t.Errorf("%s, then in force: %v", name, err)
			}
		}
		if err := r.Policies.Delete(ctx, d.ID, "", root); err != nil {
			t.Fatal(err)
		}
	}
	// Taking away the Allow that the caller lives on is no other thing.
	w, err := r.Policies.List(ctx, policy.Filter{Name: "Clerks"}, listAll)
	if err != nil || len(w.Rows) != 1 {
		t.Fatal(err)
	}
	if err := r.Policies.Delete(ctx, w.Rows[0].Value.ID, "", by["clerk"]); fault.CodeOf(err) != "policy.lockout" {
		t.Errorf("the clerk takes away his own right: %v", err)
	}
	if err := r.Policies.Delete(ctx, w.Rows[0].Value.ID, "", root); err != nil {
		t.Error(err)
	}
}
