package crash

import (
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// TestArchive_theLogGoesOnBehindIt is the bar's L15 for retention: old entries leave the store of
// a stopped service, the archive proves them, what is kept verifies and is proved, and the other
// service cosigns on.
func TestArchive_theLogGoesOnBehindIt(t *testing.T) {
	for _, store := range []string{"embedded", "surrealdb"} {
		t.Run(store, func(t *testing.T) {
			o := rig.Options{Bin: rigtest.Binaries(t), Dir: t.TempDir()}
			w := newWorld(t, &o)
			if store == "surrealdb" {
				rigtest.UseSurreal(t, &o)
			}
			w.rig = rigtest.Start(t, o)
			data, archive := filepath.Join(o.Dir, "orchestrator"), filepath.Join(o.Dir, "archive")
			audit := func(verb string, args ...string) string {
				t.Helper()
				args = append([]string{"audit", verb}, args...)
				if o.OrchestratorStore != "" && !strings.Contains(strings.Join(args, " "), "--archive") {
					args = append(args, "--store", o.OrchestratorStore)
				}
				out, err := w.rig.Run(t.Context(), "orchestrator", args...)
				if err != nil {
					t.Fatalf("audit %s: %v\n%s", verb, err, out)
				}
				return string(out)
			}
			tomorrow := time.Now().AddDate(0, 0, 1).Format(time.DateOnly)
			archived, made := 0, 0
			for _, n := range []int{400, 150} {
				w.checkpoints(n)
				made += n
				w.witnessed(data, made)
				w.stop(w.rig.Orchestrator)
				out := audit("archive", "--data", data, "--to", archive, "--before", tomorrow)
				if !strings.Contains(out, archive) {
					t.Errorf("archive says %s", out)
				}
				if archived += 256; !strings.Contains(out, strconv.Itoa(archived)) {
					t.Errorf("archive says %s, want %d entries in it", out, archived)
				}
				if out := audit("verify", "--archive", archive, "--keys", filepath.Join(data, "keys", "audit", "public"),
					"--peer-keys", filepath.Join(o.Dir, "control-center", "keys", "audit", "public")); !strings.Contains(out, "intact") {
					t.Error(out)
				}
				if out := audit("verify", "--data", data, "--peer-audit",
					filepath.Join(o.Dir, "control-center", "audit")); !strings.Contains(out, "intact") ||
					!strings.Contains(out, "before index "+strconv.Itoa(archived)) {
					t.Error(out)
				}
				w.startAgain(w.rig.Orchestrator)
				for index, want := range map[int]int{archived - 1: http.StatusNotFound, archived: http.StatusOK, archived +
					20: http.StatusOK} {
					if got := status(t, w.rig.Orchestrator.Address+"/audit/entries/"+strconv.Itoa(index), w.rig.Token); got != want {
						t.Errorf("entry %d of a log archived up to %d: status %d, want %d", index, archived, got, want)
					}
				}
			}
			w.verify()
		})
	}
}
