package operation

import (
	"context"
	"fmt"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
	"github.com/provisioning-platform/platform/orchestrator/internal/recipe"
)

// undoInstall uninstalls what this step installed.
func (x *Executor) undoInstall(ctx context.Context, a *dag.Attempt) (dag.Result, error) {
	if a.Facts[factCreated] == "false" {
		return dag.Result{Output: fmt.Sprintf("%s was there before and stays", a.Step.Name)}, nil
	}
	s, err := x.connect(ctx, a)
	if lost(err) {
		return x.withServer(ctx, a)
	}
	if err != nil {
		return dag.Result{}, err
	}
	defer s.conn.Close()
	there, known, err := x.Inventory.Resource(ctx, s.server.Provider, kindTaskserv, s.name())
	if err != nil {
		return dag.Result{}, err
	}
	if known && there.Facts[factTag] != a.Tag {
		return dag.Result{Output: fmt.Sprintf("%s was installed anew by another task and stays", a.Step.Name)}, nil
	}
	if !known {
		out, err := s.conn.Run(ctx, provider.Command{Argv: []string{"test", "-d", s.dir()}})
		switch {
		case err != nil:
			return dag.Result{}, err
		case out.Exit != 0: // its server was deleted and made again, or it was removed since
			return dag.Result{Output: fmt.Sprintf("%s is not there any more", a.Step.Name)}, nil
		}
	}
	return s.uninstall(ctx)
}

// undoRemove installs again what was removed, when the recipe still has that version.
func (x *Executor) undoRemove(ctx context.Context, a *dag.Attempt) (dag.Result, error) {
	if a.Facts[factCreated] == "false" {
		return dag.Result{Output: "nothing was removed"}, nil
	}
	r, err := x.Recipes.Get(a.Step.Params[paramInfra], a.Step.Params[paramService])
	if err != nil {
		return dag.Result{}, err
	}
	if was := a.Facts[factVersion]; was != "" && was != r.Version {
		return dag.Result{}, provider.Errorf(dag.Permanent, "%s %s cannot be installed again: the recipe has version %s now", r.Name, was,
			r.Version)
	}
	res, err := x.install(ctx, a)
	if tag := a.Facts[factTag]; tag != "" {
		for i := range res.Resources { // whose it was
			res.Resources[i].Facts[factTag] = tag
		}
	}
	return res, err
}

// findInstall asks whether what a step did stands. Both directions may simply be made again, so
// when in doubt about a step that may not have been done the answer is that it was not, and when in
// doubt about one that was, that it stands.
func (x *Executor) findInstall(ctx context.Context, a *dag.Attempt) (dag.Result, error) {
	again := dag.Result{Class: dag.NotFoundClass}
	s, err := x.connect(ctx, a)
	if lost(err) {
		res, err := x.withServer(ctx, a)
		res.Class = dag.NotFoundClass
		return res, err
	}
	if err != nil {
		return dag.Result{}, err
	}
	defer s.conn.Close()
	there, was, err := x.Inventory.Resource(ctx, s.server.Provider, kindTaskserv, s.name())
	if err != nil {
		return dag.Result{}, err
	}
	switch {
	case a.Step.Action == remove && was:
		return again, nil
	case a.Step.Action == remove:
		return dag.Result{Facts: map[string]string{factCreated: "false"},
			Output: fmt.Sprintf("%s is not installed on %s", s.recipe.Name, s.server.Name)}, nil
	case was && there.Facts[factTag] == a.Tag: // done and stored: an undo of it was cut off
		return s.installed("true"), nil
	case was || s.recipe.Scripts[recipe.Check] == nil || !s.inOrder(ctx) || x.verify(ctx, s, false) != nil:
		return again, nil
	}
	return s.installed("true"), nil
}
