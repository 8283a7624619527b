package engine

import (
	"context"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/shared/obs"
)

// queue knows since when what waits has been waiting. What need not wait never touches it.
type queue struct {
	mu    sync.Mutex
	since map[string]time.Time // under mu: by id of what waits
}

// join notes that id waits from now on, unless it does so already.
func (q *queue) join(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.since == nil {
		q.since = map[string]time.Time{}
	}
	if _, waits := q.since[id]; !waits {
		q.since[id] = time.Now()
	}
}

// leave notes that id waits no longer.
func (q *queue) leave(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.since, id)
}

// length returns how many wait.
func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.since)
}

// age returns how long the one has waited that has waited longest; 0 when none waits.
func (q *queue) age() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	longest := time.Duration(0)
	for _, t := range q.since {
		longest = max(longest, time.Since(t))
	}
	return longest
}

// queues are where work waits: runs behind a rollback, runs for one of Config.MaxTasks slots, and
// attempts for one of Config.MaxSteps places.
type queues struct{ rollback, slots, places queue }

// enter takes a place for an attempt, and waits for one; it says false when ctx ends first.
func (e *Engine) enter(ctx context.Context, attempt string) bool {
	select {
	case e.places <- struct{}{}:
		return true
	default:
	}
	e.queues.places.join(attempt)
	defer e.queues.places.leave(attempt)
	select {
	case e.places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// MeterQueues registers how much work waits, for how long, and how much is done right now. Nothing
// is measured until somebody asks.
func (e *Engine) MeterQueues(r *obs.Registry) {
	for name, q := range map[string]*queue{"rollback": &e.queues.rollback, "tasks": &e.queues.slots, "steps": &e.queues.places} {
		r.GaugeFuncOf("orchestrator_queue_length",
			"What waits: runs behind a rollback, runs for one of limits.tasks, attempts for one of limits.steps.", "queue", name,
			func() float64 { return float64(q.length()) })
		r.GaugeFuncOf("orchestrator_queue_age_seconds", "Seconds that the one has waited which has waited longest; 0 when none waits.",
			"queue", name, func() float64 { return q.age().Seconds() })
	}
	const help = "What is done right now: tasks of limits.tasks, attempts of limits.steps."
	r.GaugeFuncOf("orchestrator_at_work", help, "what", "tasks", func() float64 { return float64(e.MaxTasks - e.semaphore.unused()) })
	r.GaugeFuncOf("orchestrator_at_work", help, "what", "steps", func() float64 { return float64(len(e.places)) })
}
