package dag_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
)

var (
	seed   = flag.Uint64("seed", 0, "seed of the random tests; 0 takes a fresh one")
	update = flag.Bool("update", false, "rewrite the golden files")
)

func seedOf(t testing.TB) uint64 {
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d (run again with -seed %d)", s, s)
	return s
}

// settled checks a run that has ended: the state tells the truth about the world.
func (w *world) settled() {
	h := &w.run.Header
	if h.CompletedAt == nil || h.State.Terminal() != true {
		w.t.Fatalf("run ended as %s without a time", h.State)
	}
	for i := range w.run.Tasks {
		t := &w.run.Tasks[i]
		if !t.State.Terminal() {
			w.t.Fatalf("run is %s, task %s is %s", h.State, t.ID, t.State)
		}
		leads := 0
		for k := range t.Steps {
			e, p := w.shelf[dag.EffectID(t.ID, k)], &t.Steps[k]
			if e.Progress.Applied != p.Applied || p.Applied && e.Progress.Step.Name != p.Step.Name {
				w.t.Fatalf("step %d of %s stands: %v; the document of its effect is %+v", k, t.ID, p.Applied, e)
			}
			if e.Era > 0 && p.Applied {
				leads++
			}
			tag := dag.Tag(t.ID, k)
			if w.blurred[tag] {
				continue
			}
			if w.effects[tag] && !t.Steps[k].Applied {
				w.t.Fatalf("the effect of step %d of %s (%s, step %s) exists and the state does not know it", k, t.ID, t.State,
					t.Steps[k].State)
			}
			if !w.effects[tag] && t.Steps[k].Applied && t.Attention == "" && t.Steps[k].UndoError == "" {
				w.t.Fatalf("step %d of %s has no effect and the state says it stands", k, t.ID)
			}
			if h.RollBack && !h.PreserveSuccessful && t.Steps[k].Applied && t.Steps[k].UndoError == "" && h.State == dag.Failed {
				w.t.Fatalf("rolled back, but step %d of %s still stands and nobody says why", k, t.ID)
			}
		}
		if t.HasEffects() != (leads == 1) || leads > 1 {
			w.t.Fatalf("task %s stands: %v, with %d leads", t.ID, t.HasEffects(), leads)
		}
	}
	withdrawn := 0
	for i := range w.run.Tasks {
		if t := &w.run.Tasks[i]; t.Withdrawn && t.State == dag.Cancelled {
			withdrawn++
			if t.Error == "" {
				w.t.Fatalf("%s was withdrawn and does not say why", t.ID)
			}
		}
	}
	if withdrawn > 0 && (!h.Withdrawn || h.State == dag.Succeeded) || withdrawn == 0 && h.Withdrawn && h.State == dag.Cancelled &&
		h.CancelID == "" {
		w.t.Fatalf("%d tasks were withdrawn, the run is %s (withdrawn %v)", withdrawn, h.State, h.Withdrawn)
	}
	for i := range w.run.Tasks {
		if t := &w.run.Tasks[i]; t.CancelID != "" && t.State == dag.Cancelled && h.State != dag.Cancelled && h.FailedBy == "" {
			w.t.Fatalf("%s was cancelled, nothing failed, and the run is %s", t.ID, h.State)
		}
	}
	if h.State == dag.Succeeded {
		for i := range w.run.Tasks {
			if t := &w.run.Tasks[i]; t.State != dag.Succeeded && w.nodes[i].OnFailure != dag.OnFailureContinue {
				w.t.Fatalf("run succeeded, task %s is %s", t.ID, t.State)
			}
		}
	}
}

// mostRounds bounds the random runs. The rarest transition comes once in about 300.
const mostRounds = 20_000

