package simulated

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider/providertest"
)

func open(t testing.TB, c Config) *Driver {
	t.Helper()
	d, err := Open(c, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func spec(tag string) provider.Spec {
	return provider.Spec{Tag: tag, Name: "web-" + tag, Plan: "p", Zone: "z"}
}

func TestDriver_keepsTheContract(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	providertest.Suite(t, func() provider.Driver { return open(t, Config{State: state}) })
}

func TestDriver_keepsServersByTag(t *testing.T) {
	dir := t.TempDir()
	config := Config{State: filepath.Join(dir, "state"), Calls: filepath.Join(dir, "calls")}
	d := open(t, config)
	for range 2 {
		if _, err := d.Create(t.Context(), spec("1")); err != nil {
			t.Fatal(err)
		}
	}
	b, err := d.Create(t.Context(), spec("2"))
	if err != nil {
		t.Fatal(err)
	}
	other := spec("2")
	other.Plan = "bigger"
	if _, err := d.Create(t.Context(), other); provider.Classify(err).Class != dag.ConflictClass {
		t.Errorf("other plan under the same tag: %v", err)
	}
	if err := d.Delete(t.Context(), provider.Server{ID: b.ID, Tag: "else"}); provider.Classify(err).Class != dag.Permanent {
		t.Errorf("delete under another tag: %v", err)
	}
	d = open(t, config) // the next process
	if list, _ := d.List(t.Context()); len(list) != 2 {
		t.Errorf("after reopen: %v", list)
	}
	for range 2 {
		if err := d.Delete(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	d = open(t, config)
	if _, ok, err := d.Find(t.Context(), "2"); ok || err != nil {
		t.Errorf("deleted server found: %v", err)
	}
	if s, ok, err := d.Find(t.Context(), "1"); !ok || err != nil || s.Name != "web-1" {
		t.Errorf("kept server: %v %v %v", s, ok, err)
	}
	if _, err := d.Connect(t.Context(), b); err == nil {
		t.Error("connected to a server that is gone")
	}
	text, _ := os.ReadFile(config.Calls)
	var actions []string
	for line := range strings.Lines(string(text)) {
		var c Call
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		actions = append(actions, fmt.Sprint(c.Action, " ", c.Result, " ", c.Effect))
	}
	want := "create ok true,create ok true,create ok true,create conflict false,delete permanent false,delete ok true,delete ok true"
	if got := strings.Join(actions, ","); got != want {
		t.Errorf("calls: %s\nwant:  %s", got, want)
	}
}

func TestOpen_startsAfterAKillCutTheLastLine(t *testing.T) {
	torn := []string{`{"server":{"id":"sim-`, `{"server":{"id":"whole but for its end"}}`, strings.Repeat("x", 5000)}
	for _, before := range []int{0, 1, 3} { // whole lines
		for _, rest := range torn {
			dir := t.TempDir()
			config := Config{State: filepath.Join(dir, "state"), Calls: filepath.Join(dir, "calls")}
			d := open(t, config)
			for n := range before {
				if _, err := d.Create(t.Context(), spec(fmt.Sprint(n))); err != nil {
					t.Fatal(err)
				}
			}
			for _, j := range []*journal{d.state, d.calls} {
				if _, err := j.file.WriteString(rest); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := open(t, config).Create(t.Context(), spec("next")); err != nil {
				t.Fatal(err)
			}
			if list, _ := open(t, config).List(t.Context()); len(list) != before+1 {
				t.Errorf("%d servers and %.30q: then %d servers, want %d", before, rest, len(list), before+1)
			}
			raw, err := os.ReadFile(config.Calls)
			if err != nil || strings.Count(string(raw), "\n") != before+1 || strings.Contains(string(raw), rest) {
				t.Errorf("%d calls and %.30q: %v, then %q, want %d whole lines", before, rest, err, raw, before+1)
			}
		}
	}
	whole := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(whole, []byte("{\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{State: whole}, time.Now); err == nil {
		t.Error("a broken line that is not the last one was taken")
	}
}

// TestOpen_refusesTheStateOfAnotherProcess starts two orchestrators on one state file, as a copied
// data folder with the same configuration does. Each made and deleted servers that the other did
// not know of.
func TestOpen_refusesTheStateOfAnotherProcess(t *testing.T) {
	t.Parallel()
	config := Config{State: filepath.Join(t.TempDir(), "state")}
	other := exec.Command(os.Args[0], "-test.run=^$")
	other.Env = append(os.Environ(), holdState+"="+config.State)
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("the other process said %q: %v", line, err)
	}
	d := open(t, config)
	for what, err := range map[string]error{
		"create": func() error { _, err := d.Create(t.Context(), spec("1")); return err }(),
		"find":   func() error { _, _, err := d.Find(t.Context(), "theirs"); return err }(),
		"delete": d.Delete(t.Context(), provider.Server{Tag: "theirs"}),
	} {
		if e := provider.Classify(err); e == nil || e.Class != dag.Transient ||
			!strings.Contains(e.Message, "another process works with the state file") {
			t.Errorf("%s beside another process: %v", what, err)
		}
	}
	in.Close()
	if err := other.Wait(); err != nil {
		t.Error(err)
	}
	if _, ok, err := d.Find(t.Context(), "theirs"); !ok || err != nil {
		t.Errorf("after it what it made is found: %v, %v", ok, err)
	}
	if _, err := d.Create(t.Context(), spec("1")); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// holdState names the variable that makes the test binary an orchestrator which holds a state file
// until its input ends.
const holdState = "SIMULATED_TEST_HOLDS"

func TestMain(m *testing.M) {
	if state := os.Getenv(holdState); state != "" {
		d, err := Open(Config{State: state}, time.Now)
		if err != nil {
			panic(err)
		}
		if _, err := d.Create(context.Background(), spec("theirs")); err != nil {
			panic(err)
		}
		fmt.Println("held")
		io.Copy(io.Discard, os.Stdin)
		runtime.KeepAlive(d)
		return
	}
	os.Exit(m.Run())
}

// TestJournal_aFullDiskDoesNotJoinTwoLines has room for the beginning of a line only. What was
// written of it stayed, and the state file could not be read any more.
func TestJournal_aFullDiskDoesNotJoinTwoLines(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ) // the whole process has one limit on file sizes: not parallel
	var usual syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &usual); err != nil {
		t.Fatal(err)
	}
	config := Config{State: filepath.Join(t.TempDir(), "state")}
	d := open(t, config)
	if _, err := d.Create(t.Context(), spec("1")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(config.State)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(info.Size()) + 10, Max: usual.Max}); err != nil {
		t.Fatal(err)
	}
	_, full := d.Create(t.Context(), spec("2"))
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &usual); err != nil {
		t.Fatal(err)
	}
	if e := provider.Classify(full); e == nil || e.Class != dag.Transient {
		t.Errorf("a full disk: %v, want a transient failure", full)
	}
	if _, err := d.Create(t.Context(), spec("3")); err != nil {
		t.Error(err)
	}
	for tag, want := range map[string]bool{"1": true, "2": false, "3": true} {
		if _, ok, err := open(t, config).Find(t.Context(), tag); ok != want || err != nil {
			t.Errorf("server %s is there: %v, want %v: %v", tag, ok, want, err)
		}
	}
}

func TestDriver_faults(t *testing.T) {
	d := open(t, Config{Faults: []Fault{
		{Match: "web-1", Action: "create", Times: 2, Class: dag.Transient},
		{Match: "web-2", Action: "create", Times: 1, Class: dag.UnknownOutcome, After: true},
		{Action: "run", Command: "install.sh", Class: dag.Permanent, Message: "disk full"},
	}})
	for i, want := range []dag.Class{dag.Transient, dag.Transient, ""} {
		_, err := d.Create(t.Context(), spec("1"))
		if e := provider.Classify(err); (e == nil) != (want == "") || e != nil && e.Class != want {
			t.Errorf("create %d: %v, want %s", i, err, want)
		}
	}
	if _, err := d.Create(t.Context(), spec("2")); provider.Classify(err).Class != dag.UnknownOutcome {
		t.Errorf("lost answer: %v", err)
	}
	s, ok, _ := d.Find(t.Context(), "2")
	if !ok {
		t.Fatal("the effect of a call with a lost answer is not there")
	}
	c, err := d.Connect(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := c.Run(t.Context(), provider.Command{Argv: []string{"/bin/sh", "tmp/install.sh"}}); err != nil || out.Exit != 1 ||
		string(out.Output) != "disk full\n" {
		t.Errorf("failing command: %+v %v", out, err)
	}
	if out, err := c.Run(t.Context(), provider.Command{Argv: []string{"/bin/sh", "tmp/check.sh"}}); err != nil || out.Exit != 0 {
		t.Errorf("other command: %+v %v", out, err)
	}
	for _, bad := range []Fault{{Match: "["}, {Action: "destroy"}, {Class: "sometimes"}} {
		if _, err := Open(Config{Faults: []Fault{bad}}, time.Now); err == nil {
			t.Errorf("fault %+v was taken", bad)
		}
	}
}

func TestDriver_timesAndThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, Config{Latency: time.Second, Boot: 9 * time.Second, Throttle: 2,
			Faults: []Fault{{Match: "web-9", Latency: time.Hour}}})
		began := time.Now()
		if _, err := d.Create(t.Context(), spec("1")); err != nil || time.Since(began) != time.Second {
			t.Errorf("latency: %v %v", time.Since(began), err)
		}
		began = time.Now()
		if _, err := d.Create(t.Context(), provider.Spec{Tag: "2", Name: "web-2", Wait: true}); err != nil ||
			time.Since(began) != 10*time.Second {
			t.Errorf("until it is up: %v %v", time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := d.Create(ctx, spec("9")); provider.Classify(err).Class != dag.TimedOut {
			t.Errorf("hanging call: %v", err)
		}
		var refused int
		for i := range 5 {
			go func() {
				if _, err := d.Create(t.Context(), spec(fmt.Sprint(10+i))); provider.Classify(err) != nil {
					if e := provider.Classify(err); e.Class != dag.Throttled || e.RetryAfter != time.Second/2 {
						t.Errorf("refusal: %v", e)
					}
					d.mu.Lock()
					refused++
					d.mu.Unlock()
				}
			}()
		}
		<-time.After(2 * time.Second) // synctest's clock
		synctest.Wait()
		if refused != 3 {
			t.Errorf("%d of 5 calls at once refused, want 3", refused)
		}
	})
}

func BenchmarkCreate(b *testing.B) {
	d := open(b, Config{})
	for i := range b.N {
		if _, err := d.Create(b.Context(), spec(fmt.Sprint(i))); err != nil {
			b.Fatal(err)
		}
	}
}
