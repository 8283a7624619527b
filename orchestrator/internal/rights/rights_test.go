package rights_test

import (
	"context"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/rights"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/token"
)

// known is what was heard, as the test says it.
type known struct {
	people  map[string]token.SubjectState
	source  authz.Source
	machine token.APITokenState
	number  uint64
}

func (k *known) Policies() *authz.Set {
	set, _, err := authz.Load(nil, k.source)
	if err != nil {
		panic(err)
	}
	return set
}

func (k *known) Subject(_ context.Context, sub string) (token.SubjectState, bool, error) {
	s, ok := k.people[sub]
	return s, ok, nil
}

func (k *known) APIToken(_ context.Context, tokenID string) (token.APITokenState, bool, error) {
	return k.machine, tokenID != "" && k.machine.ID == tokenID, nil
}

func (k *known) RightsChanged() uint64 { return k.number }

// hear returns what is known with the built-in policies and these accounts.
func hear(t *testing.T, people ...token.SubjectState) *known {
	t.Helper()
	src, err := authz.Defaults()
	if err != nil {
		t.Fatal(err)
	}
	k := &known{people: map[string]token.SubjectState{}, source: src}
	for _, p := range people {
		k.people[p.Sub] = p
	}
	return k
}

// alice is what a run keeps of her, as an operator of version 3.
func alice() dag.Grant {
	return dag.Grant{AuthVersion: 3, IP: "192.0.2.1", Roles: []string{"operator"}, Sub: "a",
		Time: time.Date(2026, 11, 30, 12, 30, 0, 0, time.UTC), Username: "alice"}
}

var batch = &dag.Header{Kind: dag.Batch, Name: "b"}

// create is an operation that makes web-01.
func create() *dag.Operation {
	return &dag.Operation{Type: "server_batch", Verb: "create", Servers: []dag.ServerConfig{{Name: "web-01"}}}
}

// answer is a decision with the reason of a refusal.
type answer struct {
	*audit.DecisionRecord
	Reason string
}

func ask(t *testing.T, k *known, g dag.Grant) answer {
	t.Helper()
	may, err := rights.Book{Known: k}.Submitter(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	d, why := may(batch, create())
	if again, ok := d.Replay(k.Policies()); ok && (again.Allowed != d.Allowed || again.Rule != d.Rule) {
		t.Errorf("%+v asked again from the decision alone: %+v", d, again)
	}
	return answer{d, why}
}

func TestSubmitter_isTheAccountOfNow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		now  token.SubjectState
		want string // the reason; empty: allowed
	}{
		{token.SubjectState{Sub: "a", Version: 3, Enabled: true, Roles: []string{"operator"}}, ""},
		{token.SubjectState{Sub: "a", Version: 4, Enabled: true, Roles: []string{"developer"}}, ""},
		{token.SubjectState{Sub: "a", Version: 5, Enabled: true, Roles: []string{"viewer"}},
			"alice may no longer create batches b: no rule allows it any more"},
		{token.SubjectState{Sub: "a", Version: 7, Roles: []string{"operator"}}, "the account of alice was disabled"},
		{token.SubjectState{Sub: "a", Version: 9, Deleted: true}, "the account of alice was deleted"},
	} {
		if d := ask(t, hear(t, c.now), alice()); d.Allowed != (c.want == "") || d.Reason != c.want || d.Policy != 1 {
			t.Errorf("%+v: %+v", c.now, d)
		}
	}
	d := ask(t, hear(t, token.SubjectState{Sub: "a", Version: 4, Enabled: true, Roles: []string{"developer"}}), alice())
	if d.Rule == authz.NoRule || len(d.Act.Asked) != 2 || d.Act.Asked[1].Name != "web-01" || d.Act.Subject.Roles[0] != "developer" ||
		d.Act.IP != "192.0.2.1" {
		t.Errorf("the decision does not say what decided: %+v", d)
	}
}

