package run

import (
	"context"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/store"
)

// Inventory reads what exists, as attempts see it. It stands apart from Engine because an engine is made with the
// executor that reads it.
type Inventory struct {
	DB store.DB
}

// Resource returns one by its provider, kind and name; false when there is none.
func (v Inventory) Resource(ctx context.Context, provider, kind, name string) (dag.Resource, bool, error) {
	d, err := v.DB.Get(ctx, Resources().Key(provider+"/"+kind+"/"+name))
	if err != nil || !d.Exists() { // most have not: nothing to decode into
		return dag.Resource{}, false, err
	}
	r, err := Resources().Decode(d)
	return r.plain(), true, err
}

// Taskservs returns the task services on a server, by name: a resource on a server has the server's name and a slash
// in front of its own.
func (v Inventory) Taskservs(ctx context.Context, provider, server string) ([]dag.Resource, error) {
	var all []dag.Resource
	q := store.Query{Prefix: provider + "/taskserv/" + server + "/", Limit: store.MaxPage}
	for {
		rows, page, err := Resources().List(ctx, v.DB, q)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			all = append(all, row.Value.plain())
		}
		if !page.More {
			return all, nil
		}
		q.After = page.Next
	}
}

func (r Resource) plain() dag.Resource {
	return dag.Resource{Facts: r.Facts, Kind: r.Kind, Name: r.Name, Provider: r.Provider}
}
