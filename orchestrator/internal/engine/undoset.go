package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/naming"
	"github.com/provisioning-platform/platform/shared/store"
)

// undoItem is an operation that a request for a rollback names or takes along.
type undoItem struct {
	lead dag.Effect
	rank dag.Rank
	made []string // servers
}

// choose returns the leads of the operations named that stand, in the order in which they are
// undone, and refuses when something that still stands depends on one of them, unless the request
// takes that along. An operation with nothing to undo is left out. It looks at the runs of these
// operations and at what is on the servers that they made, however much else there is.
func (e *Engine) undoSet(ctx context.Context, q RollbackRequest) ([]dag.Effect, error) {
	named := map[string]bool{}
	for _, ref := range q.Operations {
		taskID, err := e.operation(ctx, ref)
		if err != nil {
			return nil, err
		}
		named[taskID] = true
	}
	c := &undoSet{e: e, taken: map[string]bool{}, runs: map[string][]dag.Effect{}}
	for taskID := range named {
		if err := c.take(ctx, taskID); err != nil {
			return nil, err
		}
	}
	for i := 0; i < len(c.all); i++ { // it grows
		needing, why, err := c.needing(ctx, c.all[i])
		if err != nil {
			return nil, err
		}
		for _, lead := range needing {
			taskID, _ := lead.Place()
			if c.taken[taskID] || named[taskID] {
				continue
			}
			if !q.Cascade {
				return nil, fault.New(fault.Conflict, "rollback.needed", "%s still needs what you want to undo (%s); name it too, or set cascade.", lead.Name, why)
			}
			if err := c.take(ctx, taskID); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(c.all, func(a, b undoItem) int {
		if a.rank.Before(b.rank) {
			return -1
		}
		return 1
	})
	leads := make([]dag.Effect, len(c.all))
	for i := range c.all {
		leads[i] = c.all[i].lead
	}
	return leads, nil
}

// undoSet collects operations to undo.
type undoSet struct {
	e     *Engine
	all   []undoItem
	taken map[string]bool         // ids of tasks that were looked at
	runs  map[string][]dag.Effect // by id of a run: leads of its operations that stand
}

// take adds the operation of a task if it stands.
func (c *undoSet) take(ctx context.Context, taskID string) error {
	if c.taken[taskID] {
		return nil
	}
	c.taken[taskID] = true
	all, err := run.EffectsOf(ctx, c.e.DB, taskID)
	if err != nil {
		return err
	}
	var x undoItem
	standing := 0
	for _, effect := range all {
		if !effect.Progress.Applied {
			continue
		}
		standing++
		if effect.Era != 0 {
			x.lead, x.rank = effect, run.RankOf(&effect)
		}
		if step := effect.Progress.Step; strings.HasPrefix(step.Action, "server.") {
			x.made = append(x.made, step.Name)
		}
	}
	if standing == 0 {
		return nil
	}
	h, err := run.Headers().Get(ctx, c.e.DB, all[0].Run)
	if err != nil {
		return err
	}
	if h.Rev != 0 && !h.Value.State.Terminal() { // its owner still writes its effects
		return fault.New(fault.Conflict, "rollback.running_batch", "%s is part of a %s that has not ended; cancel that or wait.", all[0].Name, h.Value.Kind)
	}
	if x.lead.Era == 0 {
		return fmt.Errorf("task %s: none of its %d standing effects says where it stands", taskID, standing)
	}
	c.all = append(c.all, x)
	return nil
}

// standing returns the leads of the operations of a run that stand.
func (c *undoSet) standing(ctx context.Context, runID string) ([]dag.Effect, error) {
	if leads, known := c.runs[runID]; known {
		return leads, nil
	}
	var leads []dag.Effect
	for row, err := range run.Rows(ctx, c.e.DB, run.Effects(), store.Query{Prefix: id.Family(runID)}) {
		if err != nil {
			return nil, err
		}
		if o := run.EffectOf(row); o.Run == runID && o.Era != 0 && o.Progress.Applied {
			leads = append(leads, o)
		}
	}
	c.runs[runID] = leads
	return leads, nil
}

// needing returns the leads of operations that stand and need an item of the undo set, and what of it: a
// server that it made, or that it came first. What another batch went on with after the run's submitter
// lost his rights (dag.Resume) counts as needing all that the run completed: the new batch was made
// without the dependencies that were met.
func (c *undoSet) needing(ctx context.Context, x undoItem) (leads []dag.Effect, why string, err error) {
	standing, err := c.standing(ctx, x.lead.Run)
	if err != nil {
		return nil, "", err
	}
	for i := range standing {
		if later := run.RankOf(&standing[i]); later.Before(x.rank) && standing[i].DependsOn(&x.lead) {
			leads = append(leads, standing[i])
		}
	}
	for runID := x.lead.Run; ; {
		h, err := run.Headers().Get(ctx, c.e.DB, runID)
		if err != nil {
			return nil, "", err
		}
		if runID = h.Value.AdoptedBy; runID == "" {
			break
		}
		went, err := c.standing(ctx, runID)
		if err != nil {
			return nil, "", err
		}
		for i := range went {
			if later := run.RankOf(&went[i]); later.Before(x.rank) {
				leads = append(leads, went[i])
			}
		}
	}
	if len(leads) > 0 {
		return leads, x.lead.Name, nil
	}
	for _, server := range x.made {
		on := map[string]bool{}
		for row, err := range run.Rows(ctx, c.e.DB, run.Effects(), store.Query{Index: "target", Prefix: server, Exact: true}) {
			if err != nil {
				return nil, "", err
			}
			taskID, _ := row.Value.Place()
			on[taskID] = true
		}
		for taskID := range on {
			all, err := run.EffectsOf(ctx, c.e.DB, taskID)
			if err != nil {
				return nil, "", err
			}
			lead := leadOf(all)
			if lead.Era == 0 { // it has not ended
				return nil, "", fault.New(fault.Conflict, "rollback.running_operation", "Operation %s works on server %s and has not ended; cancel it or wait.", all[0].Name, server)
			}
			if later := run.RankOf(&lead); later.Before(x.rank) {
				leads, why = append(leads, lead), "server "+server
			}
		}
	}
	return leads, why, nil
}

// leadOf returns the lead among the effects of an operation; blank when it has not ended.
func leadOf(all []dag.Effect) dag.Effect {
	for _, x := range all {
		if x.Era != 0 && x.Progress.Applied {
			return x
		}
	}
	return dag.Effect{}
}

// maxNamesakes is how many operations of one id are looked at to find the one that is meant.
const maxNamesakes = 2000

// operation finds the task that a reference of a rollback means, which must have ended. Of one
// whose document was deleted the effects are still known, by the task's id and by that of its
// batch.
func (e *Engine) operation(ctx context.Context, ref string) (taskID string, err error) {
	missing := fault.New(fault.NotFound, "rollback.unknown_operation", "There is no operation %s; name a task id, <batch id>/<operation id>, or an operation id.", naming.Clip(ref, 64))
	if taskID := id.Canonical(ref); id.Valid(taskID) {
		t, err := run.Tasks().Get(ctx, e.DB, taskID)
		if err != nil || t.Rev != 0 {
			return ended(&t.Value, err)
		}
		if all, err := run.EffectsOf(ctx, e.DB, taskID); err != nil || len(all) > 0 {
			return taskID, err
		} // an operation may be called like that
	}
	batch, name, qualified := strings.Cut(ref, "/")
	if !qualified {
		name = ref
	}
	if name == "" || len(name) > dag.MaxOperationID || strings.ContainsRune(name, 0) {
		return "", missing
	}
	batch = id.Canonical(batch)
	found, err := e.namesakes(ctx, batch, name, qualified)
	if err != nil {
		return "", err
	}
	standing := slices.DeleteFunc(slices.Clone(found), func(t dag.Task) bool { return t.State.Terminal() && !t.HasEffects() })
	switch {
	case len(found) == 0 && qualified && id.Valid(batch):
		for row, err := range run.Rows(ctx, e.DB, run.Effects(), store.Query{Prefix: id.Family(batch)}) {
			if err != nil {
				return "", err
			}
			if x := &row.Value; x.Run == batch && x.Batch && x.Operation == name {
				taskID, _ := x.Place()
				return taskID, nil
			}
		}
		return "", missing
	case len(found) == 0:
		return "", missing
	case len(found) == 1:
		return ended(&found[0], nil)
	case len(standing) == 1 && len(found) < maxNamesakes: // those with nothing left to undo are not meant
		return ended(&standing[0], nil)
	}
	var batches []string
	for _, t := range found[:min(len(found), 20)] {
		batches = append(batches, t.Run+"/"+name)
	}
	return "", fault.New(fault.Invalid, "rollback.ambiguous", "Operation %s is in several batches; say which, for example: %s.", name, strings.Join(batches, ", "))
}

// ended returns the id of a task, and a fault when it has not ended.
func ended(t *dag.Task, err error) (string, error) {
	if err == nil && !t.State.Terminal() {
		err = fault.New(fault.Conflict, "rollback.running_operation", "Operation %s has not ended; cancel it or wait.", t.Name)
	}
	return t.ID, err
}

// namesakes returns the operations with that id, newest first and at most maxNamesakes: of one
// batch, whose tasks stand together in the order of ids, or of all.
func (e *Engine) namesakes(ctx context.Context, batch, name string, one bool) (found []dag.Task, err error) {
	q := store.Query{Index: "operation", Prefix: name, Exact: true, Reverse: true, Limit: store.MaxPage}
	family := ""
	if one {
		if !id.Valid(batch) {
			return nil, nil
		}
		family, q.Reverse, q.Limit = id.Family(batch), false, 1
		q.After = store.Cursor{Value: name, ID: family}
	}
	for row, err := range run.Rows(ctx, e.DB, run.Tasks(), q) {
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(row.Value.ID, family) {
			break
		}
		if !one || row.Value.Run == batch {
			found = append(found, row.Value)
		}
		if len(found) == maxNamesakes {
			break
		}
	}
	return found, nil
}
