package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Checkpoint is a checkpoint as the API shows it; OperationsCount is set in the single view only.
type Checkpoint struct {
	ID              string    `json:"id"`
	Name            string    `json:"name"`
	Description     string    `json:"description"`
	CreatedAt       time.Time `json:"created_at"`
	Size            string    `json:"size"`
	OperationsCount *int      `json:"operations_count,omitempty"`
	HeldOperations  int       `json:"held_operations"`
	RecordOnly      bool      `json:"record_only"`
	Automatic       bool      `json:"automatic"`
	Hash            string    `json:"hash"`
	Resources       int       `json:"resources"`
}

// CreateCheckpoint takes a checkpoint and returns its id.
func (c *Client) CreateCheckpoint(ctx context.Context, name, description, idempotencyKey string) (string, error) {
	body := map[string]string{"name": name}
	if description != "" {
		body["description"] = description
	}
	var checkpoint string
	_, err := c.do(ctx, keyed(post("/rollback/checkpoints", body), idempotencyKey), &checkpoint)
	return checkpoint, err
}

// Checkpoints lists checkpoints, newest first.
func (c *Client) Checkpoints(ctx context.Context, p Page) (List[Checkpoint], error) {
	return list[Checkpoint](ctx, c, "/rollback/checkpoints", url.Values{}, p)
}

// AutomaticCheckpoints lists only the checkpoints that were taken automatically.
func (c *Client) AutomaticCheckpoints(ctx context.Context, p Page) (List[Checkpoint], error) {
	return list[Checkpoint](ctx, c, "/rollback/checkpoints", url.Values{"automatic": {"true"}}, p)
}

// Checkpoint returns one checkpoint.
func (c *Client) Checkpoint(ctx context.Context, id string) (Checkpoint, error) {
	var row Checkpoint
	_, err := c.do(ctx, get("/rollback/checkpoints/"+url.PathEscape(id)), &row)
	return row, err
}

// DeleteCheckpoint deletes a checkpoint.
func (c *Client) DeleteCheckpoint(ctx context.Context, id string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: "/rollback/checkpoints/" + url.PathEscape(id)}, nil)
	return err
}

// RollbackRequest names what to undo: everything after a checkpoint, or the given operations.
type RollbackRequest struct {
	Cascade      bool     `json:"cascade,omitempty"`
	CheckpointID string   `json:"checkpoint_id,omitempty"`
	OperationIDs []string `json:"operation_ids,omitempty"`
	Recreate     bool     `json:"recreate,omitempty"` // make deleted servers again, empty
}

// Rollback is the outcome of a rollback; Duration is in seconds.
type Rollback struct {
	RollbackID         string    `json:"rollback_id"`
	Success            bool      `json:"success"`
	OperationsExecuted int       `json:"operations_executed"`
	OperationsFailed   int       `json:"operations_failed"`
	OperationsPlanned  int       `json:"operations_planned"`
	Ended              bool      `json:"ended"`
	Duration           float64   `json:"duration"`
	CreatedAt          time.Time `json:"created_at"`
	CreatedBy          string    `json:"created_by"`
	CheckpointID       string    `json:"checkpoint_id,omitempty"`
	Failures           []struct {
		TaskID string `json:"task_id"`
		Name   string `json:"name"`
		Error  string `json:"error"`
	} `json:"failures,omitempty"`
}

// ExecuteRollback undoes and returns when the rollback has ended, which may take long: give the
// client's HTTP a limit that fits.
func (c *Client) ExecuteRollback(ctx context.Context, r RollbackRequest, idempotencyKey string) (Rollback, error) {
	var out Rollback
	_, err := c.do(ctx, keyed(post("/rollback/execute", r), idempotencyKey), &out)
	return out, err
}

// Rollback returns what a rollback has come to so far.
func (c *Client) Rollback(ctx context.Context, id string) (Rollback, error) {
	var out Rollback
	_, err := c.do(ctx, get("/rollback/executions/"+url.PathEscape(id)), &out)
	return out, err
}

