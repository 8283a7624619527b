package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider/providertest"
)

// The test binary is the orchestrator's: it serves servers under the hidden verb, and
// "create-and-die" is an orchestrator that is killed in the middle of a create.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Verb {
		os.Exit(ServeMain(os.Args[2:]))
	}
	if len(os.Args) > 2 && os.Args[1] == "create-and-die" {
		d, err := Open(Config{Dir: os.Args[2], Command: []string{os.Args[0], Verb}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			panic(err)
		}
		for i := range 4 {
			go d.Create(context.Background(),
				provider.Spec{Tag: fmt.Sprint("victim-", i), Name: fmt.Sprint("web-", i), Plan: "p", Zone: "z"})
		}
		fmt.Println("creating")
		select {}
	}
	os.Exit(m.Run())
}

func open(t *testing.T, dir string) *Driver {
	t.Helper()
	d, err := Open(Config{Dir: dir, Command: []string{os.Args[0], Verb}, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// place returns a folder whose servers are destroyed when the test ends, and checked to be gone.
func place(t *testing.T) string {
	dir := t.TempDir()
	t.Cleanup(func() {
		d := open(t, dir)
		servers, err := d.List(context.Background())
		if err != nil {
			t.Error(err)
		}
		for _, s := range servers {
			if err := d.Delete(context.Background(), s); err != nil {
				t.Error(err)
			}
			if left := processesOf(d.folder(s.ID)); len(left) != 0 {
				t.Errorf("server %s left processes %v", s.Name, left)
			}
		}
	})
	return dir
}

// create makes a server; its facts are those that the owner sees.
func create(t *testing.T, d *Driver, tag string) provider.Server {
	t.Helper()
	name := "web-01"
	if tag != "tag" {
		name = "web-" + tag
	}
	s, err := d.Create(t.Context(), provider.Spec{Tag: tag, Name: name, Plan: "1xCPU-2GB", Zone: "de-fra1", Wait: true})
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(s.Facts, d.Reach(s.ID))
	return s
}

// openSSH runs a command string on the server with the system's client.
func openSSH(t *testing.T, s provider.Server, stdin string, words ...string) (string, int) {
	t.Helper()
	args := append([]string{"-F", s.Facts["ssh_config"], "--", s.Name}, words...)
	cmd := exec.CommandContext(t.Context(), "ssh", args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func run(t *testing.T, d *Driver, s provider.Server, cmd provider.Command) provider.Outcome {
	t.Helper()
	c, err := d.Connect(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	out, err := c.Run(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDriver_keepsTheContract(t *testing.T) {
	t.Parallel()
	dir := place(t)
	providertest.Suite(t, func() provider.Driver { return open(t, dir) })
}

func TestServer_answersPlainOpenSSH(t *testing.T) {
	t.Parallel()
	d := open(t, place(t))
	began := time.Now()
	s := create(t, d, "tag")
	t.Logf("created in %v", time.Since(began))
	for _, c := range []struct {
		words []string
		stdin string
		want  string
		exit  int
	}{
		{words: []string{"cat", "etc/hostname"}, want: "web-01\n"},
		{words: []string{"pwd"}, want: s.Facts["root"] + "\n"},
		{words: []string{"cat"}, stdin: "through\n", want: "through\n"},
		{words: []string{"sh -c 'exit 7'"}, exit: 7},
		{words: []string{"sh", "-c", "'kill -9 $$'"}, exit: 137},
		{words: []string{"no-such-program"}, exit: 127, want: "no-such-program: command not found\n"},
		{words: []string{"etc/hostname"}, exit: 126, want: "etc/hostname: permission denied\n"},
		{words: []string{"echo a; echo b"}, exit: 126, want: "refused: "},
		{words: []string{"echo $HOME"}, exit: 126, want: "refused: "},
		{words: []string{"A=b env"}, exit: 126, want: "assignment"},
		{words: nil, exit: 126, want: "no interactive shell"},
	} {
		out, exit := openSSH(t, s, c.stdin, c.words...)
		if exit != c.exit || !strings.Contains(out, c.want) {
			t.Errorf("ssh %q: %q, exit %d; want %q, exit %d", c.words, out, exit, c.want, c.exit)
		}
	}
	// The individual files work too, without our ssh_config.
	out, err := exec.Command("ssh", "-F", "none", "-i", s.Facts["key_file"], "-o", "UserKnownHostsFile="+s.Facts["known_hosts_file"], "-o",
		"BatchMode=yes",
		"-p", s.Facts["port"], s.Facts["user"]+"@"+s.Facts["address"], "id", "-u").CombinedOutput()
	if err != nil {
		t.Errorf("ssh with key file: %s %v", out, err)
	}
	other := create(t, d, "other")
	if out, err := exec.Command("ssh", "-F", "none", "-i", other.Facts["key_file"], "-o", "UserKnownHostsFile="+s.Facts["known_hosts_file"],
		"-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
		"-p", s.Facts["port"], s.Facts["user"]+"@"+s.Facts["address"], "id").CombinedOutput(); err == nil {
		t.Errorf("the key of another server was let in: %s", out)
	}
}

func TestCreate_sameTagIsSameServer(t *testing.T) {
	t.Parallel()
	d := open(t, place(t))
	var wg sync.WaitGroup
	var ids sync.Map
	for range 8 {
		wg.Go(func() {
			s, err := d.Create(t.Context(), provider.Spec{Tag: "one", Name: "web-01", Plan: "p", Zone: "z"})
			if err != nil {
				t.Error(err)
			}
			ids.Store(s.ID+" "+s.Facts["port"], true)
		})
	}
	wg.Wait()
	n := 0
	ids.Range(func(any, any) bool { n++; return true })
	if list, _ := d.List(t.Context()); n != 1 || len(list) != 1 {
		t.Errorf("%d answers, %d servers; want one of each", n, len(list))
	}
	if _, err := d.Create(t.Context(), provider.Spec{Tag: "one", Name: "web-01", Plan: "bigger",
		Zone: "z"}); provider.Classify(err).Class != dag.ConflictClass {
		t.Errorf("other plan under the same tag: %v", err)
	}
}

// TestCreate_stoppedWhileItsProcessStarts: the server's folder is there, so nobody may say that
// nothing was made.
func TestCreate_stoppedWhileItsProcessStarts(t *testing.T) {
	t.Parallel()
	dir := place(t)
	d, err := Open(Config{Dir: dir, Command: []string{"/bin/sh", "-c", "exec sleep 1000"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		waitFor(10*time.Second, func() bool { _, ok, _ := d.Find(ctx, "one"); return ok })
		cancel()
	}()
	if _, err := d.Create(ctx, provider.Spec{Tag: "one", Name: "web-01"}); provider.Classify(err).Class != dag.UnknownOutcome {
		t.Errorf("stopped: %v", err)
	}
	if _, err := d.Create(ctx, provider.Spec{Tag: "two", Name: "web-02"}); provider.Classify(err).Class != dag.Stopped {
		t.Errorf("stopped before it began: %v", err)
	}
	if err := d.Delete(t.Context(), provider.Server{Tag: "one"}); err != nil {
		t.Error(err)
	}
}

func TestDelete_leavesNothing(t *testing.T) {
	t.Parallel()
	dir := place(t)
	d := open(t, dir)
	s := create(t, d, "tag")
	c, err := d.Connect(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	go c.Run(t.Context(), provider.Command{Argv: []string{"sh", "-c", "setsid sleep 1000 & trap '' TERM; sleep 1001; sleep 1002"}})
	if !waitFor(5*time.Second, func() bool { return len(processesOf(d.folder(s.ID))) >= 4 }) {
		t.Fatal("the command did not start")
	}
	if err := d.Delete(t.Context(), provider.Server{ID: s.ID, Tag: "not ours"}); err == nil {
		t.Error("deleted under another tag")
	}
	for range 2 { // the second time it is gone already
		if err := d.Delete(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if left := processesOf(d.folder(s.ID)); len(left) != 0 {
		t.Errorf("processes left: %v", left)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left in the folder: %v", entries)
	}
	if _, ok, err := d.Find(t.Context(), "tag"); ok || err != nil {
		t.Errorf("found after delete: %v %v", ok, err)
	}
	for _, id := range []string{"../x", ".gone-x", "/etc", ""} {
		if id != "" && d.Delete(t.Context(), provider.Server{ID: id, Tag: "t"}) == nil {
			t.Errorf("id %q was taken", id)
		}
	}
}

func TestServer_survivesOrchestrator(t *testing.T) {
	t.Parallel()
	dir := place(t)
	s := create(t, open(t, dir), "tag")
	before, _ := folder(filepath.Join(dir, s.ID)).process()
	next := open(t, dir) // the next orchestrator
	if out := run(t, next, s, provider.Command{Argv: []string{"cat", "etc/hostname"}}); string(out.Output) != "web-01\n" {
		t.Errorf("after adoption: %q", out.Output)
	}
	after, _ := folder(filepath.Join(dir, s.ID)).process()
	if before != after {
		t.Errorf("adopted server has another process: %+v, was %+v", after, before)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- next.Run(ctx) }()
	syscall.Kill(before.PID, syscall.SIGKILL)
	f := folder(filepath.Join(dir, s.ID))
	if !waitFor(10*time.Second, func() bool { p, err := f.process(); return err == nil && p.PID != before.PID && p.alive() }) {
		t.Fatal("a killed server was not started again")
	}
	if p, _ := f.process(); p.Port != before.Port {
		t.Errorf("the server moved from port %d to %d", before.Port, p.Port)
	}
	if out, exit := openSSH(t, s, "", "true"); exit != 0 {
		t.Errorf("after restart: %s", out)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestServer_endsWithItsFolder(t *testing.T) {
	t.Parallel()
	dir := place(t)
	d := open(t, dir)
	s := create(t, d, "tag")
	if err := os.RemoveAll(filepath.Join(dir, s.ID)); err != nil {
		t.Fatal(err)
	}
	if !waitFor(5*time.Second, func() bool { return len(processesOf(d.folder(s.ID))) == 0 }) {
		t.Error("the process outlives its folder")
	}
}

// TestCreate_killedMidway kills an orchestrator at growing times after it began to create four
// servers. Whatever is there afterwards is found by its tag, and nothing runs that is not found.
func TestCreate_killedMidway(t *testing.T) {
	t.Parallel()
	for i := range 6 {
		dir := place(t)
		victim := exec.Command(os.Args[0], "create-and-die", dir)
		out, err := victim.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := victim.Start(); err != nil {
			t.Fatal(err)
		}
		io.ReadFull(out, make([]byte, len("creating")))
		<-time.After(time.Duration(i*i) * 2 * time.Millisecond)
		victim.Process.Kill()
		victim.Wait()
		d := open(t, dir)
		found := 0
		for n := range 4 {
			tag := fmt.Sprint("victim-", n)
			_, ok, err := d.Find(t.Context(), tag)
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				found++
			} else if left := processesOf(d.folder(idOf(tag))); len(left) != 0 {
				t.Errorf("%s is not found and has processes %v", tag, left)
			}
			s, err := d.Create(t.Context(), provider.Spec{Tag: tag, Name: fmt.Sprint("web-", n), Plan: "p", Zone: "z", Wait: true})
			if err != nil {
				t.Fatal(err)
			}
			// The victim may have started a process that has yet to find that another one serves
			// the folder.
			own := d.folder(s.ID)
			if !waitFor(5*time.Second, func() bool { return len(processesOf(own)) == 1 }) {
				t.Errorf("%s has processes %v", tag, processesOf(own))
			}
		}
		t.Logf("killed after %d ms: %d of 4 found", i*i*2, found)
	}
}

func TestRun_outputIsCapped(t *testing.T) {
	t.Parallel()
	d := open(t, place(t))
	s := create(t, d, "tag")
	out := run(t, d, s, provider.Command{Argv: []string{"head", "-c", "20000000", "/dev/zero"}})
	if len(out.Output) != provider.OutputLimit || out.Dropped != 20000000-provider.OutputLimit || out.Exit != 0 {
		t.Errorf("kept %d, dropped %d, exit %d", len(out.Output), out.Dropped, out.Exit)
	}
}

// TestRun_cancelEndsTheGroup is X11, reduced: 1 of 20 cancels, whose process group is gone 3 s
// later.
func TestRun_cancelEndsTheGroup(t *testing.T) {
	t.Parallel()
	d := open(t, place(t))
	s := create(t, d, "tag")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		waitFor(5*time.Second, func() bool { return len(processesOf(d.folder(s.ID))) >= 3 })
		cancel()
	}()
	c, err := d.Connect(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Run(ctx, provider.Command{Argv: []string{"sh", "-c", "trap '' TERM; sleep 1000 & sleep 1001; sleep 1002"}})
	if provider.Classify(err).Class != dag.Stopped {
		t.Errorf("stopped command: %v", err)
	}
	if !waitFor(3*time.Second, func() bool { return len(processesOf(d.folder(s.ID))) == 1 }) {
		t.Errorf("left running: %v", processesOf(d.folder(s.ID)))
	}
	if out, err := c.Run(t.Context(), provider.Command{Argv: []string{"echo", "still here"}}); err != nil ||
		string(out.Output) != "still here\n" {
		t.Errorf("the connection after a stopped command: %q %v", out.Output, err)
	}
}

// TestRun_lostConnectionEndsTheGroup is an orchestrator that is killed while a command runs.
// It is X11 after a kill, reduced: 1 of 20.
func TestRun_lostConnectionEndsTheGroup(t *testing.T) {
	t.Parallel()
	d := open(t, place(t))
	s := create(t, d, "tag")
	c, err := d.Connect(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		waitFor(5*time.Second, func() bool { return len(processesOf(d.folder(s.ID))) >= 3 })
		c.Close()
	}()
	_, err = c.Run(t.Context(), provider.Command{Argv: []string{"sh", "-c", "trap '' TERM HUP; sleep 1000 & sleep 1001; sleep 1002"}})
	if provider.Classify(err).Class != dag.UnknownOutcome {
		t.Errorf("lost connection: %v", err)
	}
	if !waitFor(3*time.Second, func() bool { return len(processesOf(d.folder(s.ID))) == 1 }) {
		t.Error("the command outlives its connection")
	}
}

func TestRun_environmentIsOurs(t *testing.T) {
	t.Setenv("PLATFORM_SECRET", "hunter2")
	t.Setenv("LD_PRELOAD_TEST", "x")
	d := open(t, place(t))
	s := create(t, d, "tag")
	out := run(t, d, s, provider.Command{Argv: []string{"env"}, Env: map[string]string{"PROVISIONING_ATTEMPT": "a b'c"}})
	if bytes.Contains(out.Output, []byte("hunter2")) || bytes.Contains(out.Output, []byte("LD_PRELOAD")) {
		t.Errorf("our environment reached the server: %s", out.Output)
	}
	for _, want := range []string{"PROVISIONING_ATTEMPT=a b'c\n", "PROVISIONING_ROOT=" + s.Facts["root"] + "\n",
		"PROVISIONING_SERVER=web-01\n"} {
		if !bytes.Contains(out.Output, []byte(want)) {
			t.Errorf("environment lacks %q: %s", want, out.Output)
		}
	}
	open := run(t, d, s, provider.Command{Argv: []string{"ls", "/proc/self/fd"}})
	if string(open.Output) != "0\n1\n2\n3\n" { // 3 is ls reading the folder
		t.Errorf("descriptors: %q", open.Output)
	}
}

func TestUpload(t *testing.T) {
	t.Parallel()
	d := open(t, place(t))
	s := create(t, d, "tag")
	c, err := d.Connect(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	content := bytes.Repeat([]byte("0123456789abcdef\x00'$(\n"), 50_000)
	if err := c.Upload(t.Context(), "var/a b'; touch trap/x", 0o640, content); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(s.Facts["root"], "var/a b'; touch trap/x")
	got, err := os.ReadFile(name)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("uploaded %d bytes, want %d (%v)", len(got), len(content), err)
	}
	if info, _ := os.Stat(name); info == nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode: %v", info.Mode())
	}
	if err := c.Upload(t.Context(), "etc/hostname/x", 0o600, nil); provider.Classify(err).Class != dag.Permanent {
		t.Errorf("below a file: %v", err)
	}
}
