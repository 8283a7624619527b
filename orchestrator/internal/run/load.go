package run

import (
	"context"
	"fmt"
	"slices"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Load reads a run with all that dag needs to go on with it, and the revision of its header. It
// returns nil when there is no run with that id.
func Load(ctx context.Context, db store.DB, runID string, now dag.Now) (*dag.Run, uint64, error) {
	h, err := Headers().Get(ctx, db, runID)
	if err != nil || h.Rev == 0 {
		return nil, 0, err
	}
	if h.Value.Kind == dag.Rollback {
		r, err := loadRollback(ctx, db, h.Value, now)
		return r, h.Rev, err
	}
	var nodes []dag.Node
	for n := range h.Value.Slices {
		part, err := Definitions().Get(ctx, db, SliceID(runID, n))
		if err != nil {
			return nil, 0, err
		}
		nodes = append(nodes, part.Value.Items...)
	}
	tasks, err := TasksOf(ctx, db, runID)
	if err != nil {
		return nil, 0, err
	}
	if n := h.Value.Counts.Total(); len(nodes) != n || len(tasks) != n {
		return nil, 0, fmt.Errorf("run %s: %d nodes and %d tasks stored, %d counted", runID, len(nodes), len(tasks), n)
	}
	if err := recall(ctx, db, runID, tasks); err != nil {
		return nil, 0, err
	}
	return dag.Load(h.Value, nodes, tasks, now), h.Rev, nil
}

// loadRollback loads a rollback with its current wave.
func loadRollback(ctx context.Context, db store.DB, h dag.Header, now dag.Now) (*dag.Run, error) {
	var wave []dag.UndoOperation
	if h.Undo.Wave > 0 && !h.State.Terminal() {
		var err error
		if wave, err = Wave(ctx, db, h.ID, h.Undo.Wave); err != nil {
			return nil, err
		}
	}
	return dag.LoadRollback(h, wave, now), nil
}

// Wave returns the operations of a stored wave of a rollback.
func Wave(ctx context.Context, db store.DB, rollbackID string, number int) ([]dag.UndoOperation, error) {
	list, err := Waves().Get(ctx, db, SliceID(rollbackID, number))
	if err == nil && list.Rev == 0 {
		err = fmt.Errorf("rollback %s: its wave %d is missing", rollbackID, number)
	}
	if err != nil {
		return nil, err
	}
	operations := make([]dag.UndoOperation, len(list.Value.Items))
	for i, leadID := range list.Value.Items {
		row, err := Effects().Get(ctx, db, leadID)
		if err == nil && row.Rev == 0 {
			err = fmt.Errorf("rollback %s: the effect %s is missing", rollbackID, leadID)
		}
		if err != nil {
			return nil, err
		}
		if operations[i], err = ReadUndoOperation(ctx, db, EffectOf(row)); err != nil {
			return nil, err
		}
	}
	return operations, nil
}

// ReadUndoOperation returns the operation of a lead as a rollback needs it: all its effects, also
// those undone since, and its task unless that was pruned. An effect that was the lead once says
// nothing of the others, so they are read.
func ReadUndoOperation(ctx context.Context, db store.DB, lead dag.Effect) (dag.UndoOperation, error) {
	operation := dag.UndoOperation{Effects: []dag.Effect{lead}}
	taskID, _ := lead.TaskAndStep()
	var err error
	if lead.Of != 1 {
		if operation.Effects, err = EffectsOf(ctx, db, taskID); err != nil {
			return operation, err
		}
	}
	origin, err := Tasks().Get(ctx, db, taskID)
	if err != nil {
		return operation, err
	}
	if origin.Rev != 0 {
		task := TaskOf(origin)
		operation.Origin, operation.OriginRev = &task, origin.Rev
	}
	return operation, nil
}

// TasksOf returns the tasks of a run in the order of its definition, which is that of their ids.
func TasksOf(ctx context.Context, db store.DB, runID string) ([]dag.Task, error) {
	var all []dag.Task
	for row, err := range Tasks().All(ctx, db, store.Query{Prefix: id.Family(runID)}) {
		if err != nil {
			return nil, err
		}
		if row.Value.Run == runID {
			all = append(all, TaskOf(row))
		}
	}
	return all, nil
}

// EffectsOf returns the effects of a task.
func EffectsOf(ctx context.Context, db store.DB, taskID string) ([]dag.Effect, error) {
	var all []dag.Effect
	for row, err := range Effects().All(ctx, db, store.Query{Prefix: taskID + "."}) {
		if err != nil {
			return nil, err
		}
		all = append(all, EffectOf(row))
	}
	return all, nil
}

// recall gives the steps of a run's tasks back what their effects recorded.
func recall(ctx context.Context, db store.DB, runID string, tasks []dag.Task) error {
	applied := func(p dag.StepState) bool { return p.Applied }
	if !slices.ContainsFunc(tasks, func(t dag.Task) bool { return slices.ContainsFunc(t.Steps, applied) }) {
		return nil
	}
	place := make(map[string]*dag.Task, len(tasks))
	for i := range tasks {
		place[tasks[i].ID] = &tasks[i]
	}
	for row, err := range Effects().All(ctx, db, store.Query{Prefix: id.Family(runID)}) {
		if err != nil {
			return err
		}
		taskID, k := row.Value.TaskAndStep()
		if t := place[taskID]; t != nil && k < len(t.Steps) {
			t.Steps[k].Recorded = row.Value.Recorded
		}
	}
	return nil
}

// LastEra returns the latest era that is stored; 0 when there is none.
func LastEra(ctx context.Context, db store.DB) (uint64, error) {
	effects, _, err := Effects().List(ctx, db, store.Query{Index: "stands", Reverse: true, Limit: 1})
	if err != nil {
		return 0, err
	}
	checkpoints, _, err := Checkpoints().List(ctx, db, store.Query{Index: "era", Reverse: true, Limit: 1})
	if err != nil {
		return 0, err
	}
	last := uint64(0)
	if len(effects) > 0 {
		last = effects[0].Value.Era
	}
	if len(checkpoints) > 0 {
		last = max(last, checkpoints[0].Value.EraTo)
	}
	return last, nil
}
