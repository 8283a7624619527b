package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/policy"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web"
)

func (a *API) policyVersionRoutes() []web.Route {
	return []web.Route{
		{Method: "GET", Path: "/policies/:id/versions", Op: "listPolicyVersions",
			Summary:    "List the states that a policy had, newest first; those of a deleted one too",
			Permission: web.Allow("read", "policies"), Handle: web.To(a.listPolicyVersions)},
		{Method: "GET", Path: "/policies/:id/versions/:revision", Op: "getPolicyVersion", Summary: "Show one state that a policy had",
			Permission: web.Allow("read", "policies"), Handle: web.To(a.getPolicyVersion)},
		{Method: "GET", Path: "/policies/:id/diff", Op: "diffPolicy", Summary: "Show where two states of a policy differ",
			Permission: web.Allow("read", "policies"), Handle: web.To(a.diffPolicy)},
		{Method: "POST", Path: "/policies/:id/revert", Op: "revertPolicy",
			Summary:    "Make a policy what it was, as a new state; this brings a deleted one back",
			Permission: web.Allow("update", "policies"), Audit: "policy.revert", Refuses: []fault.Kind{fault.Conflict},
			Handle: web.To(a.revertPolicy)},
	}
}

// versionView is one state of a policy.
type versionView struct {
	Revision int       `json:"revision" doc:"number of the state, from 1" example:"1"`
	Version  string    `json:"version" doc:"what its author calls it" example:"1.0.0"`
	Name     string    `json:"name" doc:"the name of the policy then" example:"web_operators"`
	Rules    []rule    `json:"rules" doc:"the rules then"`
	Enabled  bool      `json:"enabled" doc:"it was in force"`
	At       time.Time `json:"created_at" doc:"when it came into this state"`
	By       string    `json:"user_id" doc:"who made it" example:"01997b1c-0000-7000-8000-000000000001"`
	Username string    `json:"username" doc:"the name of who made it; empty for the service itself" example:"admin"`
	Action   string    `json:"action" doc:"what was done" example:"policy.update"`
}

func viewVersion(v policy.Version) versionView {
	return versionView{Revision: v.Revision, Version: v.Version, Name: v.Name, Rules: viewRules(v.Rules), Enabled: v.Enabled, At: v.At,
		By: v.By, Username: v.Username, Action: v.Action}
}

type listPolicyVersionsIn struct {
	web.Paging
	ID string `path:"id" doc:"id of the policy" example:"01997b1c-0000-7000-8000-000000000001"`
}

func (a *API) listPolicyVersions(ctx context.Context, in listPolicyVersionsIn) (web.Page[versionView], error) {
	w, err := a.Policies.Versions(ctx, in.ID, in.Place())
	return web.PageOf(w, viewVersion), err
}

type getPolicyVersionIn struct {
	ID       string `path:"id" doc:"id of the policy" example:"01997b1c-0000-7000-8000-000000000001"`
	Revision string `path:"revision" doc:"number of the state" example:"1"`
}

// Resources names the policy, which the route's two parameters do not say.
func (in getPolicyVersionIn) Resources() []authz.Resource { return []authz.Resource{{Name: in.ID}} }

func (a *API) getPolicyVersion(ctx context.Context, in getPolicyVersionIn) (versionView, error) {
	v, err := a.Policies.Version(ctx, in.ID, policy.Revision(in.Revision))
	return viewVersion(v), err
}

type diffPolicyIn struct {
	ID   string `path:"id" doc:"id of the policy" example:"01997b1c-0000-7000-8000-000000000001"`
	From int    `query:"from" min:"0" doc:"number of the older state; the one before the newer one when absent" example:"1"`
	To   int    `query:"to" min:"0" doc:"number of the newer state; the newest when absent" example:"2"`
}

// differenceView is one place where two states differ.
type differenceView struct {
	Pointer string          `json:"pointer" doc:"JSON pointer into the newer state; to a rule that is gone, into the older one" example:"/rules/0/condition"`
	Before  json.RawMessage `json:"before" doc:"what was there; null when it is new" example:"\"user.role == 'operator'\""`
	After   json.RawMessage `json:"after" doc:"what is there; null when it is gone" example:"\"request.mfa\""`
}

func viewDiff(list []policy.Difference) []differenceView {
	all := make([]differenceView, len(list))
	for i, d := range list {
		all[i] = differenceView(d)
	}
	return all
}

func (a *API) diffPolicy(ctx context.Context, in diffPolicyIn) ([]differenceView, error) {
	d, err := a.Policies.Diff(ctx, in.ID, in.From, in.To)
	return viewDiff(d), err
}

type revertPolicyIn struct {
	ID       string `path:"id" doc:"id of the policy" example:"01997b1c-0000-7000-8000-000000000001"`
	Match    string `header:"If-Match" doc:"the ETag of the policy that you have read; any when absent" example:"\"2\""`
	Revision int    `json:"revision" required:"true" min:"1" doc:"number of the state to go back to" example:"1"`
}

func (a *API) revertPolicy(ctx context.Context, in revertPolicyIn) (policyView, error) {
	needs := []string{"read"} // the answer shows the rules
	if _, err := a.Policies.Get(ctx, in.ID); fault.Is(err, fault.NotFound) {
		needs = append(needs, "create") // it brings a deleted policy back
	}
	for _, action := range needs {
		if err := web.Require(ctx, action, authz.Resource{Type: "policies", Name: in.ID}); err != nil {
			return policyView{}, err
		}
	}
	d, err := a.Policies.Revert(ctx, in.ID, in.Revision, in.Match, asking(ctx),
		func(d policy.Document) { web.Answering(ctx, viewPolicy(d)) })
	return viewPolicy(d), err
}
