package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/rollback"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web"
)

// rollbackWait is how long a caller may wait for a rollback; the rollback itself goes on, and
// /rollback/executions shows it.
const rollbackWait = 2 * time.Hour

func (a *API) rollbackRoutes() []web.Route {
	return []web.Route{
		{Method: "POST", Path: "/rollback/checkpoints", Op: "createCheckpoint", Summary: "Take a checkpoint", Status: http.StatusCreated,
			Doc:     "A checkpoint is a place in the history to which a rollback goes back. The answer is its id.",
			Example: "01997b1c-0000-7000-8000-000000000001", Permission: web.Allow("create", "checkpoints"), Audit: "checkpoint.create",
			Handle: web.To(a.createCheckpoint)},
		{Method: "GET", Path: "/rollback/checkpoints", Op: "listCheckpoints", Summary: "List checkpoints, newest first",
			Permission: web.Allow("read", "checkpoints"), Handle: web.To(a.listCheckpoints)},
		{Method: "GET", Path: "/rollback/checkpoints/:id", Op: "getCheckpoint",
			Summary: "Show a checkpoint and how many operations a rollback to it would undo", Permission: web.Allow("read", "checkpoints"),
			Handle: web.To(a.getCheckpoint)},
		{Method: "DELETE", Path: "/rollback/checkpoints/:id", Op: "deleteCheckpoint",
			Summary: "Delete a checkpoint; what only it held back is freed", Permission: web.Allow("delete", "checkpoints"),
			Audit: "checkpoint.delete", Handle: web.Do("Checkpoint deleted", a.deleteCheckpoint)},
		{Method: "POST", Path: "/rollback/execute", Op: "executeRollback",
			Summary: "Undo everything after a checkpoint, or the named operations",
			Doc:     "The answer comes when it has ended; it goes on when the client leaves, and GET /rollback/executions/{id} shows it.",
			Refuses: []fault.Kind{fault.NotFound}, Permission: web.Allow("rollback", "rollbacks"), Audit: "rollback.execute",
			Wait: rollbackWait, Handle: web.To(a.executeRollback)},
		{Method: "GET", Path: "/rollback/executions", Op: "listRollbacks", Summary: "List rollbacks, newest first",
			Doc:        "Those that a failed batch began by itself are shown with the batch.",
			Permission: web.Allow("read", "rollbacks"), Handle: web.To(a.listRollbacks)},
		{Method: "GET", Path: "/rollback/executions/:id", Op: "getRollback", Summary: "Show a rollback, also while it runs",
			Permission: web.Allow("read", "rollbacks"), Handle: web.To(a.getRollback)},
	}
}

type createCheckpointIn struct {
	Name        string `json:"name" required:"true" max:"256" form:"free" example:"before_major_update" doc:"what people call it"`
	Description string `json:"description" max:"4096" form:"free" example:"Checkpoint before deploying v2.0.0" doc:"why it was taken"`
}

func (a *API) createCheckpoint(ctx context.Context, in createCheckpointIn) (web.Notice, error) {
	id := web.NewID(ctx)
	web.Answering(ctx, web.Notice(id))
	_, err := a.Engine.Checkpoints.Take(ctx, run.Checkpoint{ID: id, Name: in.Name, Description: in.Description})
	return web.Notice(id), err
}

