package crash

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// fork is what `audit recover -o json` prints.
type fork struct {
	Size        int
	Seen        int `json:"seen_size"`
	LostFrom    int `json:"lost_from"`
	LostTo      int `json:"lost_to"`
	Fingerprint string
}

// backup says what of a service is copied and put back, and on which store.
type backup struct {
	name     string
	database bool // the services store in SurrealDB, and its database is part of the copy
	folder   bool // the data folder is part of the copy
}

var backups = []backup{{"embedded", false, true}, {"surrealdb", true, true}, {"surrealdb_database_alone", true, false}}

// newKept starts an installation whose services can be put back one by one.
func newKept(t *testing.T, b backup) *world {
	t.Helper()
	o := rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir()}
	w := newWorld(t, &o)
	if b.database {
		w.engines = rigtest.KeepSurreal(t, &o)
	}
	w.rig = rigtest.Start(t, o)
	return w
}

// copied stops a service, copies its folder and its database to DIR/older and DIR/older-database,
// and starts it again. It waits for the first witness before that: a log that nobody has witnessed
// counts as a fresh one, and a service with a fresh log does not ask whether it was put back
// (decision 52).
func (w *world) copied(s *rig.Service) {
	w.t.Helper()
	w.witnessed(filepath.Join(w.rig.Dir, s.Name), 1)
	w.stop(s)
	copyTree(w.t, filepath.Join(w.rig.Dir, s.Name), filepath.Join(w.rig.Dir, "older"))
	if engine := w.engines[s.Name]; engine != nil {
		engine.Stop()
		copyTree(w.t, filepath.Join(w.rig.Dir, s.Name+"-database"), filepath.Join(w.rig.Dir, "older-database"))
		engine.Start()
	}
	w.startAgain(s)
}

// putBack stops a service and puts the older copy in the place of the newest.
func (w *world) putBack(s *rig.Service, b backup) {
	w.t.Helper()
	w.stop(s)
	replace := func(of string) {
		place := filepath.Join(w.rig.Dir, s.Name+of)
		if err := os.RemoveAll(place); err != nil {
			w.t.Fatal(err)
		}
		copyTree(w.t, filepath.Join(w.rig.Dir, "older"+of), place)
	}
	if b.folder {
		replace("")
	}
	if engine := w.engines[s.Name]; engine != nil {
		engine.Stop()
		replace("-database")
		engine.Start()
	}
}

// audit runs a verb of the noun audit on a stopped service.
func (w *world) audit(name, verb string, more ...string) ([]byte, error) {
	w.t.Helper()
	args := []string{"audit", verb, "--data", filepath.Join(w.rig.Dir, name)}
	if engine := w.engines[name]; engine != nil {
		args = append(args, "--store", engine.URL)
	}
	return w.rig.Run(w.t.Context(), name, append(args, more...)...)
}

// recover runs `audit recover --accept-fork` on the stopped service and returns what it printed.
func (w *world) recover(name string, more ...string) fork {
	w.t.Helper()
	out, err := w.audit(name, "recover", append([]string{"-o", "json", "--accept-fork", "--reason", "the disk died"}, more...)...)
	var f fork
	if jerr := json.Unmarshal(out, &f); err != nil || jerr != nil {
		w.t.Fatalf("%v %v %s", err, jerr, out)
	}
	if f.Fingerprint == "" || f.LostFrom > f.LostTo || f.LostTo+1 != f.Seen {
		w.t.Errorf("the fork is reported as %+v", f)
	}
	return f
}

// accept runs `audit accept-fork` on the other, stopped service.
func (w *world) accept(name, fingerprint string) {
	w.t.Helper()
	out, err := w.audit(name, "accept-fork", "--fingerprint", fingerprint, "--reason", "it was me")
	if err != nil {
		w.t.Fatalf("%v %s", err, out)
	}
}

// verifies wants both logs to verify offline, and the forked one to say so.
func (w *world) verifies(forked string) {
	w.t.Helper()
	w.stop(w.rig.Orchestrator)
	w.stop(w.rig.ControlCenter)
	for name, other := range map[string]string{"orchestrator": "control-center", "control-center": "orchestrator"} {
		out, err := w.audit(name, "verify", "--peer-audit", filepath.Join(w.rig.Dir, other, "audit"))
		if err != nil || strings.Contains(string(out), "records a fork") != (name == forked) {
			w.t.Errorf("the log of the %s: %v\n%s", name, err, out)
		}
	}
}

