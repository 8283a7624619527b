package security

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// member is a text in the body of an operation that keeps it.
type member struct {
	op, name string // operation id and member; dots lead into nested ones
	send     func(s *site, t *testing.T, text string, n int) (a answer, shown string)
	below    string // the member of what is shown that holds the text, or texts of which it is one; empty: shown nowhere
}

// kept are the members whose text is stored. send makes something with the text in a body that is
// good otherwise, n times with other names, and returns where it is shown.
var kept = []member{
	{"createUser", "username", func(s *site, t *testing.T, text string, n int) (answer, string) {
		return s.newUser(t, text, fmt.Sprintf("texts-%d@example.com", n), password)
	}, "username"},
	{"createUser", "email", func(s *site, t *testing.T, text string, n int) (answer, string) {
		return s.newUser(t, fmt.Sprintf("texts-%d", n), text+"@example.com", password)
	}, "email"},
	{"updateUser", "email", func(s *site, t *testing.T, text string, n int) (answer, string) {
		at := "/users/" + s.people["developer"].id
		return s.send(t, "control-center", "PUT", at, s.people["admin+mfa"].token, map[string]any{"email": text + "@example.org"}), at
	}, "email"},
	{"createPolicy", "name", func(s *site, t *testing.T, text string, _ int) (answer, string) {
		return s.policy(t, map[string]any{"name": text, "version": "1.0.0"})
	}, "name"},
	{"createPolicy", "version", func(s *site, t *testing.T, text string, n int) (answer, string) {
		return s.policy(t, map[string]any{"name": fmt.Sprint("texts-", n), "version": text})
	}, "version"},
	{"createServiceAccount", "name", func(s *site, t *testing.T, text string, _ int) (answer, string) {
		return s.serviceAccount(t, map[string]any{"name": text})
	}, "name"},
	{"createServiceAccount", "description", func(s *site, t *testing.T, text string, n int) (answer, string) {
		return s.serviceAccount(t, map[string]any{"name": fmt.Sprint("texts-", n), "description": text})
	}, "description"},
	{"updateServiceAccount", "description", func(s *site, t *testing.T, text string, n int) (answer, string) {
		_, at := s.serviceAccount(t, map[string]any{"name": fmt.Sprint("texts-", n)})
		return s.send(t, "control-center", "PUT", at, s.people["admin+mfa"].token, map[string]any{"description": text}), at
	}, "description"},
	{"createToken", "name", func(s *site, t *testing.T, text string, _ int) (answer, string) { return s.named(t, text) }, "name"},
	{"createCheckpoint", "name", func(s *site, t *testing.T, text string, _ int) (answer, string) {
		return s.made(t, "/rollback/checkpoints", map[string]any{"name": text}, "/rollback/checkpoints/")
	}, "name"},
	{"createCheckpoint", "description", func(s *site, t *testing.T, text string, _ int) (answer, string) {
		return s.made(t, "/rollback/checkpoints", map[string]any{"name": "texts", "description": text}, "/rollback/checkpoints/")
	}, "description"},
	{"createWebhook", "description", func(s *site, t *testing.T, text string, _ int) (answer, string) {
		return s.webhook(t, map[string]any{"description": text})
	}, "description"},
	{"updateWebhook", "description", func(s *site, t *testing.T, text string, _ int) (answer, string) {
		_, at := s.webhook(t, nil)
		return s.send(t, "orchestrator", "PUT", at, s.people["admin+mfa"].token, map[string]any{"description": text}), at
	}, "description"},
	{"pauseWebhook", "reason", func(s *site, t *testing.T, text string, _ int) (answer, string) {
		_, at := s.webhook(t, nil)
		return s.send(t, "orchestrator", "POST", at+"/pause", s.people["admin+mfa"].token, map[string]any{"reason": text}), at
	}, "reason"},
	{"executeBatch", "name", func(s *site, t *testing.T, text string, n int) (answer, string) {
		return s.batch(t, map[string]any{"name": text}, map[string]any{"id": "a"}, map[string]any{"name": fmt.Sprint("texts-", n)})
	}, "name"},
	{"executeBatch", "version", func(s *site, t *testing.T, text string, n int) (answer, string) {
		return s.batch(t, map[string]any{"name": "texts", "version": text}, map[string]any{"id": "a"},
			map[string]any{"name": fmt.Sprint("texts-", n)})
	}, ""},
	{"executeBatch", "operations.server_configs.name", func(s *site, t *testing.T, text string, _ int) (answer, string) {
		return s.batch(t, map[string]any{"name": "texts"}, map[string]any{"id": "a"}, map[string]any{"name": text})
	}, "servers"},
	{"executeBatch", "operations.server_configs.plan", func(s *site, t *testing.T, text string, n int) (answer, string) {
		return s.batch(t, map[string]any{"name": "texts"}, map[string]any{"id": "a"},
			map[string]any{"name": fmt.Sprint("texts-", n), "plan": text})
	}, "facts"},
	{"executeBatch", "operations.server_configs.zone", func(s *site, t *testing.T, text string, n int) (answer, string) {
		return s.batch(t, map[string]any{"name": "texts"}, map[string]any{"id": "a"},
			map[string]any{"name": fmt.Sprint("texts-", n), "zone": text})
	}, "facts"},
	{"createServers", "infra", workflow("servers", "infra", nil), "args"},
	{"createServers", "settings", workflow("servers", "settings", nil), "args"},
	{"createTaskserv", "infra", workflow("taskserv", "infra", map[string]any{"taskserv": "kubernetes"}), "args"},
	{"createTaskserv", "settings", workflow("taskserv", "settings", map[string]any{"taskserv": "kubernetes"}), "args"},
	{"createTaskserv", "taskserv", workflow("taskserv", "taskserv", nil), "args"},
	{"createCluster", "infra", workflow("cluster", "infra", map[string]any{"cluster_type": "buildkit"}), "args"},
	{"createCluster", "settings", workflow("cluster", "settings", map[string]any{"cluster_type": "buildkit"}), "args"},
	{"createCluster", "cluster_type", workflow("cluster", "cluster_type", nil), "args"},
}

