package security

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestCopy_aFolderCopiedWhileRunningActsOnServersOfItsOwn copies the orchestrator's data folder in
// the middle of an install and starts a second orchestrator on the copy, which goes on with the
// install. It did so on the original's server, whose process it found recorded.
func TestCopy_aFolderCopiedWhileRunningActsOnServersOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	config, err := configure(dir)
	if err != nil {
		t.Fatal(err)
	}
	recipes := filepath.Join(dir, "recipes")
	text, err := os.ReadFile(config)
	if err == nil {
		err = os.WriteFile(config, append(text, "[recipes]\ndir = \"recipes\"\n"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"recipe.toml": "name = \"slow\"\nversion = \"1\"\n",
		"install.sh": "echo run >> runs\nwhile [ ! -e go ]; do sleep 0.05; done\n", "uninstall.sh": "rm -f runs\n"} {
		if err := os.MkdirAll(filepath.Join(recipes, "slow"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(recipes, "slow", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	original, copied := filepath.Join(dir, "orchestrator"), filepath.Join(dir, "copied")
	t.Cleanup(func() { // local servers end when their folders are gone
		for _, folder := range []string{original, copied} {
			_ = os.RemoveAll(folder)
		}
		rigtest.Await(t, patience, "the servers' processes have ended",
			func() bool { all, _ := rig.ProcessesBelow(dir); return len(all) == 0 })
	})
	s := &site{Rig: rigtest.Start(t, rig.Options{Bin: rigtest.Binaries(t), Dir: dir, OrchestratorConfig: config})}
	var b client.BatchRun
	s.send(t, "orchestrator", "POST", "/batch/execute", s.Token.Reveal(),
		map[string]any{"name": "copy", "rollback_enabled": true, "operations": []any{
			map[string]any{"id": "a", "type": "server_batch", "provider": "real", "dependencies": []string{},
				"server_configs": []any{map[string]any{"name": "copied-1"}}},
			map[string]any{"id": "b", "type": "taskserv_batch", "provider": "real", "dependencies": []string{"a"},
				"taskservs": []string{"slow"}},
		}}).data(t, &b)
	runs := func(data string) string {
		found, _ := filepath.Glob(filepath.Join(data, "servers", "real", "local-*", "root", "runs"))
		if len(found) != 1 {
			return ""
		}
		text, _ := os.ReadFile(found[0])
		return string(text)
	}
	rigtest.Await(t, patience, "the install has begun", func() bool { return runs(original) == "run\n" })
	pid := s.Orchestrator.PID()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil { // so that the store is copied as of one moment
		t.Fatal(err)
	}
	out, err := exec.Command("cp", "-a", original, copied).CombinedOutput()
	if cont := syscall.Kill(pid, syscall.SIGCONT); err != nil || cont != nil {
		t.Fatalf("%v %v: %s", err, cont, out)
	}
	twin := &rig.Service{Name: "orchestrator", Bin: s.Orchestrator.Bin, Env: s.Orchestrator.Env, Log: filepath.Join(dir, "copied.log")}
	for _, arg := range s.Orchestrator.Args {
		if arg == original {
			arg = copied
		}
		twin.Args = append(twin.Args, arg)
	}
	if err := twin.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = twin.Stop() }()
	rigtest.Await(t, patience, "the copy has begun the install again", func() bool {
		return strings.Count(runs(copied), "run") == 2 || strings.Count(runs(original), "run") == 2
	})
	if one, two := runs(original), runs(copied); one != "run\n" || two != "run\nrun\n" {
		t.Fatalf("the install ran on the original's server %d times and on the copy's %d times, want 1 and 2", strings.Count(one, "run"),
			strings.Count(two, "run"))
	}
	release := func(data string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(filepath.Dir(mustGlob(t, filepath.Join(data, "servers", "real", "local-*", "root", "runs"))),
			"go"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	batch := func(address string) (v client.BatchRun) {
		rigtest.Await(t, patience, "the batch has ended", func() bool {
			answer{rigtest.Send(t, "GET", address+"/batch/operations/"+b.BatchID, s.Token.Reveal(), nil)}.data(t, &v)
			return v.Status != "Running"
		})
		return v
	}
	release(copied)
	if v := batch(twin.Address); v.Status != "Completed" || !strings.Contains(string(v.Operations[0].Results), copied) ||
		strings.Contains(string(v.Operations[0].Results), original+"/") {
		t.Errorf("the copy's batch is %s and leads to %s, want to the copy's server", v.Status, v.Operations[0].Results)
	}
	if code, err := twin.Stop(); code != 0 || err != nil {
		t.Errorf("the copy ended with %d: %v", code, err)
	}
	if err := os.RemoveAll(copied); err != nil {
		t.Fatal(err)
	}
	release(original)
	if v := batch(s.Orchestrator.Address); v.Status != "Completed" || runs(original) != "run\n" {
		t.Errorf("the original's batch is %s after %d runs of the install", v.Status, strings.Count(runs(original), "run"))
	}
}

// mustGlob returns the one file that fits a pattern.
func mustGlob(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v %v", pattern, found, err)
	}
	return found[0]
}
