package api

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/web"
)

func (a *API) taskRoutes() []web.Route {
	return []web.Route{
		{Method: "GET", Path: "/tasks", Op: "listTasks", Summary: "List tasks, newest first", Permission: web.Allow("read", "tasks"),
			Handle: web.To(a.listTasks)},
		{Method: "GET", Path: "/tasks/:id", Op: "getTask", Summary: "Show one task", Permission: web.Allow("read", "tasks"),
			Handle: web.To(a.getTask)},
		{Method: "POST", Path: "/tasks/:id/cancel", Op: "cancelTask", Summary: "Cancel a task that has not ended",
			Doc: "Of a batch only this operation ends, and those that depend on it; the others go on and nothing is undone. The batch " +
				"ends Cancelled if no operation fails.",
			Permission: web.Authenticated().WithAPITokens(), Limit: web.Batch, Audit: "task.cancel",
			Handle: web.Do("Task cancelled", a.cancelTask)},
	}
}

// taskView is a row of GET /tasks: the eleven members of the contract (platform.md 1.3), never
// absent, and what is additive behind them.
type taskView struct {
	ID           string     `json:"id" doc:"id of the task" example:"01997b1c-0000-7000-8000-000000000001"`
	Name         string     `json:"name" doc:"what it does" example:"create_servers"`
	Command      string     `json:"command" doc:"the command that does the same" example:"provisioning servers create"`
	Args         []string   `json:"args" doc:"arguments of the command" example:"[\"--infra\",\"production\"]"`
	Dependencies []string   `json:"dependencies" doc:"ids of the tasks that come first" example:"[\"01997b1c-0000-7000-8000-000000000002\"]"`
	Status       dag.Status `json:"status" enum:"Pending,Running,Completed,Failed,Cancelled" doc:"where it stands"`
	CreatedAt    time.Time  `json:"created_at" doc:"when it was submitted"`
	StartedAt    *time.Time `json:"started_at" doc:"when it began; null before"`
	CompletedAt  *time.Time `json:"completed_at" doc:"when it ended; null before"`
	Output       *string    `json:"output" doc:"what it said; null while there is nothing" example:"created web-01"`
	Error        *string    `json:"error" doc:"why it failed; null when it did not" example:"the provider has no server of the plan 1xCPU-2GB left" rare:"true"`

	State        dag.State  `json:"state" doc:"the same in a finer word" example:"succeeded"`
	Progress     float64    `json:"progress" doc:"percent of its steps that are done"`
	BatchID      string     `json:"batch_id,omitempty" doc:"the batch whose operation it is; absent for others" example:"01997b1c-0000-7000-8000-000000000001" rare:"true"`
	Attention    string     `json:"attention,omitempty" doc:"what a person has to look at; absent when there is nothing" example:"cannot tell whether web-01 was created" rare:"true"`
	RolledBackAt *time.Time `json:"rolled_back_at,omitempty" doc:"when its effects were undone; absent while they stand" rare:"true"`

	Results *resultsView `json:"results,omitempty" doc:"what stands of it; in the view of one task only" rare:"true"`
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
	w, err := run.ListTasks(ctx, a.Engine.DB, dag.Status(in.Status), in.Place())
	return web.PageOf(w, viewTask), err
}

type oneID struct {
	ID string `path:"id" doc:"UUID" example:"01997b1c-0000-7000-8000-000000000001"`
}

func (a *API) getTask(ctx context.Context, in oneID) (taskView, error) {
	t, err := run.GetTask(ctx, a.Engine.DB, in.ID)
	if err != nil {
		return taskView{}, err
	}
	v := viewTask(t)
	v.Results, err = a.results(ctx, &t)
	return v, err
}

func (a *API) cancelTask(ctx context.Context, in oneID) error {
	t, err := run.GetTask(ctx, a.Engine.DB, in.ID)
	if err != nil {
		// Who may not cancel anything learns nothing about what exists.
		if denied := mine(ctx, "cancel", "tasks", in.ID, web.CallerOf(ctx).ID()); denied != nil {
			return denied
		}
		return err
	}
	if err := mine(ctx, "cancel", "tasks", in.ID, t.User); err != nil {
		return err
	}
	return a.Engine.CancelTask(ctx, in.ID, web.NewID(ctx))
}