// signsIn is why a strange text is not tried at a member below: it is taken there, as a password.
const signsIn = "TestPasswords_strangeTexts"

// dryRun is why a strange text is not tried at a member below: the operation answers a question and
// stores nothing.
const dryRun = "a question that is answered"

// wildcard is why "*" is not tried at a member below: it stands for all words that are known there.
const wildcard = "are known words, or * for all"

// unkept are the other members with texts, and why nothing of them is stored: a strange text is
// refused there.
var unkept = map[string]string{
	"login.username": "names an account", "login.password": "is compared", "login.mfa_code": "is compared", "refresh.token": "is compared",
	"verifyTOTP.code":     "is compared",
	"createUser.password": signsIn, "updateUser.password": signsIn, "createUser.roles": "are five words",
	"updateUser.roles":           "are five words",
	"createServiceAccount.owner": "names an account", "createServiceAccount.roles": "are five words",
	"updateServiceAccount.owner": "names an account", "updateServiceAccount.roles": "are five words",
	"createToken.service_account": "names an account", "createToken.expires_at": "is a time", "rotateToken.expires_at": "is a time",
	"createToken.scope.action": wildcard, "createToken.scope.resource": wildcard,
	"previewRollback.checkpoint_id": dryRun, "previewRollback.operation_ids": dryRun,
	"executeBatch.storage_backend": "one of two words", "createTaskserv.operation": "one of four words",
	"createCluster.operation": "one of four words",
	"createWebhook.url":       "is a URL", "updateWebhook.url": "is a URL", "createWebhook.events": "are names of events",
	"updateWebhook.events": "are names of events",
	"createWebhook.secret": "is sealed", "rotateWebhookSecret.secret": "is sealed",
	"executeRollback.checkpoint_id": "names a checkpoint", "executeRollback.operation_ids": "name operations",
	"executeBatch.operations.id": "has an alphabet", "executeBatch.operations.type": "one of two words",
	"executeBatch.operations.on_failure": "one of three words",
	"executeBatch.operations.provider":   "names a provider", "executeBatch.operations.dependencies": "name operations",
	"executeBatch.operations.taskservs": "name task services",
	"executeBatch.operations.targets":   "name servers",
	"explainPolicy.user":                dryRun, "explainPolicy.roles": dryRun, "explainPolicy.action": dryRun,
	"explainPolicy.resource": dryRun,
	"explainPolicy.infra":    dryRun, "explainPolicy.ip": dryRun, "explainPolicy.time": dryRun,
	"checkPolicy.id": dryRun, "checkPolicy.name": dryRun, "checkPolicy.version": dryRun, "checkPolicy.rules.effect": dryRun,
	"checkPolicy.rules.resource": dryRun,
	"checkPolicy.rules.action":   dryRun, "checkPolicy.rules.condition": dryRun,
	"checkPolicy.rehearse.from": dryRun, "checkPolicy.rehearse.to": dryRun, "checkPolicy.rehearse.after": dryRun,
	"createPolicy.rules.effect": "one of two words", "createPolicy.rules.resource": "begins with a type",
	"createPolicy.rules.action": "are known words", "createPolicy.rules.condition": "is an expression",
	"updatePolicy.name": "as in createPolicy", "updatePolicy.version": "as in createPolicy",
	"updatePolicy.rules.effect": "one of two words", "updatePolicy.rules.resource": "begins with a type",
	"updatePolicy.rules.action": "are known words", "updatePolicy.rules.condition": "is an expression",
}

