package api

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/operation"
	"github.com/provisioning-platform/platform/orchestrator/internal/rights"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web"
)

// maxBatch is the largest body of a batch, in bytes (decision 20).
const maxBatch = 8 << 20

func (a *API) batchRoutes() []web.Route {
	return []web.Route{
		{Method: "POST", Path: "/batch/execute", Op: "executeBatch", Summary: "Submit a batch of operations with dependencies",
			Doc: "The whole batch is checked first; nothing begins when anything is wrong. An operation begins when those it depends on " +
				"have ended.", Permission: web.Allow("create", "batches"), Limit: web.Batch, Audit: "batch.create", MaxBody: maxBatch,
			Handle: web.To(a.executeBatch)},
		{Method: "GET", Path: "/batch/operations", Op: "listBatches", Summary: "List batches, newest first",
			Permission: web.Allow("read", "batches"), Handle: web.To(a.listBatches)},
		{Method: "GET", Path: "/batch/operations/:id", Op: "getBatch", Summary: "Show a batch with the results of its operations",
			Permission: web.Allow("read", "batches"), Handle: web.To(a.getBatch)},
		{Method: "POST", Path: "/batch/operations/:id/adopt", Op: "adoptBatch",
			Summary:    "Go on, as a batch of your own, with what a batch left undone whose submitter lost the right to it",
			Permission: web.Allow("retry", "batches"), Limit: web.Batch, Audit: "batch.adopt", Handle: web.To(a.adoptBatch)},
		{Method: "POST", Path: "/batch/operations/:id/cancel", Op: "cancelBatch", Summary: "Stop a batch; what is done stays done",
			Permission: web.Authenticated().WithAPITokens(), Limit: web.Batch, Audit: "batch.cancel",
			Handle: web.Do("Operation cancelled", a.cancelBatch)},
	}
}

// batchIn is the body of POST /batch/execute (platform.md 1.5).
type batchIn struct {
	Name               string        `json:"name" required:"true" max:"256" form:"free" example:"multi_cloud_deployment" doc:"what people call it"`
	Version            string        `json:"version" default:"1.0.0" max:"256" form:"free" doc:"of the definition; kept and shown"`
	StorageBackend     string        `json:"storage_backend" enum:"filesystem,surrealdb" doc:"a wish; the answer names the store in use"`
	ParallelLimit      int           `json:"parallel_limit" default:"5" min:"1" max:"10000" doc:"operations running at once"`
	RollbackEnabled    bool          `json:"rollback_enabled" default:"true" doc:"undo what was done when an operation fails for good"`
	PreserveSuccessful bool          `json:"preserve_successful" doc:"what a failed batch undoes leaves out the operations that succeeded"`
	CheckpointInterval int           `json:"checkpoint_interval" min:"0" max:"2000" doc:"completed operations between two automatic checkpoints, at most one a second and 10 a batch; 0 takes none"`
	Operations         []operationIn `json:"operations" required:"true" max:"2000" doc:"what is done, in the order of their dependencies"`
}

// operationIn is one operation. Its lists are limited while they are read: to the steps that an
// operation may have (dag.MaxSteps), and the operations of a batch.
type operationIn struct {
	ID            string     `json:"id" required:"true" form:"name" example:"upcloud_servers" doc:"unique in the batch"`
	Type          string     `json:"type" required:"true" max:"64" example:"server_batch" doc:"server_batch or taskserv_batch"`
	Provider      string     `json:"provider" required:"true" form:"name" example:"upcloud" doc:"a configured provider"`
	Dependencies  []string   `json:"dependencies" max:"2000" doc:"ids of operations of this batch that come first" example:"[\"network\"]" rare:"true"`
	ServerConfigs []serverIn `json:"server_configs" max:"256" doc:"of a server_batch: the servers to create"`
	Taskservs     []string   `json:"taskservs" max:"256" form:"name" doc:"of a taskserv_batch: the task services to install" example:"[\"kubernetes\"]" rare:"true"`
	Targets       []string   `json:"targets" max:"256" form:"name" doc:"servers a taskserv_batch goes to; default: those of the operations it depends on" example:"[\"web-01\"]" rare:"true"`
	OnFailure     string     `json:"on_failure" enum:"fail,continue,rollback" doc:"what its failure means for the batch; default: rollback when rollback_enabled, else fail"`
	Timeout       int        `json:"timeout" min:"0" max:"604800" doc:"of the whole operation, in seconds; 0 is none"`
	Retry         *retryIn   `json:"retry" doc:"default: the configured policy"`
	CheckMode     bool       `json:"check_mode" doc:"say what would be done and change nothing"`
}

type serverIn struct {
	Name string `json:"name" required:"true" form:"name" example:"web-01" doc:"name of the server, unique at its provider"`
	Plan string `json:"plan" max:"256" form:"free" example:"1xCPU-2GB" doc:"size, as the provider calls it"`
	Zone string `json:"zone" max:"256" form:"free" example:"de-fra1" doc:"place, as the provider calls it"`
}

