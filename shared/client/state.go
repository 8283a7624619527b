package client

import (
	"context"
	"net/url"
	"time"
)

// Progress says how far a batch or a task is.
type Progress struct {
	WorkflowID string  `json:"workflow_id"`
	Progress   float64 `json:"progress"` // percent
	Step       string  `json:"current_step"`
	Total      int     `json:"total_steps"`
	Completed  int     `json:"completed_steps"`
	Remaining  *int64  `json:"estimated_time_remaining"` // seconds; nil while nobody can tell
	Status     string  `json:"status"`
}

// Progress returns how far a batch or a task is.
func (c *Client) Progress(ctx context.Context, id string) (Progress, error) {
	var p Progress
	_, err := c.do(ctx, get("/state/workflows/"+url.PathEscape(id)+"/progress"), &p)
	return p, err
}

// Snapshot is what a workflow was after one change.
type Snapshot struct {
	ID      string          `json:"snapshot_id"`
	At      time.Time       `json:"timestamp"`
	State   string          `json:"state"`
	Details SnapshotDetails `json:"details"`
}

// SnapshotDetails says more about the moment of a snapshot.
type SnapshotDetails struct {
	Status    string  `json:"status"`
	Progress  float64 `json:"progress"` // percent
	Step      string  `json:"current_step"`
	Total     int     `json:"total_steps"`
	Completed int     `json:"completed_steps"`
	Counts    struct {
		Total     int `json:"total"`
		Pending   int `json:"pending"`
		Running   int `json:"running"`
		Completed int `json:"completed"`
		Failed    int `json:"failed"`
		Cancelled int `json:"cancelled"`
	} `json:"counts"`
	TaskID string `json:"task_id,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Snapshots lists what a batch or a task was after each change, the oldest first.
func (c *Client) Snapshots(ctx context.Context, id string, p Page) (List[Snapshot], error) {
	return list[Snapshot](ctx, c, "/state/workflows/"+url.PathEscape(id)+"/snapshots", url.Values{}, p)
}

// SystemMetrics counts workflows by status and says how loaded the orchestrator's machine is.
type SystemMetrics struct {
	Total     int64 `json:"total_workflows"`
	Active    int64 `json:"active_workflows"`
	Completed int64 `json:"completed_workflows"`
	Failed    int64 `json:"failed_workflows"`
	Cancelled int64 `json:"cancelled_workflows"`
	Load      struct {
		CPU    float64 `json:"cpu_usage"`    // percent
		Memory int     `json:"memory_usage"` // MiB
		Disk   float64 `json:"disk_usage"`   // percent
	} `json:"system_load"`
}

// SystemMetrics returns the workflows by status and the load of the machine.
func (c *Client) SystemMetrics(ctx context.Context) (SystemMetrics, error) {
	var m SystemMetrics
	_, err := c.do(ctx, get("/state/system/metrics"), &m)
	return m, err
}

// SystemHealth says how the parts of the orchestrator are: "Healthy", "Degraded" or "Unhealthy".
type SystemHealth struct {
	Overall    string `json:"overall_status"`
	Components struct {
		Storage     string `json:"storage"`
		Coordinator string `json:"batch_coordinator"`
		Monitoring  string `json:"monitoring"`
	} `json:"components"`
	Reasons   []string  `json:"reasons"`
	LastCheck time.Time `json:"last_check"`
}

// SystemHealth returns how the parts of the orchestrator are.
func (c *Client) SystemHealth(ctx context.Context) (SystemHealth, error) {
	var h SystemHealth
	_, err := c.do(ctx, get("/state/system/health"), &h)
	return h, err
}

// Statistics are totals since the orchestrator's store was made.
type Statistics struct {
	Total        int64   `json:"total_workflows"`
	Snapshots    int64   `json:"active_snapshots"`
	StorageUsage string  `json:"storage_usage"`
	StorageBytes int64   `json:"storage_bytes"`
	Average      float64 `json:"average_workflow_duration"` // seconds
}

// Statistics returns the totals since the store was made.
func (c *Client) Statistics(ctx context.Context) (Statistics, error) {
	var s Statistics
	_, err := c.do(ctx, get("/state/statistics"), &s)
	return s, err
}
