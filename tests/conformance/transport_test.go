package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// realClients holds section 3.16: programs that others wrote.
var realClients = []behaviour{
	{184, "the_printed_python_and_javascript_clients_work", func(t *testing.T, e *env) {
		python, node, packages := rigtest.PrintedClients(t)
		f := e.sampled()
		for script, program := range map[string]string{"sdk.py": python, "sdk.mjs": node} {
			cmd := exec.CommandContext(t.Context(), program, rigtest.Repository(t, "tests", "e2e", "testdata", script))
			cmd.Env = f.printed(packages)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s", script, err, out)
			}
			_, text, _ := strings.Cut(string(out), "\nTask: ")
			var task client.Task
			if err := json.Unmarshal([]byte(text), &task); err != nil || task.Status != "Completed" {
				t.Errorf("%s: %v\n%s", script, err, out)
			}
		}
	}},
	{185, "the_printed_websocket_lines_run_in_a_browser_and_in_node", func(t *testing.T, e *env) {
		_, node, packages := rigtest.PrintedClients(t)
		page, seen := socketPage(t)
		f := e.fresh(func(o *rig.Options) { o.Env = append(o.Env, "ORCHESTRATOR_WS_ORIGINS="+page) })
		inNode := exec.CommandContext(t.Context(), node, rigtest.Repository(t, "tests", "e2e", "testdata", "socket.mjs"))
		inNode.Env = f.printed(packages)
		printed := &strings.Builder{}
		ended := follow(t, inNode, printed)
		browse(t, fmt.Sprintf("%s/?service=%s&token=%s", page, strings.Replace(f.Orchestrator.Address, "http", "ws", 1), f.Token.Reveal()))
		f.await(30*time.Second, "both clients received an event", func() bool {
			f.ended(f.submit("fast"))
			return strings.Contains(seen(), `"event_type":"TaskStatusChanged"`) && strings.Contains(ended(), "event_type: 'TaskStatusChanged'")
		})
	}},
	{186, "a_page_of_another_origin_gets_cors_headers_only_where_configured", func(t *testing.T, e *env) {
		const page = "https://console.example.com"
		f := e.fresh(func(o *rig.Options) {
			o.Env = append(o.Env, "ORCHESTRATOR_CORS_ORIGINS="+page, "CONTROL_CENTER_CORS_ORIGINS="+page)
		})
		for _, in := range []*env{f, e} {
			for base, path := range map[string]string{in.Orchestrator.Address: "/tasks", in.ControlCenter.Address: "/users"} {
				for _, origin := range []string{page, "https://evil.example.com", "null"} {
					want := ""
					if in == f && origin == page {
						want = origin
					}
					a := in.do(request{base: base, method: "GET", path: path, role: "admin", header: "Origin: " + origin})
					ask := rigtest.Send(t, "OPTIONS", base+path, "", nil, "Origin: "+origin, "Access-Control-Request-Method: GET",
						"Access-Control-Request-Headers: authorization")
					for what, h := range map[string]http.Header{"the answer": a.Header, "the preflight": ask.Header} {
						if h.Get("Access-Control-Allow-Origin") != want || h.Get("Access-Control-Allow-Credentials") != "" {
							t.Errorf("%s of %s%s to a page of %s allows %q, want %q", what, base, path, origin,
								h.Get("Access-Control-Allow-Origin"), want)
						}
					}
					if (ask.Status == 204) != (want != "") || a.Status != 200 {
						t.Errorf("%s from %s: %d, its preflight %d", path, origin, a.Status, ask.Status)
					}
				}
			}
		}
	}},
	{187, "http_2_without_tls_and_http_1_0_are_answered_cleanly", func(t *testing.T, e *env) {
		curl := rigtest.Need(t, "curl", "curl (Debian: curl)")
		header := filepath.Join(t.TempDir(), "header") // a token is no argument
		if err := os.WriteFile(header, []byte("Authorization: Bearer "+e.tokens["admin"].Reveal()), 0o600); err != nil {
			t.Fatal(err)
		}
		versions := map[string]string{"--http2-prior-knowledge": "2", "--http1.0": "1", "--http2": "1.1", "--http1.1": "1.1"}
		for flag, version := range versions {
			for base, path := range map[string]string{e.Orchestrator.Address: "/tasks", e.ControlCenter.Address: "/users"} {
				for status, args := range map[string][]string{
					"200": {"-H", "@" + header, base + path},
					"401": {base + path},
					"404": {"-H", "@" + header, base + "/nothing"},
					"400": {"-H", "@" + header, "-H", "Content-Type: application/json", "-d", "{", base + strings.Replace(path, "tasks",
						"rollback/checkpoints", 1)},
				} {
					args = append([]string{flag, "-sS", "--max-time", "20", "-w", "\n%{http_version} %{http_code}"}, args...)
					out, err := exec.CommandContext(t.Context(), curl, args...).CombinedOutput()
					body, got, _ := strings.Cut(string(out), "\n")
					if err != nil || got != version+" "+status || !json.Valid([]byte(body)) {
						t.Errorf("curl %s %s: %v %s", flag, args[len(args)-1], err, out)
					}
				}
			}
		}
	}},
	{188, "many_requests_and_many_connections_leave_nothing_behind", func(t *testing.T, e *env) {
		f := e.fresh()
		for base, path := range map[string]string{f.Orchestrator.Address: "/tasks?limit=1", f.ControlCenter.Address: "/users?limit=1"} {
			if e.surreal {
				path = "/health" // how long its queries take says nothing about connections
			}
			idle := f.usage(base)
			f.onOneConnection(base+path, 10_000)
			if open := f.atOnce(strings.TrimPrefix(base, "http://"), 1000); open != 1000 {
				t.Errorf("%s answered on %d of 1000 connections at once", base, open)
			}
			var now usage
			f.await(20*time.Second, "goroutines and file handles are what they were before", func() bool {
				now = f.usage(base)
				return now.goroutines <= idle.goroutines+20 && now.files <= idle.files+10
			})
			t.Logf("%s: %+v before, %+v after", base, idle, now)
		}
	}},
}

