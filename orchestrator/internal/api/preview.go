package api

import (
	"context"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web"
)

func (a *API) previewRoutes() []web.Route {
	return []web.Route{
		{Method: "POST", Path: "/rollback/preview", Op: "previewRollback", Reads: true,
			Summary: "Say what a rollback would undo, in which order, and what cannot be undone and why",
			Doc: "It takes the body of POST /rollback/execute, refuses what that would refuse, and changes nothing. What runs at the " +
				"moment would be cancelled first and is not in it.",
			Refuses: []fault.Kind{fault.NotFound, fault.Conflict}, Permission: web.Allow("rollback", "rollbacks"),
			Handle: web.To(a.previewRollback)},
		{Method: "GET", Path: "/rollback/checkpoints/:id/diff/:other", Op: "diffCheckpoints",
			Summary: "What was done between two checkpoints and stands", Permission: web.Allow("read", "checkpoints"),
			Handle: web.To(a.diffCheckpoints)},
	}
}

type previewView struct {
	OperationsPlanned int             `json:"operations_planned" doc:"operations that would be undone"`
	Irreversible      int             `json:"irreversible" doc:"of those shown: operations that cannot be undone, or not all of them"`
	Operations        []previewedView `json:"operations" doc:"the first 1000, in the order in which they are undone"`
}

// previewedView is an operation that would be undone, or that was done between two checkpoints.
type previewedView struct {
	TaskID    string              `json:"task_id" doc:"the task that did it" example:"01997b1c-0000-7000-8000-000000000001"`
	Name      string              `json:"name" doc:"what people call it" example:"multi_cloud_deployment/upcloud_servers"`
	BatchID   string              `json:"batch_id,omitempty" doc:"its batch; absent for a workflow" example:"01997b1c-0000-7000-8000-000000000002"`
	Operation string              `json:"operation_id,omitempty" doc:"its id in the batch" example:"upcloud_servers"`
	Steps     []previewedStepView `json:"steps,omitempty" doc:"what is undone, in order; absent in a diff"`
}

type previewedStepView struct {
	Name       string `json:"name" doc:"what people call it" example:"web-01"`
	Action     string `json:"action" doc:"what was done" example:"server.create"`
	Reversible bool   `json:"reversible" doc:"it can be undone, as far as that is known before"`
	Recreates  bool   `json:"recreates,omitempty" doc:"the deleted server is made again, empty; absent when not" rare:"true"`
	Why        string `json:"why,omitempty" doc:"why it cannot; absent when it can" example:"the recipe of dns has no uninstall step" rare:"true"`
}

func viewLead(lead *dag.Effect) previewedView {
	taskID, _ := lead.TaskAndStep()
	v := previewedView{TaskID: taskID, Name: lead.Name, Operation: lead.Operation}
	if lead.Batch {
		v.BatchID = lead.Run
	}
	return v
}

func (a *API) previewRollback(ctx context.Context, in executeRollbackIn) (previewView, error) {
	q := in.request(web.NewID(ctx))
	n, list, err := a.Engine.Preview(ctx, q, a.Catalogue.ForeseeUndo)
	v := previewView{OperationsPlanned: n, Operations: make([]previewedView, len(list))}
	for i := range list {
		one, stays := viewLead(&list[i].Lead), false
		for _, s := range list[i].Steps {
			one.Steps = append(one.Steps, previewedStepView{Name: s.Step.Name, Action: s.Step.Action, Reversible: s.Why == "",
				Recreates: s.Again, Why: s.Why})
			stays = stays || s.Why != ""
		}
		if stays {
			v.Irreversible++
		}
		v.Operations[i] = one
	}
	return v, err
}

type diffIn struct {
	ID    string `path:"id" doc:"id of a checkpoint" example:"01997b1c-0000-7000-8000-000000000001"`
	Other string `path:"other" doc:"id of another one, earlier or later" example:"01997b1c-0000-7000-8000-000000000002"`
}

type diffView struct {
	From            checkpointView  `json:"from" doc:"the earlier one"`
	To              checkpointView  `json:"to" doc:"the later one"`
	SameInventory   bool            `json:"same_inventory" doc:"the inventory was the same"`
	OperationsCount int             `json:"operations_count" doc:"operations that ended between them and stand"`
	Operations      []previewedView `json:"operations" doc:"the first 1000, the earliest first"`
}

func (a *API) diffCheckpoints(ctx context.Context, in diffIn) (diffView, error) {
	d, err := a.Engine.Checkpoints.Diff(ctx, in.ID, in.Other)
	v := diffView{From: viewCheckpoint(d.From), To: viewCheckpoint(d.To), OperationsCount: d.Count,
		SameInventory: d.From.Hash == d.To.Hash && d.From.Resources == d.To.Resources, Operations: make([]previewedView, len(d.Leads))}
	for i := range d.Leads {
		v.Operations[i] = viewLead(&d.Leads[i])
	}
	return v, err
}
