package authz_test

import (
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func defaults(t testing.TB) authz.Source {
	t.Helper()
	src, err := authz.Defaults()
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func compile(t testing.TB, src authz.Source) *authz.Set {
	t.Helper()
	set, err := authz.Compile(src)
	if err != nil {
		t.Fatalf("%v %v", err, fault.Of(err).Fields)
	}
	return set
}

func rule(effect, resource, action, condition string) authz.Rule {
	return authz.Rule{Effect: effect, Resource: resource, Action: strings.Split(action, ","), Condition: condition}
}

func policy(id string, rules ...authz.Rule) authz.Policy {
	return authz.Policy{ID: id, Name: id, Version: "1.0.0", Enabled: true, Rules: rules}
}

// ask is a request of user "u1" named "ann"; target is "type" or "type/name".
func ask(roles, action, target string) authz.Request {
	typ, name, _ := strings.Cut(target, "/")
	q := authz.Request{Subject: authz.Subject{ID: "u1", Username: "ann"}, Action: action,
		Resource: authz.Resource{Type: typ, Name: name}, IP: "10.0.0.7", Time: noon}
	if roles != "" {
		q.Subject.Roles = strings.Split(roles, ",")
	}
	return q
}

// TestDefaults_matrix is contracts/platform.md Q13, cell by cell: y yes, n no, m only with MFA; the
// order is admin, operator, developer, viewer, auditor, nobody.
func TestDefaults_matrix(t *testing.T) {
	set := compile(t, defaults(t))
	roles := []string{"admin", "operator", "developer", "viewer", "auditor", ""}
	for line, want := range map[string]string{
		"read tasks": "yyyyyn", "read batches": "yyyyyn", "read state": "yyyyyn", "read checkpoints": "yyyyyn", "read events": "yyyyyn",
		"read rollbacks": "yyyyyn", "read metrics": "yyyyyn", "read workflows": "yyyyyn",
		"create servers": "yyynnn", "create taskservs": "yyynnn", "create clusters": "yyynnn", "create batches": "yyynnn",
		"create workflows": "yyynnn",
		"use servers":      "yynnnn", "use_own servers": "yyynnn",
		"cancel_own batches": "yyynnn", "cancel batches": "yynnnn", "cancel tasks": "yynnnn", "create checkpoints": "yynnnn",
		"rollback rollbacks":  "yynnnn",
		"restore checkpoints": "mnnnnn", "restore rollbacks": "mnnnnn",
		"read users": "ynnnnn", "create users": "mnnnnn", "update users": "mnnnnn", "delete users": "mnnnnn",
		"read policies": "ynnnyn", "create policies": "mnnnnn", "update policies": "mnnnnn", "delete policies": "mnnnnn",
		"read audit": "ynnnyn", "rotate keys": "mnnnnn", "delete audit": "nnnnnn", "create audit": "nnnnnn",
		"delete_own sessions": "yyyyyn", "enroll_own mfa": "yyyyyn", "update_own users": "yyyyyn",
		"read revocations": "ynnnnn", "witness audit": "nnnnnn", "anything else": "nnnnnn",
	} {
		action, typ, _ := strings.Cut(line, " ")
		for i, r := range roles {
			q := ask(r, action, typ+"/x1")
			plain := set.Decide(q).Allowed
			q.Subject.MFA = true
			mfa := set.Decide(q).Allowed
			if got := map[[2]bool]string{{true, true}: "y", {false, true}: "m", {false, false}: "n"}[[2]bool{plain, mfa}]; got != want[i:i+
				1] {
				t.Errorf("%s by %q: got %q, want %q", line, r, got, want[i:i+1])
			}
		}
	}
	service := authz.Request{Subject: authz.Subject{ID: "orchestrator", Service: true}, Action: "read",
		Resource: authz.Resource{Type: "revocations"}}
	if !set.Decide(service).Allowed {
		t.Error("the orchestrator cannot follow revocations")
	}
	if service.Action, service.Resource.Type = "create", "servers"; set.Decide(service).Allowed {
		t.Error("a service can do what users do")
	}
	if q := ask("admin", "create", "users"); !strings.Contains(set.Decide(q).Reason, "MFA") {
		t.Errorf("the refusal does not say that MFA is missing: %q", set.Decide(q).Reason)
	}
}

// TestDecide_policiesBesideRoles covers behaviours 137 and 138.
func TestDecide_policiesBesideRoles(t *testing.T) {
	src := defaults(t)
	src.Policies = []authz.Policy{
		policy("widen", rule("Allow", "servers:web-*", "create", "user.role == 'viewer'"),
			rule("Allow", "servers:db-1", "delete", "user.id == 'u1'")),
		policy("narrow", rule("Deny", "servers:prod-??", "*", ""), rule("Deny", "*:*", "cancel", "time.hour < 8 || time.hour >= 18")),
	}
	set := compile(t, src)
	for _, c := range []struct {
		q    authz.Request
		want bool
		rule string
	}{
		{ask("viewer", "create", "servers/web-01"), true, "policy:widen#0"},
		{ask("viewer", "create", "servers/web-"), true, "policy:widen#0"},
		{ask("viewer", "create", "servers/db-01"), false, "none"},
		{ask("viewer", "create", "servers"), false, "none"},
		{ask("admin", "create", "servers/prod-01"), false, "policy:narrow#0"},
		{ask("admin", "create", "servers/prod-001"), true, "role:developer#0"},
		{ask("", "delete", "servers/db-1"), true, "policy:widen#1"},
		{ask("admin", "cancel", "batches/b"), true, "role:operator#1"},
	} {
		if d := set.Decide(c.q); d.Allowed != c.want || d.Rule != c.rule || d.Version != 1 {
			t.Errorf("%s %v by %v: %+v", c.q.Action, c.q.Resource, c.q.Subject.Roles, d)
		}
	}
	late := ask("admin", "cancel", "batches/b")
	late.Time = noon.Add(8 * time.Hour)
	if d := set.Decide(late); d.Allowed || d.Rule != "policy:narrow#1" {
		t.Errorf("%+v", d)
	}
	src.Policies[1].Enabled = false
	if !compile(t, src).Decide(late).Allowed {
		t.Error("a disabled policy decides")
	}
}

// TestJudge_isAnsweredByOneVersion changes the policies in the middle of an act: everything is
// asked again.
func TestJudge_isAnsweredByOneVersion(t *testing.T) {
	act := authz.Act{Subject: authz.Subject{ID: "u1"}, Asked: []authz.Asked{
		{Action: "create", Resource: authz.Resource{Type: "batches"}},
		{Action: "create", Resource: authz.Resource{Type: "servers", Name: "a"}},
		{Action: "create", Resource: authz.Resource{Type: "servers", Name: "b"}},
		{Action: "create", Resource: authz.Resource{Type: "servers", Name: "c"}}}}
	for name, c := range map[string]struct {
		from    int
		version uint64   // of what was asked before
		answers []uint64 // versions, one a question; the last stays
		denies  string
		asked   int
		refused int
	}{
		"one version":              {0, 0, []uint64{3}, "", 4, -1},
		"refused":                  {0, 0, []uint64{3}, "a", 2, 1},
		"asked before":             {3, 3, []uint64{3}, "", 1, -1},
		"another one in between":   {0, 0, []uint64{3, 3, 4}, "", 3 + 4, -1},
		"another one since before": {3, 3, []uint64{4}, "", 1 + 4, -1},
		"a refusal of another one": {3, 3, []uint64{4}, "c", 1 + 4, 3},
		"never the same":           {0, 0, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, "", 2 + 2 + 2 + 4, -1},
	} {
		asked := 0
		d, refused := act.Judge(func(q authz.Request) authz.Decision {
			v := c.answers[min(asked, len(c.answers)-1)]
			asked++
			return authz.Decision{Allowed: c.denies == "" || q.Resource.Name != c.denies, Version: v}
		}, c.from, c.version)
		if asked != c.asked || refused != c.refused || d.Allowed != (c.refused < 0) {
			t.Errorf("%s: %d questions, refused %d, %+v", name, asked, refused, d)
		}
	}
}

func TestCheck_saysEverythingWithItsPlace(t *testing.T) {
	bad := authz.Policy{Name: "", Rules: []authz.Rule{
		rule("Maybe", "servers", "create", "user.role ="), {Effect: "allow", Resource: "Servers:*", Action: nil},
		rule("Allow", "servers:", "Create,read", "user.rolle == 'x'"), rule("Deny", "servers:a\nb", "read", "'x'")}}
	err := authz.Check(bad)
	var got []string
	for _, f := range fault.Of(err).Fields {
		got = append(got, f.Pointer)
	}
	want := "/name /rules/0/effect /rules/0/resource /rules/0/condition /rules/1/effect /rules/1/resource /rules/1/action " +
		"/rules/2/resource /rules/2/action/0 /rules/2/condition /rules/3/resource /rules/3/condition"
	if strings.Join(got, " ") != want || !fault.Is(err, fault.Invalid) {
		t.Fatalf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
	if authz.Check(authz.Policy{Name: "n"}) == nil {
		t.Error("no rules")
	}
	if err := authz.Check(policy("p", rule("Allow", "servers:*", "create,read", "user.role == 'admin'"))); err != nil {
		t.Error("the reference's own rule is refused:", err)
	}
}

// TestCheck_aDenyThatForbidsNothing: a type or an action that nothing asks for is refused with
// those that there are, instead of a rule that never matches.
func TestCheck_aDenyThatForbidsNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ resource, action, at, says string }{
		{"server:*", "create", "/rules/0/resource", "servers"},
		{"servers:*", "destroy", "/rules/0/action/0", "delete"},
		{"users:*", "restore", "/rules/0/action/0", "update"}, // there is one, but not on users
		{"*:*", "destroy", "/rules/0/action/0", "rollback"},
	} {
		err := authz.Check(policy("p", rule("Deny", c.resource, c.action, "")))
		if err == nil {
			t.Errorf("Deny %s on %s is accepted", c.action, c.resource)
			continue
		}
		if f := fault.Of(err).Fields; len(f) != 1 || f[0].Pointer != c.at || !strings.Contains(f[0].Message, c.says) {
			t.Errorf("Deny %s on %s: %v", c.action, c.resource, f)
		}
	}
	for _, good := range [][2]string{{"*", "*"}, {"servers", "*"}, {"*", "delete"}, {"keys", "read"}, {"mfa", "delete_own"}} {
		if err := authz.Check(policy("p", rule("Deny", good[0]+":*", good[1], ""))); err != nil {
			t.Errorf("Deny %s on %s: %v", good[1], good[0], err)
		}
	}
}

func TestCompile_rolesMustMakeSense(t *testing.T) {
	r := rule("Allow", "tasks:*", "read", "")
	for place, roles := range map[string][]authz.Role{
		"/roles/0/name":       {{Name: "r:admin", Rules: []authz.Rule{r}}},
		"/roles/1/name":       {{Name: "a", Rules: []authz.Rule{r}}, {Name: "a", Rules: []authz.Rule{r}}},
		"/roles/0/inherits/0": {{Name: "a", Inherits: []string{"b"}, Rules: []authz.Rule{r}}},
		"/roles/0/rules":      {{Name: "a"}},
	} {
		_, err := authz.Compile(authz.Source{Roles: roles})
		if e := fault.Of(err); e == nil || e.Fields[0].Pointer != place {
			t.Errorf("%s: %v", place, err)
		}
	}
	loop := []authz.Role{{Name: "a", Inherits: []string{"b"}, Rules: []authz.Rule{r}},
		{Name: "b", Inherits: []string{"a"}, Rules: []authz.Rule{r}}}
	if _, err := authz.Compile(authz.Source{Roles: loop}); err == nil {
		t.Error("a circle of roles was accepted")
	}
}

// TestDecide_asksForASecondFactorOnlyWhereItHelps: who would be refused with one too is not sent to
// fetch it.
func TestDecide_asksForASecondFactorOnlyWhereItHelps(t *testing.T) {
	t.Parallel()
	set := compile(t, authz.Source{Policies: []authz.Policy{policy("web",
		rule("Allow", "servers:*-web", "create", "request.mfa && resource.infra == 'lab'"))}})
	for _, c := range []struct {
		infra, resource string
		helps           bool
	}{{"lab", "servers/a-web", true}, {"lab", "servers/a-db", false}, {"live", "servers/a-web", false}} {
		q := ask("", "create", c.resource)
		q.Resource.Infra = c.infra
		if d := set.Decide(q); d.Allowed || strings.Contains(d.Reason, "second factor") != c.helps {
			t.Errorf("%s in %s: %+v", c.resource, c.infra, d)
		}
	}
}

// TestDecide_saysHowToGetTheFactorThatARuleDemands is behaviour 106: who is held up by nothing but
// the missing second factor reads how to enrol one, whether an Allow demands it or a Deny spares
// who has it.
func TestDecide_saysHowToGetTheFactorThatARuleDemands(t *testing.T) {
	t.Parallel()
	rule := func(effect, condition string) authz.Rule {
		return authz.Rule{Effect: effect, Resource: "servers:*", Action: []string{"create"}, Condition: condition}
	}
	for name, c := range map[string]struct {
		rules []authz.Rule
		hint  bool
	}{
		"an Allow with it":               {[]authz.Rule{rule("Allow", "request.mfa")}, true},
		"a Deny without it":              {[]authz.Rule{rule("Allow", ""), rule("Deny", "!request.mfa")}, true},
		"a Deny without it at this hour": {[]authz.Rule{rule("Allow", ""), rule("Deny", "!request.mfa && time.hour == 12")}, true},
		"a Deny with and without it":     {[]authz.Rule{rule("Allow", ""), rule("Deny", "request.mfa || user.id == 'u1'")}, false},
		"another Deny beside it":         {[]authz.Rule{rule("Deny", "!request.mfa"), rule("Deny", "")}, false},
	} {
		set, err := authz.Compile(authz.Source{Policies: []authz.Policy{{Enabled: true, ID: "p", Name: "p", Rules: c.rules}}})
		if err != nil {
			t.Fatal(err)
		}
		q := authz.Request{Subject: authz.Subject{ID: "u1"}, Action: "create", Resource: authz.Resource{Type: "servers", Name: "a"},
			Time: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)}
		if d := set.Decide(q); d.Allowed || strings.Contains(d.Reason, "enrol") != c.hint {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// TestCheck_aConditionThatIsWrongSaysWhatInItIs: "unknown name 'user'; known are user.id, …" and
// "token recognition error" help nobody.
func TestCheck_aConditionThatIsWrongSaysWhatInItIs(t *testing.T) {
	t.Parallel()
	for condition, says := range map[string]string{
		"user.name == 'dana'":                  "column 1: unknown name 'user.name'; known are user.id",
		"user.role == 'x' && request.iq == ''": "unknown name 'request.iq'; known are",
		"user.id = 'x'":                        "a single =; write == to compare",
	} {
		err := authz.Check(policy("p", rule("Allow", "servers:*", "create", condition)))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %s", condition, err, says)
		}
	}
}

// TestCheckQuestion_aTypoIsNoRefusal: the answer "denied" to a question about an action that there
// is not sends people to write a policy that nobody can write.
func TestCheckQuestion_aTypoIsNoRefusal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ action, typ, at, says string }{
		{"create", "servers", "", ""},
		{"creat", "servers", "/action", "create"},
		{"create", "server", "/resource", "servers"},
		{"*", "servers", "/action", "create"},
		{"create", "*", "/resource", "servers"},
	} {
		fields, err := authz.CheckQuestion(c.action, c.typ)
		if err != nil || (len(fields) == 1) != (c.at != "") || c.at != "" && (fields[0].Pointer != c.at ||
			!strings.Contains(fields[0].Message, c.says)) {
			t.Errorf("%s %s: %v, %v; want %q", c.action, c.typ, fields, err, c.at)
		}
	}
}
