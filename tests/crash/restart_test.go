package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// workshop is an installation of one real server with one task service, whose install script is the
// test's.
type workshop struct {
	t   *testing.T
	rig *rig.Rig
	dir string
}

// newWorkshop starts an installation with an install script; $DIR in it is the folder of the test.
func newWorkshop(t *testing.T, store, install string) *workshop {
	t.Helper()
	w := &workshop{t: t, dir: t.TempDir()}
	o := rig.Options{Bin: rigtest.Binaries(t), Dir: w.dir, OrchestratorConfig: filepath.Join(w.dir, "orchestrator.toml"),
		Env: []string{"CONTROL_CENTER_TOKENS_ACCESS_TTL=4h"}}
	if store == "surrealdb" {
		rigtest.UseSurreal(t, &o)
	}
	recipe := filepath.Join(w.dir, "recipes", "tool")
	if err := os.MkdirAll(recipe, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		filepath.Join(recipe, "recipe.toml"):  "name = \"tool\"\nversion = \"1\"\n",
		filepath.Join(recipe, "install.sh"):   "#!/bin/sh\nset -eu\nDIR='" + w.dir + "'\n" + install,
		filepath.Join(recipe, "check.sh"):     "#!/bin/sh\ntest -e installed\n",
		filepath.Join(recipe, "uninstall.sh"): "#!/bin/sh\nrm -f installed\n",
		o.OrchestratorConfig:                  "[providers.local]\ndriver = \"local\"\n[recipes]\ndir = \"recipes\"\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.rig = rigtest.Start(t, o)
	return w
}

// submit asks for the server and the task service on it, with one try each; a failure undoes what
// was done.
func (w *workshop) submit() string {
	w.t.Helper()
	retry := map[string]any{"max_attempts": 1}
	definition, err := json.Marshal(map[string]any{"name": "workshop", "rollback_enabled": true, "operations": []map[string]any{
		{"id": "server", "type": "server_batch", "provider": "local", "server_configs": []map[string]any{{"name": "bench"}},
			"retry": retry},
		{"id": "tool", "type": "taskserv_batch", "provider": "local", "taskservs": []string{"tool"}, "dependencies": []string{"server"},
			"retry": retry},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := w.rig.Orch(w.rig.Token).SubmitBatch(w.t.Context(), definition, "")
	if err != nil {
		w.t.Fatal(err)
	}
	return b.BatchID
}

// over waits for the end of the batch.
func (w *workshop) over(id string) (b client.BatchRun) {
	w.t.Helper()
	rigtest.Await(w.t, time.Minute, "the batch has ended", func() bool {
		var err error
		b, err = w.rig.Orch(w.rig.Token).Batch(w.t.Context(), id)
		return err == nil && b.Status != "Running"
	})
	return b
}

// lines returns how many lines a file of the test has.
func (w *workshop) lines(name string) int {
	w.t.Helper()
	raw, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	return strings.Count(string(raw), "\n")
}

// server returns the process id of the only local server.
func (w *workshop) server() int {
	w.t.Helper()
	all, err := rig.ProcessesBelow(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	var found []int
	for _, p := range all {
		if p.LocalServer() {
			found = append(found, p.PID)
		}
	}
	if len(found) != 1 {
		w.t.Fatalf("%d local servers", len(found))
	}
	return found[0]
}

// TestRestart_aPlannedStopUsesUpNoAttemptAndDestroysNoGoodServer restarts the orchestrator again
// and again in the middle of an install that may be tried once. Before decision 40 the first
// restart failed it, and the rollback destroyed the server.
// It is R01, reduced to as many stops of 100 as -kills says: each ends with exit code 0 and loses
// no work.
func TestRestart_aPlannedStopUsesUpNoAttemptAndDestroysNoGoodServer(t *testing.T) {
	for _, store := range []string{"embedded", "surrealdb"} {
		n := *kills
		if store == "surrealdb" {
			n = max(1, *kills/5)
		}
		t.Run(store, func(t *testing.T) {
			w := newWorkshop(t, store, `echo "$PROVISIONING_ATTEMPT" >>"$DIR/begun"
while [ ! -e "$DIR/go-on" ]; do sleep 0.05; done
touch installed
`)
			id := w.submit()
			atWork := func(begun int) {
				rigtest.Await(t, time.Minute, "the install is at work", func() bool { return w.lines("begun") > begun })
			}
			atWork(0)
			server := w.server()
			for i := range n {
				begun := w.lines("begun")
				if code, err := w.rig.Orchestrator.Stop(); code != 0 || err != nil {
					t.Fatalf("stop %d: exit code %d, %v", i+1, code, err)
				}
				if err := w.rig.Orchestrator.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				atWork(begun)
			}
			if err := os.WriteFile(filepath.Join(w.dir, "go-on"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if b := w.over(id); b.Status != "Completed" {
				t.Errorf("after %d restarts the batch is %s: %+v", n, b.Status, b.Operations)
			}
			if got := w.server(); got != server {
				t.Errorf("the server is process %d now, was %d", got, server)
			}
			t.Logf("%d restarts, %d tries were begun", n, w.lines("begun"))
		})
	}
}

// TestKill_aRecipeThatKillsItsOrchestratorEndsFailedAfter20 lets the install script kill the
// orchestrator each time.
func TestKill_aRecipeThatKillsItsOrchestratorEndsFailedAfter20(t *testing.T) {
	w := newWorkshop(t, "embedded", `while ! mv "$DIR/victim" "$DIR/victim.$$" 2>/dev/null; do sleep 0.02; done
echo "$PROVISIONING_ATTEMPT" >>"$DIR/begun"
kill -9 "$(cat "$DIR/victim.$$")"
`)
	o := w.rig.Orchestrator
	name := func() { // whom the script is to kill; nobody but the present process ever stands there
		part := filepath.Join(w.dir, "victim.part")
		if err := os.WriteFile(part, []byte(strconv.Itoa(o.PID())), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(part, filepath.Join(w.dir, "victim")); err != nil {
			t.Fatal(err)
		}
	}
	id := w.submit()
	deaths := 0
	for {
		name()
		if !w.dies(id) {
			break
		}
		if deaths++; deaths > 25 {
			t.Fatal("it is begun again and again")
		}
		_ = os.Remove(filepath.Join(w.dir, "victim"))
		if err := o.Kill(); err != nil { // it is dead; this says that the test knows
			t.Fatal(err)
		}
		if err := o.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b := w.over(id)
	if want := "its orchestrator died 20 times while this ran"; deaths != 20 || b.Status != "Failed" || b.Operations[1].Error != want {
		t.Errorf("after %d deaths the batch is %s: %q", deaths, b.Status, b.Operations[1].Error)
	}
	if b.Operations[0].RolledBackAt == nil {
		t.Error("the server of the failed batch was not undone")
	}
}

// dies waits until the orchestrator dies or the batch ends, and says whether it died.
func (w *workshop) dies(id string) bool {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if b, err := w.rig.Orch(w.rig.Token).Batch(ctx, id); err == nil && b.Status != "Running" {
				ended <- nil
				return
			}
			clock.Pause(ctx, 20*time.Millisecond, nil)
		}
	}()
	select {
	case <-w.rig.Orchestrator.Done():
		return true
	case <-ended:
		return false
	case <-time.After(time.Minute):
		w.t.Fatal(fmt.Errorf("neither died nor ended"))
		return false
	}
}
