package engine

import (
	"slices"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/id"
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
	era := r.e.eras.enter(t, n)
	r.placed = append(r.placed, t)
	for _, i := range t.change.Tasks {
		if task := &r.run.Tasks[i]; comes(task) {
			task.Era = era
		}
	}
}

// unplace is called when the cycle with that number is stored: it and what was made ready before it
// will not be any more.
func (r *runner) unplace(number int) {
	for len(r.placed) > 0 && r.placed[0].number <= number {
		r.e.eras.leave(r.placed[0])
		r.placed = r.placed[1:]
	}
}

// maxBuffer is the bytes of a buffer that is kept.
const maxBuffer = 2 << 20 // a thousand tasks fit

// buffer is where a commit is put together. Stores copy what they commit, so the next commit uses it again.
type buffer struct {
	docs, events encoder
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
	failed := r.documents(buf, c)
	beside.Wait()
	if err == nil {
		err = failed
	}
	return err
}

// documents adds the writes of a change: header, tasks, effects and inventory. Only the owner of a
// run writes its tasks and effects while it goes on, and the header's revision says who that is;
// when it has ended, its tasks may be deleted.
func (r *runner) documents(buf *buffer, c dag.Change) error {
	h, docs := &r.run.Header, &buf.docs
	writes := slices.Grow(buf.writes, 1+len(c.Tasks)+len(c.Effects)+len(c.Origins)+len(c.Resources))
	docs.header(h)
	writes = append(writes, store.NewPut(headers().Key(h.ID), store.At(r.rev), headerIndex(h), docs.Body()))
	for _, at := range c.Effects { // before the tasks, which forget since when they stood
		x := r.run.Effect(at)
		writes = append(writes, putEffect(docs, &x))
	}
	for _, i := range c.Tasks {
		w := putTask(docs, &r.run.Tasks[i], store.Any())
		writes = append(writes, w)
		r.sizes[i] = len(w.Body)
	}
	for _, i := range c.Origins {
		task, rev := r.run.Origin(i)
		writes = append(writes, putTask(docs, task, store.At(rev)))
	}
	for _, f := range c.Failures {
		w, err := failures().Write(failure{Error: f.Error, ID: id.Within(h.ID, f.Number), Name: f.Name, Run: h.ID, Task: f.Task}, store.Any())
		if err != nil {
			return err
		}
		writes = append(writes, w)
	}
	buf.writes = inventory(docs, writes, c.Resources, h.UpdatedAt)
	return nil
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
		appends = append(appends, store.Append{Stream: EventStream, Body: buf.events.event(&c.Events[i])})
	}
	buf.appends = appends
	return nil
}

// putTask writes a task.
func putTask(buf *encoder, t *dag.Task, x store.Expect) store.Write {
	if !t.HasEffects() {
		t.AppliedRev = 0
	}
	buf.task(t)
	return store.NewPut(store.Key{Kind: taskKind, ID: t.ID}, x, taskIndex(t), buf.Body())
}

// stood notes which tasks stand since the commit rev.
func markApplied(tasks []dag.Task, written []int32, rev uint64) {
	for _, i := range written {
		if t := &tasks[i]; t.AppliedRev == 0 && t.HasEffects() {
			t.AppliedRev = rev
		}
	}
}

// inventory adds the writes of changed resources; the last word on each counts.
func inventory(buf *encoder, writes []store.Write, changes []dag.Resource, at time.Time) []store.Write {
	if len(changes) == 0 {
		return writes
	}
	place := map[string]int{}
	for _, c := range changes {
		row := Resource{Facts: c.Facts, Kind: c.Kind, Name: c.Name, Provider: c.Provider, Updated: at}
		w := store.Write{Key: resources().Key(resources().ID(row)), Expect: store.Any(), Action: store.Delete}
		if !c.Gone {
			buf.resource(&row)
			w = store.NewPut(w.Key, w.Expect, nil, buf.Body())
		}
		if n, twice := place[w.Key.ID]; twice {
			writes[n] = w
			continue
		}
		place[w.Key.ID] = len(writes)
		writes = append(writes, w)
	}
	return writes
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
