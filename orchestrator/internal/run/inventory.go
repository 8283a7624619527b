package run

import (
	"context"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/store"
)

// Inventory reads what exists, for whoever makes attempts.
type Inventory struct {
	DB store.DB
}

// Resource returns a resource and whether there is one.
func (v Inventory) Resource(ctx context.Context, provider, kind, name string) (dag.Resource, bool, error) {
	row, err := Resources().Get(ctx, v.DB, provider+"/"+kind+"/"+name)
	return row.Value.plain(), row.Rev != 0, err
}

// Taskservs returns the task services on a server, by name: a resource on a server has the server's
// name and a slash in front of its own.
func (v Inventory) Taskservs(ctx context.Context, provider, server string) ([]dag.Resource, error) {
	var all []dag.Resource
	for row, err := range Resources().All(ctx, v.DB, store.Query{Prefix: provider + "/taskserv/" + server + "/"}) {
		if err != nil {
			return nil, err
		}
		all = append(all, row.Value.plain())
	}
	return all, nil
}

func (r Resource) plain() dag.Resource {
	return dag.Resource{Facts: r.Facts, Kind: r.Kind, Name: r.Name, Provider: r.Provider}
}
