package serviceaccount_test

import (
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/apitoken"
	"github.com/provisioning-platform/platform/control-center/internal/controltest"
	"github.com/provisioning-platform/platform/control-center/internal/serviceaccount"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// account makes a service account with a token.
func account(t *testing.T, r *controltest.Rig, name string, roles ...string) (serviceaccount.Account, string) {
	t.Helper()
	a, err := r.Machines.Create(t.Context(), serviceaccount.Draft{Name: name, Owner: r.Account(t, "owner-of-"+name).ID, Roles: roles},
		controltest.Root)
	if err != nil {
		t.Fatal(err)
	}
	_, text, err := r.Tokens.Create(t.Context(), apitoken.Draft{Name: "build", Owner: a.ID, Username: a.Username(),
		Scope: authz.Scope{{Action: []string{"*"}, Resource: "*:*"}}, Expires: r.Clock.Now().Add(time.Hour)},
		func(tx *store.Tx) error { return serviceaccount.Enabled(tx, a.ID) })
	if err != nil {
		t.Fatal(err)
	}
	return a, text
}

func good(t *testing.T, r *controltest.Rig, text string) bool {
	t.Helper()
	_, err := r.Tokens.Authenticate(t.Context(), text)
	return err == nil
}

func TestUpdate_rolesAreThoseOfNowAndDisablingEndsItsTokensForGood(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	a, text := account(t, r, "ci", "operator")
	c, err := r.Tokens.Authenticate(t.Context(), text)
	if err != nil || c.Subject != a.ID || c.Username != "service-account:ci" || c.Roles[0] != "operator" || c.MFA() {
		t.Fatalf("%+v, %v", c, err)
	}
	if err := r.Machines.Update(t.Context(), a.ID, serviceaccount.Patch{Roles: []string{"viewer"}}, controltest.Root); err != nil {
		t.Fatal(err)
	}
	if c, err := r.Tokens.Authenticate(t.Context(), text); err != nil || c.Roles[0] != "viewer" {
		t.Errorf("after a change of roles: %v, %v", c.Roles, err)
	}
	for _, on := range []bool{false, true} {
		if err := r.Machines.Update(t.Context(), a.ID, serviceaccount.Patch{Enabled: &on}, controltest.Root); err != nil {
			t.Fatal(err)
		}
		if good(t, r, text) {
			t.Errorf("enabled %v: the token of before is good", on)
		}
	}
	if err := r.Machines.Delete(t.Context(), a.ID, controltest.Root); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Machines.Get(t.Context(), a.ID); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
	page, err := r.DB.Read(t.Context(), user.SubjectStream, 0, store.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	if last := string(page.Entries[len(page.Entries)-1].Body); last !=
		`{"deleted":true,"enabled":false,"kind":"service_account","roles":[],"sub":"`+a.ID+`","version":5}` {
		t.Errorf("the orchestrator is told %s", last)
	}
}

func TestDelete_theNameIsFreeAgain(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	a, _ := account(t, r, "ci", "viewer")
	if err := r.Machines.Delete(t.Context(), a.ID, controltest.Root); err != nil {
		t.Fatal(err)
	}
	again := serviceaccount.Draft{Name: "CI", Owner: a.Owner, Roles: []string{"viewer"}}
	if b, err := r.Machines.Create(t.Context(), again, controltest.Root); err != nil || b.ID == a.ID {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestCreate_whatIsRefused(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	a, _ := account(t, r, "ci", "viewer")
	operator := user.Caller{ID: "y", Roles: []string{"operator"}}
	for what, c := range map[string]struct {
		draft serviceaccount.Draft
		by    user.Caller
		code  string
	}{
		"a name in another case": {serviceaccount.Draft{Name: "CI", Owner: a.Owner, Roles: []string{"viewer"}}, controltest.Root,
			"service_account.taken"},
		"a strange name": {serviceaccount.Draft{Name: "-x", Owner: a.Owner, Roles: []string{"viewer"}}, controltest.Root,
			"service_account.invalid"},
		"no role": {serviceaccount.Draft{Name: "b", Owner: a.Owner}, controltest.Root, "service_account.invalid"},
		"an unknown role": {serviceaccount.Draft{Name: "b", Owner: a.Owner, Roles: []string{"king"}}, controltest.Root,
			"service_account.invalid"},
		"an owner who is none": {serviceaccount.Draft{Name: "b", Owner: a.ID, Roles: []string{"viewer"}}, controltest.Root,
			"service_account.invalid"},
		"roles above the maker": {serviceaccount.Draft{Name: "b", Owner: a.Owner, Roles: []string{"auditor"}}, operator,
			"user.roles_above_own"},
	} {
		if _, err := r.Machines.Create(t.Context(), c.draft, c.by); fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestRecover_aBackupRevivesNoMachine is decision 51: every API token of a control-center that was
// put back is suspended until its owner rotates it, and a service account that lost rights since is
// disabled.
func TestRecover_aBackupRevivesNoMachine(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	kept, keptText := account(t, r, "kept", "viewer")
	demoted, _ := account(t, r, "demoted", "operator")
	unknown, _ := account(t, r, "unknown", "viewer")
	known := map[string]token.SubjectState{
		kept.ID:    {Sub: kept.ID, Enabled: true, Roles: []string{"viewer"}, Version: 7},
		demoted.ID: {Sub: demoted.ID, Enabled: true, Roles: []string{"viewer"}, Version: 2},
	}
	gone, err := serviceaccount.Recover(t.Context(), r.DB, known, r.Clock.Now())
	if err != nil || len(gone) != 2 {
		t.Fatalf("%+v, %v", gone, err)
	}
	for a, want := range map[string]bool{kept.ID: true, demoted.ID: false, unknown.ID: false} {
		if now, err := r.Machines.Get(t.Context(), a); err != nil || now.Enabled != want || now.Version <= known[a].Version {
			t.Errorf("%+v, %v", now, err)
		}
	}
	if n, err := apitoken.SuspendAll(t.Context(), r.DB, r.Clock.Now()); err != nil || n != 3 {
		t.Fatal(n, err)
	}
	if good(t, r, keptText) {
		t.Error("a token of the backup is good")
	}
	w, err := r.Tokens.List(t.Context(), kept.ID, store.Place{Limit: 1})
	if err != nil || w.Rows[0].Value.State(r.Clock.Now()) != apitoken.Suspended {
		t.Fatalf("%+v, %v", w, err)
	}
	_, text, err := r.Tokens.Rotate(t.Context(), w.Rows[0].Value.ID, apitoken.Rotation{Overlap: time.Hour},
		func(*store.Tx) error { return nil })
	if err != nil || !good(t, r, text) || good(t, r, keptText) {
		t.Errorf("after a rotation: %v", err)
	}
	if n, err := apitoken.SuspendAll(t.Context(), r.DB, r.Clock.Now()); err != nil || n != 1 {
		t.Errorf("again: %d, %v", n, err)
	}
}
