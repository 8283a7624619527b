// Package api is the orchestrator's route table and the views of its nouns. Handlers translate between the wire and
// the engine and do nothing else; a view is a type of its own, so a stored member is on the wire only when somebody
// wrote it down here.
//
// It owns no rules and no storage. The one rule a caller must know: a route that is not in Routes does not exist, and
// each one says its permission and its audit action.
package api

import (
	"context"
	"net/http"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/health"
	"github.com/provisioning-platform/platform/shared/web"
)

// Catalogue is what a submission may name, and how to reach what came of it.
type Catalogue interface {
	ProviderNames() []string
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
	Health    *health.Service
}

// Routes returns the whole table.
func (a *API) Routes() []web.Route {
	metrics := web.Allow("read", "metrics")
	if a.Public {
		metrics = web.Open()
	}
	all := []web.Route{
		{Method: "GET", Path: "/metrics", Op: "metrics", Summary: "Figures in the text format of Prometheus", Permission: metrics, Limit: web.Free, Stream: a.Metrics},
		{Method: "GET", Path: "/ws", Op: "watchEvents", Summary: "Live events over WebSocket, from any kept sequence on", Permission: web.Open(), Lasts: true, Stream: a.Socket},
	}
	for _, part := range [][]web.Route{a.Health.Routes(), a.taskRoutes(), a.workflowRoutes(), a.batchRoutes(), a.rollbackRoutes(), a.auditRoutes()} {
		all = append(all, part...)
	}
	return all
}

// mine asks for the right to act on somebody's work: the weaker right when it is the caller's own.
func mine(ctx context.Context, action, resourceType, name, owner string) error {
	if owner == web.CallerOf(ctx).ID() {
		action += "_own"
	}
	return web.Require(ctx, action, authz.Resource{Type: resourceType, Name: name})
}

// asked says what a run keeps of who submits it, so that each of its starts can be asked about again.
func asked(ctx context.Context) dag.Grant {
	c := web.CallerOf(ctx)
	return dag.Grant{AuthVersion: c.Claims.AuthVersion, MFA: c.Claims.MFA(), Roles: c.Claims.Roles, Time: c.At.UTC().Truncate(time.Microsecond)}
}
