package operation

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
)

// TestInstall_whatRunsOutOnTheServerIsTransient runs recipes on a real server that has no space,
// descriptors or processes left, or is stopped. Each failed for good, though the next try would
// have worked.
func TestInstall_whatRunsOutOnTheServerIsTransient(t *testing.T) {
	t.Parallel()
	b := localBench(t)
	dir := t.TempDir()
	b.Recipes.Dir = os.DirFS(dir)
	scripts := map[string]struct {
		install string
		want    dag.Class
	}{
		"space":   {"cat /etc/hostname > /dev/full", dag.Transient},
		"files":   {"ulimit -n 3; cat /etc/hostname", dag.Transient},
		"killed":  {"kill -9 $$", dag.Transient},
		"ended":   {"kill -TERM $$", dag.Transient},
		"says":    {"exit 75", dag.Transient},
		"crashed": {"kill -SEGV $$", dag.Permanent},
		"broken":  {"echo 'no such option' >&2; exit 1", dag.Permanent},
	}
	for name, s := range scripts {
		for file, text := range map[string]string{"recipe.toml": "name = \"" + name + "\"\nversion = \"1\"\n", "install.sh": s.install +
			"\n"} {
			if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	servers, service := batch()
	servers.Servers = servers.Servers[:1]
	made := b.perform("s", servers)
	for name, s := range scripts {
		service.Taskservs, service.Targets = []string{name}, []string{"web-01"}
		res := b.attempt(dag.Resolve, service, name, dag.Step{}, nil)
		if res = b.attempt(dag.Do, service, name, res.Steps[0], nil); res.Class != s.want ||
			!strings.HasPrefix(res.Error, "install.sh of "+name) {
			t.Errorf("%s: %s %q, want %s", name, res.Class, res.Error, s.want)
		}
	}
	conn, err := b.Providers["upcloud"].Connect(t.Context(), handle(made[0].result.Resources[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for path, want := range map[string]dag.Class{"/dev/full": dag.Transient, "etc/hostname/x": dag.Permanent} {
		if e := provider.Classify(conn.Upload(t.Context(), path, 0o644, []byte("text"))); e == nil || e.Class != want {
			t.Errorf("upload to %s: %v, want %s", path, e, want)
		}
	}
}