// policy makes a policy that says nothing about anybody here.
func (s *site) policy(t *testing.T, body map[string]any) (answer, string) {
	t.Helper()
	body["rules"] = []any{map[string]any{"effect": "Deny", "resource": "servers:texts", "action": []string{"create"}}}
	a := s.send(t, "control-center", "POST", "/policies", s.people["admin+mfa"].token, body)
	var p client.Policy
	if a.Status < 300 {
		a.data(t, &p)
	}
	return a, "/policies/" + p.ID
}

// newUser makes an account.
func (s *site) newUser(t *testing.T, name, email, pass string) (answer, string) {
	t.Helper()
	a := s.send(t, "control-center", "POST", "/users", s.people["admin+mfa"].token,
		map[string]any{"username": name, "email": email, "password": pass, "roles": []string{"viewer"}})
	if a.Status != 201 {
		return a, ""
	}
	var u client.User
	a.data(t, &u)
	return a, "/users/" + u.ID
}

// serviceAccount makes a service account.
func (s *site) serviceAccount(t *testing.T, body map[string]any) (answer, string) {
	t.Helper()
	body["roles"] = []string{"viewer"}
	a := s.send(t, "control-center", "POST", "/service-accounts", s.people["admin+mfa"].token, body)
	return a, "/service-accounts/" + idOf(t, a)
}

// named makes an API token of that name.
func (s *site) named(t *testing.T, name string) (answer, string) {
	t.Helper()
	a := s.send(t, "control-center", "POST", "/tokens", s.people["admin+mfa"].token, map[string]any{
		"name": name, "expires_at": time.Now().Add(time.Hour),
		"scope": []any{map[string]any{"resource": "tasks:*", "action": []string{"read"}}},
	})
	return a, "/tokens/" + idOf(t, a)
}

// idOf returns the id of what an answer shows; empty when it refuses.
func idOf(t *testing.T, a answer) string {
	t.Helper()
	var made struct {
		ID string `json:"id"`
	}
	if a.Status < 300 {
		a.data(t, &made)
	}
	return made.ID
}

// webhook makes a webhook and deletes the one it has made before, for a service keeps 100 of them.
func (s *site) webhook(t *testing.T, more map[string]any) (answer, string) {
	t.Helper()
	if s.hook != "" {
		s.send(t, "orchestrator", "DELETE", s.hook, s.people["admin+mfa"].token, nil)
		s.hook = ""
	}
	body := map[string]any{"url": "https://receiver.invalid/hook", "events": []string{"rollback.failed"}}
	maps.Copy(body, more)
	a := s.send(t, "orchestrator", "POST", "/webhooks", s.people["admin+mfa"].token, body)
	if a.Status != 201 {
		return a, ""
	}
	var made struct {
		ID string `json:"id"`
	}
	a.data(t, &made)
	s.hook = "/webhooks/" + made.ID
	return a, s.hook
}

