package client

import (
	"context"
	"encoding/json"
	"net/url"
	"time"
)

// Task is a row of GET /tasks (platform.md 1.3) with the additive members.
type Task struct {
	ID           string     `json:"id"`
	Name         string     `json:"name"`
	Command      string     `json:"command"`
	Args         []string   `json:"args"`
	Dependencies []string   `json:"dependencies"`
	Status       string     `json:"status"`
	CreatedAt    time.Time  `json:"created_at"`
	StartedAt    *time.Time `json:"started_at"`
	CompletedAt  *time.Time `json:"completed_at"`
	Output       *string    `json:"output"`
	Error        *string    `json:"error"`
	RolledBackAt *time.Time `json:"rolled_back_at,omitempty"`

	Results json.RawMessage `json:"results,omitempty"` // in the view of one task only, as Operation's
}

// Tasks lists tasks, newest first. status is one of the five words or empty.
func (c *Client) Tasks(ctx context.Context, status string, p Page) (List[Task], error) {
	return list[Task](ctx, c, "/tasks", withStatus(status), p)
}

func withStatus(status string) url.Values {
	if status == "" {
		return url.Values{}
	}
	return url.Values{"status": {status}}
}

// Task returns one task.
func (c *Client) Task(ctx context.Context, id string) (Task, error) {
	var t Task
	_, err := c.do(ctx, get("/tasks/"+url.PathEscape(id)), &t)
	return t, err
}

// CancelTask cancels one task.
func (c *Client) CancelTask(ctx context.Context, id string) error {
	_, err := c.do(ctx, post("/tasks/"+url.PathEscape(id)+"/cancel", nil), nil)
	return err
}

// Workflow is the body of a workflow submission; the members that a kind of workflow does not know
// stay empty.
type Workflow struct {
	CheckMode   bool   `json:"check_mode,omitempty"`
	ClusterType string `json:"cluster_type,omitempty"`
	Infra       string `json:"infra"`
	Operation   string `json:"operation,omitempty"`
	Settings    string `json:"settings,omitempty"`
	Taskserv    string `json:"taskserv,omitempty"`
	Wait        bool   `json:"wait,omitempty"`
}

// SubmitWorkflow submits a workflow of kind "servers", "taskserv" or "cluster" and returns the
// task's id.
func (c *Client) SubmitWorkflow(ctx context.Context, kind string, w Workflow, idempotencyKey string) (string, error) {
	var task string
	_, err := c.do(ctx, keyed(post("/workflows/"+kind+"/create", w), idempotencyKey), &task)
	return task, err
}

// Operation is the state of an operation inside a batch.
type Operation struct {
	ID           string          `json:"id"`
	Status       string          `json:"status"`
	Progress     float64         `json:"progress"`
	Results      json.RawMessage `json:"results,omitempty"`
	TaskID       string          `json:"task_id,omitempty"`
	Error        string          `json:"error,omitempty"`
	RolledBackAt *time.Time      `json:"rolled_back_at,omitempty"`
}

// BatchRun is a batch as the API shows it.
type BatchRun struct {
	BatchID    string      `json:"batch_id"`
	Name       string      `json:"name,omitempty"`
	Status     string      `json:"status"`
	CreatedAt  *time.Time  `json:"created_at,omitempty"`
	Operations []Operation `json:"operations"`
	Resumes    string      `json:"resumes,omitempty"`    // the batch whose withdrawn operations these are
	AdoptedBy  string      `json:"adopted_by,omitempty"` // the batch that goes on with those of this one
}

// SubmitBatch submits a batch as its JSON text stands and returns its first view.
func (c *Client) SubmitBatch(ctx context.Context, definition json.RawMessage, idempotencyKey string) (BatchRun, error) {
	var b BatchRun
	_, err := c.do(ctx, keyed(post("/batch/execute", encoded(definition)), idempotencyKey), &b)
	return b, err
}

// Batches lists batches with their operations, newest first; it follows pages that end early for
// their size.
func (c *Client) Batches(ctx context.Context, status string, p Page) (List[BatchRun], error) {
	return follow(p, func(p Page) (List[BatchRun], error) {
		return list[BatchRun](ctx, c, "/batch/operations", withStatus(status), p)
	})
}

// BatchSummaries lists batches without their operations, newest first, in one request.
func (c *Client) BatchSummaries(ctx context.Context, p Page) (List[BatchRun], error) {
	return list[BatchRun](ctx, c, "/batch/operations", url.Values{"view": {"summary"}}, p)
}

// Batch returns one batch.
func (c *Client) Batch(ctx context.Context, id string) (BatchRun, error) {
	var b BatchRun
	_, err := c.do(ctx, get("/batch/operations/"+url.PathEscape(id)), &b)
	return b, err
}

// AdoptBatch goes on, as a batch of the caller's own, with the operations of a batch that ended
// because its submitter lost the right to them. It returns the first view of the new batch.
func (c *Client) AdoptBatch(ctx context.Context, id, idempotencyKey string) (BatchRun, error) {
	var b BatchRun
	_, err := c.do(ctx, keyed(post("/batch/operations/"+url.PathEscape(id)+"/adopt", nil), idempotencyKey), &b)
	return b, err
}

// CancelBatch cancels a running batch.
func (c *Client) CancelBatch(ctx context.Context, id string) error {
	_, err := c.do(ctx, post("/batch/operations/"+url.PathEscape(id)+"/cancel", nil), nil)
	return err
}

// keyed adds an idempotency key to a call; an empty key adds nothing.
func keyed(in call, key string) call {
	if key != "" {
		in.header = map[string]string{"Idempotency-Key": key}
	}
	return in
}
