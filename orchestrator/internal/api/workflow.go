package api

import (
	"context"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/infra"
	"github.com/provisioning-platform/platform/orchestrator/internal/operation"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web"
)

func (a *API) workflowRoutes() []web.Route {
	create := web.Allow("create", "workflows")
	return []web.Route{
		{Method: "POST", Path: "/workflows/servers/create", Op: "createServers", Summary: "Create the servers of an infra", Permission: create, Audit: "workflow.create", Idempotent: true, Handle: web.To(a.createServers)},
		{Method: "POST", Path: "/workflows/taskserv/create", Op: "createTaskserv", Summary: "Install, update, remove or check a task service", Permission: create, Audit: "workflow.create", Idempotent: true, Handle: web.To(a.createTaskserv)},
		{Method: "POST", Path: "/workflows/cluster/create", Op: "createCluster", Summary: "Create, update, remove or check a cluster", Permission: create, Audit: "workflow.create", Idempotent: true, Handle: web.To(a.createCluster)},
	}
}

// target is what the three bodies share (platform.md 1.4).
type target struct {
	Infra     string `json:"infra" required:"true" max:"256" example:"production" doc:"name of the infra"`
	Settings  string `json:"settings" max:"256" example:"config.k" doc:"settings file inside the infra's folder"`
	CheckMode bool   `json:"check_mode" doc:"say what would be done and change nothing"`
	Wait      bool   `json:"wait" doc:"the task completes only when the resource is up; the answer never waits"`
}

func (t target) faults() []fault.Field {
	faults := plain("/infra", t.Infra)
	if t.Settings != "" {
		faults = append(faults, plain("/settings", t.Settings)...)
	}
	return faults
}

// plain says when a text cannot be the name of one entry of a folder. Required texts that are empty are web's to report.
func plain(pointer, name string) []fault.Field {
	if name == "" || infra.ValidName(name) {
		return nil
	}
	return []fault.Field{notPlain(pointer)}
}

func notPlain(pointer string) fault.Field {
	return fault.Field{Pointer: pointer, Message: "must be a plain name, without separators or .."}
}

type serversIn struct {
	target
}

// Validate refuses names that lead out of their folder.
func (in serversIn) Validate() []fault.Field { return in.faults() }

func (a *API) createServers(ctx context.Context, in serversIn) (web.Text, error) {
	return a.submit(ctx, in.operation("servers", "create"), authz.Resource{Type: "servers", Infra: in.Infra})
}

type taskservIn struct {
	target
	Operation string `json:"operation" default:"create" enum:"create,update,delete,check"`
	Taskserv  string `json:"taskserv" required:"true" max:"256" example:"kubernetes"`
}

// Validate refuses names that lead out of their folder.
func (in taskservIn) Validate() []fault.Field {
	return append(in.faults(), plain("/taskserv", in.Taskserv)...)
}

func (a *API) createTaskserv(ctx context.Context, in taskservIn) (web.Text, error) {
	op := in.target.operation("taskserv", in.Operation)
	op.Taskserv = in.Taskserv
	return a.submit(ctx, op, authz.Resource{Type: "taskservs", Name: in.Taskserv, Infra: in.Infra})
}

type clusterIn struct {
	target
	Operation   string `json:"operation" default:"create" enum:"create,update,delete,check"`
	ClusterType string `json:"cluster_type" required:"true" max:"256" example:"buildkit"`
}

// Validate refuses names that lead out of their folder.
func (in clusterIn) Validate() []fault.Field {
	return append(in.faults(), plain("/cluster_type", in.ClusterType)...)
}

func (a *API) createCluster(ctx context.Context, in clusterIn) (web.Text, error) {
	op := in.target.operation("cluster", in.Operation)
	op.ClusterType = in.ClusterType
	return a.submit(ctx, op, authz.Resource{Type: "clusters", Name: in.ClusterType, Infra: in.Infra})
}

func (t target) operation(kind, verb string) dag.Operation {
	return dag.Operation{CheckMode: t.CheckMode, Infra: t.Infra, Settings: t.Settings, Type: kind, Verb: verb, Wait: t.Wait}
}

// submit stores a workflow of one task and answers with its id (contract Q1).
func (a *API) submit(ctx context.Context, op dag.Operation, r authz.Resource) (web.Text, error) {
	if err := web.Require(ctx, right(op.Verb), r); err != nil {
		return "", err
	}
	id := web.NewID(ctx)
	name := operation.Name(op)
	s, err := a.Engine.Submit(ctx, engine.Submission{
		ID:         id,
		Definition: dag.Definition{Kind: dag.Workflow, Name: name, Nodes: []dag.Node{{Args: operation.Args(op), Command: operation.Command(op), Name: name, Operation: op}}},
		Act: audit.Act{Action: "workflow.create", Resource: "workflows/" + id, Details: map[string]any{
			"task": name, "infra": op.Infra, "check_mode": op.CheckMode,
		}},
	})
	return web.Text(s.Run.ID), err
}

// right is the action that the policies know for a verb: looking at what is there is reading.
func right(verb string) string {
	if verb == "check" {
		return "read"
	}
	return verb
}
