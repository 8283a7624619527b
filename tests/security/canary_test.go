package security

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// canaries are secrets by name, in every form in which they could leak.
type canaries struct{ forms map[string][][]byte }

// add plants a secret.
func (c *canaries) add(name, value string) {
	if len(value) < 12 {
		panic("too short to be found for sure: " + name)
	}
	forms := [][]byte{[]byte(value), []byte(hex.EncodeToString([]byte(value))), []byte(strings.ToUpper(hex.EncodeToString([]byte(value)))),
		[]byte(url.QueryEscape(value)), []byte(url.PathEscape(value))}
	for shift := range 3 { // a text in base64 looks different at each of three places
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := enc.EncodeToString(append(make([]byte, shift), value...))
			forms = append(forms, []byte(text[4:len(text)-3]))
		}
	}
	c.forms[name] = append(c.forms[name], forms...)
}

// in returns the names of the secrets that b holds.
func (c *canaries) in(b []byte) []string {
	var found []string
	for name, forms := range c.forms {
		for _, f := range forms {
			if bytes.Contains(b, f) {
				found = append(found, fmt.Sprintf("%s (as %.4s…)", name, f))
				break
			}
		}
	}
	return found
}

// marker is planted where it may be seen; a sweep that does not find it is blind.
const marker = "marker-4d1f8c2ab39e"

// TestCanaries_noSecretIsAnywhere is S01, L14, A62 and X12: planted secrets are used rightly and
// wrongly at every operation, then everything the services wrote, answered, sent or handed to a
// child is searched, while they run and after they stopped.
func TestCanaries_noSecretIsAnywhere(t *testing.T) {
	t.Setenv("PLATFORM_CANARY", "environment-canary-"+id.Random())
	dir := t.TempDir()
	s, err := open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	open := true
	t.Cleanup(func() {
		if open {
			_ = s.Close()
		}
	})
	c := &canaries{forms: map[string][][]byte{}}
	s.plant(t, c)
	events, stop := s.listen(t)
	answers := s.useSecrets(t, c)
	bodies := &canaries{forms: map[string][][]byte{}}
	s.fillBodies(t, bodies)
	servers := s.realServer(t)

	search := func(where string, b []byte) {
		if found := c.in(b); found != nil {
			t.Errorf("%s holds %v: %s", where, found, around(b, c))
		}
	}
	for where, b := range answers {
		search(where, b)
	}
	for _, service := range []string{"orchestrator", "control-center"} {
		search("the metrics of the "+service, s.send(t, service, "GET", "/metrics", s.people["admin"].token, nil).Raw)
	}
	var rows []byte
	for offset := 0; ; offset += 1000 {
		page := s.send(t, "control-center", "GET", fmt.Sprintf("/audit/logs?limit=1000&offset=%d", offset), s.people["auditor"].token, nil)
		rows = append(rows, page.Raw...)
		var some []json.RawMessage
		if page.data(t, &some); len(some) < 1000 {
			break
		}
	}
	search("the audit rows", rows)
	if !bytes.Contains(rows, []byte(marker)) {
		t.Error("the sweep of the audit rows is blind")
	}
	search("the events", events())
	if !bytes.Contains(events(), []byte("TaskStatusChanged")) {
		t.Error("the sweep of the events is blind")
	}
	stop()
	s.children(t, servers, search)
	s.sweepFiles(t, dir, "while running", search)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open = false
	s.sweepFiles(t, dir, "after the end", search)
	s.sweepLogs(t, dir, bodies)
}

// around shows what stands before the first hit.
func around(b []byte, c *canaries) string {
	for _, forms := range c.forms {
		for _, f := range forms {
			if at := bytes.Index(b, f); at >= 0 {
				return fmt.Sprintf("%q…", b[max(0, at-120):at])
			}
		}
	}
	return ""
}

// plant collects the secrets of the installation and makes an account whose own are known.
func (s *site) plant(t *testing.T, c *canaries) {
	t.Helper()
	c.add("the environment", os.Getenv("PLATFORM_CANARY"))
	c.add("the administrator's password", s.Admin.Password)
	c.add("the administrator's TOTP secret", s.Admin.TOTPSecret)
	if raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(s.Admin.TOTPSecret, "=")); err == nil {
		c.add("the administrator's TOTP secret", string(raw))
	}
	for _, code := range s.Admin.RecoveryCodes {
		c.add("a recovery code", code)
		c.add("a recovery code", strings.ReplaceAll(code, "-", ""))
	}
	root := s.people["admin+mfa"].second
	c.add("a TOTP secret", root.Secret)
	c.add("a recovery code", root.RecoveryCodes[0])
	c.add("a password", password)
	for _, p := range s.people {
		c.add("a token's signature", p.token[strings.LastIndex(p.token, ".")+1:])
	}
	var credential struct {
		PrivateKey string `json:"private_key"`
	}
	raw, err := os.ReadFile(s.Admin.OrchestratorCredential)
	if err == nil {
		err = json.Unmarshal(raw, &credential)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.add("the orchestrator's key", credential.PrivateKey)
	kek, err := os.ReadFile(filepath.Join(s.Dir, "control-center", "keys", "kek"))
	if err != nil {
		t.Fatal(err)
	}
	c.add("the key-encryption key", strings.TrimSpace(string(kek)))
}

