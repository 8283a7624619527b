package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/watch"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// The exit codes of architecture section 10.
const (
	exitOK, exitFailed, exitUsage, exitNotFound, exitNotSignedIn, exitDenied    = 0, 1, 2, 3, 4, 5
	exitConflict, exitTimeout, exitRunFailed, exitRunCancelled, exitUnreachable = 6, 7, 8, 9, 10
	exitUnverified                                                              = 11
)

const nowhere = "00000000-0000-4000-8000-000000000000"

// verb is one command line and what it must end with.
type verb struct {
	line string   // binary and arguments, parted by blanks; {name} is replaced by a value of the shell
	as   string   // who is signed in: "admin" (the default), "viewer", "nobody"
	env  []string // added to the environment
	code int
	out  string // standard output contains it
	err  string // standard error contains it: the reason and what to do next
}

// shell runs verbs against one installation.
type shell struct {
	*rig.Rig
	values map[string]string
}

// run runs a verb and returns both streams.
func (s *shell) run(t *testing.T, v verb) (out, errs string) {
	t.Helper()
	line := v.line
	for name, value := range s.values {
		line = strings.ReplaceAll(line, "{"+name+"}", value)
	}
	words := strings.Fields(line)
	for i, word := range words {
		words[i] = strings.Trim(word, "'") // '' is an empty argument
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.Bin, words[0]), words[1:]...)
	home := filepath.Join(s.Dir, "home-of-"+v.as)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home}, s.Env...)
	if s.Orchestrator != nil {
		cmd.Env = append(cmd.Env, "ORCHESTRATOR_SERVER="+s.Orchestrator.Address, "CONTROL_CENTER_SERVER="+s.ControlCenter.Address)
		switch v.as {
		case "", "admin", "viewer":
			cmd.Env = append(cmd.Env, "PROVISIONING_TOKEN_FILE="+s.values["token-"+v.as])
		}
	}
	cmd.Env = append(cmd.Env, v.env...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	_ = cmd.Run() // the exit code tells
	out, errs = o.String(), e.String()
	if got := cmd.ProcessState.ExitCode(); got != v.code {
		t.Errorf("%s\nended with %d, want %d\n%s%s", line, got, v.code, out, errs)
	}
	if !strings.Contains(out, v.out) || !strings.Contains(errs, v.err) {
		t.Errorf("%s\nprinted\n%s%s\nwant %q on standard output and %q on standard error", line, out, errs, v.out, v.err)
	}
	if v.code != exitOK && strings.TrimSpace(errs) == "" {
		t.Errorf("%s fails without a word", line)
	}
	return out, errs
}