type retryIn struct {
	MaxAttempts  int `json:"max_attempts" min:"0" max:"100" doc:"the first one included; 0 is the configured number"`
	InitialDelay int `json:"initial_delay" min:"0" max:"3600" doc:"seconds"`
	MaxDelay     int `json:"max_delay" min:"0" max:"86400" doc:"seconds"`
}

// Resources names what the batch touches, so that a policy on one server counts: those it makes,
// and those that its task services go to. Servers that operations below make are among the first.
func (in batchIn) Resources() []authz.Resource {
	return rights.Batch(in.Name, func(yield func(dag.Operation) bool) {
		for i := range in.Operations {
			if !yield(in.Operations[i].operation()) {
				return
			}
		}
	})
}

// operation is what the executor will be told of it; where a task service goes is not in it yet
// when that is left to the dependencies.
func (op *operationIn) operation() dag.Operation {
	o := dag.Operation{CheckMode: op.CheckMode, Provider: op.Provider, Taskservs: op.Taskservs, Targets: op.Targets, Type: op.Type,
		Verb: "create", Wait: true}
	if len(op.ServerConfigs) > 0 {
		o.Servers = make([]dag.ServerConfig, len(op.ServerConfigs))
		for k, s := range op.ServerConfigs {
			o.Servers[k] = dag.ServerConfig(s)
		}
	}
	return o
}

func (a *API) executeBatch(ctx context.Context, in batchIn) (batchView, error) {
	if err := a.known(in); err != nil {
		return batchView{}, err
	}
	id := web.NewID(ctx)
	s, err := a.Engine.Submit(ctx, engine.Submission{ID: id, Definition: in.definition(), Grant: asked(ctx), Act: audit.EntryDraft{
		Action: "batch.create", Resource: "batches/" + id, Details: map[string]any{"name": in.Name, "operations": len(in.Operations)},
	}, Accept: func(s engine.Submitted) { web.Answering(ctx, a.accepted(s)) }})
	if err != nil {
		return batchView{}, err
	}
	return a.accepted(s), nil
}

// accepted shows a batch as it was accepted; its first operations may be running by now.
func (a *API) accepted(s engine.Submitted) batchView {
	v := batchView{BatchID: s.Run.ID, Status: dag.StatusRunning, StorageBackend: a.Storage, Resumes: s.Run.Resumes,
		Operations: make([]operationView, len(s.Tasks))}
	for i := range s.Tasks {
		v.Operations[i] = operationView{ID: s.Tasks[i].Operation, Status: dag.StatusPending, TaskID: s.Tasks[i].ID}
	}
	return v
}

// maxUnknown is how many operations with unknown names are reported at most.
const maxUnknown = 20

// known refuses providers and task services that the installation does not have; the shape of the
// graph is the machine's to judge.
func (a *API) known(in batchIn) error {
	services, err := a.Catalogue.Taskservs()
	if err != nil {
		return err
	}
	providers := a.Catalogue.ProviderNames()
	var faults []fault.Field
	for i, op := range in.Operations {
		if len(faults) >= maxUnknown {
			break
		}
		if !slices.Contains(providers, op.Provider) {
			faults = append(faults, fault.Field{Pointer: fmt.Sprintf("/operations/%d/provider", i),
				Message: fmt.Sprintf("%q is no provider of this installation; it has: %s", op.Provider,
					listed(providers, "none; its operator adds them as [providers.NAME]"))})
		}
		for k, t := range op.Taskservs {
			if !slices.Contains(services, t) {
				faults = append(faults, fault.Field{Pointer: fmt.Sprintf("/operations/%d/taskservs/%d", i, k),
					Message: fmt.Sprintf("%q is no task service of this installation; it has: %s", t, listed(services, "none"))})
			}
		}
	}
	if len(faults) > 0 {
		return engine.Invalid(dag.Batch, faults)
	}
	return nil
}

func listed(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	return strings.Join(names, ", ")
}

func (in batchIn) definition() dag.Definition {
	d := dag.Definition{Kind: dag.Batch, Name: in.Name, ParallelLimit: in.ParallelLimit, RollbackEnabled: in.RollbackEnabled,
		PreserveSuccessful: in.PreserveSuccessful, CheckpointInterval: in.CheckpointInterval,
		StorageBackend: in.StorageBackend, Version: in.Version, Nodes: make([]dag.Node, len(in.Operations))}
	servers := in.serversBelow()
	judged := len(in.Operations) <= dag.DefaultOperations // else Validate refuses the batch unseen, and so does this
	for i := range in.Operations {
		op, n := &in.Operations[i], &d.Nodes[i]
		n.Dependencies, n.ID, n.OnFailure, n.Policy = op.Dependencies, op.ID, op.OnFailure, op.policy()
		n.Operation = op.operation()
		if judged && op.Type == "taskserv_batch" && len(op.Targets) == 0 {
			n.Operation.Targets = servers(i)
		}
		n.Args = operation.Args(n.Operation)
		if i > 0 && op.Type == in.Operations[i-1].Type { // one text for all of them
			n.Command = d.Nodes[i-1].Command
		} else {
			n.Command = operation.Command(n.Operation)
		}
	}
	return d
}

