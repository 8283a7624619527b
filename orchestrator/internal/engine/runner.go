package engine

import (
	"context"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/fault"
)

// Bounds of one commit of a run, well below the store's.
const (
	maxTake  = 1000
	maxBytes = 6 << 20
)

// runner drives one run. Everything below mu belongs to the goroutine of loop (before it starts, to
// whoever made the runner).
type runner struct {
	e     *Engine
	id    string
	kind  dag.Kind
	ended chan struct{} // closed when loop has returned

	mu     sync.Mutex
	inbox  []message
	over   bool          // nobody reads the inbox any more
	wake   chan struct{} // capacity 1
	enough int           // results that are worth to wake the loop for

	admitted, launched bool // under Engine.mu: its first commit is done; loop was started

	waiting, gone bool // under slots.mu
	wants, grants int  // under slots.mu: slots waited for; slots given meanwhile

	run      *dag.Run
	rev      uint64              // of the header
	took     time.Duration       // of the last commit
	inFlight *cycle              // on its way to the store
	stored   chan cycleResult    // to the cycle on its way; capacity 1
	attempts map[string]*attempt // attempts whose result is not stored, by id
	returned int                 // of attempts: those whose result has come
	claims   map[string]claim    // steps at work, by tag
	sizes    []int               // bytes of each task's last document
	details  map[string]any      // of the audit entry being encoded
	may      Submitter           // what the submitter may do, as of asked; nil for a rollback
	asked    uint64              // Rights.Changed when may was made
	decided  []*rightDecision    // of may, by task; nil where it was not asked
	cycles   int                 // that were made ready
	placed   []placement         // cycles in which operations got an era and which may still be stored
	held     int                 // slots
	at       time.Duration       // of dag.Now.Up: the next Tick; 0 for none
	renew    time.Duration       // of dag.Now.Up: when the run is written again, so that nobody takes it for left
	sighted  uint64              // revision at which the run of another process was found left; 0 for an own one
}

func (e *Engine) newRunner(id string, kind dag.Kind) *runner {
	return &runner{e: e, id: id, kind: kind, ended: make(chan struct{}), wake: make(chan struct{}, 1), stored: make(chan cycleResult, 1), attempts: map[string]*attempt{}, claims: map[string]claim{}}
}