// newShell starts an installation with simulated providers and a viewer.
func newShell(t *testing.T) *shell {
	o := sample(t)
	o.RateLimits, o.ControlCenterConfig = false, ""
	o.OrchestratorConfig = filepath.Join(o.Dir, "orchestrator.toml")
	write(t, o.OrchestratorConfig, `[infra]
dir = "infra"
[providers.fast]
driver = "simulated"
[providers.near]
driver = "local"
[providers.slow]
driver = "simulated"
latency = "10m"
[providers.broken]
driver = "simulated"
[[providers.broken.faults]]
action = "create"
class = "permanent"
message = "simulated: there is no such plan"
`)
	write(t, filepath.Join(o.Dir, "infra", "small", "config.toml"),
		"[[servers]]\nname = \"one\"\nplan = \"1xCPU-2GB\"\nzone = \"de-fra1\"\nprovider = \"fast\"\n")
	s := &shell{Rig: rigtest.Start(t, o), values: map[string]string{"dir": o.Dir, "nowhere": nowhere}}
	const password = "a rather long passphrase 7"
	if _, err := s.CC(s.Token).CreateUser(t.Context(),
		client.NewUser{Username: "vera", Email: "vera@example.com", Password: secret.New(password),
			Roles: []string{"viewer"}}); err != nil {
		t.Fatal(err)
	}
	viewer, err := s.CC(secret.Text{}).Login(t.Context(), "vera", secret.New(password), "")
	if err != nil {
		t.Fatal(err)
	}
	for who, token := range map[string]string{"": s.Token.Reveal(), "admin": s.Token.Reveal(), "viewer": viewer.Token.Reveal()} {
		s.values["token-"+who] = filepath.Join(o.Dir, "token-"+who)
		write(t, s.values["token-"+who], token)
	}
	s.values["password"] = filepath.Join(o.Dir, "password")
	write(t, s.values["password"], password)
	s.values["wrong"] = filepath.Join(o.Dir, "wrong")
	write(t, s.values["wrong"], "not the password at all")
	for _, provider := range []string{"fast", "near", "slow", "broken"} {
		s.values[provider] = filepath.Join(o.Dir, provider+".json")
		write(t, s.values[provider], fmt.Sprintf(`{"name":%q,"version":"1.0.0","storage_backend":"filesystem","parallel_limit":2,"rollback_enabled":false,"operations":[
{"id":"servers","type":"server_batch","provider":%q,"dependencies":[],"server_configs":[{"name":"%s-1","plan":"1xCPU-2GB","zone":"de-fra1"}]}]}`, provider, provider, provider))
	}
	s.values["faulty"] = filepath.Join(o.Dir, "faulty.json")
	write(t, s.values["faulty"], "{\"name\": \"x\",\n \"operations\": [\n  {\"id\": \"a\", \"server_configs\": 7}]}")
	return s
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCLI_exitCodes runs a verb for every exit code that needs a running installation.
func TestCLI_exitCodes(t *testing.T) {
	s := newShell(t)
	for _, v := range []verb{
		{line: "orchestrator task list", code: exitOK},
		{line: "orchestrator workflow servers --infra small --settings config.toml", out: "-", err: "orchestrator task watch"},
		{line: "orchestrator workflow servers --infra small --settings config.toml --watch -o json", out: "\"status\": \"Completed\""},
		{line: "orchestrator workflow servers --infra nowhere --watch", code: exitRunFailed, err: "nowhere"},
		{line: "orchestrator --version", out: "revision"},
		{line: "orchestrator checkpoint create before", out: "-"},
		{line: "orchestrator checkpoint show before", out: "before"},
		{line: "orchestrator checkpoint show after", code: exitNotFound, err: "checkpoint list"},
		{line: "orchestrator batch submit {fast} --watch", out: "Completed"},
		{line: "control-center user list", out: "vera"},
		{line: "control-center audit list --action user.create", out: "admin"},

		{line: "orchestrator batch submt {fast}", code: exitUsage, err: "submit"},
		{line: "orchestrator task show", code: exitUsage, err: "usage: orchestrator task show ID"},
		{line: "orchestrator task list --colour", code: exitUsage, err: "orchestrator task list --help"},
		{line: "orchestrator task list -o xml", code: exitUsage, err: "table, json, yaml or jsonl"},
		{line: "orchestrator rollback execute", code: exitUsage, err: "--checkpoint, --batch or --operation"},
		{line: "orchestrator batch submit {dir}/absent.json", code: exitUsage, err: "absent.json"},
		{line: "orchestrator batch submit {password}", code: exitUsage, err: ":1:1: this is not JSON"},
		{line: "orchestrator batch submit {faulty}", code: exitUsage, err: "faulty.json:3:"},
		{line: "orchestrator workflow servers --infra small --settings ../x", code: exitUsage, err: "settings"},

		{line: "orchestrator task show {nowhere}", code: exitNotFound, err: "no task with this id"},
		{line: "orchestrator batch show {nowhere} -o json", code: exitNotFound, err: "no batch with this id"},
		{line: "control-center user delete {nowhere} --yes", code: exitNotFound, err: "there is no user with this id"},

		{line: "orchestrator task list", as: "nobody", code: exitNotSignedIn, err: "control-center auth login"},
		{line: "control-center auth login --username vera --password-file {wrong}", as: "nobody", code: exitNotSignedIn},
		{line: "control-center auth login --username vera", as: "nobody", code: exitUsage, err: "--password-file"},
		{line: "control-center auth whoami", as: "nobody", code: exitNotSignedIn, err: "control-center auth login"},

		{line: "orchestrator checkpoint create no", as: "viewer", code: exitDenied,
			err: "create on checkpoints (your roles: viewer); it is allowed for admin, operator"},
		{line: "control-center user list", as: "viewer", code: exitDenied},

		{line: "control-center user update vera --role viewer -o json", out: "unchanged"},
		{line: "control-center user update vera --email other@example.com", err: "updated vera"},
		{line: "control-center user update nobody --disable", code: exitNotFound, err: "user list"},
		{line: "control-center key list", out: "current"},
		{line: "control-center key rotate", err: "signs from now on"},
		{line: "control-center key rotate", code: exitConflict, err: "DELETE /keys/"},
		{line: "control-center key remove nothing --yes", code: exitNotFound},
		{line: "control-center key rotate", as: "viewer", code: exitDenied},
		{line: "control-center user create vera --email v@example.com --role viewer --password-file {password}", code: exitConflict,
			err: "taken"},

		{line: "orchestrator batch submit {broken} --watch", code: exitRunFailed, err: "there is no such plan"},

		{line: "orchestrator task list --server http://127.0.0.1:1", code: exitUnreachable, err: "http://127.0.0.1:1"},
		{line: "control-center user list --server http://127.0.0.1:1", code: exitUnreachable, err: "is the service running there?"},
	} {
		s.run(t, v)
	}
}

// TestCLI_rollbackByNames rolls a batch back, then to a checkpoint by its name; two of one name are
// a conflict, and nothing left to undo says so.
func TestCLI_rollbackByNames(t *testing.T) {
	s := newShell(t)
	s.run(t, verb{line: "orchestrator checkpoint create first"})
	out, _ := s.run(t, verb{line: "orchestrator batch submit {fast} --watch -o json", out: "Completed"})
	var b client.BatchRun
	if err := json.Unmarshal([]byte(out), &b); err != nil {
		t.Fatal(err)
	}
	s.values["batch"] = b.BatchID
	out, _ = s.run(t, verb{line: "orchestrator batch show {batch}", out: b.BatchID})
	if !strings.Contains(out, "name") || !strings.Contains(out, "fast") || strings.Contains(out, "NOTE") {
		t.Errorf("the batch itself is not shown, or an empty column is:\n%s", out)
	}
	s.run(t, verb{line: "orchestrator batch show fast", out: b.BatchID})
	s.run(t, verb{line: "orchestrator batch show slower", code: exitNotFound, err: "orchestrator batch list"})
	s.run(t, verb{line: "orchestrator batch watch fast --timeout 20s", out: "Completed"})
	s.run(t, verb{line: "orchestrator rollback execute --batch fast --yes", out: "1",
		err: "this undoes 1 operation(s) of batch fast: servers"})
	s.run(t, verb{line: "orchestrator rollback execute --batch {batch} -o json", out: "unchanged"})
	s.run(t, verb{line: "orchestrator rollback execute --checkpoint first --yes",
		err: "0 operation(s) that completed after checkpoint first"})
	s.run(t, verb{line: "orchestrator checkpoint create first"})
	s.run(t, verb{line: "orchestrator rollback execute --checkpoint first", code: exitConflict, err: "2 checkpoints are called first"})
	if _, errs := s.run(t, verb{line: "orchestrator checkpoint show first", code: exitConflict}); strings.Count(errs, "Z") != 2 {
		t.Errorf("the times of the two are not told: %s", errs)
	}
	s.run(t, verb{line: "orchestrator batch submit {fast} --watch", out: "Completed"})
	s.run(t, verb{line: "orchestrator batch show fast", code: exitConflict, err: "2 batches are called fast"})
	s.run(t, verb{line: "orchestrator batch submit {broken} --watch", code: exitRunFailed})
	s.run(t, verb{line: "orchestrator status", out: "there is no such plan"})
	s.run(t, verb{line: "orchestrator status --control-center http://127.0.0.1:1 -o json", out: "Unhealthy"})
	rigtest.Await(t, 20*time.Second, "the audit entries are copied", func() bool {
		out, _ = s.run(t, verb{line: "control-center audit list --action rollback.execute -o json"})
		return strings.Count(out, "rollback.execute") >= 2
	})
	if n := strings.Count(out, "rollback.execute"); n != 2 {
		t.Errorf("two rollbacks have %d rows in the audit log: %s", n, out)
	}
	s.run(t, verb{line: "orchestrator checkpoint create again --idempotency-key k1"})
	s.run(t, verb{line: "orchestrator checkpoint create again --idempotency-key k1", err: "unchanged"})
	s.run(t, verb{line: "orchestrator __complete batch show ''", out: b.BatchID})
	s.run(t, verb{line: "orchestrator __complete task list --status ''", out: "completed"})
	s.run(t, verb{line: "orchestrator __complete batch adopt ''", out: b.BatchID})
	s.run(t, verb{line: "orchestrator __complete rollback execute --batch ''", out: b.BatchID})
	s.run(t, verb{line: "orchestrator __complete rollback execute --checkpoint ''", out: "first"})
}

// TestCLI_watchEndsAsTheRunDid cancels a batch that another command line watches: 9; one that lost
// patience ended with 7.
func TestCLI_watchEndsAsTheRunDid(t *testing.T) {
	s := newShell(t)
	out, _ := s.run(t, verb{line: "orchestrator batch submit {slow} -o json"})
	var b client.BatchRun
	if err := json.Unmarshal([]byte(out), &b); err != nil {
		t.Fatal(err)
	}
	s.values["batch"] = b.BatchID
	s.run(t, verb{line: "orchestrator batch watch {batch} --timeout 100ms", code: exitTimeout, err: "batch watch " + b.BatchID})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		s.run(t, verb{line: "orchestrator batch watch {batch}", code: exitRunCancelled, err: "cancelled"})
	}()
	s.run(t, verb{line: "orchestrator batch cancel {batch}"})
	<-watched
	s.run(t, verb{line: "orchestrator batch cancel {batch}", code: exitConflict})

	s.run(t, verb{line: "orchestrator checkpoint create other"})
	out, _ = s.run(t, verb{line: "orchestrator watch --batch {batch} --since 0 --timeout 1s -o jsonl", code: exitTimeout, err: "--since"})
	ended := false
	for line := range strings.Lines(out) {
		var e watch.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Metadata["batch_id"] != b.BatchID {
			t.Errorf("not of the batch: %s, %v", line, err)
		}
		ended = ended || e.Type == "BatchStatusChanged" && e.Metadata["status"] == "cancelled"
	}
	if !ended {
		t.Errorf("the end of the batch is missing: %s", out)
	}
	s.run(t, verb{line: "orchestrator watch --event-type CheckpointCreated --since 0 --timeout 1s", code: exitTimeout, out: "other"})
	s.run(t, verb{line: "orchestrator watch --event-type Nothing", code: exitUsage, err: "TaskStatusChanged"})
}

