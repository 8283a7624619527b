package operation

import (
	"context"
	"slices"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/infra"
	"github.com/provisioning-platform/platform/orchestrator/internal/recipe"
	"github.com/provisioning-platform/platform/shared/fault"
)

// resolve turns an operation into steps. Steps on one server are done in the order of the list.
func (x *Executor) resolve(ctx context.Context, op dag.Operation) (dag.Result, error) {
	if !slices.Contains([]string{"", verbCreate, verbUpdate, verbDelete, verbCheck}, op.Verb) {
		return dag.Result{}, fault.New(fault.Invalid, "operation.unknown_verb",
			"there is no verb %q; there is: create, update, delete, check", op.Verb)
	}
	if steps, ok := Expand(op); ok {
		return dag.Result{Steps: steps}, nil
	}
	switch op.Type {
	case typeServers:
		return x.resolveServers(op)
	case typeTaskserv, typeTaskB:
		return x.resolveTaskservs(ctx, op)
	case typeCluster:
		return x.resolveCluster(op)
	}
	return dag.Result{}, fault.New(fault.Invalid, "operation.unknown_type", "there is no operation type %q", op.Type)
}

func (x *Executor) resolveServers(op dag.Operation) (dag.Result, error) {
	in, err := x.Infra.Load(op.Infra, op.Settings)
	if err != nil {
		return dag.Result{}, err
	}
	res := dag.Result{}
	for _, s := range in.Servers {
		res.Steps = append(res.Steps, serverStep(op, s.Name, s.Plan, s.Zone, s.Provider))
	}
	if len(res.Steps) == 0 {
		res.Output = "infra " + in.Name + " lists no servers: nothing to do"
	}
	return res, nil
}

func (x *Executor) resolveTaskservs(ctx context.Context, op dag.Operation) (dag.Result, error) {
	names := op.Taskservs
	if op.Type == typeTaskserv {
		names = []string{op.Taskserv}
	}
	targets := map[string][]string{} // by task service
	switch {
	case len(op.Targets) > 0:
		for _, n := range names {
			targets[n] = op.Targets
		}
	case op.Infra != "":
		in, err := x.Infra.Load(op.Infra, op.Settings)
		if err != nil {
			return dag.Result{}, err
		}
		for _, n := range names {
			targets[n] = in.Targets(n)
		}
	default:
		return dag.Result{}, fault.New(fault.Invalid, "operation.no_targets",
			"no server to put %s on: the operation depends on none that makes servers; name servers in targets, or an infra", list(names))
	}
	return x.serviceSteps(op, names, targets)
}

// serviceSteps gives each server its task services, dependencies first. A removal goes the other
// way and takes only what was named.
func (x *Executor) serviceSteps(op dag.Operation, names []string, targets map[string][]string) (dag.Result, error) {
	var servers []string
	for _, n := range names {
		for _, s := range targets[n] {
			if !slices.Contains(servers, s) {
				servers = append(servers, s)
			}
		}
	}
	orders := map[string][]recipe.Recipe{} // most servers get the same task services
	res := dag.Result{}
	for _, server := range servers {
		var mine []string
		for _, n := range names {
			if slices.Contains(targets[n], server) {
				mine = append(mine, n)
			}
		}
		key := list(mine)
		order, ok := orders[key]
		if !ok {
			var err error
			if order, err = x.Recipes.Order(op.Infra, mine); err != nil {
				return dag.Result{}, err
			}
			if op.Verb == verbDelete {
				slices.Reverse(order)
			}
			orders[key] = order
		}
		for _, r := range order {
			if op.Verb != verbDelete || slices.Contains(mine, r.Name) {
				res.Steps = append(res.Steps, serviceStep(op, r.Name, server, op.Provider))
			}
		}
	}
	if len(res.Steps) == 0 {
		res.Output = "there are no servers for " + list(names) + ": nothing to do"
	}
	return res, nil
}

func providerOf(servers []infra.WantedServer, name string) string {
	for _, s := range servers {
		if s.Name == name {
			return s.Provider
		}
	}
	return ""
}
