package rollback

import (
	"context"
	"slices"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/store"
)

// maxPreviewed is how many operations a preview and a diff show.
const maxPreviewed = store.MaxPage

// Previewed is an operation with what an undo of it would do.
type Previewed struct {
	Lead  dag.Effect
	Steps []PreviewedStep // in the order in which they are undone
}

// PreviewedStep is a step that would be undone.
type PreviewedStep struct {
	Step  dag.Step
	Again bool   // its undo makes the deleted server again, without its data
	Why   string // it cannot be undone; empty when it can
}

// ForeseeUndo says what the undo of a step that recorded these facts would do, when deleted servers
// are made again or not: again is that of PreviewedStep, why its Why.
type ForeseeUndo func(s dag.Step, facts map[string]string, recreate bool) (again bool, why string)

// Preview returns what a rollback would undo: how many operations, and the first of them in the
// order in which they are undone, at most store.MaxPage. Independent ones are undone at the same
// time. What runs now would be cancelled first, and undone too when it has done something by then.
func (p *Planner) Preview(ctx context.Context, q Request, foresee ForeseeUndo) (int, []Previewed, error) {
	plan, err := p.Plan(ctx, q)
	if err != nil {
		return 0, nil, err
	}
	var leads []dag.Effect
	if !plan.Listed {
		if leads, err = p.after(ctx, &plan.UndoPlan); err != nil {
			return 0, nil, err
		}
	}
	for _, wave := range plan.Waves {
		for _, leadID := range wave.Items[:min(len(wave.Items), maxPreviewed-len(leads))] {
			row, err := run.Effects().Get(ctx, p.DB, leadID)
			if err != nil {
				return 0, nil, err
			}
			leads = append(leads, run.EffectOf(row))
		}
	}
	leads = leads[:min(len(leads), maxPreviewed)]
	list := make([]Previewed, len(leads))
	for i, lead := range leads {
		taskID, _ := lead.TaskAndStep()
		effects, err := run.EffectsOf(ctx, p.DB, taskID)
		if err != nil {
			return 0, nil, err
		}
		slices.SortFunc(effects, func(a, b dag.Effect) int { // the last step first
			_, x := a.TaskAndStep()
			_, y := b.TaskAndStep()
			return y - x
		})
		list[i].Lead = lead
		for k := range effects {
			if x := &effects[k]; x.Progress.Applied {
				again, why := foresee(x.Progress.Step, x.Recorded.Facts, q.Recreate)
				list[i].Steps = append(list[i].Steps, PreviewedStep{Step: x.Progress.Step, Again: again, Why: why})
			}
		}
	}
	return plan.Planned, list, nil
}

// CheckpointDiff is what happened between two checkpoints and stands.
type CheckpointDiff struct {
	From, To run.Checkpoint // From is the earlier one
	Count    int            // operations that ended after From and not after To
	Leads    []dag.Effect   // of the first of them, at most store.MaxPage
}

// Diff compares two checkpoints, in either order. Operations that were undone since are left out.
func (s *Checkpoints) Diff(ctx context.Context, oneID, otherID string) (CheckpointDiff, error) {
	from, err := s.Get(ctx, oneID)
	if err != nil {
		return CheckpointDiff{}, err
	}
	to, err := s.Get(ctx, otherID)
	if err != nil {
		return CheckpointDiff{}, err
	}
	if from.Cut > to.Cut {
		from, to = to, from
	}
	d := CheckpointDiff{From: from, To: to}
	if err := s.Eras.Open(ctx, s.DB); err != nil {
		return d, err
	}
	if d.Count, err = s.between(ctx, from, to); err != nil {
		return d, err
	}
	q := store.Query{Index: "stands", After: store.Cursor{Value: run.EraKey(from.EraFrom)}}
	for row, err := range run.Effects().All(ctx, s.DB, q) {
		if err != nil {
			return d, err
		}
		lead := run.EffectOf(row)
		if lead.Era >= to.EraTo || len(d.Leads) == maxPreviewed {
			break
		}
		if lead.Since > from.Cut && lead.Since <= to.Cut {
			d.Leads = append(d.Leads, lead)
		}
	}
	slices.SortFunc(d.Leads, func(a, b dag.Effect) int { return -compareRank(a, b) })
	return d, nil
}