// TestCLI_savedSignIn signs in, is recognised by both binaries, and signs out.
func TestCLI_savedSignIn(t *testing.T) {
	s := newShell(t)
	s.run(t, verb{line: "control-center auth login --username vera --password-file {password}", as: "vera", err: "signed in as vera"})
	saved := filepath.Join(s.Dir, "home-of-vera", ".config", "provisioning-platform", "credentials.json")
	if info, err := os.Stat(saved); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the sign-in is saved as %v: %v", info, err)
	}
	s.run(t, verb{line: "control-center auth whoami", as: "vera", out: "vera"})
	s.run(t, verb{line: "orchestrator task list", as: "vera"})
	s.run(t, verb{line: "control-center user update vera --disable -o json", out: "updated"})
	s.run(t, verb{line: "control-center auth whoami", as: "vera", code: exitNotSignedIn}) // what is saved here does not count
	s.run(t, verb{line: "control-center user update vera --enable"})
	s.run(t, verb{line: "control-center auth login --username vera --password-file {password}", as: "vera", err: "signed in as vera"})
	s.run(t, verb{line: "control-center auth logout", as: "vera", err: "signed out"})
	s.run(t, verb{line: "orchestrator task list", as: "vera", code: exitNotSignedIn, err: "control-center auth login"})
}

