package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestSDK_asPrinted runs the reference's client programs one after the other: Python makes the
// servers, JavaScript asks for them again, the WebSocket lines watch. What they made is then used
// over SSH and rolled back.
func TestSDK_asPrinted(t *testing.T) {
	python, node, packages := rigtest.PrintedClients(t)
	rigtest.Need(t, "ssh", "the OpenSSH client (Debian: openssh-client)")
	r := rigtest.Start(t, sample(t))
	api := r.Orch(r.Token)
	checkpoint, err := api.CreateCheckpoint(t.Context(), "before the clients", "", "")
	if err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(r.Dir, "token")
	if err := os.WriteFile(token, []byte(r.Token.Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "BASE_URL="+r.Orchestrator.Address, "TOKEN_FILE="+token, "PACKAGES="+packages)

	watching := exec.CommandContext(t.Context(), node, filepath.Join("testdata", "socket.mjs"))
	watching.Env = env
	events, err := watching.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	watching.Stderr = os.Stderr
	if err := watching.Start(); err != nil {
		t.Fatal(err)
	}
	saw := make(chan string)
	go func() {
		defer close(saw)
		for lines := bufio.NewScanner(events); lines.Scan(); {
			if strings.Contains(lines.Text(), "event_type: 'TaskStatusChanged'") {
				saw <- lines.Text()
				return
			}
		}
	}()
	made := runSDK(t, env, python, "sdk.py")
	runSDK(t, env, node, "sdk.mjs")
	select {
	case line, ok := <-saw:
		if !ok {
			t.Error("the WebSocket program ended without a TaskStatusChanged")
		}
		t.Logf("the WebSocket lines received %s", strings.TrimSpace(line))
	case <-time.After(10 * time.Second):
		t.Error("the WebSocket lines received no TaskStatusChanged")
	}
	if err := watching.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = watching.Wait() // killed

	useServer(t, api, made, "app-01")
	out, err := api.ExecuteRollback(t.Context(), client.RollbackRequest{CheckpointID: checkpoint}, "")
	if err != nil || !out.Success {
		t.Fatalf("rollback: %+v %v", out, err)
	}
	for _, p := range processesBelow(t, r.Dir) {
		if p.LocalServer() {
			t.Errorf("after the rollback there is still: %v", p)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if left := processesBelow(t, r.Dir); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
}

// runSDK runs a client program to its end, looks at what it printed and returns the task it made.
func runSDK(t *testing.T, env []string, program, script string) (id string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, filepath.Join("testdata", script))
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	var task client.Task
	for line := range strings.Lines(string(out)) {
		if v, ok := strings.CutPrefix(line, "Task ID: "); ok {
			id = strings.TrimSpace(v)
		}
		if v, ok := strings.CutPrefix(line, "Task: "); ok {
			if err := json.Unmarshal([]byte(v), &task); err != nil {
				t.Fatal(err)
			}
		}
	}
	if id == "" || task.ID != id || task.Status != "Completed" {
		t.Fatalf("%s: the task did not complete:\n%s", script, out)
	}
	t.Logf("%s: task %s completed in %.1f s", script, task.Name, task.CompletedAt.Sub(task.CreatedAt).Seconds())
	return id
}

// useServer reaches a server that a task made with the system's ssh, as the task's results say.
func useServer(t *testing.T, api *client.Client, task, name string) {
	t.Helper()
	made, err := api.Task(t.Context(), task)
	if err != nil {
		t.Fatal(err)
	}
	var results struct {
		Servers []struct {
			Name string
			SSH  []string
		}
	}
	if err := json.Unmarshal(made.Results, &results); err != nil {
		t.Fatalf("%v: %s", err, made.Results)
	}
	for _, s := range results.Servers {
		if s.Name != name || len(s.SSH) == 0 {
			continue
		}
		out, err := exec.CommandContext(t.Context(), s.SSH[0], append(s.SSH[1:], "ls", "etc")...).CombinedOutput()
		if err != nil {
			t.Fatalf("ssh to %s: %v: %s", name, err, out)
		}
		t.Logf("%s ls etc: %s", strings.Join(s.SSH, " "), strings.Join(strings.Fields(string(out)), " "))
		return
	}
	t.Errorf("the task's results do not say how to reach %s: %s", name, made.Results)
}
