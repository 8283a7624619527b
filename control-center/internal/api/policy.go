package api

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/policy"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web"
)

func (a *API) policyRoutes() []web.Route {
	conflict := []fault.Kind{fault.Conflict}
	return append([]web.Route{
		{Method: "GET", Path: "/policies", Op: "listPolicies", Summary: "List policies, newest first",
			Permission: web.Allow("read", "policies"), Handle: web.To(a.listPolicies)},
		{Method: "POST", Path: "/policies", Op: "createPolicy",
			Summary:    "Create a policy; it is in force when the answer comes, and on the orchestrator within 5 seconds",
			Permission: web.Allow("create", "policies"), Status: 201, Audit: "policy.create", Refuses: conflict,
			Handle: web.To(a.createPolicy),
			Doc: "A Deny beats every Allow; what no rule speaks of is decided by the roles. A policy after which you, or every " +
				"administrator, could no longer change policies is refused with `policy.lockout`."},
		{Method: "GET", Path: "/policies/:id", Op: "getPolicy", Summary: "Show a policy; its ETag is what If-Match takes",
			Permission: web.Allow("read", "policies"), Handle: web.To(a.getPolicy)},
		{Method: "PUT", Path: "/policies/:id", Op: "updatePolicy", Summary: "Change members of a policy; what is absent stays as it is",
			Permission: web.Allow("update", "policies"), Audit: "policy.update", Refuses: conflict,
			Handle: web.Do("Policy updated successfully", a.updatePolicy),
			Doc: "With If-Match, a policy that somebody else changed meanwhile is left as it is (`policy.changed`). Invalid rules leave " +
				"the old ones in force."},
		{Method: "DELETE", Path: "/policies/:id", Op: "deletePolicy",
			Summary: "Delete a policy; its versions stay, and a revert brings it back", Permission: web.Allow("delete", "policies"),
			Audit: "policy.delete", Refuses: conflict, Handle: web.Do("Policy deleted successfully", a.deletePolicy)},
	}, append(a.policyVersionRoutes(), a.policyQuestionRoutes()...)...)
}

// rule is a rule of a policy.
type rule struct {
	Effect    string   `json:"effect" required:"true" doc:"Allow or Deny; a Deny beats every Allow" example:"Allow"`
	Resource  string   `json:"resource" required:"true" doc:"type:name; * stands for any text, ? for one character" example:"servers:web-*"`
	Action    []string `json:"action" required:"true" doc:"what may, or may not, be done; * for everything" example:"[\"create\",\"read\"]"`
	Condition string   `json:"condition,omitempty" doc:"when the rule holds, in CEL; always when absent" example:"user.role == 'operator'"`
}

func viewRules(list []authz.Rule) []rule {
	all := make([]rule, len(list))
	for i, r := range list {
		all[i] = viewRule(r)
	}
	return all
}

func viewRule(r authz.Rule) rule {
	return rule{Effect: r.Effect, Resource: r.Resource, Action: r.Action, Condition: r.Condition}
}

// rulesOf returns what came in; nil stays nil.
func rulesOf(list []rule) []authz.Rule {
	if list == nil {
		return nil
	}
	all := make([]authz.Rule, len(list))
	for i, r := range list {
		all[i] = authz.Rule{Action: r.Action, Condition: r.Condition, Effect: r.Effect, Resource: r.Resource}
	}
	return all
}

// policyView is a policy; the members behind enabled are additive.
type policyView struct {
	ID        string    `json:"id" doc:"id of the policy" example:"01997b1c-0000-7000-8000-000000000001"`
	Name      string    `json:"name" doc:"its name, unique in any case" example:"web_operators"`
	Version   string    `json:"version" doc:"what its author calls this state" example:"1.0.0"`
	Rules     []rule    `json:"rules" doc:"its rules"`
	CreatedAt time.Time `json:"created_at" doc:"when it was made"`
	Enabled   bool      `json:"enabled" doc:"it is in force"`
	Revision  int       `json:"revision" doc:"number of this state, from 1; the ETag" example:"1"`
	UpdatedAt time.Time `json:"updated_at" doc:"when it came into this state"`
}

// ETag is what If-Match takes.
func (v policyView) ETag() string { return policy.Document{Revision: v.Revision}.ETag() }