// TestCLI_formats reads the same list in every format.
func TestCLI_formats(t *testing.T) {
	s := newShell(t)
	for range 2 {
		s.run(t, verb{line: "orchestrator checkpoint create again"})
	}
	var list []client.Checkpoint
	out, _ := s.run(t, verb{line: "orchestrator checkpoint list -o json"})
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 2 {
		t.Errorf("json: %v\n%s", err, out)
	}
	out, _ = s.run(t, verb{line: "orchestrator checkpoint list -o jsonl"})
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var one client.Checkpoint
	if err := json.Unmarshal([]byte(lines[0]), &one); err != nil || len(lines) != 2 || one.ID != list[0].ID {
		t.Errorf("jsonl: %v\n%s", err, out)
	}
	out, _ = s.run(t, verb{line: "orchestrator checkpoint list -o yaml", out: "- "})
	if strings.Count(out, "name: again") != 2 || !strings.Contains(out, list[0].ID) {
		t.Errorf("yaml:\n%s", out)
	}
	out, _ = s.run(t, verb{line: "orchestrator checkpoint list", out: "ID"})
	if n := strings.Count(out, "\n"); n != 3 {
		t.Errorf("a heading and two rows are not %d lines:\n%s", n, out)
	}
	out, _ = s.run(t, verb{line: "orchestrator checkpoint list --limit 1 -o json", err: "--after "})
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 {
		t.Errorf("notes stand among the data: %v\n%s", err, out)
	}
	s.run(t, verb{line: "orchestrator task list -o json", out: "[]"}) // an empty list is a list
}

