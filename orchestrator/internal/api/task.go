package api

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web"
)

func (a *API) taskRoutes() []web.Route {
	return []web.Route{
		{Method: "GET", Path: "/tasks", Op: "listTasks", Summary: "List tasks, newest first", Permission: web.Allow("read", "tasks"), Handle: web.To(a.listTasks)},
		{Method: "GET", Path: "/tasks/:id", Op: "getTask", Summary: "Show one task", Permission: web.Allow("read", "tasks"), Handle: web.To(a.getTask)},
		{Method: "POST", Path: "/tasks/:id/cancel", Op: "cancelTask", Summary: "Cancel a task that has not ended", Permission: web.Authenticated(), Limit: web.Batch, Audit: "task.cancel", Handle: web.To(a.cancelTask)},
	}
}

// taskView is a row of GET /tasks: the eleven members of the contract (platform.md 1.3), never absent, and what is
// additive behind them.
type taskView struct {
	ID           string     `json:"id"`
	Name         string     `json:"name"`
	Command      string     `json:"command"`
	Args         []string   `json:"args"`
	Dependencies []string   `json:"dependencies"`
	Status       dag.Status `json:"status"`
	CreatedAt    time.Time  `json:"created_at"`
	StartedAt    *time.Time `json:"started_at"`
	CompletedAt  *time.Time `json:"completed_at"`
	Output       *string    `json:"output"`
	Error        *string    `json:"error"`

	State        dag.State  `json:"state"` // the finer word
	Progress     float64    `json:"progress"`
	BatchID      string     `json:"batch_id,omitempty"`
	Attention    string     `json:"attention,omitempty"`
	RolledBackAt *time.Time `json:"rolled_back_at,omitempty"`

	Results *resultsView `json:"results,omitempty"` // in the view of one task only
}

func viewTask(t dag.Task) taskView {
	v := taskView{
		ID: t.ID, Name: t.Name, Command: t.Command, Args: t.Args, Dependencies: t.Dependencies, Status: t.Status(), CreatedAt: t.CreatedAt,
		StartedAt: t.StartedAt, CompletedAt: t.CompletedAt, Output: text(t.Output), Error: text(t.Error),
		State: t.State, Progress: percent(t.Progress), Attention: t.Attention, RolledBackAt: t.RolledBackAt,
	}
	if t.Batch {
		v.BatchID = t.Run
	}
	return v
}

// text returns nil for an empty text: the wire says null.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// percent turns hundredths of a percent into percent.
func percent(hundredths int) float64 { return float64(hundredths) / 100 }

type listTasksIn struct {
	web.Paging
	Status string `query:"status" enum:"Pending,Running,Completed,Failed,Cancelled" doc:"only tasks with this status, in any case"`
}

func (a *API) listTasks(ctx context.Context, in listTasksIn) (web.Page[taskView], error) {
	w, err := a.Engine.Tasks(ctx, dag.Status(in.Status), in.Place())
	return web.PageOf(w, viewTask), err
}

type oneID struct {
	ID string `path:"id" doc:"UUID"`
}

func (a *API) getTask(ctx context.Context, in oneID) (taskView, error) {
	t, err := a.Engine.Task(ctx, in.ID)
	if err != nil {
		return taskView{}, err
	}
	v := viewTask(t)
	v.Results, err = a.results(ctx, &t)
	return v, err
}

func (a *API) cancelTask(ctx context.Context, in oneID) (web.Text, error) {
	t, err := a.Engine.Task(ctx, in.ID)
	if err != nil {
		// Who may not cancel anything learns nothing about what exists.
		if denied := mine(ctx, "cancel", "tasks", in.ID, web.CallerOf(ctx).ID()); denied != nil {
			return "", denied
		}
		return "", err
	}
	if err := mine(ctx, "cancel", "tasks", in.ID, t.User); err != nil {
		return "", err
	}
	if t.Batch {
		return "", fault.New(fault.Conflict, "task.in_batch", "this task is operation %s of batch %s; cancel the batch: POST /batch/operations/%s/cancel", t.Operation, t.Run, t.Run)
	}
	return "Task cancelled", a.Engine.Cancel(ctx, dag.Workflow, in.ID)
}
