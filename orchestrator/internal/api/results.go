package api

import (
	"context"
	"maps"
	"strings"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/naming"
	"github.com/provisioning-platform/platform/shared/web"
)

// resultsView is what an operation brought about and still stands: an object, empty until there is
// something.
type resultsView struct {
	Servers   []serverView   `json:"servers,omitempty" doc:"servers that it made and that stand"`
	Taskservs []taskservView `json:"taskservs,omitempty" doc:"task services that it installed and that stand" rare:"true"`
}

// serverView is a server. SSH is the argument vector of the system's ssh, to which a command may be
// added; it and the facts that are paths of the orchestrator's machine are shown to whom the
// policies let use the server (decision 66).
type serverView struct {
	Name     string            `json:"name" doc:"name of the server" example:"web-01"`
	Provider string            `json:"provider" doc:"where it is" example:"upcloud"`
	Facts    map[string]string `json:"facts,omitempty" doc:"what the provider says about it" example:"{\"address\":\"203.0.113.7\"}"`
	SSH      []string          `json:"ssh,omitempty" doc:"argument vector of the system's ssh on the orchestrator's machine, for those who may use the server" example:"[\"ssh\",\"-F\",\"ssh_config\",\"--\",\"web-01\"]"`
}

type taskservView struct {
	Name   string `json:"name" doc:"the task service" example:"kubernetes"`
	Server string `json:"server" doc:"where it was installed" example:"web-01"`
}

func (a *API) results(ctx context.Context, t *dag.Task) (*resultsView, error) {
	v := &resultsView{}
	for i := range t.Steps {
		p := &t.Steps[i]
		switch {
		case !p.Applied:
			continue
		case p.Step.Action == "taskserv.install":
			v.Taskservs = append(v.Taskservs,
				taskservView{Name: strings.TrimSuffix(p.Step.Name, " on "+p.Step.Target), Server: p.Step.Target})
			continue
		case p.Step.Action != "server.create": // what was removed is not there
			continue
		}
		s := serverView{Name: p.Step.Name, Provider: p.Step.Provider}
		standing, known, err := run.ServerAt(ctx, a.Engine.DB, s.Provider, s.Name)
		if err != nil {
			return nil, err
		}
		if known {
			s.Facts = plainFacts(standing.Facts)
			own := t.User == web.CallerOf(ctx).ID() && standing.Facts["tag"] == dag.Tag(t.ID, i)
			if mayUse(ctx, &standing, own) {
				a.reach(&s, standing.Resource)
			}
		}
		v.Servers = append(v.Servers, s)
	}
	return v, nil
}

// server returns what the policies are asked about a server of the inventory.
func server(s *run.StandingServer) authz.Resource {
	return authz.Resource{Type: "servers", Name: s.Name, Infra: s.Infra}
}

// mayUse says whether the caller may log in to a server: who may use it, and, unless a policy
// forbids him to, who may use his own and made this one.
func mayUse(ctx context.Context, s *run.StandingServer, own bool) bool {
	r := server(s)
	d := web.Ask(ctx, "use", r)
	return d.Allowed || own && d.Rule == authz.NoRule && web.Ask(ctx, "use_own", r).Allowed
}

// hostFacts are paths of the orchestrator's machine. Inventories of earlier versions hold them, as
// they were then.
var hostFacts = []string{"key_file", "known_hosts_file", "root", "ssh_config"}

// plainFacts returns the facts without those that are not for everybody.
func plainFacts(facts map[string]string) map[string]string {
	plain := maps.Clone(facts)
	for _, name := range hostFacts {
		delete(plain, name)
	}
	return plain
}

// reach adds how to log in to a server. One that is older than the rule of names goes by its
// provider's id where its name could be read as something else.
func (a *API) reach(s *serverView, r run.Resource) {
	facts := a.Catalogue.Reach(dag.Resource{Facts: r.Facts, Kind: r.Kind, Name: r.Name, Provider: r.Provider})
	if s.Facts == nil {
		s.Facts = map[string]string{}
	}
	maps.Copy(s.Facts, facts)
	config, name := facts["ssh_config"], s.Name
	if !naming.Valid(name) {
		name = r.Facts["id"]
	}
	if config != "" {
		s.SSH = []string{"ssh", "-F", config, "--", name}
	}
}
