// Package surrealtest gives tests a real SurrealDB engine: the development front of
// deploy/surrealdb, installed on first use and started once a test process.
//
// The one rule: under -short the test is skipped; otherwise a machine without node and npm fails
// it, because a suite that is skipped silently proves nothing.
package surrealtest

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// engine is a running front. It ends with this process, because its standard input does.
type engine struct {
	host     string
	password string
	leash    io.WriteCloser // never written; the kernel closes it with us (a lost one the collector closes)
	cmd      *exec.Cmd
}

// front is the engine that the tests of this process share.
var front struct {
	once sync.Once
	engine
	err error
}

// Start returns the store URL of an empty database (surrealdb://root@127.0.0.1:PORT/test/NAME) and
// the password of its user. All tests of a process share one engine; each call has its own
// database.
func Start(t testing.TB) (at, password string) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a SurrealDB engine, which -short leaves out")
	}
	front.once.Do(func() { front.engine, front.err = start("--temporary", "--listen", anyPort) })
	if front.err != nil {
		t.Fatalf("start the SurrealDB front: %v", front.err)
	}
	return front.fresh(), front.password
}

// Separate is Start with an engine of the test's own, which stop takes away.
func Separate(t testing.TB) (at, password string, stop func()) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a SurrealDB engine, which -short leaves out")
	}
	e, err := start("--temporary", "--listen", anyPort)
	if err != nil {
		t.Fatalf("start the SurrealDB front: %v", err)
	}
	stop = sync.OnceFunc(e.kill)
	t.Cleanup(stop)
	return e.fresh(), e.password, stop
}

// KeptServer is an engine of a test's own whose database lies in a folder, so that a stopped one
// can be copied and put back. It keeps its address and its password over restarts.
type KeptServer struct {
	URL, Password string

	t       testing.TB
	dir     string
	running *engine
}

// Keep starts an engine on a folder; it ends with the test.
func Keep(t testing.TB, dir string) *KeptServer {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a SurrealDB engine, which -short leaves out")
	}
	k := &KeptServer{t: t, dir: dir}
	k.start(anyPort)
	k.URL, k.Password = k.running.fresh(), k.running.password
	t.Cleanup(k.Stop)
	return k
}

// Stop ends the engine; everything it has acknowledged is in its folder. A stopped one is left
// alone.
func (k *KeptServer) Stop() {
	if k.running != nil {
		k.running.kill()
		k.running = nil
	}
}

// Start starts the stopped engine on what its folder holds now.
func (k *KeptServer) Start() {
	k.t.Helper()
	at, err := url.Parse(k.URL)
	if err != nil {
		k.t.Fatal(err)
	}
	k.start(at.Host)
}

func (k *KeptServer) start(listen string) {
	k.t.Helper()
	e, err := startAs(k.Password, "--path", "rocksdb://"+k.dir, "--listen", listen)
	if err != nil {
		k.t.Fatalf("start the SurrealDB front: %v", err)
	}
	k.running = &e
}

// anyPort lets the front choose its port.
const anyPort = "127.0.0.1:0"

func (e engine) kill() {
	_ = e.cmd.Process.Kill()
	_ = e.cmd.Wait()
}

// fresh returns the store URL of an empty database.
func (e engine) fresh() string {
	return fmt.Sprintf("surrealdb://root@%s/test/d%s", e.host, strings.ToLower(rand.Text()))
}

func start(args ...string) (engine, error) { return startAs("", args...) }

// startAs installs and runs the front; an empty password has one made.
func startAs(password string, args ...string) (e engine, err error) {
	_, here, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(here), "..", "..", "..", "..", "deploy", "surrealdb")
	if err := install(dir); err != nil {
		return e, err
	}
	if e.password = password; password == "" {
		e.password = rand.Text()
	}
	file, err := os.CreateTemp("", "surrealdb-password-*")
	if err != nil {
		return e, err
	}
	defer os.Remove(file.Name())
	if _, err := file.WriteString(e.password); err != nil {
		return e, err
	}
	cmd := exec.Command("node", append([]string{"server.mjs", "--leashed", "--password-file", file.Name()}, args...)...)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	if e.leash, err = cmd.StdinPipe(); err != nil {
		return e, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return e, err
	}
	if err := cmd.Start(); err != nil {
		return e, err
	}
	e.cmd = cmd
	line, err := bufio.NewReader(out).ReadString('\n')
	host, found := strings.CutPrefix(strings.TrimSpace(line), "listening ws://")
	if !found {
		return e, fmt.Errorf("the front said %q: %w", line, err)
	}
	e.host = strings.TrimSuffix(host, "/rpc")
	return e, nil
}

// install runs npm ci once; test processes that run beside each other wait for the first one.
func install(dir string) error {
	lock, err := os.Open(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	text, err := os.ReadFile(lock.Name())
	if err != nil {
		return err
	}
	want := fmt.Sprintf("%x", sha256.Sum256(text))
	stamp := filepath.Join(dir, "node_modules", ".installed")
	if have, err := os.ReadFile(stamp); err == nil && string(have) == want {
		return nil
	}
	cmd := exec.Command("npm", "ci")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci in deploy/surrealdb (node 20 or later with npm is needed): %w\n%s", err, out)
	}
	return os.WriteFile(stamp, []byte(want), 0o644)
}
