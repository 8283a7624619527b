package rollback

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
)

// undoSet collects the operations to undo: those that a request names and, with Request.Cascade,
// those that need them. It reads the runs of these operations and what is on the servers that they
// made, however much else there is.
type undoSet struct {
	db    store.DB
	items []undoItem
	seen  map[string]bool         // ids of tasks that add was called with
	leads map[string][]dag.Effect // by id of a run: see leadsOf
}

// undoItem is an operation of an undo set.
type undoItem struct {
	lead    dag.Effect
	servers []string // that it made
}

// chooseNamed returns the leads of the operations that a request names and that stand, in the order
// in which they are undone. When something that stands needs one of them, it takes that along, or
// refuses without Request.Cascade. An operation with nothing to undo is left out.
func chooseNamed(ctx context.Context, db store.DB, q Request) ([]dag.Effect, error) {
	named := map[string]bool{}
	for _, ref := range q.Operations {
		taskID, err := resolve(ctx, db, ref)
		if err != nil {
			return nil, err
		}
		named[taskID] = true
	}
	set := &undoSet{db: db, seen: map[string]bool{}, leads: map[string][]dag.Effect{}}
	for taskID := range named {
		if err := set.add(ctx, taskID); err != nil {
			return nil, err
		}
	}
	for i := 0; i < len(set.items); i++ { // add makes it longer
		needs, err := set.needing(ctx, set.items[i])
		if err != nil {
			return nil, err
		}
		for _, n := range needs {
			taskID, _ := n.lead.TaskAndStep()
			if named[taskID] {
				continue
			}
			if !q.Cascade {
				return nil, fault.New(fault.Conflict, "rollback.needed",
					"%s still needs what you want to undo (%s); name it too, or set cascade.", n.lead.Name, n.what)
			}
			if err := set.add(ctx, taskID); err != nil {
				return nil, err
			}
		}
	}
	leads := make([]dag.Effect, len(set.items))
	for i := range set.items {
		leads[i] = set.items[i].lead
	}
	slices.SortFunc(leads, compareRank)
	return leads, nil
}

// add adds the operation of a task if it stands. It refuses one whose run has not ended: the owner
// of the run still writes its effects.
func (s *undoSet) add(ctx context.Context, taskID string) error {
	if s.seen[taskID] {
		return nil
	}
	s.seen[taskID] = true
	effects, err := run.EffectsOf(ctx, s.db, taskID)
	if err != nil {
		return err
	}
	item := undoItem{lead: leadOf(effects)}
	standing := 0
	for i := range effects {
		if !effects[i].Progress.Applied {
			continue
		}
		standing++
		if step := effects[i].Progress.Step; strings.HasPrefix(step.Action, "server.") {
			item.servers = append(item.servers, step.Name)
		}
	}
	if standing == 0 {
		return nil
	}
	h, err := run.Headers().Get(ctx, s.db, effects[0].Run)
	if err != nil {
		return err
	}
	if h.Rev != 0 && !h.Value.State.Terminal() {
		return fault.New(fault.Conflict, "rollback.running_batch",
			"%s is part of a %s that has not ended; cancel that or wait.", effects[0].Name, h.Value.Kind)
	}
	if item.lead.Era == 0 {
		return fmt.Errorf("task %s: none of its %d standing effects is the lead", taskID, standing)
	}
	s.items = append(s.items, item)
	return nil
}

// need is an operation that stands and needs what an item did.
type need struct {
	lead dag.Effect
	what string // the name of the item's operation, or of a server that it made
}

// needing returns what needs an item: operations of the same run that depend on it, what batches
// did that adopted the run, and operations of any run on a server that the item made. An operation
// may come twice.
func (s *undoSet) needing(ctx context.Context, x undoItem) ([]need, error) {
	var needs []need
	own, err := s.leadsOf(ctx, x.lead.Run)
	if err != nil {
		return nil, err
	}
	for i := range own {
		if own[i].DependsOn(&x.lead) && undoneBefore(&own[i], &x.lead) {
			needs = append(needs, need{own[i], x.lead.Name})
		}
	}
	adopted, err := s.adopted(ctx, x.lead)
	if err != nil {
		return nil, err
	}
	for i := range adopted {
		needs = append(needs, need{adopted[i], x.lead.Name})
	}
	for _, server := range x.servers {
		on, err := s.onServer(ctx, server, x.lead)
		if err != nil {
			return nil, err
		}
		for i := range on {
			needs = append(needs, need{on[i], "server " + server})
		}
	}
	return needs, nil
}

// adopted returns the leads of what other batches did that went on with the run of a lead after its
// submitter had lost their rights (dag.Resume). All of it counts as needing all that the run
// completed: such a batch is made without the dependencies that were met.
func (s *undoSet) adopted(ctx context.Context, lead dag.Effect) (leads []dag.Effect, err error) {
	for runID := lead.Run; ; {
		h, err := run.Headers().Get(ctx, s.db, runID)
		if err != nil {
			return nil, err
		}
		if runID = h.Value.AdoptedBy; runID == "" {
			return leads, nil
		}
		all, err := s.leadsOf(ctx, runID)
		if err != nil {
			return nil, err
		}
		for i := range all {
			if undoneBefore(&all[i], &lead) {
				leads = append(leads, all[i])
			}
		}
	}
}

// onServer returns the leads of operations on a server that are undone before lead. It refuses when
// one has not ended.
func (s *undoSet) onServer(ctx context.Context, server string, lead dag.Effect) (leads []dag.Effect, err error) {
	tasks := map[string]bool{}
	for row, err := range run.Effects().All(ctx, s.db, store.Query{Index: "target", Prefix: server, Exact: true}) {
		if err != nil {
			return nil, err
		}
		taskID, _ := row.Value.TaskAndStep()
		tasks[taskID] = true
	}
	for taskID := range tasks {
		effects, err := run.EffectsOf(ctx, s.db, taskID)
		if err != nil {
			return nil, err
		}
		on := leadOf(effects)
		if on.Era == 0 {
			return nil, fault.New(fault.Conflict, "rollback.running_operation",
				"Operation %s works on server %s and has not ended; cancel it or wait.", effects[0].Name, server)
		}
		if undoneBefore(&on, &lead) {
			leads = append(leads, on)
		}
	}
	return leads, nil
}

// leadsOf returns the leads of the operations of a run that stand.
func (s *undoSet) leadsOf(ctx context.Context, runID string) ([]dag.Effect, error) {
	if leads, known := s.leads[runID]; known {
		return leads, nil
	}
	var leads []dag.Effect
	for row, err := range run.Effects().All(ctx, s.db, store.Query{Prefix: id.Family(runID)}) {
		if err != nil {
			return nil, err
		}
		if x := run.EffectOf(row); x.Run == runID && isLead(&x) {
			leads = append(leads, x)
		}
	}
	s.leads[runID] = leads
	return leads, nil
}

// undoneBefore says whether the operation of lead a is undone before that of b.
func undoneBefore(a, b *dag.Effect) bool { return run.RankOf(a).Before(run.RankOf(b)) }

// isLead says whether an effect is the lead of an operation that stands.
func isLead(x *dag.Effect) bool { return x.Era != 0 && x.Progress.Applied }

// leadOf returns the lead among the effects of an operation; a blank one when the operation has not
// ended.
func leadOf(effects []dag.Effect) dag.Effect {
	if i := slices.IndexFunc(effects, func(x dag.Effect) bool { return isLead(&x) }); i >= 0 {
		return effects[i]
	}
	return dag.Effect{}
}
