package operation

import (
	"context"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
)

// InventoryOf returns the engine's inventory. An engine is made with its executor, so the inventory is put in between:
//
//	x := operation.New(config)
//	e := engine.New(engine.Config{Executor: x, …})
//	x.Inventory = operation.InventoryOf(e)
func InventoryOf(e *engine.Engine) Inventory { return inventory{e} }

type inventory struct{ engine *engine.Engine }

// Resource implements Inventory.
func (i inventory) Resource(ctx context.Context, provider, kind, name string) (dag.Resource, bool, error) {
	r, ok, err := i.engine.Resource(ctx, provider, kind, name)
	return resource(r), ok, err
}

// Taskservs implements Inventory.
func (i inventory) Taskservs(ctx context.Context, provider, server string) ([]dag.Resource, error) {
	rows, err := i.engine.ResourcesBelow(ctx, provider, kindTaskserv, server+"/")
	all := make([]dag.Resource, len(rows))
	for n, r := range rows {
		all[n] = resource(r)
	}
	return all, err
}

func resource(r engine.Resource) dag.Resource {
	return dag.Resource{Facts: r.Facts, Kind: r.Kind, Name: r.Name, Provider: r.Provider}
}
