package operation

import (
	"context"
	"fmt"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
)

// factProvider is the fact of a deletion that says where the server was.
const factProvider = "provider"

// deleted returns what a deletion records of the server, so that an undo can make it again.
func deleted(there dag.Resource) map[string]string {
	return map[string]string{factPlan: there.Facts[factPlan], factProvider: there.Provider, factTag: there.Facts[factTag],
		factZone: there.Facts[factZone]}
}

// recreate undoes a deletion if the rollback asks for that: it makes a server of the same name,
// plan and zone, with the tag of the former one, so that an undo of what made that one deletes this
// one. The data of the former one is lost, and what was installed on it is not installed again.
func (x *Executor) recreate(ctx context.Context, a *dag.Attempt) (dag.Result, error) {
	if a.Facts[factCreated] == "false" {
		return dag.Result{Output: "nothing was deleted"}, nil
	}
	if _, why := x.ForeseeUndo(a.Step, a.Facts, a.Recreate); why != "" {
		return dag.Result{}, provider.Errorf(dag.Permanent, "the deletion of server %s cannot be undone: %s", a.Step.Name, why)
	}
	again := *a
	again.Operation = &dag.Operation{Wait: true} // what is undone next may work on it
	again.Step = dag.Step{Action: createServer, Name: a.Step.Name, Provider: a.Facts[factProvider],
		Params: map[string]string{paramPlan: a.Facts[factPlan], paramZone: a.Facts[factZone]}}
	again.Tag = a.Facts[factTag]
	return x.createClaimed(ctx, &again, a.Tag)
}

// ForeseeUndo is a rollback.ForeseeUndo. It tells what is known before and asks no provider.
func (x *Executor) ForeseeUndo(s dag.Step, facts map[string]string, recreate bool) (again bool, why string) {
	if facts[factCreated] == "false" {
		return false, "" // there is nothing to undo
	}
	at := s.Provider
	if s.Action == deleteServer {
		at = facts[factProvider]
	}
	switch known := x.Providers[at] != nil || at == ""; {
	case s.Action == deleteServer && !recreate:
		return false, "its data is lost; \"recreate\": true (--recreate) makes the server again, empty"
	case s.Action == deleteServer && facts[factTag] == "":
		return false, "what the server was like is not recorded; create it again if it is needed"
	case (s.Action == createServer || s.Action == deleteServer) && !known:
		return false, fmt.Sprintf("provider %s is not in the configuration any more", at)
	case s.Action == install || s.Action == remove:
		return false, x.cannotUndoService(s, facts)
	}
	return s.Action == deleteServer, ""
}

// cannotUndoService says why a step of a task service cannot be undone; "" when it can.
func (x *Executor) cannotUndoService(s dag.Step, facts map[string]string) string {
	r, err := x.Recipes.Get(s.Params[paramInfra], s.Params[paramService])
	switch was := facts[factVersion]; {
	case err != nil:
		return fmt.Sprintf("there is no recipe of %s any more", s.Params[paramService])
	case s.Action == install && !r.Reversible():
		return fmt.Sprintf("the recipe of %s has no uninstall step", r.Name)
	case s.Action == remove && was != "" && was != r.Version:
		return fmt.Sprintf("%s %s cannot be installed again: the recipe has version %s now", r.Name, was, r.Version)
	}
	return ""
}