// TestCLI_beforeAnythingRuns is what an operator meets first.
func TestCLI_beforeAnythingRuns(t *testing.T) {
	o := sample(t)
	s := &shell{Rig: &rig.Rig{Options: o}, values: map[string]string{"dir": o.Dir, "cc": o.ControlCenterConfig,
		"orch": o.OrchestratorConfig}}
	s.values["typo"] = filepath.Join(o.Dir, "typo.toml")
	write(t, s.values["typo"], "[rate_limits]\nenabled = true\ngenral = 5\n")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	s.values["taken"] = taken.Addr().String()
	for _, v := range []verb{
		{line: "control-center serve --data {dir}/none", code: exitFailed, err: "control-center init --data"},
		{line: "control-center init", code: exitUsage, err: "--data"},
		{line: "control-center init --data {dir}/cc -o json", out: "totp_uri"},
		{line: "control-center init --data {dir}/cc", code: exitConflict, err: "initialised already"},
		{line: "control-center serve --data {dir}/cc --listen {taken}", code: exitFailed, err: s.values["taken"]},
		{line: "control-center serve --data {dir}/cc --store surrealdb://root:hunter2@127.0.0.1:1/a/b", code: exitUsage, err: "password"},
		{line: "orchestrator serve --data {dir}/o --control-center http://127.0.0.1:1 --credential {dir}/none", code: exitUsage,
			err: "credential"},
		{line: "orchestrator serve --data {dir}/o --control-center http://127.0.0.1:1 --credential " +
			"{dir}/cc/orchestrator-credential.json --store surrealdb://root:hunter2@127.0.0.1:1/a/b", code: exitUsage, err: "password"},
		{line: "orchestrator serve --data {dir}/o --control-center http://127.0.0.1:1 --credential " +
			"{dir}/cc/orchestrator-credential.json --store surrealdb://root@127.0.0.1:1/a/b", code: exitUsage,
			err: "SURREAL_DATASTORE_SYNC_DATA"},
		{line: "orchestrator config check --config {typo}", code: exitUsage, err: "did you mean rate_limits.general?"},
		{line: "control-center config check --config {typo}", code: exitUsage, err: ":3:"},
		{line: "orchestrator config check --config {orch} --data {dir}/o --control-center http://127.0.0.1:1 --credential " +
			"{dir}/cc/orchestrator-credential.json", err: "good"},
		{line: "orchestrator config check --config {orch} --data {dir}/o --control-center http://127.0.0.1:1 --credential {dir}/c",
			code: exitUsage, err: "credential"},
		{line: "orchestrator config check --config {orch}", code: exitUsage, err: "--data DIR"},
		{line: "control-center config check --config {cc} --data {dir}/cc", err: "good"},
		{line: "control-center config show --config {cc}", out: "access_ttl"},
		{line: "control-center config show --config {cc} -o json", out: "\"key\": \"tokens.access_ttl\""},
		{line: "control-center config show --config {cc}", env: []string{"CONTROL_CENTER_RATE_LIMITS_GENERAL=7"},
			out: "CONTROL_CENTER_RATE_LIMITS_GENERAL"},
		{line: "control-center config show", env: []string{"CONTROL_CENTER_STORE_URL=surrealdb://root:hunter2@h:1/a/b"}, out: "[secret]"},
		{line: "orchestrator audit verify", code: exitUsage, err: "--data"},
		{line: "orchestrator frobnicate", code: exitUsage, err: "batch"},
		{line: "control-center", out: "Usage"},
	} {
		out, errs := s.run(t, v)
		if strings.Contains(out+errs, "hunter2") {
			t.Errorf("%s shows the password:\n%s%s", v.line, out, errs)
		}
	}
}

// TestCLI_verifyFindsDamage flips one byte of a signed head: 11.
func TestCLI_verifyFindsDamage(t *testing.T) {
	s := newShell(t)
	s.run(t, verb{line: "orchestrator checkpoint create entry"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.run(t, verb{line: "orchestrator audit verify --data {dir}/orchestrator", out: "intact"})
	s.run(t, verb{line: "control-center audit verify --data {dir}/control-center", out: "intact"})
	head := filepath.Join(s.Dir, "orchestrator", "audit", "treehead")
	raw, err := os.ReadFile(head)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	write(t, head, string(raw))
	s.run(t, verb{line: "orchestrator audit verify --data {dir}/orchestrator", code: exitUnverified, err: "does not verify"})
}
