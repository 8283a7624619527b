package engine

import (
	"slices"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/store"
)

// encode puts what a cycle stores into a buffer: header, tasks, effects, inventory, events and audit
// entries, which are committed all or nothing.
func (r *runner) encode(t *cycle, more ...store.Write) error {
	r.run.Header.Owner = r.e.Instance
	r.renew = t.now.Up + r.e.Lease/2
	t.buffer = r.e.getBuffer()
	r.place(t)
	err := r.fill(t.buffer, t.change, t.entries, t.now.Wall)
	t.buffer.writes = append(append(t.buffer.writes, more...), t.more...)
	return err
}

// place gives the operations that come to stand with a cycle their place: its era.
func (r *runner) place(t *cycle) {
	r.cycles++
	t.number = r.cycles
	n := 0
	comes := func(task *dag.Task) bool { return task.Era == 0 && task.HasEffects() }
	for _, i := range t.change.Tasks {
		if task := &r.run.Tasks[i]; comes(task) {
			n += task.Effects()
		}
	}
	if n == 0 {
		return
	}
	era := r.e.Checkpoints.Eras.Assign(n)
	r.placed = append(r.placed, placement{t.number, era})
	for _, i := range t.change.Tasks {
		if task := &r.run.Tasks[i]; comes(task) {
			task.Era = era
		}
	}
}

// placement is a cycle whose operations got an era.
type placement struct {
	number int // of the cycle
	era    uint64
}

// unplace is called when the cycle with that number is stored: it and what was made ready before it
// will not be any more.
func (r *runner) unplace(number int) {
	for len(r.placed) > 0 && r.placed[0].number <= number {
		r.e.Checkpoints.Eras.Settle(r.placed[0].era)
		r.placed = r.placed[1:]
	}
}

// maxBuffer is the bytes of a buffer that is kept.
const maxBuffer = 2 << 20 // a thousand tasks fit

// buffer is where a commit is put together. Stores copy what they commit, so the next commit uses it again.
type buffer struct {
	docs, events run.Encoder
	trail        canonical.Writer // audit entries
	writes       []store.Write
	appends      []store.Append
}

// getBuffer returns an empty buffer; putBuffer takes it back.
func (e *Engine) getBuffer() *buffer {
	if r, ok := e.buffers.Get().(*buffer); ok {
		return r
	}
	return new(buffer)
}

func (e *Engine) putBuffer(r *buffer) {
	if max(r.docs.Cap(), r.events.Cap(), r.trail.Cap()) > maxBuffer {
		return
	}
	clear(r.writes) // what they point to is not held
	clear(r.appends)
	r.docs.Reset()
	r.events.Reset()
	r.trail.Reset()
	r.writes, r.appends = r.writes[:0], r.appends[:0]
	e.buffers.Put(r)
}

// large is the number of tasks in a change from which on it is encoded by two, its entries beside its documents, and of attempts
// at work from which on a commit does not hold up their results.
const large = 16

// fill puts a change into the buffer.
func (r *runner) fill(buf *buffer, c dag.Change, entries [][]byte, now time.Time) (err error) {
	encode := func() { err = r.entries(buf, c, entries, now) }
	var beside sync.WaitGroup
	if len(c.Tasks) < large {
		encode()
	} else {
		beside.Go(encode)
	}
	var failed error
	buf.writes, failed = buf.docs.Change(buf.writes, r.run, r.rev, &c, r.sizes)
	beside.Wait()
	if err == nil {
		err = failed
	}
	return err
}

// entries adds the appends of a change: audit entries, those of callers first, and events.
func (r *runner) entries(buf *buffer, c dag.Change, callers [][]byte, now time.Time) error {
	appends := slices.Grow(buf.appends, len(callers)+len(c.Begun)+len(c.Ended)+len(c.Events))
	for _, e := range callers {
		appends = append(appends, store.Append{Stream: audit.Stream, Body: e})
	}
	appends, err := r.attemptRecords(buf, appends, c, now)
	if err == nil {
		appends, err = r.withdrawals(buf, appends, c, now)
	}
	if err != nil {
		return err
	}
	for i := range c.Events {
		appends = append(appends, buf.events.Event(&c.Events[i]))
	}
	buf.appends = appends
	return nil
}

// stood notes which tasks stand since the commit rev.
func markApplied(tasks []dag.Task, written []int32, rev uint64) {
	for _, i := range written {
		if t := &tasks[i]; t.AppliedRev == 0 && t.HasEffects() {
			t.AppliedRev = rev
		}
	}
}

// attemptRecords adds the audit entries of attempts: the intent with the commit that stores one, the outcome with
// the commit of its result.
func (r *runner) attemptRecords(buf *buffer, appends []store.Append, c dag.Change, now time.Time) (_ []store.Append, err error) {
	for _, t := range c.Ended {
		e := r.entry(t, audit.Outcome, now)
		switch {
		case t.Class == dag.UnknownOutcome:
			e.Result = audit.Unknown
		case t.Class != dag.OK:
			e.Result, e.Code = audit.Failure, "attempt."+string(t.Class)
		}
		if appends, err = buf.entry(appends, e); err != nil {
			return appends, err
		}
	}
	for _, t := range c.Begun {
		if appends, err = buf.entry(appends, r.entry(t, audit.Intent, now)); err != nil {
			return appends, err
		}
	}
	return appends, nil
}

// withdrawals adds the audit entries of rights that were lost: one each.
func (r *runner) withdrawals(buf *buffer, appends []store.Append, c dag.Change, now time.Time) (_ []store.Append, err error) {
	for _, w := range c.Withdrawn {
		if appends, err = buf.entry(appends, r.withdrawal(w, now)); err != nil {
			return appends, err
		}
	}
	return appends, nil
}

// entry adds an audit entry.
func (r *buffer) entry(appends []store.Append, e audit.Entry) ([]store.Append, error) {
	body, err := e.EncodeTo(&r.trail)
	return append(appends, store.Append{Stream: audit.Stream, Body: body}), err
}
