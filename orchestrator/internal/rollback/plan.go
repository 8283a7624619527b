package rollback

import (
	"context"
	"slices"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// Request names what to undo: everything completed after a checkpoint, or certain operations by
// task id, "<batch id>/<operation id>" or an operation id that only one batch has.
type Request struct {
	ID         string // of the rollback; fresh when empty
	Checkpoint string
	Operations []string
	Cascade    bool // also undo what depends on the operations named
	Recreate   bool // make deleted servers again, without their data
}

// Plan is what a request comes to: the plan that the header of the rollback holds, and the waves of
// named operations, which are stored before it.
type Plan struct {
	dag.UndoPlan
	Waves []run.Slice[string]
}

// Planner finds what a rollback undoes.
type Planner struct {
	*Checkpoints
	Effects int // of one wave, at least
}

// Plan judges a request. It returns a fault of kind NotFound, Invalid or Conflict for one that
// cannot be met, and has changed nothing then.
func (p *Planner) Plan(ctx context.Context, q Request) (Plan, error) {
	switch {
	case q.Checkpoint != "":
		plan, err := p.toCheckpoint(ctx, q.Checkpoint)
		plan.Recreate = q.Recreate
		return plan, err
	case len(q.Operations) == 0:
		return Plan{}, fault.New(fault.Invalid, "rollback.nothing_named", "Name a checkpoint or at least one operation.")
	}
	leads, err := chooseNamed(ctx, p.DB, q)
	if err != nil {
		return Plan{}, err
	}
	waves := p.divide(q.ID, leads)
	return Plan{UndoPlan: dag.UndoPlan{Listed: true, Planned: len(leads), Recreate: q.Recreate, Waves: len(waves)}, Waves: waves}, nil
}

// toCheckpoint plans a rollback to a checkpoint. Its waves are found as it goes.
func (p *Planner) toCheckpoint(ctx context.Context, checkpointID string) (Plan, error) {
	c, err := p.Get(ctx, checkpointID)
	if err != nil {
		return Plan{}, err
	}
	if c.RecordOnly {
		return Plan{}, fault.New(fault.Conflict, "checkpoint.record_only",
			"What a rollback to the checkpoint %s would need is not kept any more ([retention] checkpoint_effects); it is a record "+
				"only. Use a later checkpoint or name operations.", c.Name)
	}
	n, err := p.After(ctx, c)
	return Plan{UndoPlan: dag.UndoPlan{Cut: c.Cut, Era: c.EraFrom, EraTo: c.EraTo, Planned: n}}, err
}

// divide divides the leads of operations, in the order in which they are undone, into waves.
func (p *Planner) divide(rollbackID string, leads []dag.Effect) (waves []run.Slice[string]) {
	effects := p.Effects // of the last wave
	for i := range leads {
		if effects >= p.Effects {
			waves, effects = append(waves, run.Slice[string]{ID: run.SliceID(rollbackID, len(waves)+1)}), 0
		}
		last := &waves[len(waves)-1]
		last.Items, effects = append(last.Items, leads[i].ID), effects+leads[i].Of
	}
	return waves
}

// Next returns the command that begins the next wave of a rollback, and the writes that store which
// operations it has. A wave without operations ends the rollback. Of a rollback to a checkpoint
// that has not begun it counts the operations once more: what ran when it was submitted has ended
// since.
func (p *Planner) Next(ctx context.Context, h *dag.Header) (dag.Wave, []store.Write, error) {
	plan := h.Undo
	w := dag.Wave{Planned: plan.Planned}
	var err error
	if plan.Listed {
		if plan.Wave < plan.Waves {
			w.Operations, err = run.Wave(ctx, p.DB, h.ID, plan.Wave+1)
		}
		return w, nil, err
	}
	if h.State == dag.Queued {
		if w.Planned, err = p.After(ctx, run.Checkpoint{Cut: plan.Cut, EraFrom: plan.Era, EraTo: plan.EraTo}); err != nil {
			return w, nil, err
		}
	}
	leads, err := p.after(ctx, plan)
	if err != nil {
		return w, nil, err
	}
	var writes []store.Write
	list := run.Slice[string]{ID: run.SliceID(h.ID, plan.Wave+1)}
	for _, lead := range leads {
		operation, err := run.ReadUndoOperation(ctx, p.DB, lead)
		if err != nil {
			return w, nil, err
		}
		w.Operations, list.Items = append(w.Operations, operation), append(list.Items, lead.ID)
	}
	if len(leads) > 0 {
		own, err := run.Waves().Write(list, store.Any())
		if err != nil {
			return w, nil, err
		}
		writes = append(writes, own)
	}
	if plan.Wave > 0 {
		writes = append(writes, store.Write{Key: run.Waves().Key(run.SliceID(h.ID, plan.Wave)), Expect: store.Any(), Action: store.Delete})
	}
	return w, writes, nil
}

// after returns the leads of the next wave of a rollback to a checkpoint: of operations that stand
// since a commit after the cut and were not taken by a wave before, in the order in which they are
// undone, until they have enough effects together.
func (p *Planner) after(ctx context.Context, plan *dag.UndoPlan) (leads []dag.Effect, err error) {
	q := store.Query{Index: "stands", Reverse: true}
	if plan.Taken != nil { // the era of the last one taken may have more
		q.After.Value = run.EraKey(plan.Taken.Era + 1)
	}
	effects := 0
	var era []dag.Effect // the leads of one era, which the index does not order
	flush := func() {
		slices.SortFunc(era, compareRank)
		for _, lead := range era {
			if effects < p.Effects {
				leads, effects = append(leads, lead), effects+lead.Of
			}
		}
		era = era[:0]
	}
	for row, err := range run.Effects().All(ctx, p.DB, q) {
		if err != nil {
			return nil, err
		}
		lead := run.EffectOf(row)
		if len(era) > 0 && era[0].Era != lead.Era {
			flush()
		}
		if effects >= p.Effects || lead.Era < plan.Era {
			break
		}
		if lead.Since > plan.Cut && (plan.Taken == nil || plan.Taken.Before(run.RankOf(&lead))) {
			era = append(era, lead)
		}
	}
	flush()
	return leads, nil
}

// compareRank orders leads as their operations are undone.
func compareRank(a, b dag.Effect) int {
	x, y := run.RankOf(&a), run.RankOf(&b)
	switch {
	case x == y:
		return 0
	case x.Before(y):
		return -1
	}
	return 1
}