// loop drives the run to its end, or until ctx ends, or until somebody else owns it.
func (r *runner) loop(ctx context.Context) {
	defer close(r.ended)
	defer r.leave()
	defer r.halt(ctx)
	if r.run == nil {
		if !r.load(ctx, true) {
			return
		}
	} else {
		r.act(ctx, dag.Pending(r.run))
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for !r.run.Done() || r.inFlight != nil {
		if r.inFlight == nil && r.run.Idle() {
			if !r.wave(ctx) {
				return
			}
			continue
		}
		var due <-chan time.Time
		if r.inFlight == nil { // what time brings waits for the cycle on its way
			timer.Reset(r.pause())
			due = timer.C
		}
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
			r.awaitWindow(ctx, timer)
		case <-due:
		}
		select {
		case v := <-r.stored:
			if messages, err := r.arrive(ctx, v); !r.commitUntilStored(ctx, messages, err) {
				return
			}
		default:
		}
		messages := r.take()
		if len(messages) == 0 && r.inFlight != nil {
			continue
		}
		if !r.step(ctx, messages) {
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

// step carries out what has come, patiently. It returns false when the run is not ours any more.
func (r *runner) step(ctx context.Context, messages []message) bool {
	if ctx.Err() != nil { // attempts end because we do; the next process looks what they came to
		refuseAll(messages)
		return false
	}
	for i := range messages {
		if d, ok := messages[i].command.(dag.Done); ok {
			r.noteReturned(d.ID)
		}
	}
	messages, err := r.commitCycle(ctx, messages)
	return r.commitUntilStored(ctx, messages, err)
}

// commitUntilStored loads the run again after a commit failed with err, and carries out the messages, until
// they are stored.
func (r *runner) commitUntilStored(ctx context.Context, messages []message, err error) bool {
	for try := 0; err != nil; try++ {
		r.e.Log.Warn("engine: a commit was refused or its outcome is unknown; loading the run again", "run", r.id, "error", err)
		if try >= 2 && !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.Unavailable) {
			messages = failUnstorable(messages, err)
		}
		if !r.recover(ctx, try) {
			refuseAll(messages)
			return false
		}
		messages, err = r.commitCycle(ctx, messages)
	}
	return true
}

// refuseAll answers commands that nobody carries out.
func refuseAll(messages []message) {
	for i := range messages {
		if m := &messages[i]; m.reply != nil {
			m.reply <- errStopping
		}
	}
}

// failUnstorable makes harmless what the store refuses for good, so that one bad result does not hold its
// run for ever: results become failures that say so, callers get the refusal.
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

// advance lets time pass, takes places for what could start, and resolves at once what can be.
func (r *runner) advance(now dag.Now) {
	instant, _ := r.e.Executor.(Instant)
	_ = dag.Apply(r.run, dag.Tick{}, now)
	for {
		progress := false
		if want := min(r.run.Want(), r.run.Want()+r.run.Busy()-r.held); want > 0 {
			if got := r.e.semaphore.take(r, want); got > 0 {
				r.held += got
				r.run.Quota = r.held
				_ = dag.Apply(r.run, dag.Tick{}, now)
				progress = true
			}
		}
		if instant != nil {
			for _, l := range dag.Unresolved(r.run) {
				if r.attempts[l.Attempt.ID] != nil {
					continue
				}
				if res, ok := instant.Instant(l.Attempt); ok {
					_ = dag.Apply(r.run, dag.Done{Ref: l.Ref, ID: l.Attempt.ID, Result: res}, now)
					progress = true
				}
			}
		}
		if !progress {
			return
		}
	}
}

// release returns the slots that the run does not use.
func (r *runner) release() {
	if extra := r.held - r.run.Busy(); extra > 0 {
		r.held -= extra
		r.e.semaphore.give(extra)
	}
}

// recover loads the run again after a failed commit, patiently. It returns false when the run is
// not ours any more or ctx has ended.
func (r *runner) recover(ctx context.Context, try int) bool {
	return r.sleep(ctx, try) && r.load(ctx, false)
}

// sleep waits longer with every try; it returns false when ctx has ended.
func (r *runner) sleep(ctx context.Context, try int) bool {
	if try == 0 {
		return ctx.Err() == nil
	}
	wait := time.NewTimer(min(10*time.Millisecond<<min(try, 10), 5*time.Second))
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wait.C:
		return true
	}
}

// act starts and stops attempts as the state demands.
func (r *runner) act(ctx context.Context, due dag.Due) {
	r.at = due.At
	for _, id := range due.Stop {
		if f := r.attempts[id]; f != nil {
			f.stop()
		}
	}
	for i := range due.Start {
		if l := &due.Start[i]; r.attempts[l.Attempt.ID] == nil {
			r.dispatch(ctx, *l)
		}
	}
	for i := range due.Never {
		l := &due.Never[i]
		if r.attempts[l.Attempt.ID] == nil {
			r.post(message{command: dag.Done{Ref: l.Ref, ID: l.Attempt.ID, Result: dag.Result{Class: dag.Stopped, Error: "stopped before it began"}}})
		}
	}
}

// haltWait bounds the note of an ordered stop.
const haltWait = 5 * time.Second

// halt notes in the store, when the engine stops, that the attempts at work are cut off by that, so
// that the next process does not take it for a try or a kill (decision 40). A note that cannot be
// made costs little: it was a kill then.
func (r *runner) halt(ctx context.Context) {
	if ctx.Err() == nil || r.run == nil || r.run.Header.State == dag.Queued {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), haltWait)
	defer cancel()
	if r.inFlight != nil {
		select {
		case <-r.stored: // what was stored is read below
		case <-ctx.Done():
		}
	}
	stored, rev, err := run.Load(ctx, r.e.DB, r.id, r.e.now()) // what is in memory may not be stored
	if err != nil || stored == nil || stored.Header.Owner != r.e.Instance || stored.Done() {
		return
	}
	r.own(stored, rev)
	t := &cycle{now: r.e.now()}
	_ = dag.Apply(stored, dag.Halt{}, t.now)
	t.change = stored.Take()
	if err = r.encode(t); err == nil {
		err = r.e.store(ctx, t).err
	}
	if err != nil {
		r.e.Log.Warn("engine: an ordered stop could not be noted; what it cuts off counts as killed", "run", r.id, "error", err)
	}
}

// leave gives back what the runner holds.
func (r *runner) leave() {
	for _, f := range r.attempts {
		f.stop()
	}
	if r.inFlight != nil {
		refuseAll(r.inFlight.messages)
	}
	r.unplace(r.cycles)
	r.unclaimAll()
	r.e.semaphore.leave(r, r.held)
	r.e.forget(r)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.inbox {
		if m := &r.inbox[i]; m.reply != nil {
			m.reply <- r.late()
		}
	}
	r.inbox = nil
	r.over = true
}

// late is the answer to a command that came when the run was over.
func (r *runner) late() error {
	if r.run == nil || !r.run.Done() {
		return errStopping
	}
	h := r.run.Header
	return fault.New(fault.Conflict, string(h.Kind)+".ended", "This %s has already ended (%s) and cannot be cancelled.", h.Kind, h.Status())
}