// policy returns what the operation says about its tries, nil when it says nothing.
func (op *operationIn) policy() *dag.Policy {
	p := dag.Policy{Timeout: int64(op.Timeout) * 1000}
	if r := op.Retry; r != nil {
		p.MaxAttempts, p.InitialDelay, p.MaxDelay = r.MaxAttempts, int64(r.InitialDelay)*1000, int64(r.MaxDelay)*1000
	}
	if p == (dag.Policy{}) {
		return nil
	}
	said := p // so that most operations, which say nothing, need no room for it
	return &said
}

// serversBelow returns a function from an operation's index to the servers that the operations it
// depends on make, directly or not (contract I39). It stops above the number that an operation may
// have. Unknown ids and cycles are passed over: the machine reports them.
func (in batchIn) serversBelow() func(int) []string {
	var index map[string]int // of the ids; made when it is first asked for
	return func(start int) []string {
		if index == nil {
			index = make(map[string]int, len(in.Operations))
			for i, op := range in.Operations {
				index[op.ID] = i
			}
		}
		var names []string
		seen, named := map[int]bool{start: true}, map[string]bool{}
		for queue := []int{start}; len(queue) > 0; queue = queue[1:] {
			for _, dep := range in.Operations[queue[0]].Dependencies {
				i, known := index[dep]
				if !known || seen[i] || len(names) > dag.MaxSteps {
					continue
				}
				seen[i] = true
				queue = append(queue, i)
				for _, s := range in.Operations[i].ServerConfigs {
					if !named[s.Name] {
						named[s.Name] = true
						names = append(names, s.Name)
					}
				}
			}
		}
		return names
	}
}

type listBatchesIn struct {
	web.Paging
	Status string `query:"status" enum:"Pending,Running,Completed,Failed,Cancelled" doc:"only batches with this status, in any case"`
	View   string `query:"view" enum:"full,summary" default:"full" doc:"summary: counts by status instead of the operations themselves"`
}

// maxListed is how many operations a page of batches carries, about 0.5 MB; one batch may have
// more. A page that would carry more ends earlier, and says so in X-Limit, which a client that
// counts offsets itself goes by.
const maxListed = 2000

func (a *API) listBatches(ctx context.Context, in listBatchesIn) (web.Page[batchView], error) {
	w, err := run.ListBatches(ctx, a.Engine.DB, dag.Status(in.Status), in.Place())
	if err != nil {
		return web.Page[batchView]{}, err
	}
	if in.View == "summary" {
		return web.PageOf(w, a.summary), nil
	}
	limit, shown := 0, 0
	for i, row := range w.Rows {
		if shown += row.Value.Counts.Total(); i > 0 && shown > maxListed {
			limit, w.Next, w.Rows = i, w.Rows[i-1].Value.ID, w.Rows[:i]
			break
		}
	}
	out := web.Page[batchView]{Items: make([]batchView, len(w.Rows)), Total: w.Total, Next: w.Next, Limit: limit}
	for i, row := range w.Rows {
		tasks, err := run.TasksOf(ctx, a.Engine.DB, row.Value.ID)
		if err != nil {
			return out, err
		}
		out.Items[i] = a.viewBatch(run.Batch{Run: row.Value, Tasks: tasks})
	}
	return out, nil
}

func (a *API) getBatch(ctx context.Context, in oneID) (batchView, error) {
	b, err := run.GetBatch(ctx, a.Engine.DB, in.ID)
	if err != nil {
		return batchView{}, err
	}
	v := a.viewBatch(b)
	for i := range b.Tasks {
		if v.Operations[i].Results, err = a.results(ctx, &b.Tasks[i]); err != nil {
			return batchView{}, err
		}
	}
	return v, nil
}

// adoptBatch asks for the rights of a submission, too: the new batch is the caller's own.
func (a *API) adoptBatch(ctx context.Context, in oneID) (batchView, error) {
	id := web.NewID(ctx)
	s, err := a.Engine.Resume(ctx, in.ID, engine.Submission{ID: id, Grant: asked(ctx), Act: audit.EntryDraft{
		Action: "batch.adopt", Resource: "batches/" + id, Details: map[string]any{"resumes": in.ID},
	}, Accept: func(s engine.Submitted) { web.Answering(ctx, a.accepted(s)) }}, func(d dag.Definition) error {
		return web.Require(ctx, "create", rights.Batch(d.Name, func(yield func(dag.Operation) bool) {
			for i := range d.Nodes {
				if !yield(d.Nodes[i].Operation) {
					return
				}
			}
		})...)
	})
	if err != nil {
		return batchView{}, err
	}
	return a.accepted(s), nil
}

func (a *API) cancelBatch(ctx context.Context, in oneID) error {
	b, err := run.GetBatch(ctx, a.Engine.DB, in.ID)
	if err != nil {
		if denied := mine(ctx, "cancel", "batches", in.ID, web.CallerOf(ctx).ID()); denied != nil {
			return denied
		}
		return err
	}
	if err := mine(ctx, "cancel", "batches", in.ID, b.Run.Grant.Sub); err != nil {
		return err
	}
	return a.Engine.Cancel(ctx, dag.Batch, in.ID, web.NewID(ctx))
}
