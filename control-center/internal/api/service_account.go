package api

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/serviceaccount"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web"
)

func (a *API) serviceAccountRoutes() []web.Route {
	allow := func(action string) web.Permission { return web.Allow(action, "service-accounts") }
	return []web.Route{
		{Method: "GET", Path: "/service-accounts", Op: "listServiceAccounts", Summary: "List service accounts, newest first",
			Permission: allow("read"), Handle: web.To(a.listServiceAccounts)},
		{Method: "POST", Path: "/service-accounts", Op: "createServiceAccount", Summary: "Create a service account",
			Doc: "It has roles and a person who answers for it, and no password: it acts by API tokens (POST /tokens with " +
				"service_account). Disabling or deleting that person does not stop it; the list says so.", Status: 201,
			Permission: allow("create"), Audit: "service_account.create", Handle: web.To(a.createServiceAccount)},
		{Method: "GET", Path: "/service-accounts/:id", Op: "getServiceAccount", Summary: "Show a service account",
			Permission: allow("read"), Handle: web.To(a.getServiceAccount)},
		{Method: "PUT", Path: "/service-accounts/:id", Op: "updateServiceAccount", Summary: "Change members of a service account",
			Doc: "Roles are in force at once; disabling it revokes its tokens.", Permission: allow("update"),
			Audit: "service_account.update", Handle: web.Do("Service account updated", a.updateServiceAccount)},
		{Method: "DELETE", Path: "/service-accounts/:id", Op: "deleteServiceAccount",
			Summary: "Delete a service account and revoke its tokens", Permission: allow("delete"), Audit: "service_account.delete",
			Handle: web.Do("Service account deleted", a.deleteServiceAccount)},
	}
}

// serviceAccountView is a service account as lists show it.
type serviceAccountView struct {
	ID          string    `json:"id" doc:"id of the service account" example:"01997b1c-0000-7000-8000-000000000004"`
	Name        string    `json:"name" doc:"its name, unique in any case of its letters" example:"ci"`
	Username    string    `json:"username" doc:"how policies and the audit log name it" example:"service-account:ci"`
	Description string    `json:"description" doc:"what it is for" example:"builds of the web team"`
	Roles       []string  `json:"roles" doc:"what it may do" example:"[\"developer\"]"`
	Enabled     bool      `json:"enabled" doc:"it may act"`
	Owner       string    `json:"owner" doc:"id of the person who answers for it" example:"01997b1c-0000-7000-8000-000000000002"`
	OwnerName   string    `json:"owner_name" doc:"the user name of that person; empty when the account is gone" example:"alice"`
	OwnerState  string    `json:"owner_state" enum:"enabled,disabled,deleted" doc:"what became of that person, which does not stop the service account"`
	CreatedAt   time.Time `json:"created_at" doc:"when it was made"`
	UpdatedAt   time.Time `json:"updated_at" doc:"when it was changed"`
}

// viewServiceAccount returns the view of an account; its owner is looked up.
func (a *API) viewServiceAccount(ctx context.Context, s serviceaccount.Account) (serviceAccountView, error) {
	v := serviceAccountView{ID: s.ID, Name: s.Name, Username: s.Username(), Description: s.Description, Roles: s.Roles, Enabled: s.Enabled,
		Owner: s.Owner, OwnerState: "enabled", CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt}
	u, err := a.Users.Get(ctx, s.Owner)
	switch {
	case fault.Is(err, fault.NotFound):
		v.OwnerState = "deleted"
		return v, nil
	case !u.Enabled:
		v.OwnerState = "disabled"
	}
	v.OwnerName = u.Username
	return v, err
}

type listServiceAccountsIn struct {
	web.Paging
	Name string `query:"name" max:"128" doc:"only the one with this name, in any case of its letters" example:"ci"`
}