// TestSubmitter_anAPITokenBoundsTheRunAndItsRevocationEndsIt is decision 53: what a batch may do is
// what its submitter may do now and the token's scope holds; it stops when the token is revoked,
// and not when it expires.
func TestSubmitter_anAPITokenBoundsTheRunAndItsRevocationEndsIt(t *testing.T) {
	t.Parallel()
	k := hear(t, token.SubjectState{Sub: "a", Version: 3, Enabled: true, Roles: []string{"operator"}})
	k.machine = token.APITokenState{ID: "t1", Expires: 1} // long ago
	g := alice()
	g.Token, g.Scope = "t1", []string{"batches:*=create", "servers:web-*=create"}
	if d := ask(t, k, g); !d.Allowed || len(d.Act.Subject.Scope) != 2 {
		t.Errorf("within the scope of a token that has expired: %+v", d)
	}
	for _, narrow := range [][]string{{"batches:*=create"}, {"batches:*=create", "servers:db-*=create"}, {"nonsense"}, nil} {
		g.Scope = narrow
		if d := ask(t, k, g); d.Allowed || d.Rule != authz.ScopeRule {
			t.Errorf("beyond the scope %v: %+v", narrow, d)
		}
	}
	g.Scope, k.machine.Revoked = []string{"*:*=*"}, true
	if d := ask(t, k, g); d.Allowed || d.Reason != "the API token t1 of alice was revoked" {
		t.Errorf("of a token that was revoked: %+v", d)
	}
}

// TestSubmitter_thePoliciesAreThoseOfNowAndTheRequestThatOfThen denies servers to an address and an
// hour.
func TestSubmitter_thePoliciesAreThoseOfNowAndTheRequestThatOfThen(t *testing.T) {
	t.Parallel()
	k := hear(t, token.SubjectState{Sub: "a", Version: 3, Enabled: true, Roles: []string{"operator"}})
	k.source.Version = 2
	k.source.Policies = append(k.source.Policies, authz.Policy{ID: "freeze", Name: "freeze", Enabled: true,
		Rules: []authz.Rule{{Effect: authz.EffectDeny, Resource: "servers:web-*", Action: []string{"*"},
			Condition: "request.ip == '192.0.2.1' && time.hour == 12"}}})
	if d := ask(t, k, alice()); d.Allowed || d.Policy != 2 ||
		d.Reason != "alice may no longer create servers web-01: rule policy:freeze#0 forbids it" {
		t.Errorf("%+v", d)
	}
	elsewhere, earlier := alice(), alice()
	elsewhere.IP, earlier.Time = "192.0.2.2", earlier.Time.Add(-time.Hour)
	for _, g := range []dag.Grant{elsewhere, earlier} {
		if d := ask(t, k, g); !d.Allowed {
			t.Errorf("%+v: %+v", g, d)
		}
	}
}

// TestSubmitter_aTokenNewerThanWhatWasHeardCounts: the submission may be faster than the news of
// the account.
func TestSubmitter_aTokenNewerThanWhatWasHeardCounts(t *testing.T) {
	t.Parallel()
	if d := ask(t, hear(t), alice()); !d.Allowed {
		t.Errorf("just made, not heard of yet: %+v", d)
	}
	k := hear(t, token.SubjectState{Sub: "a", Version: 2, Enabled: true, Roles: []string{"viewer"}})
	if d := ask(t, k, alice()); !d.Allowed {
		t.Errorf("just promoted: %+v", d)
	}
	same := alice()
	same.AuthVersion = 2
	if d := ask(t, k, same); d.Allowed {
		t.Error("of the version that was heard, the token counts more than what was heard")
	}
}

func TestSubmitter_withoutPoliciesNothingCanBeTold(t *testing.T) {
	t.Parallel()
	if _, err := (rights.Book{Known: deaf{}}).Submitter(t.Context(), alice()); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
}

// deaf has heard nothing.
type deaf struct{ *known }

func (deaf) Policies() *authz.Set { return nil }

func (deaf) Subject(context.Context, string) (token.SubjectState, bool, error) {
	return token.SubjectState{}, false, nil
}

