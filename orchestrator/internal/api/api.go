// Package api is the orchestrator's route table and the views of its nouns. Handlers translate
// between the wire and the engine and do nothing else; a view is a type of its own, so a stored
// member is on the wire only when somebody wrote it down here.
//
// It owns no rules and no storage. The one rule a caller must know: a route that is not in Routes
// does not exist, and each one says its permission and its audit action.
package api

import (
	"context"
	"net/http"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/rollback"
	"github.com/provisioning-platform/platform/orchestrator/internal/state"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/health"
	"github.com/provisioning-platform/platform/shared/store/driver"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/watch"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/openapi"
	"github.com/provisioning-platform/platform/shared/webhook/hookapi"
)

// Catalogue is what a submission may name, and how to reach what came of it.
type Catalogue interface {
	rollback.ServerLister
	ForeseeUndo(step dag.Step, facts map[string]string, recreate bool) (again bool, why string) // rollback.ForeseeUndo
	Taskservs() ([]string, error)
	Reach(server dag.Resource) map[string]string // what the system's ssh needs; not for everybody
}

// API holds what the handlers speak to. Its fields are set in one literal.
type API struct {
	Engine    *engine.Engine
	Log       *audit.Log
	Catalogue Catalogue
	Storage   string // name of the store in use, as batches show it
	Metrics   http.Handler
	Public    bool // /metrics needs no token
	Socket    http.Handler
	Tickets   func(token.Claims) (watch.Ticket, error) // gives one that opens Socket once
	Health    *health.Checks
	Host      *state.Host
	StoreSize func() int64 // bytes of the store on this machine

	Webhooks *hookapi.API
}

// Routes returns the whole table.
func (a *API) Routes() []web.Route {
	metrics := web.Allow("read", "metrics")
	if a.Public {
		metrics = web.Open()
	}
	all := []web.Route{
		{Method: "GET", Path: "/metrics", Op: "metrics", Summary: "Figures in the text format of Prometheus", Permission: metrics,
			Limit: web.Free, Speaks: figures(), Stream: a.Metrics},
	}
	for _, part := range [][]web.Route{a.socketRoutes(), a.Health.Routes(), a.taskRoutes(), a.workflowRoutes(), a.batchRoutes(),
		a.stateRoutes(), a.inventoryRoutes(), a.rollbackRoutes(), a.restoreRoutes(),
		a.previewRoutes(), a.Webhooks.Routes(), a.auditRoutes()} {
		all = append(all, part...)
	}
	return all
}

// Nouns are the groups of the OpenAPI document, the main ones first.
func Nouns() []openapi.Noun {
	return []openapi.Noun{
		{Name: "Batches", Paths: []string{"batch"},
			Doc: "A batch is a set of operations with dependencies between them: servers to create and task services to install, at any " +
				"provider."},
		{Name: "Workflows", Paths: []string{"workflows"},
			Doc: "A workflow is one job on an infra: its servers, a task service, or a cluster."},
		{Name: "Tasks", Paths: []string{"tasks"},
			Doc: "A task is the unit that is queued and run: an operation of a batch, or a workflow."},
		{Name: "State", Paths: []string{"state"},
			Doc: "How far a workflow is and was, how many there are, and how the service is. A workflow is a batch or a single task."},
		{Name: "Inventory", Paths: []string{"inventory"}, Doc: "The servers that stand: who made them, and how to log in."},
		{Name: "Rollback", Paths: []string{"rollback"},
			Doc: "A checkpoint is a place in the history. A rollback undoes what was done after one, " +
				"or what operations did that are named."},
		{Name: "Events", Paths: []string{"ws"},
			Doc: "What happens, as it happens, over WebSocket; nothing is missed by who says what was seen last."},
		{Name: "Webhooks", Paths: []string{"webhooks"},
			Doc: "A webhook sends events to a URL, signed, until the receiver has taken them. Deliveries are at least once: the id of a " +
				"delivery is the same in every repetition."},
		{Name: "Audit log", Paths: []string{"audit"},
			Doc: "Proofs of the orchestrator's own tamper-evident log. What is in it is searched at the control-center."},
		{Name: "Service", Paths: []string{"health", "ready", "metrics", "openapi.json", "docs"},
			Doc: "Whether the service works, its figures, and this document."},
	}
}

// figures describes the stream of /metrics.
func figures() *openapi.StreamDoc {
	return &openapi.StreamDoc{Type: "text/plain", Doc: "The figures, in the text format of Prometheus."}
}

// mine asks for the right to act on somebody's work: the weaker right when it is the caller's own.
func mine(ctx context.Context, action, resourceType, name, owner string) error {
	if owner == web.CallerOf(ctx).ID() {
		action += "_own"
	}
	return web.Require(ctx, action, authz.Resource{Type: resourceType, Name: name})
}

// StorageName returns the contract's word for the store in use.
func StorageName(o driver.Options) string {
	if o.InMemory() || o.Embedded() {
		return "filesystem"
	}
	return "surrealdb"
}

// Admit returns what refuses a route that changes something while changes returns a fault: the
// control-center is silent (decision 5).
func Admit(changes func() error) func(web.Route) error {
	return func(r web.Route) error {
		if !r.Mutates() {
			return nil
		}
		return changes()
	}
}

// asked says what a run keeps of who submits it, so that each of its starts can be asked about
// again.
func asked(ctx context.Context) dag.Grant {
	c := web.CallerOf(ctx)
	g := dag.Grant{AuthVersion: c.Claims.AuthVersion, MFA: c.Claims.MFA(), Roles: c.Claims.Roles,
		Time: c.At.UTC().Truncate(time.Microsecond)}
	if c.Claims.Kind == token.API {
		g.Token = c.Claims.ID
		for _, r := range c.Claims.Scope {
			g.Scope = append(g.Scope, r.String())
		}
	}
	return g
}
