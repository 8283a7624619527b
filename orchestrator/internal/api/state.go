package api

import (
	"context"
	"math"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/state"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/web"
)

// stateRoutes are the questions about the whole (platform.md 1.6).
func (a *API) stateRoutes() []web.Route {
	return []web.Route{
		{Method: "GET", Path: "/state/workflows/:id/progress", Op: "getProgress", Summary: "How far a batch or a task is",
			Doc: "The steps of a batch are its operations, those of a task its own. The progress never falls, and is 100 exactly when " +
				"the workflow is Completed.", Permission: web.Allow("read", "state"), Handle: web.To(a.getProgress)},
		{Method: "GET", Path: "/state/workflows/:id/snapshots", Op: "listSnapshots",
			Summary: "What a batch or a task was after each change, oldest first",
			Doc: "One for each change of a status, and for each completed step. Of a workflow that has ended the first, the last and " +
				"those of failures stay.", Permission: web.Allow("read", "state"), Handle: web.To(a.listSnapshots)},
		{Method: "GET", Path: "/state/system/metrics", Op: "getSystemMetrics", Summary: "Workflows by status, and the load of the machine",
			Permission: web.Allow("read", "state"), Handle: web.To(a.getSystemMetrics)},
		{Method: "GET", Path: "/state/system/health", Op: "getSystemHealth", Summary: "The parts of the service, and the worst of them",
			Permission: web.Allow("read", "state"), Handle: web.To(a.getSystemHealth)},
		{Method: "GET", Path: "/state/statistics", Op: "getStatistics", Summary: "Totals since the store was made, and its size",
			Permission: web.Allow("read", "state"), Handle: web.To(a.getStatistics)},
	}
}

// workflow returns the batch or task that a path names, for a caller who may read it.
func (a *API) workflow(ctx context.Context, id string) (state.Workflow, error) {
	w, err := state.GetWorkflow(ctx, a.Engine.DB, id)
	if err != nil {
		return w, err
	}
	noun := "tasks"
	if w.Batch != nil {
		noun = "batches"
	}
	return w, web.Require(ctx, "read", authz.Resource{Type: noun, Name: id})
}

type progressView struct {
	WorkflowID string     `json:"workflow_id" doc:"the id that was asked for" example:"01997b1c-0000-7000-8000-000000000001"`
	Progress   float64    `json:"progress" doc:"percent of the work that is done, the share of the current step included"`
	Step       string     `json:"current_step" doc:"the step at work, else the one that ended last; of a batch the id of an operation" example:"upcloud_servers"`
	Total      int        `json:"total_steps" doc:"steps of the workflow"`
	Completed  int        `json:"completed_steps" doc:"steps that are completed"`
	Remaining  *int64     `json:"estimated_time_remaining" doc:"seconds that the rest will take; null while no step has been completed, 0 at the end"`
	Status     dag.Status `json:"status" enum:"Pending,Running,Completed,Failed,Cancelled" doc:"where it stands"`
}

func (a *API) getProgress(ctx context.Context, in oneID) (progressView, error) {
	w, err := a.workflow(ctx, in.ID)
	if err != nil {
		return progressView{}, err
	}
	p := w.Progress(a.Engine.Now())
	v := progressView{WorkflowID: in.ID, Progress: percent(p.Percent), Step: p.Step, Total: p.Steps, Completed: p.Completed,
		Status: w.Status()}
	if p.Remaining != nil {
		seconds := int64(math.Ceil(p.Remaining.Seconds()))
		v.Remaining = &seconds
	}
	return v, nil
}

type snapshotView struct {
	ID      string              `json:"snapshot_id" doc:"id of the snapshot" example:"01997b1c-0000-5000-8000-000000000001"`
	At      time.Time           `json:"timestamp" doc:"when the change was made"`
	State   string              `json:"state" enum:"pending,running,completed,failed,cancelled" doc:"status of the workflow behind the change"`
	Details snapshotDetailsView `json:"details" doc:"more about that moment"`
}

