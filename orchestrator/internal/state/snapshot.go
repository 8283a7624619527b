package state

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// Snapshot is what a workflow was at a moment: after one change of its status or of the status of
// one of its tasks, or after one completed step (contract Q12).
type Snapshot struct {
	ID        string // the same whenever it is asked for
	At        time.Time
	Status    dag.Status // of the workflow
	Percent   int        // in hundredths
	Step      string     // the one that changed; of a batch the id of its operation
	Steps     int
	Completed int // of Steps
	Counts    dag.Counts
	TaskID    string // of the task that changed; empty for the batch itself
	Error     string // why that task failed

	kept bool // also when the workflow has ended: the first, the last, and failures
}

// moment is one change of a task: it began, it completed a step, or it ended.
type moment struct {
	at   time.Time
	what momentKind
	task int
	step int
}

// momentKind says what happened at a moment; of one instant they happen in this order.
type momentKind int

const (
	began momentKind = iota
	stepped
	ended
)

// Snapshots returns the snapshots of the workflow, the oldest first; of one that has ended the
// first, the last, and those of failures. Its rows cost the documents of this workflow.
func (w *Workflow) Snapshots(ctx context.Context, db store.DB, p store.Place) (store.Window[Snapshot], error) {
	var steps []moment
	if w.Batch == nil { // the steps of a batch are its operations
		effects, err := run.EffectsOf(ctx, db, w.id())
		if err != nil {
			return store.Window[Snapshot]{}, err
		}
		for i := range effects {
			if _, k := effects[i].TaskAndStep(); k < len(w.Tasks[0].Steps) && w.Tasks[0].Steps[k].Done() {
				steps = append(steps, moment{at: effects[i].Recorded.At, what: stepped, step: k})
			}
		}
	}
	return window(w.replay(steps), w.ended(), p)
}

// replay returns all snapshots of the workflow.
func (w *Workflow) replay(changes []moment) []Snapshot {
	for i := range w.Tasks {
		t := &w.Tasks[i]
		if t.StartedAt != nil {
			changes = append(changes, moment{at: *t.StartedAt, what: began, task: i})
		}
		if t.CompletedAt != nil && t.State.Terminal() {
			changes = append(changes, moment{at: *t.CompletedAt, what: ended, task: i})
		}
	}
	slices.SortStableFunc(changes, func(a, b moment) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.what, b.what), cmp.Compare(a.task, b.task), cmp.Compare(a.step, b.step))
	})
	total, _ := w.steps()
	now := Snapshot{Steps: total, Counts: dag.Counts{Pending: len(w.Tasks)}, kept: true}
	if w.Batch != nil {
		now.At, now.Status = w.Batch.CreatedAt, dag.StatusRunning
	} else {
		now.At, now.Status, now.Step = w.Tasks[0].CreatedAt, dag.StatusPending, w.Tasks[0].Name
	}
	now.ID = w.snapshotID("created")
	list := append(make([]Snapshot, 0, len(changes)+2), now)
	done := make([]int, len(w.Tasks)) // progress of each task, in hundredths of a percent
	sum := 0
	for _, c := range changes {
		sum += w.apply(&now, c, done)
		now.Percent = percent(sum, len(w.Tasks), now.Status)
		list = append(list, now)
	}
	if w.Batch != nil && w.ended() {
		now.At = later(now.At, run.EndOf(w.Batch))
		now.Status, now.TaskID, now.Error, now.ID = w.Status(), "", w.Batch.Error, w.snapshotID("ended")
		now.Percent = percent(sum, len(w.Tasks), now.Status)
		list = append(list, now)
	}
	if w.ended() {
		list[len(list)-1].kept = true
	}
	return list
}

// apply makes a change of the snapshot before the one after, and returns by how much the progress
// of the task rises.
func (w *Workflow) apply(s *Snapshot, c moment, done []int) (rise int) {
	t := &w.Tasks[c.task]
	s.At, s.TaskID, s.Error, s.kept = later(s.At, c.at), t.ID, "", false
	s.Step = t.Operation
	if w.Batch == nil {
		s.Step = t.CurrentStep()
	}
	progress := done[c.task]
	switch c.what {
	case began:
		s.Counts.Pending--
		s.Counts.Running++
		s.ID = w.snapshotID(t.ID, "began")
		if w.Batch == nil {
			s.Status, s.Step = dag.StatusRunning, t.Name
		}
	case stepped:
		s.Completed++
		progress = min(9_900, 10_000*s.Completed/s.Steps)
		s.Step, s.ID = t.Steps[c.step].Step.Name, w.snapshotID(t.ID, "step", strconv.Itoa(c.step))
	case ended:
		w.end(s, t)
		progress = max(progress, t.Progress)
	}
	rise, done[c.task] = progress-done[c.task], progress
	return rise
}

// end makes the snapshot the one after the end of task t.
func (w *Workflow) end(s *Snapshot, t *dag.Task) {
	if t.StartedAt != nil {
		s.Counts.Running--
	} else {
		s.Counts.Pending--
	}
	switch t.Status() {
	case dag.StatusCompleted:
		s.Counts.Completed++
		if w.Batch != nil {
			s.Completed++
		}
	case dag.StatusFailed:
		s.Counts.Failed++
		s.Error, s.kept = t.Error, true
	default:
		s.Counts.Cancelled++
		s.Error = t.Error
	}
	s.ID = w.snapshotID(t.ID, "ended")
	if w.Batch == nil {
		s.Status = t.Status()
		_, s.Completed = w.steps()
	}
}

func (w *Workflow) snapshotID(parts ...string) string {
	return id.Derived(append([]string{w.id(), "snapshot"}, parts...)...)
}

// later returns the later of two times: the wall clock may have been set back between them.
func later(a, b time.Time) time.Time {
	if b.Before(a) {
		return a
	}
	return b
}

// window returns the page of the list that p asks for; with thinned only of what is kept. A cursor
// is looked for among all snapshots, because the list may have been thinned since it was given.
func window(list []Snapshot, thinned bool, p store.Place) (store.Window[Snapshot], error) {
	start := 0
	for cursor, behind := range map[string]int{p.After: 1, p.Before: 0} {
		if cursor == "" {
			continue
		}
		at := slices.IndexFunc(list, func(s Snapshot) bool { return s.ID == cursor })
		if at < 0 {
			return store.Window[Snapshot]{}, fault.New(fault.Malformed, "paging.cursor",
				"%s is no snapshot of this workflow; take the cursor from the Link of a page", cursor)
		}
		start = max(start, at+behind)
	}
	var w store.Window[Snapshot]
	var rest []Snapshot
	for i, s := range list {
		if thinned && !s.kept {
			continue
		}
		w.Total++
		if i >= start {
			rest = append(rest, s)
		}
	}
	if p.After == "" {
		rest = rest[min(p.Offset, len(rest)):]
	}
	if len(rest) > p.Limit {
		rest = rest[:p.Limit]
		w.Next = rest[len(rest)-1].ID
	}
	for _, s := range rest {
		w.Rows = append(w.Rows, store.Row[Snapshot]{Value: s})
	}
	return w, nil
}
