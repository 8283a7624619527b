package api

import (
	"context"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/web"
)

// The records themselves are searched at the control-center, which has a copy of them all; what
// only this service can give are the proofs of its own log.
func (a *API) auditRoutes() []web.Route {
	return []web.Route{
		{Method: "GET", Path: "/audit/checkpoint", Op: "getAuditCheckpoint", Summary: "The newest signed tree head of the orchestrator's log", Permission: web.Allow("read", "audit"), Handle: web.To(a.treehead)},
		{Method: "GET", Path: "/audit/entries/:index", Op: "getAuditEntry", Summary: "One entry of the orchestrator's log with its proof, which verifies offline", Permission: web.Allow("read", "audit"), Handle: web.To(a.entry)},
	}
}

func (a *API) treehead(context.Context, web.None) (audit.Publication, error) {
	return a.Log.Publish(), nil
}

type entryIn struct {
	Index int64 `path:"index" min:"0" doc:"leaf index, as the control-center's rows show it" example:"7"`
}

func (a *API) entry(ctx context.Context, in entryIn) (audit.Bundle, error) {
	return a.Log.Bundle(ctx, in.Index)
}