// sampled is fresh with the sample installation, whose infra the printed clients name.
func (e *env) sampled() *env {
	return e.fresh(func(o *rig.Options) {
		s, err := rig.Sample(rigtest.Repository(e.t), o.Bin, o.Dir)
		if err != nil {
			e.t.Fatal(err)
		}
		o.OrchestratorConfig, o.ControlCenterConfig, o.Peer = s.OrchestratorConfig, s.ControlCenterConfig, s.Peer
	})
}

// printed returns the environment in which a printed client finds its service, token and packages.
func (e *env) printed(packages string) []string {
	e.t.Helper()
	token := filepath.Join(e.Dir, "token")
	if err := os.WriteFile(token, []byte(e.Token.Reveal()), 0o600); err != nil {
		e.t.Fatal(err)
	}
	return append(os.Environ(), "BASE_URL="+e.Orchestrator.Address, "TOKEN_FILE="+token, "PACKAGES="+packages)
}

// follow starts a program that ends with the test and returns what it has printed so far.
func follow(t *testing.T, cmd *exec.Cmd, to *strings.Builder) (printed func() string) {
	t.Helper()
	var mu sync.Mutex
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for text := make([]byte, 4096); ; {
			n, err := out.Read(text)
			mu.Lock()
			to.Write(text[:n])
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-done; _ = cmd.Wait() })
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return to.String()
	}
}

// socketLines is a page with the reference's WebSocket lines; before them stands what shows a test
// what they print.
var socketLines = template.Must(template.New("page").Parse(`<!doctype html><script>
const token = {{.Token}};
console.log = (...what) => fetch('/seen', {method: 'POST', body: JSON.stringify(what)});
</script><script>
const ws = new WebSocket({{.Service}} + ` + "`/ws?token=${token}`" + `);
ws.onmessage = function(event) {
    const data = JSON.parse(event.data);
    console.log('Event:', data);
};
</script>`))

// socketPage serves that page and returns what its lines have printed so far.
func socketPage(t *testing.T) (origin string, seen func() string) {
	t.Helper()
	var mu sync.Mutex
	var printed strings.Builder
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/seen" {
			mu.Lock()
			defer mu.Unlock()
			_, _ = io.Copy(&printed, r.Body)
			return
		}
		_ = socketLines.Execute(w, map[string]string{"Token": r.FormValue("token"), "Service": r.FormValue("service")})
	}))
	t.Cleanup(s.Close)
	return s.URL, func() string {
		mu.Lock()
		defer mu.Unlock()
		return printed.String()
	}
}

// browse opens a page in a browser that ends with the test.
func browse(t *testing.T, url string) {
	t.Helper()
	profile, err := os.MkdirTemp("", "conformance-browser-")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(rigtest.Need(t, "chromium", "Chromium (Debian: chromium)"), "--headless=new", "--no-sandbox", "--disable-gpu",
		"--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--remote-debugging-port=0",
		"--user-data-dir="+profile, url)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); _ = cmd.Wait(); _ = os.RemoveAll(profile) })
}

// usage is what a process holds.
type usage struct{ goroutines, files int }

// usage asks a service what its process holds.
func (e *env) usage(base string) (u usage) {
	e.t.Helper()
	a := e.do(request{base: base, method: "GET", path: "/metrics", role: "admin"})
	for line := range strings.Lines(string(a.Raw)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseFloat(value, 64)
		switch {
		case err != nil:
		case name == "go_goroutines":
			u.goroutines = int(n)
		case name == "process_open_fds":
			u.files = int(n)
		}
	}
	if u.goroutines == 0 || u.files == 0 {
		e.t.Fatalf("/metrics says nothing of goroutines and file handles: %.500s", a.Raw)
	}
	return u
}

// onOneConnection sends n requests, one after the other, and fails the test when they need a second
// connection.
func (e *env) onOneConnection(url string, n int) {
	e.t.Helper()
	own := &http.Transport{MaxConnsPerHost: 1}
	defer own.CloseIdleConnections()
	opened := 0
	ctx := httptrace.WithClientTrace(e.t.Context(), &httptrace.ClientTrace{ConnectDone: func(string, string, error) { opened++ }})
	for range n {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			e.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+e.Token.Reveal())
		resp, err := own.RoundTrip(req)
		if err != nil {
			e.t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if _ = resp.Body.Close(); err != nil || resp.StatusCode != 200 {
			e.t.Fatalf("status %d, %v", resp.StatusCode, err)
		}
	}
	if opened != 1 {
		e.t.Errorf("%d requests took %d connections", n, opened)
	}
}

// atOnce opens n connections, asks on each while all are open, and returns how many answered with
// 200. Then it closes them.
func (e *env) atOnce(address string, n int) (answered int) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), time.Minute)
	defer cancel()
	conns := make([]net.Conn, n)
	for i := range conns {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			e.t.Fatalf("connection %d: %v", i, err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		conns[i] = conn
	}
	statuses := make(chan string, n)
	for _, conn := range conns {
		go func() {
			_, _ = io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: "+address+"\r\n\r\n")
			head := make([]byte, len("HTTP/1.1 200"))
			_, _ = io.ReadFull(conn, head)
			statuses <- string(head)
		}()
	}
	for range conns {
		if <-statuses == "HTTP/1.1 200" {
			answered++
		}
	}
	return answered
}
