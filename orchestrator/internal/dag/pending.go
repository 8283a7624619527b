package dag

import (
	"container/heap"
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/id"
)

// Pending returns what is due by the state of the run. It visits only the tasks that have changed
// since the last call; after Load it visits all. The caller acts on it once it has committed what
// Take returned before.
func Pending(r *Run) Due {
	var due Due
	for _, i := range r.revisits {
		r.revisiting[i] = false
		r.pendingTask(i, &due)
	}
	r.revisits = r.revisits[:0]
	if len(r.timers) > 0 {
		due.At = r.timers[0].at
	}
	return due
}

// Unresolved returns the Resolve attempts that are due. They change nothing outside, so the caller
// may make them before the commit.
func Unresolved(r *Run) []Launch {
	var due []Launch
	for _, i := range r.revisits {
		if t := &r.Tasks[i]; t.State == Running && !t.Resolved {
			due = append(due, r.resolve(i))
		}
	}
	return due
}

func (r *Run) pendingTask(i int32, due *Due) {
	t := &r.Tasks[i]
	if t.State == Running && !t.Resolved {
		due.Start = append(due.Start, r.resolve(i))
		return
	}
	for k := range t.Steps {
		p := &t.Steps[k]
		if p.Attempt == "" {
			continue
		}
		if t.State == Cancelling && p.Kind == Do {
			due.Stop = append(due.Stop, p.Attempt)
			due.Never = append(due.Never, r.launch(i, int32(k)))
			continue
		}
		due.Start = append(due.Start, r.launch(i, int32(k)))
	}
}

func (r *Run) resolveID(i int32) string {
	t := &r.Tasks[i]
	return id.Derived(t.ID, "resolve", strconv.Itoa(t.Resolves))
}

func (r *Run) resolve(i int32) Launch {
	t := &r.Tasks[i]
	op := &r.nodes[i].Operation
	if targets := r.defaultTargets(i); targets != nil {
		withTargets := *op
		withTargets.Targets = targets
		op = &withTargets
	}
	return Launch{Ref: Ref{Task: i, Step: -1}, Timeout: millis(r.policies[i].AttemptTimeout), Attempt: Attempt{
		ID: r.resolveID(i), Tag: t.ID, Kind: Resolve, RunID: t.Run, TaskID: t.ID, User: t.User, Number: t.Resolves + 1, Operation: op,
	}}
}

// defaultTargets returns the servers that a task service goes to when its operation names none:
// those of its dependencies. It returns nil for all other operations.
func (r *Run) defaultTargets(i int32) []string {
	if op := &r.nodes[i].Operation; len(op.Targets) > 0 || !strings.HasPrefix(op.Type, "taskserv") {
		return nil
	}
	return r.dependencyTargets(i)
}

// dependencyTargets returns the servers that the dependencies of task i made or worked on, in their
// order. For a dependency that never began it returns those that its operation names.
func (r *Run) dependencyTargets(i int32) []string {
	var names []string
	seen := map[string]bool{}
	add := func(name string) {
		if name != "" && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	for _, d := range r.deps[i] {
		for k := range r.Tasks[d].Steps {
			add(r.Tasks[d].Steps[k].Step.lane())
		}
		if r.Tasks[d].Resolved {
			continue
		}
		op := &r.nodes[d].Operation
		for k := range op.Servers {
			add(op.Servers[k].Name)
		}
		for _, name := range op.Targets {
			add(name)
		}
	}
	return names
}

func (r *Run) launch(i, k int32) Launch {
	t := &r.Tasks[i]
	p := &t.Steps[k]
	return Launch{Ref: Ref{Task: i, Step: k}, Timeout: millis(r.policies[i].AttemptTimeout), Attempt: Attempt{
		ID: p.Attempt, Tag: Tag(t.ID, int(k)), Kind: p.Kind, RunID: r.Header.ID, TaskID: t.ID, User: t.User, Number: p.Tries,
		Operation: &r.nodes[i].Operation, Step: p.Step, Facts: p.Recorded.Facts,
		Recreate: r.Header.Undo != nil && r.Header.Undo.Recreate,
	}}
}

// Tag returns the idempotency tag of a step, which is the same for every try to do or to undo it.
func Tag(taskID string, step int) string { return id.Derived(taskID, "step", strconv.Itoa(step)) }

// timers is a heap of tasks by the point of Now.Up at which tick has to visit them. An entry that
// no longer matters stays until it is due, and tick then does nothing.
type timers []timer

type timer struct {
	at   time.Duration
	task int32
}

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at < t[j].at }
func (t timers) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }

// Push is for container/heap.
func (t *timers) Push(x any) { *t = append(*t, x.(timer)) }

// Pop is for container/heap.
func (t *timers) Pop() any {
	old := *t
	x := old[len(old)-1]
	*t = old[:len(old)-1]
	return x
}

func (t *timers) push(at time.Duration, task int32) { heap.Push(t, timer{at, task}) }

func (t *timers) pop(up time.Duration) (task int32, ok bool) {
	if len(*t) == 0 || (*t)[0].at > up {
		return 0, false
	}
	return heap.Pop(t).(timer).task, true
}

// restoreTimers sets the timers of a task that was loaded. Time without a process does not count
// against a timeout, and a grace time begins anew.
func (r *Run) restoreTimers(i int32, now Now) {
	t := &r.Tasks[i]
	t.countedUntil = now.Up
	if t.State == Cancelling {
		r.startGrace(i)
	}
	if r.policies[i].Timeout > 0 && !t.State.Terminal() && t.StartedAt != nil {
		r.timers.push(now.Up+max(0, r.timeLeft(i)), i)
	}
	due := func(at time.Time, wait int64) time.Duration {
		d := now.Up + min(max(0, at.Sub(now.Wall)), millis(wait))
		r.timers.push(d, i)
		return d
	}
	if t.RetryAt != nil {
		t.retryDue = due(*t.RetryAt, t.Wait)
	}
	for k := range t.Steps {
		if p := &t.Steps[k]; p.RetryAt != nil {
			p.retryDue = due(*p.RetryAt, p.Wait)
		}
	}
}