// TestPutBack_theOrchestratorIsRecovered goes on from a backup of the orchestrator.
func TestPutBack_theOrchestratorIsRecovered(t *testing.T) {
	for _, b := range backups {
		t.Run(b.name, func(t *testing.T) { recoverOrchestrator(t, b) })
	}
}

func recoverOrchestrator(t *testing.T, b backup) {
	w := newKept(t, b)
	orch := w.rig.Orchestrator
	w.checkpoints(3)
	w.copied(orch)
	w.checkpoints(20)
	w.witnessed(filepath.Join(w.rig.Dir, "orchestrator"), 23)
	refusedWith := func(code string) func() bool {
		return func() bool {
			_, err := w.orch().CreateCheckpoint(t.Context(), "refused", "", "")
			return fault.CodeOf(err) == code
		}
	}
	w.putBack(orch, b)
	w.startAgain(orch)
	rigtest.Await(t, noticed, "the folder that was put back is noticed", refusedWith("audit.rolled_back"))
	w.stop(orch)
	f := w.recover("orchestrator")
	w.startAgain(orch)
	rigtest.Await(t, noticed, "one command alone is not enough", refusedWith("audit.fork_pending"))
	w.stop(orch)
	w.stop(w.rig.ControlCenter)
	w.accept("control-center", f.Fingerprint)
	w.startAgain(w.rig.ControlCenter)
	w.startAgain(orch)
	w.changes()
	w.checkpoints(3)
	w.verifies("orchestrator")
}

// TestPutBack_theControlCenterIsRecoveredAndRevivesNobody changes accounts after the copy in each
// way that takes something away, recovers from the copy, and tries old tokens and fresh sign-ins.
func TestPutBack_theControlCenterIsRecoveredAndRevivesNobody(t *testing.T) {
	for _, b := range backups {
		t.Run(b.name, func(t *testing.T) { recoverControlCenter(t, b) })
	}
}

