package run

import (
	"fmt"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/store"
)

// EventStream is the stream of the events that watchers read.
const EventStream = "events"

// The kinds of documents.
const (
	runKind        = "run"        // header of a run; id = run id
	definitionKind = "definition" // a slice of a definition, or a wave of a rollback; id = "<run id>.<n>"
	taskKind       = "task"       // what GET /tasks lists; id = within the run's, or the same for a workflow
	effectKind     = "effect"     // what a step did to the world; id = "<task id>.<step>"
	undoKind       = "undo"       // an operation that a rollback could not undo; id = within the rollback's
	resourceKind   = "resource"   // inventory; id = "<provider>/<kind>/<name>"
	checkpointKind = "checkpoint"
	sweepKind      = "hold" // one document: how far effects that no checkpoint needs any more are deleted

	correctionKind     = "correction"      // a change of the inventory by a restore or a reconcile
	verificationKind   = "verification"    // one document: whether the inventory was compared with the providers
	rollbackTotalsKind = "rollback_totals" // one document: what became of all rollbacks ever
)

// Schema returns the kinds that the orchestrator stores of runs.
func Schema() []store.Kind {
	return []store.Kind{
		{Name: runKind, Indexes: []string{"active", "ended", "kind", "status"}, Counted: []string{"kind", "status"}},
		{Name: definitionKind},
		{Name: taskKind, Indexes: []string{"operation", "status"}, Counted: []string{"status"}},
		{Name: effectKind, Indexes: []string{"stands", "target"}, Counted: []string{"stands"}},
		{Name: undoKind},
		{Name: resourceKind, Indexes: []string{"infra", "provider", "state", "task"}, Counted: []string{"infra", "provider", "state"},
			Summed: true},
		{Name: checkpointKind, Indexes: []string{"era", "made"}, Counted: []string{"made"}},
		{Name: sweepKind},
		{Name: correctionKind},
		{Name: verificationKind},
		{Name: rollbackTotalsKind},
		{Name: identities.Kind},
	}
}

// Headers is the table of runs. An unfinished run has the index key "active", an ended one "ended",
// the time of its end.
func Headers() store.Table[dag.Header] {
	return store.Table[dag.Header]{Kind: runKind, ID: func(h dag.Header) string { return h.ID },
		Index: func(h dag.Header) []store.IndexKey { return headerIndex(&h) }}
}

func headerIndex(h *dag.Header) []store.IndexKey {
	keys := append(make([]store.IndexKey, 0, 3), store.IndexKey{Name: "kind", Value: string(h.Kind)},
		store.IndexKey{Name: "status", Value: StatusKey(h.Kind, h.Status())})
	if h.State.Terminal() {
		return append(keys, store.IndexKey{Name: "ended", Value: EndOf(h).UTC().Format("2006-01-02T15:04:05.000000Z")})
	}
	return append(keys, store.IndexKey{Name: "active", Value: "yes"})
}

// EndOf returns when a run ended.
func EndOf(h *dag.Header) time.Time {
	if h.CompletedAt == nil {
		return h.UpdatedAt
	}
	return *h.CompletedAt
}

// StatusKey is the value of the index "status" of runs.
func StatusKey(k dag.Kind, s dag.Status) string { return string(k) + "/" + string(s) }

// Tasks is the table of tasks.
func Tasks() store.Table[dag.Task] {
	return store.Table[dag.Task]{Kind: taskKind, ID: func(t dag.Task) string { return t.ID },
		Index: func(t dag.Task) []store.IndexKey { return taskIndex(&t) }}
}

func taskIndex(t *dag.Task) []store.IndexKey {
	keys := append(make([]store.IndexKey, 0, 2), store.IndexKey{Name: "status", Value: string(t.Status())})
	if t.Batch {
		keys = append(keys, store.IndexKey{Name: "operation", Value: t.Operation})
	}
	return keys
}

// TaskOf returns the task of a row. A task with effects that stand says since which commit.
func TaskOf(row store.Row[dag.Task]) dag.Task {
	t := row.Value
	if t.AppliedRev == 0 && t.HasEffects() {
		t.AppliedRev = row.Rev
	}
	return t
}

// Failure says why a rollback could not undo an operation.
type Failure struct {
	Error string `json:"error"`
	ID    string `json:"id"` // within the rollback's
	Name  string `json:"name"`
	Run   string `json:"run"` // id of the rollback
	Task  string `json:"task"`
}

// Failures is the table of operations that a rollback could not undo.
func Failures() store.Table[Failure] {
	return store.Table[Failure]{Kind: undoKind, ID: func(f Failure) string { return f.ID }}
}

// Resource is a row of the inventory.
type Resource struct {
	Facts    map[string]string `json:"facts,omitempty"`
	Kind     string            `json:"kind"`
	Name     string            `json:"name"`
	Provider string            `json:"provider"`
	Updated  time.Time         `json:"updated"`
}

// Resources is the table of the inventory. Its number and its sum are part of each checkpoint.
func Resources() store.Table[Resource] {
	return store.Table[Resource]{Kind: resourceKind, ID: func(r Resource) string { return r.Provider + "/" + r.Kind + "/" + r.Name },
		Index: func(r Resource) []store.IndexKey { return resourceIndex(&r, dag.ResourceOrigin{}) }}
}

// Slice is a part of something too large for one document; id = "<owner>.<number>" (SliceID).
type Slice[T any] struct {
	ID    string `json:"id"`
	Items []T    `json:"items"`
}

// SliceID returns the id of a slice.
func SliceID(owner string, n int) string { return fmt.Sprintf("%s.%d", owner, n) }

// Definitions is the table of the slices of definitions, numbered from 0.
func Definitions() store.Table[Slice[dag.Node]] {
	return store.Table[Slice[dag.Node]]{Kind: definitionKind, ID: func(s Slice[dag.Node]) string { return s.ID }}
}

// Waves is the table of the waves of rollbacks, numbered from 1: ids of leads in the order in which
// their operations are undone.
func Waves() store.Table[Slice[string]] {
	return store.Table[Slice[string]]{Kind: definitionKind, ID: func(s Slice[string]) string { return s.ID }}
}

// Sweep says how far the walk over all effects is that deletes those which no checkpoint needs any
// more.
type Sweep struct {
	After   string `json:"after"`   // id of the last effect that the walk has passed; empty when there is none
	Freed   int    `json:"freed"`   // checkpoints removed before the last walk that went to the end
	ID      string `json:"id"`      // SweepID
	Removed int    `json:"removed"` // checkpoints that were deleted or became record only, ever
	Walks   int    `json:"walks"`   // checkpoints removed before the walk that is on its way
}

// SweepID is the id of the only Sweep.
const SweepID = "hold"

// Sweeps is the table of the one Sweep.
func Sweeps() store.Table[Sweep] {
	return store.Table[Sweep]{Kind: sweepKind, ID: func(s Sweep) string { return s.ID }}
}
