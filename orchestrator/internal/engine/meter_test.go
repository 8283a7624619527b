package engine_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/obs"
)

// metrics returns what a registry shows.
func metrics(r *obs.Registry) string {
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// TestMeter_showsWhatWaitsAndWhatAttemptsCameTo blocks the only place for attempts and the only
// slot for tasks.
func TestMeter_showsWhatWaitsAndWhatAttemptsCameTo(t *testing.T) {
	t.Parallel()
	w, r := newWorld(), obs.NewRegistry()
	w.block["web-01"] = true
	w.fails("do db-01", dag.Result{Class: dag.Throttled}, dag.Result{Class: dag.Permanent})
	s := start(t, memory(), w, func(c *engine.Config) {
		c.MaxTasks, c.MaxSteps, c.Meter = 2, 1, engine.NewMeter(r)
		c.Policy = dag.Policy{AttemptTimeout: 60_000, InitialDelay: 1, MaxAttempts: 2, MaxDelay: 1}
	})
	s.MeterQueues(r)
	shows := func(lines ...string) {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for _, line := range lines {
			for !strings.Contains(metrics(r), "\n"+line+"\n") {
				if time.Now().After(deadline) {
					t.Fatalf("%s is not shown:\n%s", line, metrics(r))
				}
				<-time.After(time.Millisecond)
			}
		}
	}
	shows(`orchestrator_queue_length{queue="steps"} 0`, `orchestrator_queue_age_seconds{queue="steps"} 0`)
	blocked := s.submit(batch(servers("a", nil, "web-01")))
	shows(`orchestrator_at_work{what="steps"} 1`)
	waiting := s.submit(batch(servers("b", nil, "web-02"))) // has the last slot and no place
	last := s.submit(batch(servers("c", nil, "db-01")))     // has no slot
	shows(`orchestrator_queue_length{queue="steps"} 1`, `orchestrator_queue_length{queue="tasks"} 1`,
		`orchestrator_at_work{what="tasks"} 2`)
	if text := metrics(r); strings.Contains(text, `orchestrator_queue_age_seconds{queue="steps"} 0`+"\n") ||
		strings.Contains(text, `orchestrator_queue_age_seconds{queue="tasks"} 0`+"\n") {
		t.Errorf("what waits has no age:\n%s", text)
	}
	if err := s.Cancel(scene(), dag.Batch, blocked.Run.ID, fresh()); err != nil {
		t.Fatal(err)
	}
	for id, status := range map[string]dag.Status{
		blocked.Run.ID: dag.StatusCancelled, waiting.Run.ID: dag.StatusCompleted, last.Run.ID: dag.StatusFailed,
	} {
		s.until(id, func(b run.Batch) bool { return b.Run.Status() == status })
	}
	shows(
		`orchestrator_queue_length{queue="steps"} 0`, `orchestrator_queue_length{queue="tasks"} 0`, `orchestrator_at_work{what="tasks"} 0`,
		`orchestrator_attempts_total{class="cancelled",kind="do"} 1`, `orchestrator_attempts_total{class="ok",kind="do"} 1`,
		`orchestrator_attempts_total{class="throttled",kind="do"} 1`, `orchestrator_attempts_total{class="permanent",kind="do"} 1`,
		`orchestrator_runs_total{kind="batch",status="cancelled"} 1`, `orchestrator_runs_total{kind="batch",status="completed"} 1`,
		`orchestrator_runs_total{kind="batch",status="failed"} 1`, `orchestrator_attempt_duration_seconds_count{kind="do"} 4`,
	)
}
