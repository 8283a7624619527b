package dag

import "time"

// Run is a run in memory. One goroutine owns it. Apply changes it in place, so the owner drops it
// and loads it again when a commit of what Take returned has failed.
type Run struct {
	Header Header
	Tasks  []Task
	// Quota bounds the tasks that run at once, beside the ParallelLimit of the definition. The
	// engine sets it before Apply from its global limit. It is not stored.
	Quota int
	// May returns why the submitter may not do an operation now, "" when they may. nil allows
	// everything. The engine sets it, and sets another one when the rights change: each gives the
	// same answer to the same question. It is not stored.
	May func(task int32, op *Operation) string

	up               time.Duration   // of the last Apply
	undoOperations   []UndoOperation // of a rollback: Tasks[i] is made from undoOperations[i]
	nodes            []Node
	policies         []Policy  // of each node, without open fields
	dependents       [][]int32 // indexes of nodes
	deps             [][]int32
	openDependencies []int32 // of each task: dependencies that have not succeeded (while undoing: dependents not undone)
	ready            []int32 // queued tasks, the first to start first
	busy             int     // tasks that hold a place of parallel_limit
	unfinished       int     // tasks that have not ended; while undoing: whose undo has not ended
	settled          []bool  // while undoing: the undo of the task has ended
	entered          []bool  // while undoing: the undo of the task has begun
	preserved        []bool  // see kept; nil before it is asked
	revisits         []int32 // tasks that Pending has to visit, each once
	revisiting       []bool
	timers           timers
	change           Change
	dirty            []bool
	marked           map[Ref]bool // effects in change

	dirtyOrigins []bool

	onTransition func(m Machine, from, to State) // of tests: called for each transition; nil in a service
}

// New returns a run of a definition in which Validate has found no fault. All tasks are waiting.
// Each node must have a TaskID.
func New(id string, d Definition, g Grant, now Now) *Run {
	wall := stamp(now.Wall)
	h := Header{
		CheckpointInterval: d.CheckpointInterval, PreserveSuccessful: d.PreserveSuccessful,
		CreatedAt: wall, Grant: g, ID: id, Kind: d.Kind, Name: d.Name, ParallelLimit: orDefault(d.ParallelLimit, DefaultParallel),
		Policy: d.Policy.Or(DefaultPolicy()), RollbackEnabled: d.RollbackEnabled, State: Queued,
		StepLimit:      orDefault(d.StepLimit, DefaultSteps),
		StorageBackend: d.StorageBackend, UpdatedAt: wall, Version: d.Version,
	}
	tasks := newTasks(h, d.Nodes)
	h.Counts.Pending = len(tasks)
	r := Load(h, d.Nodes, tasks, now)
	for i := range r.Tasks {
		r.markTask(int32(i))
	}
	return r
}

// newTasks returns the tasks of a run as they are before it starts.
func newTasks(h Header, nodes []Node) []Task {
	tasks := make([]Task, len(nodes))
	index := indexOf(nodes)
	for i := range nodes {
		n := &nodes[i]
		t := Task{
			Args: n.Args, Batch: h.Kind == Batch, CheckMode: n.Operation.CheckMode, Command: n.Command, CreatedAt: h.CreatedAt,
			Dependencies: make([]string, len(n.Dependencies)), ID: n.TaskID, Name: n.Name, Number: i, Operation: n.ID, Run: h.ID,
			State: Waiting, Type: n.Operation.Type, User: h.Grant.Sub,
		}
		if t.Args == nil {
			t.Args = []string{}
		}
		if t.Name == "" {
			t.Name = h.Name + "/" + n.ID
		}
		for k, dep := range n.Dependencies {
			t.Dependencies[k] = nodes[index[dep]].TaskID
		}
		tasks[i] = t
	}
	return tasks
}

// Load returns a run from what is stored: its header, the nodes of its definition, and all its
// tasks in the order of the nodes with what their effects recorded. It computes everything else.
// Stored times may come from another clock, so Load makes no wait longer than it was when it began.
// LoadRollback loads a rollback.
func Load(h Header, nodes []Node, tasks []Task, now Now) *Run {
	r := newRun(h, nodes, tasks, now)
	index := indexOf(nodes)
	for i := range nodes {
		if nodes[i].Policy != nil {
			r.policies[i] = nodes[i].Policy.Or(h.Policy)
		}
		for _, dep := range nodes[i].Dependencies {
			r.addDependency(int32(i), index[dep])
		}
	}
	r.derive(now)
	return r
}

// newRun returns a run without dependencies, for which derive is still to be called.
func newRun(h Header, nodes []Node, tasks []Task, now Now) *Run {
	n := len(nodes)
	r := &Run{
		Header: h, up: now.Up, Tasks: tasks, nodes: nodes, policies: make([]Policy, n), dependents: make([][]int32, n),
		deps: make([][]int32, n), openDependencies: make([]int32, n), revisiting: make([]bool, n), dirty: make([]bool, n),
	}
	for i := range r.policies {
		r.policies[i] = h.Policy
	}
	return r
}

// addDependency makes task i wait for task dep.
func (r *Run) addDependency(i, dep int32) {
	r.deps[i] = append(r.deps[i], dep)
	r.dependents[dep] = append(r.dependents[dep], i)
}

// derive computes what is not stored from the tasks and their dependencies.
func (r *Run) derive(now Now) {
	h := &r.Header
	for i := range r.Tasks {
		t := &r.Tasks[i]
		for _, d := range r.deps[i] {
			if !r.satisfied(d) {
				r.openDependencies[i]++
			}
		}
		if h.Kind == Rollback && h.State == Running && t.State == Waiting && r.openDependencies[i] == 0 {
			t.State = Queued // a rollback does not store it
		}
		if t.State == Queued {
			r.ready = append(r.ready, int32(i))
		}
		if !t.State.Terminal() {
			r.unfinished++
			if holdsPlace(t.State) {
				r.busy++
			}
			r.revisit(int32(i))
			r.restoreTimers(int32(i), now)
		}
	}
	if h.State == Undoing {
		r.enterUndo()
		for i := range r.Tasks {
			if r.entered[i] {
				r.restoreTimers(int32(i), now)
			}
		}
	}
}

// Done says whether the run has ended.
func (r *Run) Done() bool { return r.Header.State.Terminal() }

// markTask has the document of a task written by the next commit, and has Pending visit the task.
func (r *Run) markTask(i int32) {
	if r.policies[i].Timeout > 0 {
		r.Tasks[i].countTime(r.up)
	}
	if !r.dirty[i] && r.Header.Kind != Rollback {
		r.dirty[i] = true
		r.change.Tasks = append(r.change.Tasks, i)
	}
	r.revisit(i)
}

func (r *Run) revisit(i int32) {
	if !r.revisiting[i] {
		r.revisiting[i] = true
		r.revisits = append(r.revisits, i)
	}
}

// satisfied says whether the dependents of task d need not wait for it any more.
func (r *Run) satisfied(d int32) bool {
	switch r.Tasks[d].State {
	case Succeeded, Undone:
		return true
	case Failed:
		return r.soft(d)
	}
	return false
}

func indexOf(nodes []Node) map[string]int32 {
	m := make(map[string]int32, len(nodes))
	for i := range nodes {
		m[nodes[i].ID] = int32(i)
	}
	return m
}

func orDefault(n, d int) int {
	if n > 0 {
		return n
	}
	return d
}

// stamp returns a time in the precision of every stored time: microseconds, UTC.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