type snapshotDetailsView struct {
	Status    dag.Status `json:"status" enum:"Pending,Running,Completed,Failed,Cancelled" doc:"state, as other routes spell it"`
	Progress  float64    `json:"progress" doc:"percent of the steps that were completed"`
	Step      string     `json:"current_step" doc:"the step that changed" example:"upcloud_servers"`
	Total     int        `json:"total_steps" doc:"steps of the workflow"`
	Completed int        `json:"completed_steps" doc:"steps that were completed"`
	Counts    countsView `json:"counts" doc:"tasks by status"`
	TaskID    string     `json:"task_id,omitempty" doc:"the task that changed; absent when the batch itself did" example:"01997b1c-0000-7000-8000-000000000002"`
	Error     string     `json:"error,omitempty" doc:"why it failed; absent when it did not" example:"the provider has no server of the plan 1xCPU-2GB left" rare:"true"`
}

func viewSnapshot(s state.Snapshot) snapshotView {
	return snapshotView{ID: s.ID, At: s.At, State: s.Status.Lower(), Details: snapshotDetailsView{
		Status: s.Status, Progress: percent(s.Percent), Step: s.Step, Total: s.Steps, Completed: s.Completed, Counts: *viewCounts(s.Counts),
		TaskID: s.TaskID, Error: s.Error,
	}}
}

type listSnapshotsIn struct {
	web.Paging
	ID string `path:"id" doc:"id of a batch or a task" example:"01997b1c-0000-7000-8000-000000000001"`
}

func (a *API) listSnapshots(ctx context.Context, in listSnapshotsIn) (web.Page[snapshotView], error) {
	w, err := a.workflow(ctx, in.ID)
	if err != nil {
		return web.Page[snapshotView]{}, err
	}
	rows, err := w.Snapshots(ctx, a.Engine.DB, in.Place())
	return web.PageOf(rows, viewSnapshot), err
}

type systemMetricsView struct {
	Total     int64    `json:"total_workflows" doc:"single tasks and batches since the store was made"`
	Active    int64    `json:"active_workflows" doc:"pending and running ones"`
	Completed int64    `json:"completed_workflows" doc:"ended well"`
	Failed    int64    `json:"failed_workflows" doc:"ended with an error"`
	Cancelled int64    `json:"cancelled_workflows" doc:"stopped, or never begun"`
	Load      loadView `json:"system_load" doc:"of the machine that the orchestrator runs on"`
}

type loadView struct {
	CPU    float64 `json:"cpu_usage" doc:"percent of all processors that were busy since it was asked for last"`
	Memory int     `json:"memory_usage" doc:"MiB of memory in use"`
	Disk   float64 `json:"disk_usage" doc:"percent in use of the disk with the data folder"`
}

func (a *API) getSystemMetrics(ctx context.Context, _ web.None) (systemMetricsView, error) {
	t, err := state.CountWorkflows(ctx, a.Engine.DB)
	if err != nil {
		return systemMetricsView{}, err
	}
	l := a.Host.Load()
	return systemMetricsView{Total: t.All(), Active: t.Active, Completed: t.Completed, Failed: t.Failed, Cancelled: t.Cancelled,
		Load: loadView{CPU: tenths(l.CPU), Memory: l.Memory, Disk: tenths(l.Disk)}}, nil
}

// tenths rounds to one digit of fraction.
func tenths(x float64) float64 { return math.Round(x*10) / 10 }

type statisticsView struct {
	Total        int64   `json:"total_workflows" doc:"single tasks and batches since the store was made"`
	Snapshots    int64   `json:"active_snapshots" doc:"snapshots that are kept: the first of each workflow, the last of each that has ended, and those of failures"`
	StorageUsage string  `json:"storage_usage" doc:"size of the store on the disk, for people; 0B for one that is on another machine or in memory" example:"245MB"`
	StorageBytes int64   `json:"storage_bytes" doc:"the same in bytes"`
	Average      float64 `json:"average_workflow_duration" doc:"seconds from start to end, the mean of those among the last 1000 runs that ended; 0 when there is none"`
}

func (a *API) getStatistics(ctx context.Context, _ web.None) (statisticsView, error) {
	t, err := state.CountWorkflows(ctx, a.Engine.DB)
	if err != nil {
		return statisticsView{}, err
	}
	average, err := state.AverageDuration(ctx, a.Engine.DB)
	bytes := a.StoreSize()
	return statisticsView{Total: t.All(), Snapshots: t.Snapshots, StorageUsage: size(bytes), StorageBytes: bytes,
		Average: average.Round(time.Millisecond).Seconds()}, err
}