type checkpointView struct {
	ID              string    `json:"id" doc:"id of the checkpoint" example:"01997b1c-0000-7000-8000-000000000001"`
	Name            string    `json:"name" doc:"what people call it" example:"before_major_update"`
	Description     string    `json:"description" doc:"why it was taken" example:"Checkpoint before deploying v2.0.0"`
	CreatedAt       time.Time `json:"created_at" doc:"when it was taken"`
	Size            string    `json:"size" doc:"the same for people" example:"12KB"`
	SizeBytes       int       `json:"size_bytes" doc:"bytes of what it is about"`
	Hash            string    `json:"hash" doc:"a checksum of the inventory when it was taken" example:"sha256:4a5a9c1fdd2d71fa7f9e1d6a4f7b8c3b0c6f1fdc5a3dd7a5b0f4a8a1c9d3e2f1"`
	Resources       int       `json:"resources" doc:"in the inventory when it was taken"`
	OperationsCount *int      `json:"operations_count,omitempty" doc:"what a rollback to it would undo"`
	HeldOperations  int       `json:"held_operations" doc:"operations that stand, done after it and before the next checkpoint: what they did is kept for its sake"`
	RecordOnly      bool      `json:"record_only" doc:"what a rollback to it would need is not kept any more"`
	Automatic       bool      `json:"automatic" doc:"nobody asked for it"`
}

func viewCheckpoint(c run.Checkpoint) checkpointView {
	return checkpointView{ID: c.ID, Name: c.Name, Description: c.Description, CreatedAt: c.CreatedAt, Size: size(int64(c.Size)),
		SizeBytes: c.Size, Hash: c.Hash, Resources: c.Resources,
		RecordOnly: c.RecordOnly, Automatic: c.Automatic}
}

// size writes a number of bytes as the contract does (I32): a whole number and a unit of 1024s,
// never 0 for something.
func size(n int64) string {
	for _, unit := range []string{"B", "KB", "MB", "GB"} {
		if n < 1024 {
			return strconv.FormatInt(n, 10) + unit
		}
		n = (n + 512) / 1024
	}
	return strconv.FormatInt(n, 10) + "TB"
}

type listIn struct {
	web.Paging
}

type listCheckpointsIn struct {
	web.Paging
	Automatic *bool `query:"automatic" doc:"only those that were taken automatically, or only those that a person took"`
}

func (a *API) listCheckpoints(ctx context.Context, in listCheckpointsIn) (web.Page[checkpointView], error) {
	w, err := a.Engine.Checkpoints.List(ctx, in.Place(), in.Automatic)
	p := web.PageOf(w, viewCheckpoint)
	for i := range w.Rows {
		if err == nil {
			p.Items[i].HeldOperations, err = a.Engine.Checkpoints.UntilNext(ctx, w.Rows[i].Value)
		}
	}
	return p, err
}

func (a *API) getCheckpoint(ctx context.Context, in oneID) (checkpointView, error) {
	c, err := a.Engine.Checkpoints.Get(ctx, in.ID)
	if err != nil {
		return checkpointView{}, err
	}
	after, err := a.Engine.Checkpoints.After(ctx, c)
	if err != nil {
		return checkpointView{}, err
	}
	v := viewCheckpoint(c)
	v.OperationsCount = &after
	v.HeldOperations, err = a.Engine.Checkpoints.UntilNext(ctx, c)
	return v, err
}

func (a *API) deleteCheckpoint(ctx context.Context, in oneID) error {
	return a.Engine.Checkpoints.Delete(ctx, in.ID)
}

type executeRollbackIn struct {
	CheckpointID *string  `json:"checkpoint_id" max:"256" doc:"undo everything after this checkpoint; without operation_ids" example:"01997b1c-0000-7000-8000-000000000001"`
	OperationIDs []string `json:"operation_ids" max:"2000" doc:"task id, batch/operation, or an operation id that is unambiguous" example:"[\"multi_cloud_deployment/upcloud_servers\"]" rare:"true"`
	Cascade      bool     `json:"cascade" doc:"also undo what stands on the named operations"`
	Recreate     bool     `json:"recreate" doc:"make deleted servers again, empty: their data is lost, and so is what was installed on them"`
}

// request returns what is asked for as the engine takes it.
func (in executeRollbackIn) request(id string) rollback.Request {
	q := rollback.Request{ID: id, Operations: in.OperationIDs, Cascade: in.Cascade, Recreate: in.Recreate}
	if in.CheckpointID != nil {
		q.Checkpoint = *in.CheckpointID
	}
	return q
}

