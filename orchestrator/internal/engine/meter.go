package engine

import (
	"time"

	"github.com/provisioning-platform/platform/shared/obs"
)

// Meter counts what becomes of tasks.
type Meter interface {
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
		took: r.Histogram("orchestrator_task_duration_seconds", "Task execution duration",
			[]float64{0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800}).At()}
	for _, status := range []string{"completed", "failed", "cancelled"} {
		total.Add(0, status)
		m.ended[status] = total.At(status)
	}
	return m
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