func TestNeeds_areWhatASubmissionIsAsked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		op     dag.Operation
		action string
		want   []authz.Resource
	}{
		{dag.Operation{Type: "servers", Verb: "create", Infra: "prod"}, "create", []authz.Resource{{Type: "servers", Infra: "prod"}}},
		{dag.Operation{Type: "taskserv", Verb: "check", Infra: "prod", Taskserv: "k8s"}, "read",
			[]authz.Resource{{Type: "taskservs", Name: "k8s", Infra: "prod"}}},
		{dag.Operation{Type: "cluster", Verb: "delete", Infra: "prod", ClusterType: "buildkit"}, "delete",
			[]authz.Resource{{Type: "clusters", Name: "buildkit", Infra: "prod"}}},
		{*create(), "create", []authz.Resource{{Type: "servers", Name: "web-01"}}},
		{dag.Operation{Type: "taskserv_batch", Verb: "create", Taskservs: []string{"a", "b"}, Targets: []string{"s"}}, "create",
			[]authz.Resource{{Type: "servers", Name: "s"}, {Type: "taskservs", Name: "a"}, {Type: "taskservs", Name: "b"}}},
	} {
		action, got := rights.Needs(&c.op)
		if action != c.action || len(got) != len(c.want) {
			t.Fatalf("%+v: %s %+v", c.op, action, got)
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%+v: %+v", c.op, got)
			}
		}
	}
}

// TestReads_asksTheAccountOfNow is decision 54: what a webhook's owner may read follows his
// account, and who is not known yet is not refused.
func TestReads_asksTheAccountOfNow(t *testing.T) {
	t.Parallel()
	k := hear(t, token.SubjectState{Sub: "a", Enabled: true, Roles: []string{"viewer"}},
		token.SubjectState{Sub: "b", Roles: []string{"viewer"}},
		token.SubjectState{Sub: "c", Enabled: true}, token.SubjectState{Sub: "d", Enabled: true, Deleted: true, Roles: []string{"admin"}})
	book := rights.Book{Known: k}
	for sub, want := range map[string]string{
		"a": "", "b": "the account b was disabled", "c": "the account c may no longer read tasks: no rule allows it any more",
		"d": "the account d was deleted",
	} {
		if why, err := book.Reads(t.Context(), sub, "tasks", time.Now()); err != nil || why != want {
			t.Errorf("%s: %q, %v; want %q", sub, why, err, want)
		}
	}
	if why, err := book.Reads(t.Context(), "unheard", "tasks", time.Now()); !fault.Is(err, fault.Unavailable) || why != "" {
		t.Errorf("%q, %v", why, err)
	}
}

// TestToken_whatItSetUpEndsWithIt: a webhook that an API token made went on when the token was
// revoked. The account of a machine is one like any other.
func TestToken_whatItSetUpEndsWithIt(t *testing.T) {
	t.Parallel()
	k := hear(t, token.SubjectState{Sub: "s", Kind: token.SubjectServiceAccount, Enabled: true, Roles: []string{"viewer"}})
	now := time.Now()
	for _, c := range []struct {
		asked   string
		machine token.APITokenState
		want    string
	}{
		{"", token.APITokenState{}, ""},
		{"t1", token.APITokenState{ID: "t1", Expires: now.Unix() + 60}, ""},
		{"t1", token.APITokenState{ID: "t1", Expires: now.Unix() + 60, Revoked: true}, "the API token t1 was revoked"},
		{"t1", token.APITokenState{ID: "t1", Expires: now.Unix()}, "the API token t1 has expired"},
		{"t1", token.APITokenState{ID: "t2", Expires: now.Unix() + 60}, "the API token t1 has expired"},
	} {
		k.machine = c.machine
		if why, err := (rights.Book{Known: k}).Token(t.Context(), c.asked, now); err != nil || why != c.want {
			t.Errorf("%+v: %q, %v", c, why, err)
		}
	}
	if why, err := (rights.Book{Known: k}).Reads(t.Context(), "s", "tasks", now); err != nil || why != "" {
		t.Errorf("a service account: %q, %v", why, err)
	}
}