// TestRun_randomGraphsEndAndTellTheTruth drives random batches to their end, at least 300 and until
// each legal transition was taken.
func TestRun_randomGraphsEndAndTellTheTruth(t *testing.T) {
	t.Parallel()
	s := seedOf(t)
	missing := map[string]bool{}
	for _, edge := range edges() {
		missing[edge] = true
	}
	rounds := 1000
	if testing.Short() {
		rounds = 300
	}
	for n := 0; n < rounds || len(missing) > 0 && n < mostRounds; n++ {
		rng := rand.New(rand.NewPCG(s, uint64(n)))
		d := randomBatch(rng, 1+rng.IntN(25))
		d.PreserveSuccessful, d.CheckpointInterval = rng.IntN(4) == 0, rng.IntN(3)
		w := newWorld(t, rng, d)
		w.trouble = []float64{0, 0.05, 0.2, 0.5}[rng.IntN(4)]
		w.blind = []float64{0, 0.9}[rng.IntN(2)]
		w.crash = []float64{0, 0.02, 0.1}[rng.IntN(3)]
		w.refuse = []float64{0, 0, 0, 0.05}[rng.IntN(4)]
		w.single = []float64{0, 0, 0.02}[rng.IntN(3)]
		cancelAt := -1
		if rng.IntN(3) == 0 {
			cancelAt = rng.IntN(40)
		}
		w.live(cancelAt)
		w.settled()
		if t.Failed() {
			t.Fatalf("round %d", n)
		}
		maps.DeleteFunc(missing, func(edge string, _ bool) bool { return w.walked[edge] })
	}
	for _, edge := range slices.Sorted(maps.Keys(missing)) {
		t.Errorf("the table in legal.go allows %q, which no run of %d took: is it still possible?", edge, mostRounds)
	}
}

// edges returns the edges of the table of legal transitions, as "machine from to".
func edges() []string {
	var all []string
	states := []dag.State{dag.Waiting, dag.Queued, dag.Running, dag.Retrying, dag.Paused, dag.Cancelling, dag.Succeeded, dag.Failed,
		dag.Cancelled, dag.Skipped, dag.Undoing, dag.Undone, dag.NeedsAttention}
	for _, m := range []dag.Machine{dag.TaskMachine, dag.RunMachine, dag.StepMachine} {
		for _, from := range states {
			for _, to := range dag.Next(m, from) {
				all = append(all, fmt.Sprintf("%s %s %s", m, from, to))
			}
		}
	}
	return all
}

func TestTransitions_golden(t *testing.T) {
	t.Parallel()
	name, got := filepath.Join("testdata", "transitions.golden"), strings.Join(edges(), "\n")+"\n"
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("transitions changed; review and run with -update:\n%s", got)
	}
}

// TestTransitions_documented holds the table of the package comment equal to the code.
func TestTransitions_documented(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	machines := map[string]string{"A task:": "task", "A run:": "run", "A step:": "step"}
	machine, doc := "", []string{}
	for _, line := range strings.Split(string(src), "\n") {
		text := strings.TrimSpace(strings.TrimPrefix(line, "//"))
		if m := machines[text]; m != "" {
			machine = m
		}
		from, to, ok := strings.Cut(text, "->")
		if !ok || machine == "" {
			continue
		}
		for _, f := range strings.Split(from, ",") {
			for _, s := range strings.Split(to, "|") {
				doc = append(doc, fmt.Sprintf("%s %s %s", machine, strings.TrimSpace(f), strings.TrimSpace(s)))
			}
		}
	}
	code := edges()
	slices.Sort(doc)
	slices.Sort(code)
	if !slices.Equal(doc, code) {
		t.Errorf("the table in doc.go says\n%s\nthe code says\n%s", strings.Join(doc, "\n"), strings.Join(code, "\n"))
	}
}

func FuzzRun(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint8(10), uint8(30), uint8(5), int8(7))
	f.Add(uint64(3), uint64(4), uint8(25), uint8(128), uint8(60), int8(-1))
	f.Fuzz(func(t *testing.T, a, b uint64, size, trouble, crash uint8, cancelAt int8) {
		rng := rand.New(rand.NewPCG(a, b))
		w := newWorld(t, rng, randomBatch(rng, 1+int(size)%30))
		w.trouble, w.crash = float64(trouble%160)/256, float64(crash%60)/256
		w.live(int(cancelAt))
		w.settled()
	})
}
