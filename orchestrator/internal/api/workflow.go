package api

import (
	"context"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/operation"
	"github.com/provisioning-platform/platform/orchestrator/internal/rights"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/web"
)

func (a *API) workflowRoutes() []web.Route {
	create := web.Allow("create", "workflows")
	return []web.Route{
		{Method: "POST", Path: "/workflows/servers/create", Op: "createServers", Summary: "Create the servers of an infra",
			Doc:     "The answer is the id of the task, which runs on; GET /tasks/{id} shows it.",
			Example: "01997b1c-0000-7000-8000-000000000001", Permission: create, Audit: "workflow.create", Handle: web.To(a.createServers)},
		{Method: "POST", Path: "/workflows/taskserv/create", Op: "createTaskserv",
			Summary: "Install, update, remove or check a task service",
			Doc:     "The answer is the id of the task, which runs on; GET /tasks/{id} shows it.",
			Example: "01997b1c-0000-7000-8000-000000000001", Permission: create, Audit: "workflow.create",
			Handle: web.To(a.createTaskserv)},
		{Method: "POST", Path: "/workflows/cluster/create", Op: "createCluster", Summary: "Create, update, remove or check a cluster",
			Doc:     "The answer is the id of the task, which runs on; GET /tasks/{id} shows it.",
			Example: "01997b1c-0000-7000-8000-000000000001", Permission: create, Audit: "workflow.create", Handle: web.To(a.createCluster)},
	}
}

// target is what the three bodies share (platform.md 1.4).
type target struct {
	Infra     string `json:"infra" required:"true" form:"name" example:"production" doc:"name of the infra"`
	Settings  string `json:"settings" form:"name" example:"config.k" doc:"settings file inside the infra's folder"`
	CheckMode bool   `json:"check_mode" doc:"say what would be done and change nothing" rare:"true"`
	Wait      bool   `json:"wait" doc:"the task completes only when the resource is up; the answer never waits" rare:"true"`
}

type serversIn struct {
	target
}

func (a *API) createServers(ctx context.Context, in serversIn) (web.Notice, error) {
	return a.submit(ctx, in.operation("servers", "create"))
}

type taskservIn struct {
	target
	Operation string `json:"operation" default:"create" enum:"create,update,delete,check" doc:"what to do with it"`
	Taskserv  string `json:"taskserv" required:"true" form:"name" example:"kubernetes" doc:"the task service"`
}

func (a *API) createTaskserv(ctx context.Context, in taskservIn) (web.Notice, error) {
	op := in.target.operation("taskserv", in.Operation)
	op.Taskserv = in.Taskserv
	return a.submit(ctx, op)
}

type clusterIn struct {
	target
	Operation   string `json:"operation" default:"create" enum:"create,update,delete,check" doc:"what to do with it"`
	ClusterType string `json:"cluster_type" required:"true" form:"name" example:"buildkit" doc:"the kind of cluster"`
}

func (a *API) createCluster(ctx context.Context, in clusterIn) (web.Notice, error) {
	op := in.target.operation("cluster", in.Operation)
	op.ClusterType = in.ClusterType
	return a.submit(ctx, op)
}

func (t target) operation(kind, verb string) dag.Operation {
	return dag.Operation{CheckMode: t.CheckMode, Infra: t.Infra, Settings: t.Settings, Type: kind, Verb: verb, Wait: t.Wait}
}

// submit stores a workflow of one task and answers with its id (contract Q1).
func (a *API) submit(ctx context.Context, op dag.Operation) (web.Notice, error) {
	action, needs := rights.Needs(&op)
	if err := web.Require(ctx, action, needs...); err != nil {
		return "", err
	}
	id := web.NewID(ctx)
	web.Answering(ctx, web.Notice(id))
	name := operation.Name(op)
	s, err := a.Engine.Submit(ctx, engine.Submission{
		ID: id, Grant: asked(ctx),
		Definition: dag.Definition{Kind: dag.Workflow, Name: name,
			Nodes: []dag.Node{{Args: operation.Args(op), Command: operation.Command(op), Name: name, Operation: op}}},
		Act: audit.EntryDraft{Action: "workflow.create", Resource: "workflows/" + id, Details: map[string]any{
			"task": name, "infra": op.Infra, "check_mode": op.CheckMode,
		}},
	})
	return web.Notice(s.Run.ID), err
}
