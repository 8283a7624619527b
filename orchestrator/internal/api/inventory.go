package api

import (
	"context"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/web"
)

func (a *API) inventoryRoutes() []web.Route {
	return []web.Route{
		{Method: "GET", Path: "/inventory/servers", Op: "listServers", Summary: "List the servers that stand, by provider and name",
			Doc:        "Those that one may not read are left out. How to log in is shown to whom the policies allow use on a server.",
			Permission: web.Allow("read", "servers"), Handle: web.To(a.listServers)},
		{Method: "GET", Path: "/inventory/servers/:name", Op: "getServer",
			Summary:    "Show one server: who made it, what is on it, and, for those who may use it, how to log in",
			Permission: web.Allow("read", "servers"), Handle: web.To(a.getServer)},
	}
}

// inventoryView is a server of the inventory.
type inventoryView struct {
	ID string `json:"id" doc:"the name: it is unique in the inventory" example:"web-01"`
	serverView
	State     run.ServerState `json:"state" enum:"up,accepted,listed" doc:"up: its task waited until it answered; accepted: its provider took the order; listed: put there by a restore or a reconcile" example:"up"`
	Infra     string          `json:"infra,omitempty" doc:"the infra that it was made for; absent when a batch made it" example:"production" rare:"true"`
	UpdatedAt time.Time       `json:"updated_at" doc:"when its row was last written"`
	MadeBy    *makerView      `json:"made_by,omitempty" doc:"who made it; absent when it is listed" rare:"true"`
	Taskservs []string        `json:"taskservs,omitempty" doc:"task services on it; in the view of one server only" example:"[\"kubernetes\"]" rare:"true"`
}

type makerView struct {
	TaskID   string `json:"task_id" doc:"the task that made it" example:"01997b1c-0000-7000-8000-000000000001"`
	BatchID  string `json:"batch_id,omitempty" doc:"the batch of that task; absent for a single one, or when it was pruned" example:"01997b1c-0000-7000-8000-000000000002" rare:"true"`
	UserID   string `json:"user_id,omitempty" doc:"who submitted it; absent when it was pruned" example:"01997b1c-0000-7000-8000-000000000003"`
	Username string `json:"username,omitempty" doc:"the same by name" example:"dana"`
}

// makers finds who made servers; one task often made many.
type makers struct {
	a    *API
	seen map[string]*makerView // by task id
}

func (m *makers) of(ctx context.Context, taskID string) (*makerView, error) {
	if taskID == "" {
		return nil, nil
	}
	if v := m.seen[taskID]; v != nil {
		return v, nil
	}
	v := &makerView{TaskID: taskID}
	t, err := run.Tasks().Get(ctx, m.a.Engine.DB, taskID)
	if err != nil {
		return nil, err
	}
	if t.Rev != 0 {
		v.UserID = t.Value.User
		if t.Value.Batch {
			v.BatchID = t.Value.Run
		}
		h, err := run.Headers().Get(ctx, m.a.Engine.DB, t.Value.Run)
		if err != nil {
			return nil, err
		}
		v.Username = h.Value.Grant.Username
	}
	m.seen[taskID] = v
	return v, nil
}

func (m *makers) view(ctx context.Context, s run.StandingServer) (inventoryView, error) {
	by, err := m.of(ctx, s.Task)
	v := inventoryView{ID: s.Name, State: s.State, Infra: s.Infra, UpdatedAt: s.Updated, MadeBy: by,
		serverView: serverView{Name: s.Name, Provider: s.Provider, Facts: plainFacts(s.Facts)}}
	if mayUse(ctx, &s, by != nil && by.UserID != "" && by.UserID == web.CallerOf(ctx).ID()) {
		m.a.reach(&v.serverView, s.Resource)
	}
	return v, err
}

type listServersIn struct {
	web.Paging
	Infra    string          `query:"infra" max:"128" doc:"only servers of this infra" example:"production"`
	Provider string          `query:"provider" max:"128" doc:"only servers at this provider" example:"upcloud"`
	State    run.ServerState `query:"state" enum:"up,accepted,listed" doc:"only servers in this state"`
}

func (a *API) listServers(ctx context.Context, in listServersIn) (web.Page[inventoryView], error) {
	w, err := run.ListServers(ctx, a.Engine.DB, run.ServerFilter{Infra: in.Infra, Provider: in.Provider, State: in.State}, in.Place())
	if err != nil {
		return web.Page[inventoryView]{}, err
	}
	page, by := web.Page[inventoryView]{Total: w.Total, Inexact: w.Inexact, Next: w.Next}, makers{a: a, seen: map[string]*makerView{}}
	for _, row := range w.Rows {
		if s := row.Value; web.Ask(ctx, "read", server(&s)).Allowed {
			v, err := by.view(ctx, s)
			if err != nil {
				return page, err
			}
			page.Items = append(page.Items, v)
		}
	}
	return page, nil
}

type oneServer struct {
	Name string `path:"name" max:"128" doc:"name of the server" example:"web-01"`
}

func (a *API) getServer(ctx context.Context, in oneServer) (inventoryView, error) {
	s, err := run.GetServer(ctx, a.Engine.DB, in.Name)
	if err == nil && s.Infra != "" {
		err = web.Require(ctx, "read", server(&s))
	}
	if err != nil {
		return inventoryView{}, err
	}
	by := makers{a: a, seen: map[string]*makerView{}}
	v, err := by.view(ctx, s)
	if err != nil {
		return v, err
	}
	services, err := run.Inventory{DB: a.Engine.DB}.Taskservs(ctx, s.Provider, s.Name)
	for _, r := range services {
		v.Taskservs = append(v.Taskservs, strings.TrimPrefix(r.Name, s.Name+"/"))
	}
	return v, err
}
