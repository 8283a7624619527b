package api

import (
	"context"
	"strconv"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/naming"
	"github.com/provisioning-platform/platform/shared/web"
)

// The records themselves are searched at the control-center, which has a copy of them all; what
// only this service can give are the proofs of its own log.
func (a *API) auditRoutes() []web.Route {
	return []web.Route{
		{Method: "GET", Path: "/audit/checkpoint", Op: "getAuditCheckpoint",
			Summary: "The newest signed tree head of the orchestrator's log", Permission: web.Allow("read", "audit"),
			Handle: web.To(a.treehead)},
		{Method: "GET", Path: "/audit/entries/:index", Op: "getAuditEntry",
			Summary: "One entry of the orchestrator's log with its proof, which verifies offline", Permission: web.Allow("read", "audit"),
			Handle: web.To(a.entry)},
		{Method: "GET", Path: "/audit/entries/:index/decision", Op: "getAuditDecision",
			Summary: "The decision that an entry stands on, with all resources that were asked about, also those that are too many for " +
				"the entry", Permission: web.Allow("read", "audit"), Handle: web.To(a.decision)},
	}
}

// entryNumber says whether a path parameter is the number of an audit entry, which is written with
// few digits: fewer than any password of digits has.
func entryNumber(param, value string) bool {
	_, err := strconv.ParseUint(value, 10, 63)
	return param == "index" && len(value) <= 10 && err == nil
}

// Known says whether a path parameter that is no UUID names something: an audit entry, or a server
// that exists.
func (a *API) Known(param, value string) bool {
	if param != "name" || !naming.Valid(value) {
		return entryNumber(param, value)
	}
	_, err := run.GetServer(context.Background(), a.Engine.DB, value)
	return err == nil
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

// decisionView is a decision with all that decided it.
type decisionView struct {
	Allowed   bool        `json:"allowed" doc:"whether the act was allowed"`
	Policy    uint64      `json:"policy" doc:"version of the policies that decided"`
	Rule      string      `json:"rule" doc:"the deciding rule, none when no rule matched" example:"role:developer#4"`
	Entry     string      `json:"entry,omitempty" doc:"id of the entry that has subject and resources of the same decision" example:"01999999-0000-7000-8000-000000000001"`
	Subject   subjectView `json:"subject" doc:"who asked, as he was when he asked"`
	Resources []askedView `json:"resources" doc:"all that was asked about"`
}

type subjectView struct {
	ID    string    `json:"id" doc:"id of the account, or service:NAME" example:"01999999-0000-7000-8000-000000000000"`
	Name  string    `json:"name" doc:"user name" example:"dana"`
	Roles []string  `json:"roles" doc:"roles of that moment" example:"developer"`
	MFA   bool      `json:"mfa" doc:"whether the session had a second factor"`
	IP    string    `json:"ip" doc:"address the request came from" example:"192.0.2.7"`
	Time  time.Time `json:"time" doc:"when it was decided"`
}

type askedView struct {
	Action string `json:"action" doc:"what was to be done" example:"create"`
	Type   string `json:"type" doc:"type of the resource" example:"servers"`
	Name   string `json:"name" doc:"name of the resource; empty: any of the type" example:"web-01"`
	Infra  string `json:"infra,omitempty" doc:"infra of the resource" example:"production"`
}

func (a *API) decision(ctx context.Context, in entryIn) (decisionView, error) {
	d, err := a.Log.Decision(ctx, in.Index)
	if err != nil {
		return decisionView{}, err
	}
	v := decisionView{Allowed: d.Allowed, Policy: d.Policy, Rule: d.Rule, Entry: d.Of, Resources: []askedView{}}
	if d.Act == nil {
		return v, nil
	}
	s := d.Act.Subject
	v.Subject = subjectView{ID: s.ID, Name: s.Username, Roles: s.Roles, MFA: s.MFA, IP: d.Act.IP, Time: d.Act.Time}
	for _, q := range d.Act.Asked {
		v.Resources = append(v.Resources, askedView{Action: q.Action, Type: q.Type, Name: q.Name, Infra: q.Infra})
	}
	return v, nil
}