func viewPolicy(d policy.Document) policyView {
	return policyView{ID: d.ID, Name: d.Name, Version: d.Version, Rules: viewRules(d.Rules), CreatedAt: d.CreatedAt, Enabled: d.Enabled,
		Revision: d.Revision, UpdatedAt: d.UpdatedAt}
}

type listPoliciesIn struct {
	web.Paging
	Name    string `query:"name" max:"256" doc:"only the policy with this name, in any case" example:"web_operators"`
	Enabled *bool  `query:"enabled" doc:"only policies that are in force, or only those that are not"`
}

func (a *API) listPolicies(ctx context.Context, in listPoliciesIn) (web.Page[policyView], error) {
	w, err := a.Policies.List(ctx, policy.Filter{Name: in.Name, Enabled: in.Enabled}, in.Place())
	return web.PageOf(w, viewPolicy), err
}

type createPolicyIn struct {
	Name    string `json:"name" required:"true" doc:"letters, digits and . _ -" example:"web_operators"`
	Version string `json:"version" required:"true" doc:"what you call this state" example:"1.0.0"`
	Rules   []rule `json:"rules" required:"true" doc:"1 to 256 rules"`
	Enabled *bool  `json:"enabled" doc:"whether it is in force; true when absent" rare:"true"`
}

// createdPolicy is a new policy.
type createdPolicy struct {
	ID      string `json:"id" doc:"id of the policy" example:"01997b1c-0000-7000-8000-000000000001"`
	Name    string `json:"name" doc:"its name" example:"web_operators"`
	Version string `json:"version" doc:"its version" example:"1.0.0"`
}

func (a *API) createPolicy(ctx context.Context, in createPolicyIn) (createdPolicy, error) {
	made := createdPolicy{ID: web.NewID(ctx), Name: in.Name, Version: in.Version}
	web.Answering(ctx, made)
	_, err := a.Policies.Create(ctx, policy.Draft{ID: made.ID, Name: in.Name, Version: in.Version, Rules: rulesOf(in.Rules),
		Enabled: in.Enabled == nil || *in.Enabled}, asking(ctx))
	return made, err
}

type onePolicy struct {
	ID string `path:"id" doc:"id of the policy" example:"01997b1c-0000-7000-8000-000000000001"`
}

func (a *API) getPolicy(ctx context.Context, in onePolicy) (policyView, error) {
	d, err := a.Policies.Get(ctx, in.ID)
	return viewPolicy(d), err
}

type updatePolicyIn struct {
	ID      string  `path:"id" doc:"id of the policy" example:"01997b1c-0000-7000-8000-000000000001"`
	Match   string  `header:"If-Match" doc:"the ETag of the policy that you have read; any when absent" example:"\"1\""`
	Name    *string `json:"name" doc:"a new name" example:"web_operators"`
	Version *string `json:"version" doc:"what you call the new state; the last part rises when absent" example:"1.1.0"`
	Rules   []rule  `json:"rules" doc:"the new rules, all of them"`
	Enabled *bool   `json:"enabled" doc:"whether it is in force"`
}

// Ignores names the members of the GET shape that cannot be changed (decision 19).
func (updatePolicyIn) Ignores() []string {
	return []string{"id", "created_at", "updated_at", "revision"}
}

func (a *API) updatePolicy(ctx context.Context, in updatePolicyIn) error {
	e := policy.Edit{Name: in.Name, Version: in.Version, Rules: rulesOf(in.Rules), Enabled: in.Enabled}
	return a.Policies.Update(ctx, in.ID, e, in.Match, asking(ctx))
}

type deletePolicyIn struct {
	ID    string `path:"id" doc:"id of the policy" example:"01997b1c-0000-7000-8000-000000000001"`
	Match string `header:"If-Match" doc:"the ETag of the policy that you have read; any when absent" example:"\"1\""`
}

func (a *API) deletePolicy(ctx context.Context, in deletePolicyIn) error {
	return a.Policies.Delete(ctx, in.ID, in.Match, asking(ctx))
}

// asking is who asks, as the policies see it.
func asking(ctx context.Context) policy.Caller {
	c := web.CallerOf(ctx)
	return policy.Caller{Subject: c.Subject(), IP: c.IP.String(), Time: c.At}
}
