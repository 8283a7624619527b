package state

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

var start = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// after returns the time so many seconds behind start.
func after(seconds int) *time.Time {
	at := start.Add(time.Duration(seconds) * time.Second)
	return &at
}

// batchOf returns a batch of operations a, b, c …, each with its id within the batch's.
func batchOf(state dag.State, tasks ...dag.Task) *Workflow {
	h := &dag.Header{ID: id.New(), Kind: dag.Batch, CreatedAt: start, State: state, ParallelLimit: 2, UpdatedAt: *after(100)}
	for i := range tasks {
		t := &tasks[i]
		t.ID, t.Run, t.Batch, t.Number, t.CreatedAt = id.Within(h.ID, i), h.ID, true, i, start
		t.Operation, t.Type = string(rune('a'+i)), "server_batch"
	}
	return &Workflow{Batch: h, Tasks: tasks}
}

// all returns what Snapshots shows of the workflow, a word a snapshot.
func all(t *testing.T, w *Workflow, steps ...moment) string {
	t.Helper()
	page, err := window(w.replay(steps), w.ended(), store.Place{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	last, seen := time.Time{}, map[string]bool{}
	for _, row := range page.Rows {
		s := row.Value
		if s.At.Before(last) || seen[s.ID] || s.Counts.Total() != len(w.Tasks) {
			t.Errorf("a snapshot is out of place: %+v", s)
		}
		last, seen[s.ID] = s.At, true
		words = append(words, fmt.Sprintf("%s:%s:%d/%d:%.2f", s.Step, s.Status.Lower(), s.Completed, s.Steps, float64(s.Percent)/100))
	}
	return strings.Join(words, " ")
}

func TestProgress_neverSays100BeforeTheEnd(t *testing.T) {
	t.Parallel()
	done := dag.Task{State: dag.Succeeded, Progress: 10_000, StartedAt: after(0), CompletedAt: after(10)}
	half := dag.Task{State: dag.Running, Progress: 5_000, StartedAt: after(0)}
	waits := dag.Task{State: dag.Waiting}
	failed := dag.Task{State: dag.Failed, Progress: 5_000, StartedAt: after(0), CompletedAt: after(30), Error: "no"}
	for _, c := range []struct {
		w    *Workflow
		want string
	}{
		{batchOf(dag.Running, waits, waits), "0 a 0/2 unknown"},
		{batchOf(dag.Running, half, waits), "2500 a 0/2 unknown"},
		{batchOf(dag.Running, done, half, waits), "5000 b 1/3 7.5s"}, // half of 10 s and 10 s, two at once
		{batchOf(dag.Running, done, done), "9999 a 2/2 0s"},          // the header is about to follow
		{batchOf(dag.Succeeded, done, done), "10000 a 2/2 0s"},
		{batchOf(dag.Succeeded, done, failed), "10000 b 1/2 0s"}, // it was to go on
		{batchOf(dag.Failed, done, failed), "7500 b 1/2 0s"},
		{&Workflow{Tasks: []dag.Task{{Name: "n", State: dag.Queued}}}, "0 n 0/1 unknown"},
		{&Workflow{Tasks: []dag.Task{{Name: "n", State: dag.Succeeded, Progress: 10_000}}}, "10000 n 1/1 0s"},
		{&Workflow{Tasks: []dag.Task{{Name: "n", State: dag.Running, Progress: 2_500, StartedAt: after(0), Steps: []dag.StepState{
			{State: dag.Succeeded, Step: dag.Step{Name: "s1"}}, {State: dag.Running, Step: dag.Step{Name: "s2"}},
			{State: dag.Waiting}, {State: dag.Waiting}}}}}, "2500 s2 1/4 1m0s"},
	} {
		p := c.w.Progress(*after(20))
		left := "unknown"
		if p.Remaining != nil {
			left = p.Remaining.String()
		}
		if got := fmt.Sprintf("%d %s %d/%d %s", p.Percent, p.Step, p.Completed, p.Steps, left); got != c.want {
			t.Errorf("%+v\n has %s, want %s", c.w.Tasks, got, c.want)
		}
	}
}

func TestSnapshots_oneAChangeAndThinnedAtTheEnd(t *testing.T) {
	t.Parallel()
	w := batchOf(dag.Running,
		dag.Task{State: dag.Succeeded, Progress: 10_000, StartedAt: after(1), CompletedAt: after(4)},
		dag.Task{State: dag.Failed, Progress: 5_000, StartedAt: after(2), CompletedAt: after(3), Error: "no"},
		dag.Task{State: dag.Running, StartedAt: after(5)}, dag.Task{State: dag.Waiting})
	want := ":running:0/4:0.00 a:running:0/4:0.00 b:running:0/4:0.00 b:running:0/4:12.50 a:running:1/4:37.50 c:running:1/4:37.50"
	if got := all(t, w); got != want {
		t.Errorf("while it runs:\n%s\nwant\n%s", got, want)
	}
	w.Batch.State, w.Batch.CompletedAt = dag.Failed, after(9)
	for i := 2; i < 4; i++ {
		w.Tasks[i].State, w.Tasks[i].CompletedAt = dag.Cancelled, after(9)
	}
	if got, want := all(t, w), ":running:0/4:0.00 b:running:0/4:12.50 d:failed:1/4:37.50"; got != want {
		t.Errorf("at its end:\n%s\nwant\n%s", got, want)
	}

	task := &Workflow{Tasks: []dag.Task{{ID: id.New(), Name: "n", CreatedAt: start, State: dag.Running, StartedAt: after(0),
		Steps: []dag.StepState{{State: dag.Succeeded, Step: dag.Step{Name: "s1"}}, {State: dag.Running, Step: dag.Step{Name: "s2"}}}}}}
	step := moment{at: *after(2), what: stepped}
	if got, want := all(t, task, step), "n:pending:0/2:0.00 n:running:0/2:0.00 s1:running:1/2:50.00"; got != want {
		t.Errorf("a task:\n%s\nwant\n%s", got, want)
	}
	one := &task.Tasks[0]
	one.State, one.CompletedAt, one.Progress, one.Error = dag.Failed, after(3), 5_000, "no"
	if got, want := all(t, task, step), "n:pending:0/2:0.00 s2:failed:1/2:50.00"; got != want {
		t.Errorf("a failed task:\n%s\nwant\n%s", got, want)
	}
}

// TestSnapshots_aWalkGoesOnAlthoughTheListWasThinned: the cursor of a page is of a snapshot that is
// not kept any more.
func TestSnapshots_aWalkGoesOnAlthoughTheListWasThinned(t *testing.T) {
	t.Parallel()
	w := batchOf(dag.Running, dag.Task{State: dag.Running, StartedAt: after(1)})
	page, err := window(w.replay(nil), w.ended(), store.Place{Limit: 1, Offset: 1})
	if err != nil || len(page.Rows) != 1 || page.Total != 2 || page.Next != "" {
		t.Fatalf("%+v %v", page, err)
	}
	cursor := page.Rows[0].Value.ID
	w.Tasks[0].State, w.Tasks[0].CompletedAt = dag.Succeeded, after(2)
	w.Batch.State, w.Batch.CompletedAt = dag.Succeeded, after(2)
	page, err = window(w.replay(nil), w.ended(), store.Place{Limit: 5, After: cursor})
	if err != nil || len(page.Rows) != 1 || page.Rows[0].Value.Status != dag.StatusCompleted || page.Total != 2 {
		t.Errorf("%+v %v", page, err)
	}
	if _, err := window(w.replay(nil), true, store.Place{Limit: 5, After: "x"}); !fault.Is(err, fault.Malformed) {
		t.Errorf("a cursor of nothing: %v", err)
	}
}

// TestTotals_doNotFallWithWhatIsPruned counts runs that are there and runs that were pruned.
func TestTotals_doNotFallWithWhatIsPruned(t *testing.T) {
	t.Parallel()
	db := memstore.New(store.Schema{Service: "orchestrator", Kinds: append(run.Schema(), retention.Kinds()...)})
	if got, err := CountWorkflows(t.Context(), db); err != nil || got != (Totals{}) {
		t.Errorf("a fresh store: %+v %v", got, err)
	}
	if got, err := AverageDuration(t.Context(), db); err != nil || got != 0 {
		t.Errorf("a fresh store: %v %v", got, err)
	}
	if _, err := store.Update(t.Context(), db, func(tx *store.Tx) error {
		for _, h := range []dag.Header{
			{Kind: dag.Workflow, State: dag.Running}, {Kind: dag.Workflow, State: dag.Failed, StartedAt: after(0), CompletedAt: after(2)},
			{Kind: dag.Batch, State: dag.Succeeded, StartedAt: after(0), CompletedAt: after(4)},
			{Kind: dag.Batch, State: dag.Cancelled},
			{Kind: dag.Rollback, State: dag.Succeeded, StartedAt: after(0), CompletedAt: after(60)},
		} {
			h.ID = id.New()
			if err := run.Headers().Save(tx, h); err != nil {
				return err
			}
		}
		for range 3 { // of the workflow, and two of batches
			if err := run.Tasks().Save(tx, dag.Task{ID: id.New(), State: dag.Failed}); err != nil {
				return err
			}
		}
		tx.Put(store.Key{Kind: "retention", ID: "tally"}, nil,
			[]byte(`{"ever":{"runs/batch/Failed":5,"runs/rollback/Failed":7},"id":"tally"}`))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := Totals{Active: 1, Completed: 1, Failed: 6, Cancelled: 1, Snapshots: 1 + 2*3 + 2}
	if got, err := CountWorkflows(t.Context(), db); err != nil || got != want || got.All() != 9 {
		t.Errorf("%+v %v, want %+v", got, err, want)
	}
	if got, err := AverageDuration(t.Context(), db); err != nil || got != 3*time.Second {
		t.Errorf("average %v %v", got, err)
	}
}

func TestLoad_isInRange(t *testing.T) {
	t.Parallel()
	l := NewHost(t.TempDir()).Load()
	if l.CPU < 0 || l.CPU > 100 || l.Disk <= 0 || l.Disk > 100 || l.Memory <= 0 {
		t.Errorf("%+v", l)
	}
}
