package api

import (
	"context"
	"strings"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/naming"
)

// resultsView is what an operation brought about and still stands: an object, empty until there is something.
type resultsView struct {
	Servers   []serverView   `json:"servers,omitempty"`
	Taskservs []taskservView `json:"taskservs,omitempty"`
}

// serverView is a server with what a person needs to use it. SSH is the argument vector of the system's ssh, to which a
// command may be added.
type serverView struct {
	Name     string            `json:"name"`
	Provider string            `json:"provider"`
	Facts    map[string]string `json:"facts,omitempty"`
	SSH      []string          `json:"ssh,omitempty"`
}

type taskservView struct {
	Name   string `json:"name"`
	Server string `json:"server"`
}

func (a *API) results(ctx context.Context, t *dag.Task) (*resultsView, error) {
	v := &resultsView{}
	for i := range t.Steps {
		p := &t.Steps[i]
		switch {
		case !p.Stands:
			continue
		case p.Step.Action == "taskserv.install":
			v.Taskservs = append(v.Taskservs, taskservView{Name: strings.TrimSuffix(p.Step.Name, " on "+p.Step.Target), Server: p.Step.Target})
			continue
		case p.Step.Action != "server.create": // what was removed is not there
			continue
		}
		r, known, err := a.Engine.Resource(ctx, p.Step.Provider, "server", p.Step.Name)
		if err != nil {
			return nil, err
		}
		s := serverView{Name: p.Step.Name, Provider: p.Step.Provider}
		if known {
			s.Facts = r.Facts
			s.SSH = sshTo(s.Name, r.Facts)
		}
		v.Servers = append(v.Servers, s)
	}
	return v, nil
}

// sshTo returns how to reach a server with the system's ssh; nil when the provider did not say. A server that is older
// than the rule of names goes by its provider's id where its name could be read as something else.
func sshTo(name string, facts map[string]string) []string {
	config := facts["ssh_config"]
	if config == "" {
		return nil
	}
	if !naming.Valid(name) {
		name = facts["id"]
	}
	return []string{"ssh", "-F", config, "--", name}
}
