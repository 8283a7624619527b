package conformance

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// password of every user that the suite makes; long enough for accounts without a second factor.
const password = "a rather long passphrase 7"

// env is one installation with a signed-in user of each role.
type env struct {
	*rig.Rig
	t       *testing.T
	tokens  map[string]secret.Text // by role; "" is no token
	calls   string                 // file in which the simulated providers record their mutating calls
	sockets *socketUsers           // whose token the next socket uses
	surreal bool                   // the store is SurrealDB
}

// socketUsers hands out the tokens of many users, a few sockets each.
type socketUsers struct {
	n     int
	token string
}

// newEnv starts an installation on the given store.
func newEnv(t *testing.T, store string) *env {
	t.Helper()
	e := &env{t: t, tokens: map[string]secret.Text{}, sockets: &socketUsers{}}
	o := rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir()}
	o.OrchestratorConfig, e.calls = writeConfig(t, o.Dir)
	if store == "surrealdb" {
		e.surreal = true
		rigtest.UseSurreal(t, &o)
	}
	e.Rig = rigtest.Start(t, o)
	e.tokens["admin"] = e.Token
	for _, role := range []string{"operator", "developer", "viewer", "auditor"} {
		e.createUser(role+"-1", role)
		e.tokens[role] = e.login(role+"-1", password)
	}
	return e
}

// in returns the same installation for a subtest.
func (e *env) in(t *testing.T) *env {
	c := *e
	c.t = t
	return &c
}

// name returns a name that no other behaviour uses.
func (e *env) name(stem string) string { return fmt.Sprintf("%s-%d", stem, time.Now().UnixNano()) }

// answer is a response with its envelope.
type answer struct {
	rigtest.Answer
	OK    bool
	Data  json.RawMessage
	Error string
	Code  string
}

// into decodes data.
func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(a.Data, v); err != nil {
		t.Fatalf("data is not what was expected: %v\n%s", err, a.Raw)
	}
}

// request is one raw HTTP request against a service.
type request struct {
	base, method, path string
	role               string // whose token; "" sends none
	token              string // overrides role
	body               any    // as rigtest.Send takes it
	header             string // a line, as rigtest.Send takes it; "" is none
}

// do sends the request and decodes the envelope. It follows no redirect; a transport error fails
// the test.
func (e *env) do(r request) answer {
	e.t.Helper()
	token := r.token
	if token == "" && r.role != "" {
		token = e.tokens[r.role].Reveal()
	}
	var header []string
	if r.header != "" {
		header = append(header, r.header)
	}
	return opened(rigtest.Send(e.t, r.method, r.base+r.path, token, r.body, header...))
}

// opened decodes the envelope of an answer, if it has one.
func opened(raw rigtest.Answer) answer {
	a := answer{Answer: raw}
	var envelope struct {
		Success *bool           `json:"success"`
		Data    json.RawMessage `json:"data"`
		Error   string          `json:"error"`
		Code    string          `json:"code"`
	}
	if json.Unmarshal(raw.Raw, &envelope) == nil && envelope.Success != nil {
		a.OK, a.Data, a.Error, a.Code = *envelope.Success, envelope.Data, envelope.Error, envelope.Code
	}
	return a
}

// orch and cc send a request to one of the services as a role.
func (e *env) orch(role, method, path string, body any) answer {
	e.t.Helper()
	return e.do(request{base: e.Orchestrator.Address, method: method, path: path, role: role, body: body})
}

func (e *env) cc(role, method, path string, body any) answer {
	e.t.Helper()
	return e.do(request{base: e.ControlCenter.Address, method: method, path: path, role: role, body: body})
}

// want fails unless the answer has one of the statuses and, being a refusal, the error envelope.
func (e *env) want(a answer, statuses ...int) answer {
	e.t.Helper()
	for _, s := range statuses {
		if a.Status == s {
			if s >= 400 && (a.OK || a.Error == "" || a.Data != nil) && len(a.Raw) > 0 {
				e.t.Errorf("status %d without a proper error envelope: %s", s, a.Raw)
			}
			if s < 300 && !a.OK {
				e.t.Errorf("status %d without success: %s", s, a.Raw)
			}
			return a
		}
	}
	e.t.Fatalf("status %d, want %v: %.2000s", a.Status, statuses, a.Raw)
	return a
}

// createUser makes an enabled user with the suite's password.
func (e *env) createUser(name string, roles ...string) client.User {
	e.t.Helper()
	u, err := e.CC(e.tokens["admin"]).CreateUser(e.t.Context(), client.NewUser{
		Username: name, Email: name + "@example.com", Password: secret.New(password), Roles: roles})
	if err != nil {
		e.t.Fatal(err)
	}
	return u
}

// session signs a user without second factor in; login returns the access token alone.
func (e *env) session(name, pass string) client.Session {
	e.t.Helper()
	s, err := e.CC(secret.Text{}).Login(e.t.Context(), name, secret.New(pass), "")
	if err != nil {
		e.t.Fatal(err)
	}
	return s
}

func (e *env) login(name, pass string) secret.Text {
	e.t.Helper()
	return e.session(name, pass).Token
}

// await is rigtest.Await.
func (e *env) await(within time.Duration, what string, ok func() bool) {
	e.t.Helper()
	rigtest.Await(e.t, within, what, ok)
}

// ended waits until a task is terminal and returns it.
func (e *env) ended(task string) client.Task {
	e.t.Helper()
	var t client.Task
	e.await(30*time.Second, "task "+task+" has ended", func() bool {
		var err error
		if t, err = e.Orch(e.tokens["admin"]).Task(e.t.Context(), task); err != nil {
			e.t.Fatal(err)
		}
		return t.Status != "Pending" && t.Status != "Running"
	})
	return t
}

// batchEnded waits until a batch is terminal and returns it.
func (e *env) batchEnded(id string) client.BatchRun {
	e.t.Helper()
	var b client.BatchRun
	e.await(60*time.Second, "batch "+id+" has ended", func() bool {
		var err error
		if b, err = e.Orch(e.tokens["admin"]).Batch(e.t.Context(), id); err != nil {
			e.t.Fatal(err)
		}
		return b.Status != "Pending" && b.Status != "Running"
	})
	return b
}
