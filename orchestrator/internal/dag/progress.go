package dag

import (
	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/shared/naming"
)

// emitProgress emits the progress of a task of several steps when one of them has ended.
func (r *Run) emitProgress(t *Task) {
	if r.Header.Kind == Rollback || len(t.Steps) < 2 {
		return
	}
	r.emit(event.Event{
		Type: event.WorkflowProgress, Status: t.Status().Lower(), TaskID: t.ID, BatchID: r.batchID(), Name: t.Name, Operation: t.Operation,
		Infra:    r.infra(t),
		Progress: t.Progress, Step: t.CurrentStep(), Done: t.DoneSteps(), Total: len(t.Steps),
	})
}

func (r *Run) applyStep(i, k int32, res Result) {
	t := &r.Tasks[i]
	p := &t.Steps[k]
	p.Error, p.Ended, p.OutcomeUnknown = "", false, false
	p.Output = naming.Clip(res.Output, min(maxOutput, allOutput/len(t.Steps)))
	r.record(t, p, res)
	if t.mutates(p) {
		r.setApplied(i, k, true)
	}
	r.setStep(p, Succeeded)
	if progress := min(9_900, 10_000*t.DoneSteps()/len(t.Steps)); progress > t.Progress {
		t.Progress = progress
	}
	if t.DoneSteps() < len(t.Steps) {
		r.emitProgress(t)
	}
}
