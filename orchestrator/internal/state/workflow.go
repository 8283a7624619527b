// Package state answers questions about the whole: how far a workflow is, what it was at earlier
// moments, how many workflows there are, and how loaded the machine is (contract 1.6). A workflow
// is a batch, whose steps are its operations, or one task with its own steps (contract Q1).
//
// It reads what others store and owns no documents. A Snapshot is computed: the documents of a
// task and of its effects hold the time of each change, so they say what the workflow was then.
// Events say the same and are not read, because all workflows share one stream and looking for
// those of one would cost what happened meanwhile. Totals are counters that the commits keep.
//
// The one rule: an answer costs as much as the one workflow that it is about, or as nothing, and
// never as much as the history.
package state

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Workflow is a batch with its tasks, or one task.
type Workflow struct {
	Batch *dag.Header // nil for one task
	Tasks []dag.Task  // of a batch, in the order of its definition; else the one task
}

// GetWorkflow returns the batch or the task with that id, or a fault of kind NotFound
// ("workflow.unknown").
func GetWorkflow(ctx context.Context, db store.DB, workflowID string) (Workflow, error) {
	unknown := fault.New(fault.NotFound, "workflow.unknown",
		"There is no task and no batch with this id; GET /tasks and GET /batch/operations list those there are.")
	if !id.Valid(workflowID) {
		return Workflow{}, unknown
	}
	h, err := run.Headers().Get(ctx, db, workflowID)
	if err != nil {
		return Workflow{}, err
	}
	if h.Rev != 0 && h.Value.Kind == dag.Batch {
		tasks, err := run.TasksOf(ctx, db, workflowID)
		return Workflow{Batch: &h.Value, Tasks: tasks}, err
	}
	t, err := run.GetTask(ctx, db, workflowID)
	if fault.Is(err, fault.NotFound) {
		err = unknown
	}
	return Workflow{Tasks: []dag.Task{t}}, err
}

// id returns the id of the batch or of the task.
func (w *Workflow) id() string {
	if w.Batch != nil {
		return w.Batch.ID
	}
	return w.Tasks[0].ID
}

// Status returns the status on the wire.
func (w *Workflow) Status() dag.Status {
	if w.Batch != nil {
		return w.Batch.Status()
	}
	return w.Tasks[0].Status()
}

// ended says whether the workflow does nothing any more.
func (w *Workflow) ended() bool {
	if w.Batch != nil {
		return w.Batch.State.Terminal()
	}
	return w.Tasks[0].State.Terminal()
}

// steps returns how many steps the workflow has, at least 1, and how many of them are completed. A
// task that has not been resolved yet, or that had nothing to do, counts as one step.
func (w *Workflow) steps() (total, completed int) {
	if w.Batch != nil {
		for i := range w.Tasks {
			if w.Tasks[i].Status() == dag.StatusCompleted {
				completed++
			}
		}
		return max(1, len(w.Tasks)), completed
	}
	t := &w.Tasks[0]
	if len(t.Steps) == 0 && t.Status() == dag.StatusCompleted {
		return 1, 1
	}
	return max(1, len(t.Steps)), t.DoneSteps()
}

// Progress says how far a workflow is (contract Q11).
type Progress struct {
	Percent   int    // in hundredths; never falls, and 10,000 exactly when the workflow is completed
	Step      string // the current one: of a batch the id of an operation
	Steps     int
	Completed int // of Steps
	// Remaining is how long the rest will take; nil while nobody can tell, because no step has been
	// completed. 0 when the workflow has ended.
	Remaining *time.Duration
}

// Progress returns how far the workflow is at that time.
func (w *Workflow) Progress(now time.Time) Progress {
	p := Progress{Step: w.currentStep()}
	p.Steps, p.Completed = w.steps()
	sum := 0
	for i := range w.Tasks {
		sum += w.Tasks[i].Progress
	}
	p.Percent = percent(sum, len(w.Tasks), w.Status())
	if left, known := w.remaining(now); known {
		p.Remaining = &left
	}
	return p
}

// percent returns the mean progress of n tasks, less than 10,000 until the workflow is completed.
func percent(sum, n int, status dag.Status) int {
	if status == dag.StatusCompleted {
		return 10_000
	}
	return min(9_999, sum/max(1, n))
}

// currentStep returns the step that is at work; else the one that ended last, else the first.
func (w *Workflow) currentStep() string {
	if w.Batch == nil {
		return w.Tasks[0].CurrentStep()
	}
	var last *dag.Task
	for i := range w.Tasks {
		t := &w.Tasks[i]
		if t.Status() == dag.StatusRunning {
			return t.Operation
		}
		if t.StartedAt != nil && t.CompletedAt != nil && (last == nil || t.CompletedAt.After(*last.CompletedAt)) {
			last = t
		}
	}
	switch {
	case last != nil:
		return last.Operation
	case len(w.Tasks) > 0:
		return w.Tasks[0].Operation
	}
	return ""
}

// remaining estimates how long the rest takes: the work that is left, times the mean time of like
// steps. The steps of a task are alike. Operations are alike when they are of one type, and as many
// run beside each other as the batch allows.
func (w *Workflow) remaining(now time.Time) (time.Duration, bool) {
	if w.ended() {
		return 0, true
	}
	if w.Batch == nil {
		t := &w.Tasks[0]
		total, completed := w.steps()
		if completed == 0 || t.StartedAt == nil {
			return 0, false
		}
		each := max(0, now.Sub(*t.StartedAt)) / time.Duration(completed)
		return each * time.Duration(total-completed), true
	}
	const anyType = ""
	spent, ended := map[string]time.Duration{}, map[string]time.Duration{}
	for i := range w.Tasks {
		t := &w.Tasks[i]
		if t.Status() == dag.StatusCompleted && t.StartedAt != nil && t.CompletedAt != nil {
			for _, alike := range []string{t.Type, anyType} {
				spent[alike] += t.CompletedAt.Sub(*t.StartedAt)
				ended[alike]++
			}
		}
	}
	if ended[anyType] == 0 {
		return 0, false
	}
	var work time.Duration
	open := 0
	for i := range w.Tasks {
		t := &w.Tasks[i]
		if t.State.Terminal() {
			continue
		}
		open++
		alike := t.Type
		if ended[alike] == 0 {
			alike = anyType
		}
		work += spent[alike] / ended[alike] * time.Duration(10_000-t.Progress) / 10_000
	}
	return work / time.Duration(max(1, min(open, w.Batch.ParallelLimit))), true
}