func recoverControlCenter(t *testing.T, b backup) {
	w := newKept(t, b)
	const password = "a rather long passphrase 7"
	names := []string{"disabled", "demoted", "deleted", "new-password", "logged-out", "unchanged"}
	ids, tokens, machines := map[string]string{}, map[string]client.Session{}, map[string]secret.Text{}
	for _, name := range names {
		u, err := w.cc().CreateUser(t.Context(),
			client.NewUser{Username: name, Email: name + "@example.com", Password: secret.New(password), Roles: []string{"operator"}})
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = u.ID
		if tokens[name], err = w.rig.CC(secret.Text{}).Login(t.Context(), name, secret.New(password), ""); err != nil {
			t.Fatal(err)
		}
		if _, machines[name], err = w.rig.CC(tokens[name].Token).CreateAPIToken(t.Context(), client.NewAPIToken{Name: "machine",
			Scope: authz.Scope{{Resource: "*:*", Action: []string{"*"}}}, ExpiresAt: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	cc, tasks := w.rig.ControlCenter, func() string { return w.rig.Orchestrator.Address + "/tasks?limit=1" }
	rigtest.Await(t, noticed, "the orchestrator knows the accounts",
		func() bool { return status(t, tasks(), tokens["unchanged"].Token) == http.StatusOK })
	rigtest.Await(t, noticed, "the orchestrator knows the API tokens",
		func() bool { return status(t, tasks(), machines["unchanged"]) == http.StatusOK })
	admin := w.rig.Token
	w.copied(cc)
	w.changes()

	send := func(method, path string, token secret.Text, body any) rigtest.Answer {
		t.Helper()
		a := rigtest.Send(t, method, cc.Address+path, token.Reveal(), body)
		if a.Status >= 300 {
			t.Fatalf("%s %s: %d %s", method, path, a.Status, a.Raw)
		}
		return a
	}
	send(http.MethodPut, "/users/"+ids["disabled"], admin, map[string]any{"enabled": false})
	send(http.MethodPut, "/users/"+ids["demoted"], admin, map[string]any{"roles": []string{"viewer"}})
	send(http.MethodDelete, "/users/"+ids["deleted"], admin, nil)
	send(http.MethodPut, "/users/"+ids["new-password"], admin, map[string]any{"password": "another long passphrase 8"})
	send(http.MethodPost, "/auth/logout", tokens["logged-out"].Token, nil)
	var set struct{ Keys []struct{ Kid string } }
	if err := json.Unmarshal(send(http.MethodGet, "/.well-known/jwks.json", secret.Text{}, nil).Raw, &set); err != nil ||
		len(set.Keys) == 0 {
		t.Fatal(err, set)
	}
	for _, k := range set.Keys { // the tokens end with the one that signed them
		if a := rigtest.Send(t, http.MethodDelete, cc.Address+"/keys/"+k.Kid, admin.Reveal(), nil); a.Status == http.StatusUnauthorized {
			break
		}
	}
	rigtest.Await(t, noticed, "the orchestrator hears that the key was removed",
		func() bool { return status(t, tasks(), admin) == http.StatusUnauthorized })
	rigtest.Await(t, 2*noticed, "the lost history is witnessed", func() bool {
		return w.cosigned("orchestrator", "control-center") > w.cosigned("older", "control-center")
	})

	w.putBack(cc, b)
	w.startAgain(cc)
	signIn := func(name string) error {
		return second(w.rig.CC(secret.Text{}).Login(t.Context(), name, secret.New(password), ""))
	}
	rigtest.Await(t, noticed, "the folder that was put back is noticed",
		func() bool { return fault.CodeOf(signIn("disabled")) == "audit.rolled_back" })
	w.stop(cc)
	w.stop(w.rig.Orchestrator)
	subjects := filepath.Join(w.rig.Dir, "subjects.jsonl")
	known, err := w.audit("orchestrator", "subjects")
	if err == nil {
		err = os.WriteFile(subjects, known, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	f := w.recover("control-center", "--subjects", subjects, "--admin", w.rig.Admin.Username)
	w.startAgain(w.rig.Orchestrator)
	w.startAgain(cc)
	old := func(when string) {
		t.Helper()
		for _, name := range names {
			for what, got := range map[string]int{
				"the orchestrator":                 status(t, tasks(), tokens[name].Token),
				"the control-center":               status(t, cc.Address+"/users/"+ids[name], tokens[name].Token),
				"the control-center, as a machine": status(t, cc.Address+"/me", machines[name]),
				"a refresh": rigtest.Send(t, http.MethodPost, cc.Address+"/auth/refresh", "",
					map[string]any{"token": tokens[name].Token.Reveal()}).Status,
			} {
				if got < 400 {
					t.Errorf("%s: %s takes the old token of %q: %d", when, what, name, got)
				}
			}
		}
		if got := status(t, tasks(), admin); got != http.StatusUnauthorized {
			t.Errorf("%s: the administrator's old token: %d", when, got)
		}
	}
	rigtest.Await(t, noticed, "one command alone is not enough",
		func() bool { return fault.CodeOf(signIn("unchanged")) == "audit.fork_pending" })
	old("pending")
	w.stop(w.rig.Orchestrator)
	w.accept("orchestrator", f.Fingerprint)
	w.startAgain(w.rig.Orchestrator)
	rigtest.Await(t, 2*noticed, "sign-ins are taken again", func() bool { return signIn("unchanged") == nil })
	old("accepted")
	for _, name := range []string{"disabled", "demoted", "deleted", "new-password"} {
		if err := signIn(name); !fault.Is(err, fault.Unauthenticated) && !fault.Is(err, fault.Denied) {
			t.Errorf("%q signs in afresh: %v", name, err)
		}
	}
	s, err := w.rig.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.rig.Token = s.Token
	w.changes() // before that the orchestrator reads by what it heard last, and API tokens are part of it
	for _, name := range names {
		if got := status(t, tasks(), machines[name]); got != http.StatusUnauthorized {
			t.Errorf("the orchestrator takes the API token of %q: %d", name, got)
		}
	}
	send(http.MethodPut, "/users/"+ids["demoted"], s.Token, map[string]any{"enabled": true, "roles": []string{"viewer"}})
	if err := signIn("demoted"); err != nil {
		t.Errorf("an account that the administrator enables again: %v", err)
	}
	w.verifies("control-center")
}