// useSecrets sends the secrets where they belong and where they do not, at every operation, and
// returns the answers that had no reason to hold one.
func (s *site) useSecrets(t *testing.T, c *canaries) map[string][]byte {
	t.Helper()
	answers := map[string][]byte{}
	keep := func(what string, a answer) { answers[what] = append(fmt.Append(nil, a.Header), a.Raw...) }
	root := s.people["admin+mfa"]
	keep("the marker", s.send(t, "control-center", "POST", "/users", root.token,
		map[string]any{"username": marker, "email": marker + "@example.com", "password": password, "roles": []string{"viewer"}}))
	login := map[string]any{"username": marker, "password": password}
	var grant struct {
		Token   string `json:"token"`
		Refresh string `json:"refresh_token"`
	}
	s.send(t, "control-center", "POST", "/auth/login", "", login).data(t, &grant)
	c.add("a refresh token", grant.Refresh)
	var next struct {
		Token   string `json:"token"`
		Refresh string `json:"refresh_token"`
	}
	s.send(t, "control-center", "POST", "/auth/refresh", "", map[string]any{"token": grant.Refresh}).data(t, &next)
	c.add("a refresh token", next.Refresh)
	c.add("a token's signature", next.Token[strings.LastIndex(next.Token, ".")+1:])
	var enrolled struct {
		Secret string `json:"secret"`
	}
	s.send(t, "control-center", "POST", "/mfa/enroll/totp", next.Token, nil).data(t, &enrolled)
	c.add("a TOTP secret", enrolled.Secret)
	_, machine := s.apiToken(t, root, "*:*", "read")
	c.add("an API token", machine)
	keep("an API token at the control-center", s.send(t, "control-center", "GET", "/tokens", root.token, nil))
	keep("who an API token speaks for", s.send(t, "control-center", "GET", "/me", machine, nil))
	keep("an API token at the orchestrator", s.send(t, "orchestrator", "GET", "/tasks?limit=1", machine, nil))
	wrong := "typed-by-mistake-" + id.Random()
	c.add("a wrong password", wrong)
	for _, body := range []map[string]any{{"username": marker, "password": wrong}, {"username": wrong, "password": password},
		{"username": marker, "password": password, "mfa_code": root.second.RecoveryCodes[0]},
		{"username": s.Admin.Username, "password": s.Admin.Password}, {"username": marker, "password": password, "mfa_code": wrong},
		{"username": marker}, {"password": wrong, "username": 1}} {
		keep(fmt.Sprint("a sign-in ", len(answers)), s.send(t, "control-center", "POST", "/auth/login", "", body))
	}
	// the same pair once more: a lost answer
	s.send(t, "control-center", "POST", "/auth/refresh", "", map[string]any{"token": grant.Refresh})
	for _, op := range s.operations(t) {
		path := op.url(nowhere)
		for i, secret := range []string{root.token, s.Admin.Password, next.Refresh, root.second.RecoveryCodes[0], wrong, machine} {
			q := "?token=" + url.QueryEscape(secret) + "&password=" + url.QueryEscape(secret) + "&limit=" + url.QueryEscape(secret)
			// What has the form of a request id is one, and ids are recorded: only what is too long
			// or has another character was pasted by mistake for sure.
			rid := secret
			if len(rid) <= 64 {
				rid = "=" + rid
			}
			head := []string{"X-Request-Id: " + rid, "User-Agent: " + secret, "Cookie: session=" + secret, "Idempotency-Key: " + secret,
				"If-None-Match: " + secret, "Accept-Language: " + secret}
			keep(fmt.Sprint(op, " in the query ", i), s.send(t, op.service, op.method, path+q, "", nil, head...))
			keep(fmt.Sprint(op, " as a token ", i), s.send(t, op.service, op.method, path, secret+"x", nil, head...))
			if pasted := parameter.ReplaceAllLiteralString(op.path, url.PathEscape(secret)); pasted != op.path {
				for _, who := range []string{"viewer", "admin"} { // who may not ask, and who is told that there is no such object
					keep(fmt.Sprint(op, " in the path as ", who, " ", i),
						s.send(t, op.service, op.method, pasted, s.people[who].token, nil))
				}
				keep(fmt.Sprint(op, " in the path with a bad token ", i), s.send(t, op.service, op.method, pasted, "bad", nil))
			}
			if op.body == nil || op.id == "createCheckpoint" {
				continue
			}
			body := op.body.sample().(map[string]any)
			for name, p := range op.body.Properties {
				if p.is("string") && (name == "password" || name == "mfa_code" || name == "code" || name == "token") {
					body[name] = secret
				}
			}
			body["password2"] = secret
			keep(fmt.Sprint(op, " in the body ", i), s.send(t, op.service, op.method, path, root.token, body))
			keep(fmt.Sprint(op, " in a broken body ", i), s.send(t, op.service, op.method, path, root.token, `{"password":"`+secret+`"`))
			keep(fmt.Sprint(op, " as a wrong type ", i), s.send(t, op.service, op.method, path, root.token, `{"password":["`+secret+`"],"token":{"a":"`+secret+`"}}`))
		}
	}
	return answers
}