// made sends a body to an operation of the orchestrator that answers with an id.
func (s *site) made(t *testing.T, path string, body map[string]any, shown string) (answer, string) {
	t.Helper()
	a := s.send(t, "orchestrator", "POST", path, s.people["admin+mfa"].token, body)
	var id string
	if a.Status < 300 {
		a.data(t, &id)
	}
	return a, shown + id
}

// workflow sends one member of a workflow in check mode; what it names need not exist, for the task
// says so.
func workflow(kind, name string, rest map[string]any) func(*site, *testing.T, string, int) (answer, string) {
	return func(s *site, t *testing.T, text string, _ int) (answer, string) {
		body := map[string]any{"infra": "fast", "check_mode": true}
		for k, v := range rest {
			body[k] = v
		}
		body[name] = text
		return s.made(t, "/workflows/"+kind+"/create", body, "/tasks/")
	}
}

// batch runs a batch of one operation with one server to its end.
func (s *site) batch(t *testing.T, batch, op, server map[string]any) (answer, string) {
	t.Helper()
	for name, usual := range map[string]string{"plan": "1xCPU-2GB", "zone": "de-fra1"} {
		if server[name] == nil {
			server[name] = usual
		}
	}
	op["type"], op["provider"], op["dependencies"], op["server_configs"] = "server_batch", "fast", []string{}, []any{server}
	batch["operations"] = []any{op}
	a := s.send(t, "orchestrator", "POST", "/batch/execute", s.people["admin+mfa"].token, batch)
	if a.Status != 200 {
		return a, ""
	}
	var b client.BatchRun
	a.data(t, &b)
	shown := "/batch/operations/" + b.BatchID
	rigtest.Await(t, patience, "the batch has ended", func() bool {
		s.send(t, "orchestrator", "GET", shown, s.people["admin"].token, nil).data(t, &b)
		return b.Status != "Pending" && b.Status != "Running"
	})
	return a, shown
}

// texts returns the members, with dots between them, that are texts or lists of texts.
func (s schema) texts(prefix string) (names []string) {
	for name, p := range s.Properties {
		if p.Items != nil {
			p = *p.Items
		}
		if p.is("string") {
			names = append(names, prefix+name)
		}
		names = append(names, p.texts(prefix+name+".")...)
	}
	return names
}

// with returns a sample that has the text at a member.
func (s schema) with(path []string, text string) any {
	switch {
	case s.Items != nil:
		return []any{s.Items.with(path, text)}
	case len(path) == 0:
		return text
	}
	v := s.sample().(map[string]any)
	v[path[0]] = s.Properties[path[0]].with(path[1:], text)
	return v
}

// textsBelow returns all texts that stand below a member of that name, wherever it is.
func textsBelow(v any, name string, inside bool) (texts []string) {
	switch v := v.(type) {
	case string:
		if inside {
			texts = append(texts, v)
		}
	case []any:
		for _, e := range v {
			texts = append(texts, textsBelow(e, name, inside)...)
		}
	case map[string]any:
		for k, e := range v {
			texts = append(texts, textsBelow(e, name, inside || k == name)...)
		}
	}
	return texts
}

