package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/auditlog"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/instant"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web"
)

func (a *API) auditRoutes() []web.Route {
	return []web.Route{
		{Method: "GET", Path: "/audit/logs", Op: "listAuditLogs", Summary: "Acts on both services, newest first", Permission: web.Allow("read", "audit"), Handle: web.To(a.listAudit)},
		{Method: "GET", Path: "/audit/logs/:id", Op: "getAuditLog", Summary: "One act; with proof=1 with its proof, which verifies offline", Permission: web.Allow("read", "audit"), Handle: web.To(a.getAudit)},
		{Method: "GET", Path: "/audit/checkpoint", Op: "getAuditCheckpoint", Summary: "The newest signed tree head of the control-center's log", Permission: web.Allow("read", "audit"), Handle: web.To(a.treehead)},
	}
}

// auditView is a row; the members behind details are additive.
type auditView struct {
	ID        string          `json:"id"`
	Timestamp time.Time       `json:"timestamp"`
	UserID    string          `json:"user_id"`
	Action    string          `json:"action"`
	Resource  string          `json:"resource"`
	Result    string          `json:"result"`
	Details   json.RawMessage `json:"details"`
	Origin    string          `json:"origin"`
	Index     uint64          `json:"index"`
	LeafHash  string          `json:"leaf_hash"`
	Outcome   *uint64         `json:"outcome_index,omitempty"`
	Proof     *audit.Bundle   `json:"proof,omitempty"`
}

func viewRow(r auditlog.Row) auditView {
	return auditView{ID: r.ID, Timestamp: r.Timestamp, UserID: r.UserID, Action: r.Action, Resource: r.Resource, Result: r.Result,
		Details: r.Details, Origin: r.Origin, Index: r.Index, LeafHash: r.LeafHash, Outcome: r.Outcome}
}

type listAuditIn struct {
	web.Paging
	UserID   string       `query:"user_id" max:"256"`
	Action   string       `query:"action" max:"256" example:"server.create"`
	Resource string       `query:"resource" max:"1024" example:"servers/web-01"`
	From     instant.Span `query:"from" doc:"not before: ISO 8601, a date stands for its beginning"`
	To       instant.Span `query:"to" doc:"not after: ISO 8601, to the end of the day, minute or second it names"`
}

func (in listAuditIn) filter() auditlog.Filter {
	return auditlog.Filter{UserID: id.Canonical(in.UserID), Action: in.Action, Resource: in.Resource, From: in.From.First, To: in.To.Last}
}

func (a *API) listAudit(ctx context.Context, in listAuditIn) (web.Page[auditView], error) {
	f := in.filter()
	if err := a.Index.Await(ctx); err != nil {
		return web.Page[auditView]{}, err
	}
	w, err := a.Index.Search(ctx, f, in.Place())
	return web.PageOf(w, viewRow), err
}

type getAuditIn struct {
	ID    string `path:"id"`
	Proof string `query:"proof" enum:"0,1" doc:"1: also the proof that the entry is in the signed log"`
}

func (a *API) getAudit(ctx context.Context, in getAuditIn) (auditView, error) {
	r, err := a.Index.Get(ctx, in.ID)
	if err != nil {
		return auditView{}, err
	}
	v := viewRow(r)
	if in.Proof != "1" {
		return v, nil
	}
	if r.Origin != token.ControlCenter {
		return auditView{}, fault.New(fault.NotFound, "audit.proof_elsewhere", "this entry is in the log of the %s, which alone can prove it: GET /audit/entries/%d there", r.Origin, r.Index)
	}
	b, err := a.Log.Bundle(ctx, int64(r.Index))
	v.Proof = &b
	return v, err
}

func (a *API) treehead(context.Context, web.None) (audit.Publication, error) {
	return a.Log.Publish(), nil
}
