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
		{Method: "GET", Path: "/audit/logs", Op: "listAuditLogs", Summary: "Acts on both services, newest first",
			Permission: web.Allow("read", "audit"), Handle: web.To(a.listAudit)},
		{Method: "GET", Path: "/audit/logs/:id", Op: "getAuditLog", Summary: "One act; with proof=1 with its proof, which verifies offline",
			Permission: web.Allow("read", "audit"), Handle: web.To(a.getAudit)},
		{Method: "GET", Path: "/audit/checkpoint", Op: "getAuditCheckpoint",
			Summary: "The newest signed tree head of the control-center's log", Permission: web.Allow("read", "audit"),
			Handle: web.To(a.treehead)},
	}
}

// auditView is a row of the index. The members after details are additions to the contract.
type auditView struct {
	ID        string          `json:"id" doc:"id of the act" example:"01997b1c-0000-7000-8000-000000000001"`
	Timestamp time.Time       `json:"timestamp" doc:"when it was"`
	UserID    string          `json:"user_id" doc:"who did it: an account, or service:<name>" example:"01997b1c-0000-7000-8000-000000000001"`
	Action    string          `json:"action" doc:"what was done" example:"user.create"`
	Resource  string          `json:"resource" doc:"what it was about" example:"users/01997b1c-0000-7000-8000-000000000001"`
	Result    string          `json:"result" doc:"success, failure, denied, pending or unknown" example:"success"`
	Details   json.RawMessage `json:"details" doc:"what more the entry says" example:"{\"ip\":\"203.0.113.7\"}"`
	Origin    string          `json:"origin" doc:"whose log the entry is in" example:"control-center"`
	Index     uint64          `json:"index" doc:"leaf index in that log"`
	LeafHash  string          `json:"leaf_hash" doc:"hash of the entry (RFC 6962), in hex" example:"4a5a9c1fdd2d71fa7f9e1d6a4f7b8c3b0c6f1fdc5a3dd7a5b0f4a8a1c9d3e2f1"`
	Outcome   *uint64         `json:"outcome_index,omitempty" doc:"leaf index of the entry that says how it ended; absent when it is one entry" rare:"true"`
	Proof     *audit.Bundle   `json:"proof,omitempty" doc:"that the entry is in the signed log; with proof=1" rare:"true"`
}

func viewRow(r auditlog.Row) auditView {
	return auditView{ID: r.ID, Timestamp: r.Timestamp, UserID: r.UserID, Action: r.Action, Resource: r.Resource, Result: r.Result,
		Details: r.Details, Origin: r.Origin, Index: r.Index, LeafHash: r.LeafHash, Outcome: r.Outcome}
}

type listAuditIn struct {
	web.Paging
	UserID   string       `query:"user_id" max:"256" doc:"only acts of this account or service" example:"01997b1c-0000-7000-8000-000000000001"`
	Action   string       `query:"action" max:"256" example:"server.create" doc:"only this action"`
	Resource string       `query:"resource" max:"1024" example:"servers/web-01" doc:"only acts on this resource"`
	From     instant.Span `query:"from" doc:"not before: ISO 8601, a date stands for its beginning" example:"2025-09-26"`
	To       instant.Span `query:"to" doc:"not after: ISO 8601, to the end of the day, minute or second it names" example:"2025-09-27"`
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
	ID    string `path:"id" doc:"id of the act" example:"01997b1c-0000-7000-8000-000000000001"`
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
		return auditView{}, fault.New(fault.NotFound, "audit.proof_elsewhere",
			"this entry is in the log of the %s, which alone can prove it: GET /audit/entries/%d there", r.Origin, r.Index)
	}
	b, err := a.Log.Bundle(ctx, int64(r.Index))
	v.Proof = &b
	return v, err
}

func (a *API) treehead(context.Context, web.None) (audit.Publication, error) {
	return a.Log.Publish(), nil
}
