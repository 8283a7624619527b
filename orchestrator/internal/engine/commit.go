package engine

import (
	"context"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/store"
)

// commit stores a change of the run: header, tasks, effects, inventory, events and audit entries, all or
// nothing, on the revision of the header.
func (r *runner) commit(ctx context.Context, c dag.Change, entries [][]byte, now time.Time, more ...store.Write) error {
	r.run.Header.Owner = r.e.Instance
	r.run.Header.Until = now.Add(r.e.Lease).UTC().Truncate(time.Microsecond)
	docs, log := r.e.room(), r.e.room() // stores copy what they commit
	defer r.e.leaveRooms(docs, log)
	b, shared, err := r.batch(docs, log, c, entries, now)
	if err != nil {
		return err
	}
	b.Writes = append(b.Writes, more...)
	if shared {
		r.e.cut.enter(changing)
		defer r.e.cut.leave(changing)
	}
	receipt, err := r.e.DB.Commit(ctx, b)
	if err != nil {
		return err
	}
	r.rev = receipt.Rev
	if r.e.Meter != nil && r.run.Header.Kind != dag.Rollback {
		for _, i := range c.Finished {
			t := &r.run.Tasks[i]
			took := time.Duration(0)
			if t.StartedAt != nil {
				took = t.CompletedAt.Sub(*t.StartedAt)
			}
			r.e.Meter.TaskEnded(t.Status().Lower(), took)
		}
	}
	return nil
}

// The bytes that a room for a commit begins with, and those of one that is kept for the next.
const (
	minRoom = 8 << 10
	maxRoom = 1 << 20
)

// room returns room for bytes of a commit.
func (e *Engine) room() *object {
	if o, ok := e.rooms.Get().(*object); ok {
		return o
	}
	return &object{b: make([]byte, 0, minRoom)}
}

func (e *Engine) leaveRooms(rooms ...*object) {
	for _, o := range rooms {
		if cap(o.b) <= maxRoom {
			o.b = o.b[:0]
			e.rooms.Put(o)
		}
	}
}

// large is the number of tasks in a change from which on its entries are encoded beside its documents.
const large = 16

// batch gives a change its bytes, those of the documents in docs and those of the entries in log. shared says that it
// touches effects or inventory.
func (r *runner) batch(docs, log *object, c dag.Change, entries [][]byte, now time.Time) (b store.Batch, shared bool, err error) {
	encode := func() { b.Appends, err = r.entries(log, c, entries, now) }
	var beside sync.WaitGroup
	if len(c.Tasks) < large {
		encode()
	} else {
		beside.Go(encode)
	}
	b.Writes, shared = r.documents(docs, c, now)
	beside.Wait()
	return b, shared, err
}

// documents returns the writes of a change: header, tasks, effects and inventory.
func (r *runner) documents(room *object, c dag.Change, now time.Time) (writes []store.Write, shared bool) {
	h := &r.run.Header
	writes = make([]store.Write, 0, 1+2*(len(c.Tasks)+len(c.Origins))+len(c.Resources))
	writes = append(writes, store.Write{Key: headers().Key(h.ID), Expect: store.At(r.rev), Index: headers().Index(*h), Body: room.header(h)})
	table := tasks()
	if h.Kind == dag.Rollback {
		table = undos()
	}
	for _, i := range c.Tasks {
		t := &r.run.Tasks[i]
		w := putTask(room, table, t)
		r.sizes[i] = len(w.Body)
		writes = append(writes, w)
		if table.Kind == taskKind {
			writes = r.effect(room, writes, t, &r.standing[i])
		}
	}
	for _, i := range c.Origins {
		o := &r.run.Origins[i]
		writes = append(writes, putTask(room, tasks(), o))
		writes = r.effect(room, writes, o, &r.standing[i])
	}
	writes = inventory(room, writes, c.Resources, now)
	return writes, len(writes) > 1+len(c.Tasks)+len(c.Origins)
}

// entries returns the appends of a change: audit entries, those of callers first, and events.
func (r *runner) entries(room *object, c dag.Change, callers [][]byte, now time.Time) ([]store.Append, error) {
	appends := make([]store.Append, 0, len(callers)+len(c.Begun)+len(c.Ended)+len(c.Events))
	for _, e := range callers {
		appends = append(appends, store.Append{Stream: audit.Stream, Body: e})
	}
	appends, err := r.trials(room, appends, c, now)
	if err != nil {
		return nil, err
	}
	for i := range c.Events {
		appends = append(appends, store.Append{Stream: EventStream, Body: room.event(&c.Events[i])})
	}
	return appends, nil
}

// effect adds the write that makes the effect document of a task agree with the task, if it does not.
// stored is what the store will have then; it is only right once the commit is.
func (r *runner) effect(room *object, writes []store.Write, t *dag.Task, stored *bool) []store.Write {
	stands := t.Standing()
	if stands == *stored {
		return writes
	}
	*stored = stands
	if !stands {
		return append(writes, store.Write{Key: effects().Key(t.ID), Expect: store.Any(), Action: store.Delete})
	}
	made, used := t.Servers()
	e := Effect{At: r.run.Header.UpdatedAt, Made: made, Operation: t.Operation, Run: t.Run, Task: t.ID, Used: used}
	return append(writes, store.Write{Key: effects().Key(t.ID), Expect: store.Any(), Index: effects().Index(e), Body: room.effect(&e)})
}

// putTask writes a task. Only the owner of a run writes its tasks, and the header's revision says who that is.
func putTask(room *object, table store.Table[dag.Task], t *dag.Task) store.Write {
	return store.Write{Key: table.Key(t.ID), Expect: store.Any(), Index: table.Index(*t), Body: room.task(t)}
}

// inventory adds the writes of changed resources; the last word on each counts.
func inventory(room *object, writes []store.Write, changes []dag.Resource, now time.Time) []store.Write {
	if len(changes) == 0 {
		return writes
	}
	place := map[string]int{}
	for _, c := range changes {
		row := Resource{Facts: c.Facts, Kind: c.Kind, Name: c.Name, Provider: c.Provider, Updated: now.UTC().Truncate(time.Microsecond)}
		w := store.Write{Key: resources().Key(resources().ID(row)), Expect: store.Any()}
		if c.Gone {
			w.Action = store.Delete
		} else {
			w.Body = room.resource(&row)
		}
		if at, twice := place[w.Key.ID]; twice {
			writes[at] = w
			continue
		}
		place[w.Key.ID] = len(writes)
		writes = append(writes, w)
	}
	return writes
}

// trials adds the audit entries of attempts: the intent with the commit that stores one, the outcome with
// the commit of its result.
func (r *runner) trials(room *object, appends []store.Append, c dag.Change, now time.Time) ([]store.Append, error) {
	for _, t := range c.Ended {
		e := r.entry(t, audit.Outcome, now)
		switch {
		case t.Class == dag.UnknownOutcome:
			e.Result = audit.Unknown
		case t.Class != dag.OK:
			e.Result, e.Code = audit.Failure, "attempt."+string(t.Class)
		}
		body, err := room.entry(e)
		if err != nil {
			return appends, err
		}
		appends = append(appends, store.Append{Stream: audit.Stream, Body: body})
	}
	for _, t := range c.Begun {
		body, err := room.entry(r.entry(t, audit.Intent, now))
		if err != nil {
			return appends, err
		}
		appends = append(appends, store.Append{Stream: audit.Stream, Body: body})
	}
	return appends, nil
}