// Validate wants exactly one of the two members.
func (in executeRollbackIn) Validate() []fault.Field {
	switch {
	case in.CheckpointID != nil && in.OperationIDs != nil:
		return []fault.Field{{Pointer: "/operation_ids", Message: "goes without checkpoint_id: give one of the two"}}
	case in.CheckpointID == nil && len(in.OperationIDs) == 0:
		return []fault.Field{{Pointer: "/checkpoint_id", Message: "checkpoint_id or a non-empty operation_ids is needed"}}
	case in.CheckpointID != nil && *in.CheckpointID == "":
		return []fault.Field{{Pointer: "/checkpoint_id", Message: "must not be empty"}}
	}
	return nil
}

type rollbackView struct {
	RollbackID         string        `json:"rollback_id" doc:"id of the rollback" example:"01997b1c-0000-7000-8000-000000000001"`
	Success            bool          `json:"success" doc:"it ended and nothing failed"`
	OperationsExecuted int           `json:"operations_executed" doc:"operations that were undone"`
	OperationsFailed   int           `json:"operations_failed" doc:"operations that could not be undone"`
	OperationsPlanned  int           `json:"operations_planned" doc:"operations that it undoes, as counted when it began"`
	Duration           float64       `json:"duration" doc:"seconds since it began, or until it ended"`
	Ended              bool          `json:"ended" doc:"it does nothing any more"`
	CreatedAt          time.Time     `json:"created_at" doc:"when it was asked for"`
	CreatedBy          string        `json:"created_by" doc:"user name of who asked for it" example:"dana"`
	CheckpointID       string        `json:"checkpoint_id,omitempty" doc:"the checkpoint it goes back to; absent when operations were named" example:"01997b1c-0000-7000-8000-000000000001"`
	Failures           []failureView `json:"failures,omitempty" doc:"the first 1000" rare:"true"`
}

type failureView struct {
	TaskID string `json:"task_id" doc:"the task that could not be undone" example:"01997b1c-0000-7000-8000-000000000001"`
	Name   string `json:"name" doc:"what it did" example:"create_servers"`
	Error  string `json:"error" doc:"why it could not be undone" example:"the provider cannot be reached"`
}

func viewRollback(r rollback.Summary) rollbackView {
	v := rollbackView{RollbackID: r.ID, Success: r.Ended && r.Failed == 0, OperationsExecuted: r.Executed, OperationsFailed: r.Failed,
		OperationsPlanned: r.Planned,
		Duration:          r.Duration.Round(time.Millisecond).Seconds(), Ended: r.Ended, CreatedAt: r.Begun, CreatedBy: r.By,
		CheckpointID: r.Checkpoint}
	for _, f := range r.Failures {
		v.Failures = append(v.Failures, failureView{TaskID: f.Task, Name: f.Name, Error: f.Error})
	}
	return v
}

func (a *API) executeRollback(ctx context.Context, in executeRollbackIn) (rollbackView, error) {
	if err := web.Claim(ctx); err != nil { // it goes on when the client leaves
		return rollbackView{}, err
	}
	r, err := a.Engine.Rollback(ctx, in.request(web.NewID(ctx)))
	if err != nil {
		return rollbackView{}, err
	}
	return viewRollback(r), nil
}

func (a *API) getRollback(ctx context.Context, in oneID) (rollbackView, error) {
	r, err := rollback.ResultOf(ctx, a.Engine.DB, in.ID, a.Engine.Now())
	if err != nil {
		return rollbackView{}, err
	}
	return viewRollback(r), nil
}

func (a *API) listRollbacks(ctx context.Context, in listIn) (web.Page[rollbackView], error) {
	w, err := rollback.List(ctx, a.Engine.DB, in.Place(), a.Engine.Now())
	return web.PageOf(w, viewRollback), err
}
