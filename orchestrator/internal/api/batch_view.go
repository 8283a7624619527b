package api

import (
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
)

// batchView is a batch; the members that a view does not have are left out (platform.md 1.5).
type batchView struct {
	BatchID        string          `json:"batch_id" doc:"id of the batch" example:"01997b1c-0000-7000-8000-000000000001"`
	Name           string          `json:"name,omitempty" doc:"as it was submitted" example:"multi_cloud_deployment"`
	Status         dag.Status      `json:"status" enum:"Pending,Running,Completed,Failed,Cancelled" doc:"where it stands"`
	CreatedAt      *time.Time      `json:"created_at,omitempty" doc:"when it was submitted"`
	Operations     []operationView `json:"operations,omitzero" doc:"its operations in the order of the submission; absent in a summary"`
	Counts         *countsView     `json:"operation_counts,omitempty" doc:"in a summary: operations by status" rare:"true"`
	CompletedAt    *time.Time      `json:"completed_at,omitempty" doc:"when it ended; absent before"`
	StorageBackend string          `json:"storage_backend,omitempty" doc:"the store in use" example:"filesystem"`
	Error          string          `json:"error,omitempty" doc:"why it failed; absent when it did not" example:"operation upcloud_servers failed" rare:"true"`
	Resumes        string          `json:"resumes,omitempty" doc:"the batch whose withdrawn operations these are" example:"01997b1c-0000-7000-8000-000000000002" rare:"true"`
	AdoptedBy      string          `json:"adopted_by,omitempty" doc:"the batch that goes on with the withdrawn operations of this one" example:"01997b1c-0000-7000-8000-000000000002" rare:"true"`
}

// countsView says how many operations of a batch, or tasks of a workflow, have which status.
type countsView struct {
	Total     int `json:"total" doc:"all of them"`
	Pending   int `json:"pending" doc:"not begun"`
	Running   int `json:"running" doc:"begun and not ended"`
	Completed int `json:"completed" doc:"ended well"`
	Failed    int `json:"failed" doc:"ended with an error"`
	Cancelled int `json:"cancelled" doc:"stopped, or never begun"`
}

// summary shows a batch without its operations.
func (a *API) summary(h dag.Header) batchView {
	return batchView{BatchID: h.ID, Name: h.Name, Status: h.Status(), CreatedAt: &h.CreatedAt, CompletedAt: h.CompletedAt,
		StorageBackend: a.Storage,
		Error:          h.Error, Resumes: h.Resumes, AdoptedBy: h.AdoptedBy,
		Counts: viewCounts(h.Counts)}
}

func viewCounts(c dag.Counts) *countsView {
	return &countsView{Total: c.Total(), Pending: c.Pending, Running: c.Running, Completed: c.Completed, Failed: c.Failed,
		Cancelled: c.Cancelled}
}

func (a *API) viewBatch(b run.Batch) batchView {
	v := a.summary(b.Run)
	v.Counts, v.Operations = nil, make([]operationView, len(b.Tasks))
	for i := range b.Tasks {
		t := &b.Tasks[i]
		v.Operations[i] = operationView{ID: t.Operation, Status: t.Status(), Progress: percent(t.Progress), Results: &resultsView{},
			TaskID: t.ID,
			Error:  t.Error, Attention: t.Attention, RolledBackAt: t.RolledBackAt}
	}
	return v
}

// operationView is an operation inside a batch.
type operationView struct {
	ID           string       `json:"id" doc:"as the batch calls it" example:"upcloud_servers"`
	Status       dag.Status   `json:"status" enum:"Pending,Running,Completed,Failed,Cancelled" doc:"where it stands"`
	Progress     float64      `json:"progress" doc:"percent of its steps that are done"`
	Results      *resultsView `json:"results,omitzero" doc:"what stands of it; absent in the answer to a submission"`
	TaskID       string       `json:"task_id" doc:"the task that does it" example:"01997b1c-0000-7000-8000-000000000001"`
	Error        string       `json:"error,omitempty" doc:"why it failed; absent when it did not" example:"the provider has no server of the plan 1xCPU-2GB left" rare:"true"`
	Attention    string       `json:"attention,omitempty" doc:"what a person has to look at; absent when there is nothing" example:"cannot tell whether web-01 was created" rare:"true"`
	RolledBackAt *time.Time   `json:"rolled_back_at,omitempty" doc:"when its effects were undone; absent while they stand" rare:"true"`
}