// Rollbacks lists rollbacks, newest first, without their failures.
func (c *Client) Rollbacks(ctx context.Context, p Page) (List[Rollback], error) {
	return list[Rollback](ctx, c, "/rollback/executions", url.Values{}, p)
}

// RestoreCheckpoint makes the inventory what it was at a checkpoint.
func (c *Client) RestoreCheckpoint(ctx context.Context, id, idempotencyKey string) error {
	_, err := c.do(ctx, keyed(post("/rollback/restore/"+url.PathEscape(id), nil), idempotencyKey), nil)
	return err
}

// Reconciled is what a comparison of the inventory with the providers came to. Resources are
// "<provider>/<kind>/<name>".
type Reconciled struct {
	Verified   bool     `json:"verified"`
	Checked    int      `json:"checked"`
	Removed    []string `json:"removed"`
	Added      []string `json:"added"`
	Unlisted   []string `json:"unlisted"`
	Unanswered []string `json:"unanswered"`
}

// Reconcile compares the inventory with what the providers have, which may take long.
func (c *Client) Reconcile(ctx context.Context) (Reconciled, error) {
	var out Reconciled
	_, err := c.do(ctx, post("/rollback/reconcile", nil), &out)
	return out, err
}

// RollbackStatistics sums up checkpoints and rollbacks; AverageRollbackTime is in seconds.
type RollbackStatistics struct {
	TotalCheckpoints    int        `json:"total_checkpoints"`
	TotalRollbacks      int        `json:"total_rollbacks"`
	SuccessRate         float64    `json:"success_rate"`
	AverageRollbackTime float64    `json:"average_rollback_time"`
	Unverified          bool       `json:"unverified"`
	RestoreUnfinished   bool       `json:"restore_unfinished"`
	RestoredFrom        string     `json:"restored_from,omitempty"`
	RestoredAt          *time.Time `json:"restored_at,omitempty"`
	ReconciledAt        *time.Time `json:"reconciled_at,omitempty"`
}

// RollbackStatistics returns the statistics.
func (c *Client) RollbackStatistics(ctx context.Context) (RollbackStatistics, error) {
	var out RollbackStatistics
	_, err := c.do(ctx, get("/rollback/statistics"), &out)
	return out, err
}

// PreviewedOperation is an operation that a rollback would undo, or that was done between two
// checkpoints.
type PreviewedOperation struct {
	TaskID      string `json:"task_id"`
	Name        string `json:"name"`
	BatchID     string `json:"batch_id,omitempty"`
	OperationID string `json:"operation_id,omitempty"`
	Steps       []struct {
		Name       string `json:"name"`
		Action     string `json:"action"`
		Reversible bool   `json:"reversible"`
		Recreates  bool   `json:"recreates,omitempty"`
		Why        string `json:"why,omitempty"`
	} `json:"steps,omitempty"`
}

// RollbackPreview is what a rollback would undo, the first operations in the order of undoing.
type RollbackPreview struct {
	OperationsPlanned int                  `json:"operations_planned"`
	Irreversible      int                  `json:"irreversible"`
	Operations        []PreviewedOperation `json:"operations"`
}

// PreviewRollback says what a rollback would undo and changes nothing.
func (c *Client) PreviewRollback(ctx context.Context, r RollbackRequest) (RollbackPreview, error) {
	var out RollbackPreview
	_, err := c.do(ctx, post("/rollback/preview", r), &out)
	return out, err
}

// CheckpointDiff is what was done between two checkpoints and stands.
type CheckpointDiff struct {
	From            Checkpoint           `json:"from"`
	To              Checkpoint           `json:"to"`
	SameInventory   bool                 `json:"same_inventory"`
	OperationsCount int                  `json:"operations_count"`
	Operations      []PreviewedOperation `json:"operations"`
}

// DiffCheckpoints compares two checkpoints, in either order.
func (c *Client) DiffCheckpoints(ctx context.Context, one, other string) (CheckpointDiff, error) {
	var out CheckpointDiff
	_, err := c.do(ctx, get("/rollback/checkpoints/"+url.PathEscape(one)+"/diff/"+url.PathEscape(other)), &out)
	return out, err
}
