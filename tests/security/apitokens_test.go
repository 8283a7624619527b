package security

import (
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// tokenOrder is a body that makes an API token with one right, which lives for an hour.
func tokenOrder(resource string, actions ...string) map[string]any {
	return map[string]any{"name": "t-" + id.New(), "expires_at": time.Now().Add(time.Hour),
		"scope": []any{map[string]any{"resource": resource, "action": actions}}}
}

// apiToken makes an API token of somebody in a fresh session and returns its id and its text.
func (s *site) apiToken(t *testing.T, p *person, resource string, actions ...string) (tokenID, text string) {
	t.Helper()
	a := s.send(t, "control-center", "POST", "/tokens", p.token, tokenOrder(resource, actions...))
	var v struct{ ID, Token string }
	if a.data(t, &v); a.Status != 201 {
		t.Fatalf("%d %s", a.Status, a.Raw)
	}
	return v.ID, v.Token
}

// newcomer returns a person that no other test changes, signed in a moment ago.
func (s *site) newcomer(t *testing.T, roles ...string) *person {
	t.Helper()
	p, err := s.hire(t.Context(), "n-"+strings.ReplaceAll(id.New(), "-", ""), roles...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestAPITokens_whereOnlyAPersonMayAct walks the published operations: at sessions, factors,
// passwords, tokens and tickets an API token of everything is refused with token.not_here (decision
// 53), and nowhere else: one that had started a batch could not cancel it.
func TestAPITokens_whereOnlyAPersonMayAct(t *testing.T) {
	s := shared
	owner := s.newcomer(t, "admin")
	_, text := s.apiToken(t, owner, "*:*", "*")
	refused := 0
	for _, op := range s.operations(t) {
		person := strings.HasPrefix(op.path, "/mfa") || strings.Contains(op.path, "/mfa/") || strings.HasSuffix(op.path, "/mfa") ||
			op.path == "/auth/logout" || strings.HasPrefix(op.path, "/tokens") || strings.HasSuffix(op.path, "/tickets")
		if !person {
			if a := s.send(t, op.service, op.method, op.url(nowhere), text, nil); code(t, a) == "token.not_here" {
				t.Errorf("%s takes no API token: %d %.200s", op, a.Status, a.Raw)
			}
			continue
		}
		refused++
		a := s.send(t, op.service, op.method, op.url(nowhere), text, s.body(op.id, "", ""))
		if a.Status != 403 || code(t, a) != "token.not_here" {
			t.Errorf("%s: %d %.200s", op, a.Status, a.Raw)
		}
	}
	a := s.send(t, "control-center", "PUT", "/users/"+owner.id, text, map[string]any{"password": "another harbour twenty"})
	if a.Status != 403 || code(t, a) != "token.not_here" {
		t.Errorf("the own password: %d %s", a.Status, a.Raw)
	}
	for _, path := range []string{"/auth/refresh", "/auth/login"} { // open routes, which know no API tokens
		if a := s.send(t, "control-center", "POST", path, "", map[string]any{"token": text}); a.Status < 400 {
			t.Errorf("%s takes an API token: %d", path, a.Status)
		}
	}
	if refused < 10 {
		t.Errorf("the walk saw %d operations: it is blind", refused)
	}
	if a := s.send(t, "control-center", "GET", "/me", text, nil); a.Status != 200 {
		t.Errorf("who a token speaks for: %d %s", a.Status, a.Raw)
	}
}

// TestAPITokens_neverAreASecondFactor: what an administrator may do with a second factor only, his
// token may not do at all, though he had one when he made it.
func TestAPITokens_neverAreASecondFactor(t *testing.T) {
	s := shared
	name := "r-" + strings.ReplaceAll(id.New(), "-", "")
	if err := s.hireRoot(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	_, text := s.apiToken(t, s.people[name], "*:*", "*")
	if a := s.send(t, "control-center", "GET", "/users?limit=1", text, nil); a.Status != 200 {
		t.Errorf("a read: %d %s", a.Status, a.Raw)
	}
	for path, body := range map[string]any{"/users": s.body("createUser", "", ""), "/policies": s.body("createPolicy", "", ""),
		"/keys/rotate": nil} {
		if a := s.send(t, "control-center", "POST", path, text, body); a.Status != 403 {
			t.Errorf("POST %s: %d %s", path, a.Status, a.Raw)
		}
	}
}

// TestAPITokens_otherPeoplesAreNobodysBusiness: who may not read everybody's tokens cannot tell one
// that exists from one that does not.
func TestAPITokens_otherPeoplesAreNobodysBusiness(t *testing.T) {
	s := shared
	tokenID, _ := s.apiToken(t, s.newcomer(t, "viewer"), "tasks:*", "read")
	stranger := s.newcomer(t, "operator")
	for _, at := range []struct {
		method, path string
	}{{"GET", "/tokens/"}, {"DELETE", "/tokens/"}} {
		there := s.send(t, "control-center", at.method, at.path+tokenID, stranger.token, nil)
		absent := s.send(t, "control-center", at.method, at.path+nowhere, stranger.token, nil)
		if there.Status != 403 || absent.Status != 403 {
			t.Errorf("%s: %d, one that is not there %d", at.method, there.Status, absent.Status)
		}
	}
}

// TestAPITokens_doNoMoreThanTheirScope: an operator's token for batches is refused all else that he
// may do, on both services, and the refusal says what is missing.
func TestAPITokens_doNoMoreThanTheirScope(t *testing.T) {
	s := shared
	owner := s.newcomer(t, "operator")
	_, text := s.apiToken(t, owner, "batches:ci-*", "create", "read")
	order := func(name, server string) map[string]any {
		return map[string]any{"name": name, "operations": []any{map[string]any{"id": "a", "type": "server_batch", "provider": "fast",
			"server_configs": []any{map[string]any{"name": server}}}}}
	}
	for _, c := range []struct {
		method, path string
		body         any
	}{
		{"GET", "/tasks", nil}, {"POST", "/rollback/checkpoints", map[string]any{"name": "x"}}, {"GET", "/webhooks", nil},
		{"POST", "/batch/execute", order("other", "m-"+id.New())}, // another name
		{"POST", "/batch/execute", order("ci-1", "m-"+id.New())},  // the servers are not in the scope
		{"POST", "/workflows/servers/create", map[string]any{"infra": "fast", "check_mode": true}},
	} {
		a := s.send(t, "orchestrator", c.method, c.path, text, c.body)
		if a.Status != 403 || !strings.Contains(string(a.Raw), "scope") {
			t.Errorf("%s %s: %d %.300s", c.method, c.path, a.Status, a.Raw)
		}
	}
	if a := s.send(t, "control-center", "GET", "/users/"+owner.id, text, nil); a.Status != 403 {
		t.Errorf("the own account: %d %.300s", a.Status, a.Raw)
	}
	_, wide := s.apiToken(t, owner, "*:*", "create", "read")
	if a := s.send(t, "orchestrator", "POST", "/batch/execute", wide, order("ci-2", "m-"+id.New())); a.Status != 200 {
		t.Errorf("within the scope: %d %.300s", a.Status, a.Raw)
	}
	if a := s.send(t, "orchestrator", "GET", "/tasks?limit=1", wide, nil); a.Status != 200 {
		t.Errorf("a read within the scope: %d %.300s", a.Status, a.Raw)
	}
	if a := s.send(t, "control-center", "GET", "/users", wide, nil); a.Status != 403 {
		t.Errorf("what the owner may not do: %d %.300s", a.Status, a.Raw)
	}
}

// TestAPITokens_endOnBothServices: a token that is revoked, or whose owner is disabled or gets
// another password, is worth nothing at home at once and at the orchestrator within five seconds;
// one whose owner is demoted does what is left.
func TestAPITokens_endOnBothServices(t *testing.T) {
	s, no, another := shared, false, secret.New("another harbour twenty")
	cc := s.CC(s.Token)
	for what, c := range map[string]struct {
		end     func(owner *person, tokenID string) error
		demoted bool
	}{
		"revoked": {end: func(owner *person, tokenID string) error {
			return s.CC(secret.New(owner.token)).RevokeAPIToken(t.Context(), tokenID)
		}},
		"revoked by an administrator": {end: func(_ *person, tokenID string) error {
			return s.CC(secret.New(s.people["admin+mfa"].token)).RevokeAPIToken(t.Context(), tokenID)
		}},
		"disabled": {end: func(owner *person, _ string) error {
			return cc.UpdateUser(t.Context(), owner.id, client.UserChange{Enabled: &no})
		}},
		"deleted": {end: func(owner *person, _ string) error { return cc.DeleteUser(t.Context(), owner.id) }},
		"another password": {end: func(owner *person, _ string) error {
			return cc.UpdateUser(t.Context(), owner.id, client.UserChange{Password: &another})
		}},
		"a factor": {end: func(owner *person, _ string) error { _, err := cc.EnrolTOTP(t.Context(), owner.id); return err }},
		"demoted": {demoted: true, end: func(owner *person, _ string) error {
			return cc.UpdateUser(t.Context(), owner.id, client.UserChange{Roles: []string{"viewer"}})
		}},
	} {
		owner := s.newcomer(t, "operator")
		tokenID, text := s.apiToken(t, owner, "*:*", "create", "read", "read_own")
		make := func() answer {
			return s.send(t, "orchestrator", "POST", "/rollback/checkpoints", text, map[string]any{"name": "api"})
		}
		if a := make(); a.Status != 201 {
			t.Fatalf("%s: before: %d %s", what, a.Status, a.Raw)
		}
		if err := c.end(owner, tokenID); err != nil {
			t.Fatal(what, err)
		}
		began := time.Now()
		want := 401
		if c.demoted {
			want = 200
		}
		if a := s.send(t, "control-center", "GET", "/me", text, nil); a.Status != want {
			t.Errorf("%s: at home at once: %d %s", what, a.Status, a.Raw)
		}
		want = 401
		if c.demoted {
			want = 403
		}
		rigtest.Await(t, 5*time.Second, what+": the orchestrator refuses", func() bool { return make().Status == want })
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: the orchestrator took %v", what, took)
		}
		if a := s.send(t, "orchestrator", "GET", "/tasks?limit=1", text, nil); c.demoted != (a.Status == 200) {
			t.Errorf("%s: a read at the orchestrator: %d %s", what, a.Status, a.Raw)
		}
	}
}

// TestAPITokens_aBatchStopsWithTheTokenThatSubmittedIt is decision 53: what has not begun when the
// token is revoked does not begin; the end of a token's time stops nothing.
func TestAPITokens_aBatchStopsWithTheTokenThatSubmittedIt(t *testing.T) {
	s := slowly(t, "embedded")
	owner, err := s.hire(t.Context(), "owner", "developer")
	if err != nil {
		t.Fatal(err)
	}
	tokenID, text := s.apiToken(t, owner, "*:*", "create", "read")
	batch := s.begun(t, &person{name: "revoked", token: text}, 12)
	if err := s.CC(secret.New(owner.token)).RevokeAPIToken(t.Context(), tokenID); err != nil {
		t.Fatal(err)
	}
	b := s.over(t, batch)
	if n := counts(b); b.Status != "Cancelled" || n["Cancelled"] < 6 || n["Completed"]+n["Cancelled"] != 12 {
		t.Errorf("after the revocation the batch is %s: %v", b.Status, n)
	}
	for _, op := range b.Operations {
		if op.Status == "Cancelled" && op.Error != "the API token "+tokenID+" of owner was revoked" {
			t.Errorf("operation %s: %q", op.ID, op.Error)
		}
	}
	order := tokenOrder("*:*", "create", "read")
	order["expires_at"] = time.Now().Add(3 * time.Second)
	var short struct{ Token string }
	s.send(t, "control-center", "POST", "/tokens", owner.token, order).data(t, &short)
	batch = s.begun(t, &person{name: "expired", token: short.Token}, 25) // five seconds of work
	b = s.over(t, batch)
	if a := s.send(t, "orchestrator", "GET", "/tasks?limit=1", short.Token, nil); a.Status != 401 || b.Status != "Completed" {
		t.Errorf("the token has expired (%d), and the batch is %s: %v", a.Status, b.Status, counts(b))
	}
}

// TestAPITokens_aServiceAccountActsByTokensAlone: it has its own roles, goes on when the person who
// answers for it is disabled, which the list says, and ends on both services when it is disabled.
func TestAPITokens_aServiceAccountActsByTokensAlone(t *testing.T) {
	s, no := shared, false
	root := s.newcomer(t, "admin")
	if e, err := s.CC(s.Token).EnrolTOTP(t.Context(), root.id); err != nil {
		t.Fatal(err)
	} else if root.second = &e; s.signIn(t.Context(), root) != nil {
		t.Fatal("the administrator is not signed in")
	}
	admin, owner := s.CC(secret.New(root.token)), s.newcomer(t, "viewer")
	made, err := admin.CreateServiceAccount(t.Context(), client.ServiceAccountInput{Name: "ci-" + id.New(), Roles: []string{"operator"},
		Owner: &owner.id})
	if err != nil {
		t.Fatal(err)
	}
	_, text, err := admin.CreateAPIToken(t.Context(), client.NewAPIToken{Name: "build", Account: made.ID,
		Scope: authz.Scope{{Resource: "checkpoints:*", Action: []string{"create", "read"}}}, ExpiresAt: time.Now().Add(time.Hour)})
	if err != nil || !strings.HasPrefix(text.Reveal(), token.ServiceAccountPrefix) {
		t.Fatal(err)
	}
	use := func() int {
		return s.send(t, "orchestrator", "POST", "/rollback/checkpoints", text.Reveal(), map[string]any{"name": "machine"}).Status
	}
	if got := use(); got != 201 {
		t.Fatalf("within its roles and scope: %d", got)
	}
	if m, err := s.CC(text).Me(t.Context()); err != nil || m.Username != "service-account:"+made.Name || m.Token == nil {
		t.Errorf("who it is: %+v, %v", m, err)
	}
	if err := s.CC(s.Token).UpdateUser(t.Context(), owner.id, client.UserChange{Enabled: &no}); err != nil {
		t.Fatal(err)
	}
	if l, err := admin.ServiceAccounts(t.Context(), made.Name, client.Page{}); err != nil || len(l.Rows) != 1 ||
		l.Rows[0].OwnerState != "disabled" {
		t.Errorf("the list does not say that its owner is disabled: %+v, %v", l.Rows, err)
	}
	if got := use(); got != 201 {
		t.Errorf("its owner is disabled, and it ends with %d", got)
	}
	if err := admin.UpdateServiceAccount(t.Context(), made.ID, client.ServiceAccountInput{Enabled: &no}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CC(text).Me(t.Context()); err == nil {
		t.Error("disabled, and its token is good at home")
	}
	rigtest.Await(t, 5*time.Second, "the orchestrator refuses it", func() bool { return use() == 401 })
}

// TestAPITokens_nobodyMakesOneOfAnotherPerson: an administrator who could would act as that person.
func TestAPITokens_nobodyMakesOneOfAnotherPerson(t *testing.T) {
	s := shared
	victim := s.newcomer(t, "viewer")
	tokenID, _ := s.apiToken(t, victim, "tasks:*", "read")
	name := "r-" + strings.ReplaceAll(id.New(), "-", "")
	if err := s.hireRoot(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	order := tokenOrder("tasks:*", "read")
	order["service_account"] = victim.id
	if a := s.send(t, "control-center", "POST", "/tokens", s.people[name].token, order); a.Status != 404 {
		t.Errorf("made: %d %.200s", a.Status, a.Raw)
	}
	if a := s.send(t, "control-center", "POST", "/tokens/"+tokenID+"/rotate", s.people[name].token, map[string]any{}); a.Status != 404 {
		t.Errorf("rotated: %d %.200s", a.Status, a.Raw)
	}
}
