package engine

import (
	"context"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/trace"
)

// runner drives one run. What is below run belongs to the goroutine of loop (before it starts, to
// whoever made the runner).
type runner struct {
	e     *Engine
	id    string
	kind  dag.Kind
	ended chan struct{} // closed when loop has returned
	wake  chan struct{} // capacity 1

	mu     sync.Mutex
	inbox  []message
	closed bool // nobody reads the inbox any more
	enough int  // results that are worth waking the loop for

	admitted, launched bool  // under Engine.mu: its first commit is done; loop was started
	slots              slots // under semaphore.mu

	run      *dag.Run
	rev      uint64                        // of the header
	took     time.Duration                 // of the last commit
	attempts map[string]context.CancelFunc // attempts whose result is not stored, by id: what ends the attempt context
	claims   map[string]claim              // steps at work, by tag
	sizes    []int                         // bytes of each task's last document
	may      Submitter                     // what the submitter may do, as of asked; nil for a rollback
	asked    uint64                        // Rights.Changed when may was made
	decided  []*rightDecision              // of may, by task; nil where it was not asked
	eras     []uint64                      // assigned by commits that may still be stored
	taken    int                           // slots that the run has
	at       time.Duration                 // of dag.Now.Up: the next Tick; 0 for none
	renew    time.Duration                 // of dag.Now.Up: when the run is written again to keep its lease
	span     trace.SpanContext             // of the run's span, whichever process records it
	sighted  uint64                        // revision at which the run of another process was found abandoned; 0 for an own one
}

func (e *Engine) newRunner(id string, kind dag.Kind) *runner {
	return &runner{
		e: e, id: id, kind: kind, ended: make(chan struct{}), wake: make(chan struct{}, 1),
		attempts: map[string]context.CancelFunc{}, claims: map[string]claim{},
	}
}

// loop drives the run to its end, or until ctx ends, or until another process owns it.
func (r *runner) loop(ctx context.Context) {
	defer close(r.ended)
	defer r.close()
	defer r.noteStop(ctx)
	if r.run == nil {
		if !r.load(ctx, true) {
			return
		}
	} else {
		r.act(ctx, dag.Pending(r.run))
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for !r.run.Done() {
		if r.run.Idle() {
			if !r.beginWave(ctx) {
				return
			}
			continue
		}
		timer.Reset(r.pause())
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
			r.awaitWindow(ctx, timer)
		case <-timer.C:
		}
		if !r.step(ctx, r.take()) {
			return
		}
	}
}

// pause returns how long nothing is due.
func (r *runner) pause() time.Duration {
	due := r.renew
	if r.at != 0 {
		due = min(due, r.at)
	}
	return max(due-r.e.now().Up, 0)
}

// step carries out messages. When their commit fails, it loads the run again and carries them out
// on what is stored, until that is committed. It returns false when another process owns the run or
// ctx has ended.
func (r *runner) step(ctx context.Context, messages []message) bool {
	if ctx.Err() != nil { // attempts end because the engine does; the next process looks up what they came to
		refuseAll(messages)
		return false
	}
	for try := 0; ; try++ {
		err := r.commitCycle(ctx, messages)
		if err == nil {
			return true
		}
		r.e.Log.Warn("engine: a commit was refused or its outcome is unknown; loading the run again", "run", r.id, "error", err)
		if try >= 2 && !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.Unavailable) {
			messages = failUnstorable(messages, err)
		}
		if !backOff(ctx, try) || !r.load(ctx, false) {
			refuseAll(messages)
			return false
		}
	}
}

// refuseAll answers commands that nobody carries out.
func refuseAll(messages []message) {
	for i := range messages {
		if m := &messages[i]; m.reply != nil {
			m.reply <- errStopping
		}
	}
}

// failUnstorable makes harmless what the store refuses for good, so that one bad result does not
// stop its run for ever: results become failures that say so, callers get the refusal.
func failUnstorable(messages []message, err error) []message {
	var kept []message
	for _, m := range messages {
		if d, ok := m.command.(dag.Done); ok {
			d.Result = dag.Result{Class: dag.Permanent, Error: "the result cannot be stored: " + err.Error()}
			m.command = d
		} else if m.reply != nil {
			m.reply <- err
			continue
		}
		kept = append(kept, m)
	}
	return kept
}

// backOff waits longer with every try, and not at all with the first, 0. It returns false when ctx
// has ended.
func backOff(ctx context.Context, try int) bool {
	if try == 0 {
		return ctx.Err() == nil
	}
	return clock.Pause(ctx, min(10*time.Millisecond<<min(try, 10), 5*time.Second), nil)
}

// noteStopWithin bounds the note of an ordered stop.
const noteStopWithin = 5 * time.Second

// noteStop stores, when the engine stops, that the stop interrupts the attempts at work, so that
// the next process does not take that for a try or a kill (decision 40). A note that cannot be made
// costs little: it was a kill then.
func (r *runner) noteStop(ctx context.Context) {
	if ctx.Err() == nil || r.run == nil || r.run.Header.State == dag.Queued {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteStopWithin)
	defer cancel()
	stored, rev, err := run.Load(ctx, r.e.DB, r.id, r.e.now()) // what is in memory may not be stored
	if err != nil || stored == nil || stored.Header.Owner != r.e.Instance || stored.Done() {
		return
	}
	r.own(stored, rev)
	t := &cycle{now: r.e.now()}
	_ = dag.Apply(stored, dag.Halt{}, t.now)
	t.change = stored.Take()
	if err := r.commit(ctx, t); err != nil {
		r.e.Log.Warn("engine: an ordered stop could not be noted; what it interrupts counts as killed", "run", r.id, "error", err)
	}
}

// close gives back all that the runner has, stops its attempts, and refuses what comes later.
func (r *runner) close() {
	for _, stop := range r.attempts {
		stop()
	}
	r.settleEras()
	r.unclaimAll()
	r.e.semaphore.remove(r, r.taken)
	r.e.forget(r)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.inbox {
		if m := &r.inbox[i]; m.reply != nil {
			m.reply <- r.late()
		}
	}
	r.inbox = nil
	r.closed = true
}

// late is the answer to a command that came when the runner was closed.
func (r *runner) late() error {
	if r.run == nil || !r.run.Done() {
		return errStopping
	}
	h := r.run.Header
	return fault.New(fault.Conflict, string(h.Kind)+".ended", "This %s has already ended (%s) and cannot be cancelled.", h.Kind, h.Status())
}
