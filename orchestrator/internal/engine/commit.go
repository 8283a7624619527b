package engine

import (
	"context"
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
	used, _ := r.e.rooms.Get().(*object) // stores copy what they commit
	if used == nil {
		used = &object{}
	}
	used.b = used.b[:0]
	defer func() {
		if cap(used.b) <= maxRoom {
			r.e.rooms.Put(used)
		}
	}()
	b, shared, err := r.batch(used, c, entries, now)
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

// maxRoom is how many bytes of a room for a commit are kept for the next.
const maxRoom = 4 << 20

// batch gives a change its bytes, in room. shared says that it touches effects or inventory.
func (r *runner) batch(room *object, c dag.Change, entries [][]byte, now time.Time) (b store.Batch, shared bool, err error) {
	b.Writes = make([]store.Write, 0, 1+2*len(c.Tasks)+len(c.Resources))
	h := &r.run.Header
	b.Writes = append(b.Writes, store.Write{Key: headers().Key(h.ID), Expect: store.At(r.rev), Index: headers().Index(*h), Body: room.header(h)})
	table := tasks()
	if r.run.Header.Kind == dag.Rollback {
		table = undos()
	}
	for _, i := range c.Tasks {
		t := &r.run.Tasks[i]
		w := putTask(room, table, t)
		r.sizes[i] = len(w.Body)
		b.Writes = append(b.Writes, w)
		if table.Kind == taskKind {
			b.Writes = r.effect(room, b.Writes, t, &r.standing[i])
		}
	}
	for _, i := range c.Origins {
		o := &r.run.Origins[i]
		b.Writes = append(b.Writes, putTask(room, tasks(), o))
		b.Writes = r.effect(room, b.Writes, o, &r.standing[i])
	}
	b.Writes = r.inventory(room, b.Writes, c.Resources, now)
	shared = len(b.Writes) > 1+len(c.Tasks)+len(c.Origins)
	for _, e := range entries {
		b.Appends = append(b.Appends, store.Append{Stream: audit.Stream, Body: e})
	}
	if b.Appends, err = r.trials(room, b.Appends, c, now); err != nil {
		return b, false, err
	}
	for i := range c.Events {
		b.Appends = append(b.Appends, store.Append{Stream: EventStream, Body: room.event(&c.Events[i])})
	}
	return b, shared, nil
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
func (r *runner) inventory(room *object, writes []store.Write, changes []dag.Resource, now time.Time) []store.Write {
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
