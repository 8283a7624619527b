package operation

import (
	"context"
	"fmt"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
	"github.com/provisioning-platform/platform/orchestrator/internal/recipe"
)

// check says what a step would do, or, for the verb check, how things are. It changes nothing, and
// looking ahead does not even ask the provider.
func (x *Executor) check(ctx context.Context, a *dag.Attempt) (dag.Result, error) {
	text, err := "", error(nil)
	if a.Step.Params[paramService] == "" {
		text, err = x.checkServer(ctx, a)
	} else {
		text, err = x.checkService(ctx, a)
	}
	return dag.Result{Output: text}, err
}

func (x *Executor) checkServer(ctx context.Context, a *dag.Attempt) (string, error) {
	name, plan, zone := a.Step.Name, a.Step.Params[paramPlan], a.Step.Params[paramZone]
	if _, err := x.driver(a.Step.Provider); err != nil {
		return "", err
	}
	there, ok, err := x.server(ctx, name)
	if err != nil {
		return "", err
	}
	switch goal := a.Step.Params[paramFor]; {
	case goal == deleteServer && ok:
		return fmt.Sprintf("would delete server %s at %s; this cannot be undone", name, there.Provider), nil
	case goal == deleteServer:
		return fmt.Sprintf("server %s does not exist: nothing would be deleted", name), nil
	case ok:
		if err := sameServer(there, a.Step); err != nil {
			return "", err
		}
		if goal == verbCheck {
			return x.probe(ctx, there)
		}
		return fmt.Sprintf("server %s exists already: nothing would be done", name), nil
	case goal == verbCheck:
		return "", provider.Errorf(dag.Permanent, "server %s does not exist", name)
	}
	return fmt.Sprintf("would create server %s (plan %s, zone %s) at %s", name, orNone(plan), orNone(zone), a.Step.Provider), nil
}

// probe says whether a server answers.
func (x *Executor) probe(ctx context.Context, there dag.Resource) (string, error) {
	d, err := x.driver(there.Provider)
	if err != nil {
		return "", err
	}
	conn, err := d.Connect(ctx, handle(there))
	if err != nil {
		return "", err
	}
	conn.Close()
	return fmt.Sprintf("server %s at %s answers", there.Name, there.Provider), nil
}

func (x *Executor) checkService(ctx context.Context, a *dag.Attempt) (string, error) {
	r, err := x.Recipes.Get(a.Step.Params[paramInfra], a.Step.Params[paramService])
	if err != nil {
		return "", err
	}
	there, ok, err := x.server(ctx, a.Step.Target)
	if err != nil {
		return "", err
	}
	installed := dag.Resource{}
	was := false
	if ok {
		if installed, was, err = x.Inventory.Resource(ctx, there.Provider, kindTaskserv, a.Step.Target+"/"+r.Name); err != nil {
			return "", err
		}
	}
	version := installed.Facts[factVersion]
	switch goal := a.Step.Params[paramFor]; {
	case goal == verbCheck && !was:
		return "", provider.Errorf(dag.Permanent, "%s is not installed on %s", r.Name, a.Step.Target)
	case goal == verbCheck:
		return x.look(ctx, a)
	case goal == remove && was:
		return fmt.Sprintf("would remove %s %s from %s", r.Name, version, a.Step.Target), nil
	case goal == remove:
		return fmt.Sprintf("%s is not installed on %s: nothing would be removed", r.Name, a.Step.Target), nil
	case was && version == r.Version && installed.Facts[factDigest] == r.Digest():
		return fmt.Sprintf("%s %s is installed already on %s: nothing would be done", r.Name, version, a.Step.Target), nil
	case was:
		return fmt.Sprintf("would replace %s %s by %s on %s", r.Name, version, r.Version, a.Step.Target), nil
	}
	text := fmt.Sprintf("would install %s %s on %s", r.Name, r.Version, a.Step.Target)
	if !ok {
		text += ", which would have to exist then and does not now"
	}
	if !r.Reversible() {
		text += "; this cannot be undone"
	}
	return text, nil
}

// look runs the check script of an installed task service, which only reads.
func (x *Executor) look(ctx context.Context, a *dag.Attempt) (string, error) {
	s, err := x.connect(ctx, a)
	if err != nil {
		return "", err
	}
	defer s.conn.Close()
	if s.recipe.Scripts[recipe.Check] == nil {
		return fmt.Sprintf("%s is installed on %s; its recipe has no check", s.recipe.Name, s.server.Name), nil
	}
	out, err := s.run(ctx, recipe.Check)
	if err != nil {
		return "", err
	}
	if err := x.verify(ctx, s, out.Simulated); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %s on %s is in order", s.recipe.Name, s.recipe.Version, s.server.Name), nil
}