// listen collects what /ws sends to an administrator whose token stands in the address (A62).
func (s *site) listen(t *testing.T) (events func() []byte, stop func()) {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.Orchestrator.Address, "http")+"/ws?token="+s.people["admin"].token,
		nil)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all []byte
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			_, m, err := ws.ReadMessage()
			if err != nil {
				return
			}
			mu.Lock()
			all = append(append(all, m...), '\n')
			mu.Unlock()
		}
	}()
	return func() []byte { mu.Lock(); defer mu.Unlock(); return bytes.Clone(all) }, func() { _ = ws.Close(); <-done }
}

// realServer makes a server on the local driver, so that there is a child that outlives its call,
// and returns the pids of the local servers.
func (s *site) realServer(t *testing.T) []int {
	t.Helper()
	a := s.send(t, "orchestrator", "POST", "/workflows/servers/create", s.people["operator"].token,
		map[string]any{"infra": "real", "wait": true})
	var task string
	if a.data(t, &task); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Raw)
	}
	servers := func() (pids []int) {
		all, err := rig.ProcessesBelow(s.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			if p.LocalServer() {
				pids = append(pids, p.PID)
			}
		}
		return pids
	}
	var pids []int
	rigtest.Await(t, patience, "the server's process runs", func() bool { pids = servers(); return len(pids) > 0 })
	t.Cleanup(func() { // a local server ends when its folder is gone
		_ = os.RemoveAll(filepath.Join(s.Dir, "orchestrator"))
		rigtest.Await(t, patience, "the server's process has ended", func() bool { return len(servers()) == 0 })
	})
	return pids
}

// children searches what the kernel shows of the processes: the services' arguments, and the
// servers' arguments, environment and open files, of which none leads back into a store or to a
// connection of the orchestrator.
func (s *site) children(t *testing.T, servers []int, search func(string, []byte)) {
	t.Helper()
	for _, pid := range append([]int{s.Orchestrator.PID(), s.ControlCenter.PID()}, servers...) {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			t.Fatal(err)
		}
		search(fmt.Sprintf("the arguments of process %d", pid), line)
	}
	for _, pid := range servers {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || len(env) == 0 {
			t.Fatalf("the environment of the server cannot be read: %v", err)
		}
		search("the environment of a server", env)
		if bytes.Contains(env, []byte("CANARY")) || bytes.Contains(env, []byte("ORCHESTRATOR_")) {
			t.Errorf("our environment reaches a server: %q", env)
		}
		fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd.Name()))
			if strings.Contains(to, filepath.Join(s.Dir, "orchestrator", "store")) ||
				strings.Contains(to, filepath.Join(s.Dir, "control-center")) || strings.HasSuffix(to, ".log") {
				t.Errorf("a server has %s open", to)
			}
		}
	}
}

// sweepFiles searches every file below dir but those whose purpose is to hold a key.
func (s *site) sweepFiles(t *testing.T, dir, when string, search func(string, []byte)) {
	t.Helper()
	files, bytesRead, seen := 0, 0, map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // a file of a running store may go
		}
		rel, _ := filepath.Rel(dir, path)
		if path == s.Admin.OrchestratorCredential || rel == filepath.Join("control-center", "keys", "kek") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		files, bytesRead = files+1, bytesRead+len(b)
		search(rel+" "+when, b)
		if bytes.Contains(b, []byte(marker)) {
			seen[strings.Split(rel, string(filepath.Separator))[0]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !seen["control-center"] || files < 20 {
		t.Errorf("the sweep of the files %s is blind: %d files, marker in %v", when, files, seen)
	}
	t.Logf("%s: %d files, %d bytes", when, files, bytesRead)
}
