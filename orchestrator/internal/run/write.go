package run

import (
	"fmt"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Change appends to writes the documents of a change of r: the header first, on its revision rev,
// then effects, tasks, origins, failures and the inventory. It notes in sizes the bytes of each
// task. Tasks and effects are written whatever is stored: only the owner of a run writes them, and
// the header's revision says who that is.
func (o *Encoder) Change(writes []store.Write, r *dag.Run, rev uint64, c *dag.Change, sizes []int) ([]store.Write, error) {
	h := &r.Header
	writes = slices.Grow(writes, 1+len(c.Tasks)+len(c.Effects)+len(c.Origins)+len(c.Failures)+len(c.Resources))
	o.header(h)
	writes = append(writes, store.NewPut(Headers().Key(h.ID), store.At(rev), headerIndex(h), o.Body()))
	for _, at := range c.Effects { // before the tasks, which forget since when they stood
		x := r.Effect(at)
		writes = append(writes, o.writeEffect(&x))
	}
	for _, i := range c.Tasks {
		w := o.writeTask(&r.Tasks[i], store.Any())
		writes = append(writes, w)
		sizes[i] = len(w.Body)
	}
	for _, i := range c.Origins { // its run has ended and may be pruned
		task, rev := r.Origin(i)
		writes = append(writes, o.writeTask(task, store.At(rev)))
	}
	for _, f := range c.Failures {
		w, err := Failures().Write(Failure{Error: f.Error, ID: id.Within(h.ID, f.Number), Name: f.Name, Run: h.ID, Task: f.Task},
			store.Any())
		if err != nil {
			return nil, err
		}
		writes = append(writes, w)
	}
	return o.inventory(writes, c.Resources, h.UpdatedAt), nil
}

func (o *Encoder) writeTask(t *dag.Task, x store.Expect) store.Write {
	if !t.HasEffects() {
		t.AppliedRev = 0
	}
	o.task(t)
	return store.NewPut(Tasks().Key(t.ID), x, taskIndex(t), o.Body())
}

// inventory appends the writes of changed resources. Of two changes of one resource the later
// counts.
func (o *Encoder) inventory(writes []store.Write, changes []dag.Resource, at time.Time) []store.Write {
	if len(changes) == 0 {
		return writes
	}
	place := map[string]int{}
	for _, c := range changes {
		row := Resource{Facts: c.Facts, Kind: c.Kind, Name: c.Name, Provider: c.Provider, Updated: at}
		w := store.Write{Key: Resources().Key(Resources().ID(row)), Expect: store.Any(), Action: store.Delete}
		if !c.Gone {
			o.resource(&row)
			w = store.NewPut(w.Key, w.Expect, resourceIndex(&row, c.Origin), o.Body())
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

// sliceBytes is how much of a definition one document holds.
const sliceBytes = 512 << 10

// Definition returns the writes of a definition's nodes, divided into documents of type Slice. It
// returns a fault of kind Invalid ("batch.operation_too_large") for a node that no document can
// hold.
func (o *Encoder) Definition(owner string, nodes []dag.Node) ([]store.Write, error) {
	var writes []store.Write
	for i := 0; i < len(nodes) || len(writes) == 0; {
		key := Definitions().Key(SliceID(owner, len(writes)))
		o.Begin()
		o.Always("id", key.ID)
		o.Array("items")
		for first := i; i < len(nodes); i++ {
			before, size := o.Mark(), o.Len()
			o.node(&nodes[i])
			if o.Len()-size > store.MaxBody-1024 {
				return nil, fault.New(fault.Invalid, "batch.operation_too_large", "Operation %d is larger than 1 MiB; split it.", i).
					With(fault.Field{Pointer: fmt.Sprintf("/operations/%d", i), Message: "larger than 1 MiB"})
			}
			if i > first && o.Len() > sliceBytes {
				o.Back(before)
				break
			}
		}
		o.EndArray()
		o.End()
		writes = append(writes, store.NewPut(key, store.Absent(), nil, o.Body()))
	}
	return writes, nil
}