// TestBodies_strangeTexts is I05: a text in any member is refused, or it is stored and shown again
// byte for byte.
func TestBodies_strangeTexts(t *testing.T) {
	s := shared
	if err := s.signIn(t.Context(), s.people["admin+mfa"]); err != nil { // who makes a token has signed in a moment ago
		t.Fatal(err)
	}
	s.policy(t, map[string]any{"name": "web_operators", "version": "1.0.0"}) // the sample's name is taken
	n, known, published := 0, map[string]bool{}, map[string]bool{}
	for _, m := range kept {
		known[m.op+"."+m.name] = true
		taken, service := 0, "orchestrator"
		for _, noun := range []string{"User", "Policy", "ServiceAccount", "Token"} {
			if strings.HasSuffix(m.op, noun) {
				service = "control-center"
			}
		}
		for _, text := range strange {
			n++
			a, shown := m.send(s, t, text, n)
			if a.Status >= 300 {
				refused(t, operation{service: service, path: m.op}, fmt.Sprintf("%s = %.40q", m.name, text), a, 400, 409, 413, 422)
				continue
			}
			taken++
			view := s.send(t, service, "GET", shown, s.people["admin"].token, nil)
			if m.op == "createUser" || m.op == "createToken" || strings.HasSuffix(m.op, "ServiceAccount") { // there are limits
				s.send(t, service, "DELETE", shown, s.people["admin+mfa"].token, nil)
			}
			var doc any
			if view.data(t, &doc); view.Status != 200 {
				t.Errorf("%s took %s = %.40q and shows nothing: status %d: %.300s", m.op, m.name, text, view.Status, view.Raw)
			}
			if m.below == "" || text == "" { // an empty text is an absent one
				continue
			}
			if texts := textsBelow(doc, m.below, false); !slices.ContainsFunc(texts, func(got string) bool {
				return got == text || m.name == "email" && got == text+got[max(0, len(got)-len("@example.com")):]
			}) {
				t.Errorf("%s took %s = %.40q and shows %.300q", m.op, m.name, text, texts)
			}
		}
		if taken < 3 {
			t.Errorf("%s takes %d strange texts as %s, want some: nothing is shown otherwise", m.op, taken, m.name)
		}
	}
	for _, op := range s.withBody(t) {
		for _, name := range op.body.texts("") {
			key := op.id + "." + name
			published[key] = true
			if known[key] {
				continue
			}
			if unkept[key] == "" {
				t.Errorf("%s has a member %s: say in the tables where its text is shown, or why it is not stored", op, name)
			}
			for _, text := range strange {
				if text == "" || unkept[key] == signsIn || unkept[key] == dryRun || text == "*" && unkept[key] == wildcard {
					continue
				}
				raw, err := json.Marshal(op.body.with(strings.Split(name, "."), text))
				if err != nil {
					t.Fatal(err)
				}
				refused(t, op, fmt.Sprintf("%s = %.40q", name, text), s.try(t, op, string(raw)), 400, 401, 404, 409, 413, 422)
			}
		}
	}
	for key := range unkept {
		known[key] = true
	}
	for key := range known {
		if !published[key] {
			t.Errorf("the tables have %s, which no operation takes", key)
		}
	}
}

// TestPasswords_strangeTexts is I05 for the member that nothing shows: a password is refused and
// signs nobody in, or it signs in as it was given and not without its strange part.
func TestPasswords_strangeTexts(t *testing.T) {
	s := shared
	changed, err := s.hire(t.Context(), "passwords-changed", "viewer")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := s.hire(t.Context(), "passwords-plain", "viewer")
	if err != nil {
		t.Fatal(err)
	}
	signIn := func(name, pass string) int {
		return s.send(t, "control-center", "POST", "/auth/login", "", map[string]any{"username": name, "password": pass}).Status
	}
	taken := 0
	for i, text := range strange {
		name, pass := fmt.Sprintf("passwords-%d", i), password+text
		a, _ := s.newUser(t, name, name+"@example.com", pass)
		b := s.send(t, "control-center", "PUT", "/users/"+changed.id, s.people["admin+mfa"].token, map[string]any{"password": pass})
		if a.Status != 201 || b.Status != 200 {
			refused(t, operation{path: "createUser"}, fmt.Sprintf("password = %.40q", text), a, 413, 422)
			refused(t, operation{path: "updateUser"}, fmt.Sprintf("password = %.40q", text), b, 413, 422)
			if got := signIn(plain.name, pass); got != 401 && got != 413 && got != 422 {
				t.Errorf("a password with %.40q is refused for an account and signs in with status %d, want 401, 413 or 422", text, got)
			}
			continue
		}
		taken++
		if one, other := signIn(name, pass), signIn(changed.name, pass); one != 200 || other != 200 {
			t.Errorf("a password with %.40q was taken and signs in with status %d, and %d where it was changed; want 200", text, one, other)
		}
		if got := signIn(name, password); text != "" && got != 401 {
			t.Errorf("a password with %.40q signs in without it: status %d, want 401", text, got)
		}
	}
	if got := signIn(plain.name, password); got != 200 {
		t.Errorf("after the refused passwords the right one signs in with status %d, want 200: a slowed account shows nothing", got)
	}
	if taken < 10 {
		t.Errorf("%d strange passwords were taken, want at least 10", taken)
	}
}
