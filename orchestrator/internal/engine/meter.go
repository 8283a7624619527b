package engine

import (
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/obs"
)

// Meter counts what becomes of runs, tasks and attempts.
type Meter interface {
	// RunEnded is told of each run that ended.
	RunEnded(kind dag.Kind, status dag.Status)
	// AttemptEnded is told of each attempt to do or undo a step whose result is stored.
	AttemptEnded(kind dag.AttemptKind, class dag.Class)
	// AttemptTook is told of each attempt that began, and how long the executor was at it.
	AttemptTook(kind dag.AttemptKind, took time.Duration)
	// TaskEnded is told of each task that ended: how, and how long after its start; 0 when it never
	// started.
	TaskEnded(status string, took time.Duration)
	// Withdrawn is told how many tasks end because their submitter may no longer do them.
	Withdrawn(tasks int)
	// Undone is told of each operation that a rollback has tried to undo, and whether it did.
	Undone(done bool)
}

// counters are a Meter that shows the names of the contract (platform.md 1.11).
type counters struct {
	ended     map[string]func()
	took      func(float64)
	undone    obs.Counter
	withdrawn obs.Counter
	runs      map[runEnd]func()
	attempts  map[attemptEnd]func()
	attempt   map[dag.AttemptKind]func(float64)
}

type runEnd struct {
	kind   dag.Kind
	status dag.Status
}

type attemptEnd struct {
	kind  dag.AttemptKind
	class dag.Class
}

// NewMeter returns a Meter that shows in r what became of tasks and operations. Every series is
// there from the start, with 0.
func NewMeter(r *obs.Registry) Meter {
	total := r.Counter("orchestrator_tasks_total", "Total number of tasks", "status")
	undone := r.Counter("orchestrator_rollback_operations_total", "Operations that rollbacks have tried to undo, by result.", "result")
	undone.Add(0, "undone")
	undone.Add(0, "failed")
	withdrawn := r.Counter("orchestrator_tasks_withdrawn_total", "Tasks that ended because their submitter may no longer do them.")
	withdrawn.Add(0)
	m := &counters{undone: undone, withdrawn: withdrawn, ended: map[string]func(){},
		took: r.Histogram("orchestrator_task_duration_seconds", "Task execution duration", durations).At()}
	for _, status := range []string{"completed", "failed", "cancelled"} {
		total.Add(0, status)
		m.ended[status] = total.At(status)
	}
	m.countRuns(r)
	m.countAttempts(r)
	return m
}

// durations are the bounds in seconds of what providers take.
var durations = []float64{0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800}

func (m *counters) countRuns(r *obs.Registry) {
	runs := r.Counter("orchestrator_runs_total", "Runs that ended, by kind and status.", "kind", "status")
	m.runs = map[runEnd]func(){}
	for _, kind := range []dag.Kind{dag.Workflow, dag.Batch, dag.Rollback} {
		for _, status := range []dag.Status{dag.StatusCompleted, dag.StatusFailed, dag.StatusCancelled} {
			runs.Add(0, string(kind), status.Lower())
			m.runs[runEnd{kind, status}] = runs.At(string(kind), status.Lower())
		}
	}
}

func (m *counters) countAttempts(r *obs.Registry) {
	ended := r.Counter("orchestrator_attempts_total",
		"Attempts to do or undo a step that ended, by class of their result.", "kind", "class")
	m.attempts = map[attemptEnd]func(){}
	for _, kind := range []dag.AttemptKind{dag.Do, dag.Undo} {
		for _, class := range []dag.Class{dag.OK, dag.Transient, dag.Throttled, dag.Quota, dag.Auth, dag.ConflictClass, dag.Permanent,
			dag.TimedOut, dag.Stopped, dag.UnknownOutcome} {
			ended.Add(0, string(kind), string(class))
			m.attempts[attemptEnd{kind, class}] = ended.At(string(kind), string(class))
		}
	}
	took := r.Histogram("orchestrator_attempt_duration_seconds",
		"Seconds that an attempt was at work, by what it was for.", durations, "kind")
	m.attempt = map[dag.AttemptKind]func(float64){}
	for _, kind := range []dag.AttemptKind{dag.Resolve, dag.Do, dag.Undo, dag.Find} {
		m.attempt[kind] = took.At(string(kind))
	}
}

// RunEnded counts one run.
func (m *counters) RunEnded(kind dag.Kind, status dag.Status) {
	if count := m.runs[runEnd{kind, status}]; count != nil {
		count()
	}
}

// AttemptEnded counts one attempt.
func (m *counters) AttemptEnded(kind dag.AttemptKind, class dag.Class) {
	if count := m.attempts[attemptEnd{kind, class}]; count != nil {
		count()
	}
}

// AttemptTook counts the time of one attempt.
func (m *counters) AttemptTook(kind dag.AttemptKind, took time.Duration) {
	if observe := m.attempt[kind]; observe != nil {
		observe(took.Seconds())
	}
}

// Withdrawn counts tasks that end because their submitter may no longer do them.
func (m *counters) Withdrawn(tasks int) { m.withdrawn.Add(float64(tasks)) }

// TaskEnded counts one task. Durations are those of completed and failed tasks, so that their count
// is the sum of the two, as the contract's sample has it; what was cancelled took as long as
// somebody let it.
func (m *counters) TaskEnded(status string, took time.Duration) {
	if count := m.ended[status]; count != nil {
		count()
	}
	if status != "cancelled" {
		m.took(took.Seconds())
	}
}

// Undone counts operations that a rollback has tried to undo.
func (m *counters) Undone(done bool) {
	if done {
		m.undone.Add(1, "undone")
	} else {
		m.undone.Add(1, "failed")
	}
}
