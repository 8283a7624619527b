package app

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/orchestrator/internal/trust"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/watch"
	"github.com/provisioning-platform/platform/shared/web"
)

// alive says why an open socket's session is over, nil while it is not.
func alive(known *trust.Trust) func(token.Claims) error {
	return func(c token.Claims) error {
		if why := known.Check(c); why != "" {
			return fault.New(fault.Unauthenticated, "token.revoked", "this session is over: %s", why)
		}
		return nil
	}
}

// watched says which resource a category of events is about.
var watched = map[string]string{event.Task: "tasks", event.Progress: "tasks", event.Batch: "batches", event.Rollback: "rollbacks", event.System: "state"}

// mayWatch asks the policies whether somebody may see events of a category.
func mayWatch(known *trust.Trust, now func() time.Time) func(token.Claims, string) bool {
	return func(c token.Claims, category string) bool {
		return known.Decide(authz.Request{
			Subject: (&web.Caller{Claims: c}).Subject(), Action: "read",
			Resource: authz.Resource{Type: watched[category]}, Time: now(),
		}).Allowed
	}
}

// labelsOf says what a watcher can filter an event by.
func labelsOf(stored []byte) watch.Labels { return watch.Labels(event.LabelsOf(stored)) }

// probeWithin bounds the look at the store that health takes.
const probeWithin = 2 * time.Second

// firstWord is how long a start waits to hear the control-center, without which changes are refused (decision 5).
const firstWord = 500 * time.Millisecond

// readiness says why the service cannot serve (decision 3), nil when it can.
func readiness(known *trust.Trust, db store.DB, now func() time.Time) func() error {
	started := now()
	return func() error {
		if !known.Ready() {
			return fault.New(fault.Unavailable, "orchestrator.not_ready", "waiting for the control-center's keys and policies")
		}
		if t := now(); t.Sub(started) < firstWord && !known.Fresh(t) {
			return fault.New(fault.Unavailable, "orchestrator.not_ready", "waiting for the control-center's first answer since the start")
		}
		ctx, cancel := context.WithTimeout(context.Background(), probeWithin)
		defer cancel()
		if _, err := db.Read(ctx, "events", store.Latest, 0); err != nil {
			return fault.New(fault.Unavailable, "store.unavailable", "the store cannot be reached").Because(err)
		}
		return nil
	}
}

// lastHeard returns a function that says when all that the control-center tells was last up to
// date, or started.
func lastHeard(known *trust.Trust, started time.Time) func() time.Time {
	return func() time.Time {
		if heard := known.Status().Heard; !heard.IsZero() {
			return heard
		}
		return started
	}
}

// untilReady waits for readiness; process.Run prints the listening lines then.
func untilReady(ready func() error) func(context.Context) error {
	return func(ctx context.Context) error {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ready() != nil {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
}

// meter counts ended tasks as the contract names them (platform.md 1.11).
type meter struct {
	ended     map[string]func()
	took      func(float64)
	undone    obs.Counter
	withdrawn obs.Counter
}

func newMeter(r *obs.Registry) *meter {
	total := r.Counter("orchestrator_tasks_total", "Total number of tasks", "status")
	undone := r.Counter("orchestrator_rollback_operations_total", "Operations that rollbacks have tried to undo, by result.", "result")
	undone.Add(0, "undone")
	undone.Add(0, "failed")
	withdrawn := r.Counter("orchestrator_tasks_withdrawn_total", "Tasks that ended because their submitter may no longer do them.")
	withdrawn.Add(0)
	m := &meter{undone: undone, withdrawn: withdrawn, ended: map[string]func(){}, took: r.Histogram("orchestrator_task_duration_seconds", "Task execution duration",
		[]float64{0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800}).At()}
	for _, status := range []string{"completed", "failed", "cancelled"} {
		total.Add(0, status)
		m.ended[status] = total.At(status)
	}
	return m
}

// Withdrawn counts tasks that end because their submitter may no longer do them.
func (m *meter) Withdrawn(tasks int) { m.withdrawn.Add(float64(tasks)) }

// TaskEnded counts one task. Durations are those of completed and failed tasks, so that their count is the sum of the
// two, as the contract's sample has it; what was cancelled took as long as somebody let it.
func (m *meter) TaskEnded(status string, took time.Duration) {
	if count := m.ended[status]; count != nil {
		count()
	}
	if status != "cancelled" {
		m.took(took.Seconds())
	}
}

// Undone counts operations that a rollback has tried to undo.
func (m *meter) Undone(done bool) {
	if done {
		m.undone.Add(1, "undone")
	} else {
		m.undone.Add(1, "failed")
	}
}
