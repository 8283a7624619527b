package rollback

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/store"
)

// The inventory of a cut is rebuilt from what is stored (decision 44): a row that no later commit
// has written is as it was. Of any other one the effects say what it was, and the corrections of
// restores and reconciles. This looks at all effects, so it costs as much as there is.

// resourceState is what became of one resource of the inventory by a commit.
type resourceState struct {
	since    uint64    // the commit
	at       time.Time // among those of one commit the later one counts
	gone     bool
	resource run.Resource
}

// difference is one between the inventory of now and what it is to become.
type difference struct {
	row    run.Resource // as it is to be
	gone   bool         // it is not to be there
	rev    uint64       // of the row of now; 0 for none
	demand store.Write  // what must be as it was read for that; blank for nothing
}

// inventoryAt is the inventory of a cut, and how the one of now becomes it.
type inventoryAt struct {
	changes []difference // by id of the resource
	count   int
	sum     store.Sum
}

// rebuild returns the inventory of a cut. No run may be underway.
func rebuild(ctx context.Context, db store.DB, cut uint64) (inventoryAt, error) {
	then, err := statesAt(ctx, db, cut)
	if err != nil {
		return inventoryAt{}, err
	}
	inv := inventoryAt{}
	for row, err := range run.Resources().All(ctx, db, store.Query{}) {
		if err != nil {
			return inv, err
		}
		key := run.Resources().ID(row.Value)
		was, known := then[key]
		delete(then, key)
		switch {
		case row.Rev <= cut && (!known || was.since <= cut): // untouched since
			err = inv.add(row.Value)
		case known && was.since <= cut && !was.gone:
			inv.changes = append(inv.changes, difference{row: was.resource, rev: row.Rev})
			err = inv.add(was.resource)
		default:
			inv.changes = append(inv.changes, difference{row: row.Value, gone: true, rev: row.Rev})
		}
		if err != nil {
			return inv, err
		}
	}
	for _, was := range then { // what is there no more
		if was.since > cut || was.gone {
			continue
		}
		inv.changes = append(inv.changes, difference{row: was.resource})
		if err := inv.add(was.resource); err != nil {
			return inv, err
		}
	}
	slices.SortFunc(inv.changes, func(a, b difference) int {
		return cmp.Compare(run.Resources().ID(a.row), run.Resources().ID(b.row))
	})
	return inv, nil
}

// add counts a resource of the inventory.
func (inv *inventoryAt) add(r run.Resource) error {
	body, err := canonical.Make(r)
	inv.count, inv.sum = inv.count+1, inv.sum.Plus(store.Digest(body))
	return err
}

// statesAt returns what each resource was at a cut. One that first came to be after the cut has the
// commit since which it is there.
func statesAt(ctx context.Context, db store.DB, cut uint64) (map[string]resourceState, error) {
	states := map[string]resourceState{}
	note := func(s resourceState) {
		key := run.Resources().ID(s.resource)
		old, known := states[key]
		switch {
		case !known:
		case s.since > cut: // says only that it was not there before, when nothing earlier is known
			return
		case old.since <= cut && (old.since > s.since || old.since == s.since && old.at.After(s.at)):
			return
		}
		states[key] = s
	}
	for operation, err := range operations(ctx, db) {
		if err != nil {
			return nil, err
		}
		noteOperation(operation, note)
	}
	for row, err := range run.Corrections().All(ctx, db, store.Query{}) {
		if err != nil {
			return nil, err
		}
		note(resourceState{since: row.Rev, at: row.Value.Resource.Updated, gone: row.Value.Gone, resource: row.Value.Resource})
	}
	return states, nil
}

// operations yields the effects of one operation after the other.
func operations(ctx context.Context, db store.DB) func(yield func([]store.Row[dag.Effect], error) bool) {
	return func(yield func([]store.Row[dag.Effect], error) bool) {
		var group []store.Row[dag.Effect]
		last := ""
		for row, err := range run.Effects().All(ctx, db, store.Query{}) {
			if err != nil {
				yield(nil, err)
				return
			}
			taskID, _ := row.Value.TaskAndStep()
			if taskID != last && len(group) > 0 {
				if !yield(group, nil) {
					return
				}
				group = nil
			}
			last, group = taskID, append(group, row)
		}
		if len(group) > 0 {
			yield(group, nil)
		}
	}
}

// noteOperation notes what the effects of one operation made of resources: with the commit since
// which it stands, and, of an effect that was undone, with the commit that undid it.
func noteOperation(operation []store.Row[dag.Effect], note func(resourceState)) {
	stands := uint64(0)
	for _, row := range operation {
		if isLead(&row.Value) {
			stands = run.EffectOf(row).Since
		}
	}
	for _, row := range operation {
		x := &row.Value
		since := x.Since
		if x.Progress.Applied {
			since = stands
		}
		if since == 0 { // its run has not ended
			continue
		}
		removes := strings.HasSuffix(x.Progress.Step.Action, ".delete") || strings.HasSuffix(x.Progress.Step.Action, ".remove")
		for _, made := range x.Recorded.Made {
			r := run.Resource{Facts: made.Facts, Kind: made.Kind, Name: made.Name, Provider: made.Provider, Updated: x.Recorded.At}
			switch {
			case x.Progress.Applied:
				note(resourceState{since: since, at: x.Recorded.At, gone: made.Gone, resource: r})
			default: // what an undone removal recorded last is what came back
				note(resourceState{since: since, at: x.Recorded.At, gone: made.Gone || removes, resource: r})
				if !removes || !made.Gone {
					note(resourceState{since: row.Rev, at: x.Recorded.At, gone: made.Gone || !removes, resource: r})
				}
			}
		}
	}
}
