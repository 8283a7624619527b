package api

import (
	"context"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/web"
)

// The records themselves are searched at the control-center, which has a copy of them all; what only this service can
// give are the proofs of its own log.
func (a *API) auditRoutes() []web.Route {
	return []web.Route{
		{Method: "GET", Path: "/audit/checkpoint", Op: "getAuditCheckpoint", Summary: "The newest signed tree head of the orchestrator's log", Permission: web.Allow("read", "audit"), Handle: web.To(a.treehead)},
		{Method: "GET", Path: "/audit/entries/:index", Op: "getAuditEntry", Summary: "One entry of the orchestrator's log with its proof, which verifies offline", Permission: web.Allow("read", "audit"), Handle: web.To(a.entry)},
	}
}

// treeheadView is the signed state of the log.
type treeheadView struct {
	Origin    string       `json:"origin"`
	Size      int64        `json:"size"`
	Root      string       `json:"root"`
	Treehead  string       `json:"treehead"`
	Keys      audit.Public `json:"keys"`
	State     string       `json:"state"`
	Entries   int64        `json:"entries"`
	Witnessed int64        `json:"witnessed_size"`
}

func (a *API) treehead(context.Context, web.None) (treeheadView, error) {
	h, s := a.Log.Head(), a.Log.Status()
	return treeheadView{Origin: h.Origin, Size: h.Size, Root: h.Root.String(), Treehead: h.Note, Keys: a.Log.Public(), State: string(s.State), Entries: s.Size, Witnessed: s.Witnessed}, nil
}

type entryIn struct {
	Index int64 `path:"index" min:"0" doc:"leaf index, as the control-center's rows show it"`
}

func (a *API) entry(ctx context.Context, in entryIn) (audit.Bundle, error) {
	return a.Log.Bundle(ctx, in.Index)
}
