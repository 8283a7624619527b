package crash

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// noticed bounds the time from the start of a rolled-back service to the refusal of changes.
const noticed = 5 * time.Second

// TestWitness_noticesARestoredFolder is the bar's L02 and L16: an older copy of a service's folder
// is put back, which no look at that folder alone can tell; the other service has seen more.
func TestWitness_noticesARestoredFolder(t *testing.T) {
	o := rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir()}
	w := newWorld(t, &o)
	w.rig = rigtest.Start(t, o)
	data, older := filepath.Join(o.Dir, "orchestrator"), filepath.Join(o.Dir, "older")
	w.checkpoints(3)
	w.stop(w.rig.Orchestrator)
	copyTree(t, data, older)
	w.startAgain(w.rig.Orchestrator)
	w.checkpoints(20)
	w.witnessed(data, 23)
	w.stop(w.rig.Orchestrator)
	newer := filepath.Join(o.Dir, "newer")
	copyTree(t, data, newer)

	t.Run("a_removed_tail_is_found_offline", func(t *testing.T) { removedTail(t, w, older, newer) })

	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	copyTree(t, older, data)
	w.startAgain(w.rig.Orchestrator)
	began := time.Now()
	for {
		_, err := w.orch().CreateCheckpoint(t.Context(), "refused", "", "")
		if fault.CodeOf(err) == "audit.rolled_back" {
			if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "Put the newest data folder back") {
				t.Errorf("the refusal does not say what to do: %v", err)
			}
			t.Logf("%s after it was ready again: %v", time.Since(began).Round(time.Millisecond), err)
			break
		}
		if time.Since(began) > noticed {
			log, _ := os.ReadFile(w.rig.Orchestrator.Log)
			t.Fatalf("%s after the start changes are still taken (%v)\n%s", noticed, err, log)
		}
		clock.Pause(t.Context(), 20*time.Millisecond, nil)
	}
	if got := status(t, w.rig.Orchestrator.Address+"/tasks", w.rig.Token); got != http.StatusOK {
		t.Errorf("reads are served with status %d", got)
	}
	t.Run("the_state_survives_a_restart", func(t *testing.T) {
		w.stop(w.rig.Orchestrator)
		w.startAgain(w.rig.Orchestrator)
		refused := func() bool {
			_, err := w.orch().CreateCheckpoint(t.Context(), "refused", "", "")
			return fault.CodeOf(err) == "audit.rolled_back"
		}
		rigtest.Await(t, noticed, "a restarted service knows that it was rolled back", refused)
	})
}

// removedTail pairs the newer signed head with the older entries, which is what a cut log looks
// like.
func removedTail(t *testing.T, w *world, older, newer string) {
	cut := filepath.Join(w.rig.Dir, "cut")
	copyTree(t, older, cut)
	if err := os.RemoveAll(filepath.Join(cut, "audit")); err != nil {
		t.Fatal(err)
	}
	copyTree(t, filepath.Join(newer, "audit"), filepath.Join(cut, "audit"))
	witness := []string{"--peer-audit", filepath.Join(w.rig.Dir, "control-center", "audit")}
	for _, c := range []struct {
		folder string
		more   []string
		ok     bool
	}{{older, nil, true}, {newer, nil, true}, {newer, witness, true}, {cut, nil, false}, {older, witness, false}} {
		folder, ok := c.folder, c.ok
		out, err := w.rig.Run(t.Context(), "orchestrator",
			append([]string{"audit", "verify", "--data", folder, "-o", "json"}, c.more...)...)
		var report struct {
			OK            bool
			Verdict, Text string
		}
		if jerr := json.Unmarshal(out, &report); jerr != nil || report.OK != ok || (err == nil) != ok {
			t.Errorf("%s: %v %v %s", filepath.Base(folder), err, jerr, out)
		}
		if !ok && (report.Verdict != "truncated" || !strings.Contains(err.Error(), "exit status 11")) {
			t.Errorf("a removed tail is called %q: %s (%v)", report.Verdict, report.Text, err)
		}
		t.Logf("%s %s: %s", filepath.Base(folder), strings.Join(c.more[:min(1, len(c.more))], ""), report.Text)
	}
}

func (w *world) checkpoints(n int) {
	w.t.Helper()
	for range n {
		// Also directly after a start: who is ready has heard the control-center and takes changes.
		if _, err := w.orch().CreateCheckpoint(w.t.Context(), "an entry of the log", "", ""); err != nil {
			w.t.Fatal(err)
		}
	}
}

// witnessed waits until the service with the folder data keeps a head over at least n entries that
// the other one has cosigned.
func (w *world) witnessed(data string, n int) {
	w.t.Helper()
	rigtest.Await(w.t, 2*noticed, "the log is witnessed", func() bool { return headSize(filepath.Join(data, "audit", "witnessed")) >= n })
}

// cosigned returns how many entries of a service's log the service with that folder has cosigned.
func (w *world) cosigned(folder, of string) int {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.rig.Dir, folder, "audit", "peers", "*"+of+".json"))
	if err != nil || len(files) > 1 {
		w.t.Fatal(err, files)
	}
	if len(files) == 0 {
		return headSize(filepath.Join(w.rig.Dir, folder, "audit", "treehead"))
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		w.t.Fatal(err)
	}
	var memory struct{ Head string }
	if err := json.Unmarshal(raw, &memory); err != nil {
		w.t.Fatal(err)
	}
	return sizeOf(memory.Head)
}

// headSize returns the size in a file with a signed head, 0 when there is none yet.
func headSize(file string) int {
	raw, _ := os.ReadFile(file) // written when there is something to write
	return sizeOf(string(raw))
}

func sizeOf(head string) int {
	lines := strings.Split(head, "\n")
	if len(lines) < 2 {
		return 0
	}
	size, _ := strconv.Atoi(lines[1]) // the second line of a signed head
	return size
}

func (w *world) stop(s *rig.Service) {
	w.t.Helper()
	if code, err := s.Stop(); err != nil || code != 0 {
		w.t.Fatalf("%s ended with %d: %v", s.Name, code, err)
	}
}

func (w *world) startAgain(s *rig.Service) {
	w.t.Helper()
	if err := s.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// copyTree copies a data folder with its modes: a service refuses keys that others can read.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := os.CopyFS(to, os.DirFS(from))
	if err == nil {
		err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			return os.Chmod(filepath.Join(to, strings.TrimPrefix(path, from)), info.Mode().Perm())
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}