func (a *API) listServiceAccounts(ctx context.Context, in listServiceAccountsIn) (web.Page[serviceAccountView], error) {
	if in.Name != "" {
		s, err := a.Machines.ByName(ctx, in.Name)
		if fault.Is(err, fault.NotFound) {
			return web.Page[serviceAccountView]{}, nil
		}
		if err != nil {
			return web.Page[serviceAccountView]{}, err
		}
		v, err := a.viewServiceAccount(ctx, s)
		return web.Page[serviceAccountView]{Items: []serviceAccountView{v}, Total: 1}, err
	}
	w, err := a.Machines.List(ctx, in.Place())
	if err != nil {
		return web.Page[serviceAccountView]{}, err
	}
	var failed error
	page := web.PageOf(w, func(s serviceaccount.Account) serviceAccountView {
		v, err := a.viewServiceAccount(ctx, s)
		if err != nil {
			failed = err
		}
		return v
	})
	return page, failed
}

type createServiceAccountIn struct {
	Name        string   `json:"name" required:"true" max:"128" form:"name" doc:"its name" example:"ci"`
	Description string   `json:"description" max:"4096" form:"free" doc:"what it is for" example:"builds of the web team"`
	Roles       []string `json:"roles" required:"true" max:"16" doc:"what it may do" example:"[\"developer\"]"`
	Owner       string   `json:"owner" max:"256" doc:"id of the person who answers for it; the caller when it is left out" example:"01997b1c-0000-7000-8000-000000000002"`
}

func (a *API) createServiceAccount(ctx context.Context, in createServiceAccountIn) (v serviceAccountView, err error) {
	who := by(ctx)
	if in.Owner == "" {
		in.Owner = who.ID
	}
	owner, err := a.Users.Get(ctx, in.Owner)
	if err != nil && !fault.Is(err, fault.NotFound) { // Create says what is wrong with an owner that is not there
		return v, err
	}
	state := "enabled"
	if !owner.Enabled {
		state = "disabled"
	}
	_, err = a.Machines.Create(ctx, serviceaccount.Draft{ID: web.NewID(ctx), Name: in.Name, Description: in.Description, Owner: in.Owner,
		Roles: in.Roles, Accept: func(s serviceaccount.Account) {
			v = serviceAccountView{ID: s.ID, Name: s.Name, Username: s.Username(), Description: s.Description, Roles: s.Roles,
				Enabled: s.Enabled, Owner: s.Owner, OwnerName: owner.Username, OwnerState: state, CreatedAt: s.CreatedAt,
				UpdatedAt: s.UpdatedAt}
			web.Answering(ctx, v)
		}}, who)
	return v, err
}

type oneServiceAccount struct {
	ID string `path:"id" doc:"id of the service account" example:"01997b1c-0000-7000-8000-000000000004"`
}

func (a *API) getServiceAccount(ctx context.Context, in oneServiceAccount) (serviceAccountView, error) {
	s, err := a.Machines.Get(ctx, in.ID)
	if err != nil {
		return serviceAccountView{}, err
	}
	return a.viewServiceAccount(ctx, s)
}

type updateServiceAccountIn struct {
	ID          string   `path:"id" doc:"id of the service account" example:"01997b1c-0000-7000-8000-000000000004"`
	Description *string  `json:"description" max:"4096" form:"free" doc:"what it is for" example:"builds of the web team"`
	Enabled     *bool    `json:"enabled" doc:"whether it may act" rare:"true"`
	Owner       *string  `json:"owner" max:"256" doc:"id of the person who answers for it" example:"01997b1c-0000-7000-8000-000000000002"`
	Roles       []string `json:"roles" max:"16" doc:"the new roles, all of them" example:"[\"developer\"]"`
}

// Ignores returns the members of the answer to GET that nobody can change; a PUT may repeat them
// (decision 19).
func (updateServiceAccountIn) Ignores() []string {
	return []string{"id", "name", "username", "owner_name", "owner_state", "created_at", "updated_at"}
}

func (a *API) updateServiceAccount(ctx context.Context, in updateServiceAccountIn) error {
	if in.Description == nil && in.Enabled == nil && in.Owner == nil && in.Roles == nil {
		return fault.New(fault.Invalid, "service_account.nothing",
			"nothing to change: give at least one of description, enabled, owner, roles")
	}
	return a.Machines.Update(ctx, in.ID, serviceaccount.Patch{Description: in.Description, Enabled: in.Enabled, Owner: in.Owner,
		Roles: in.Roles}, by(ctx))
}

func (a *API) deleteServiceAccount(ctx context.Context, in oneServiceAccount) error {
	return a.Machines.Delete(ctx, in.ID, by(ctx))
}
