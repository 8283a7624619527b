package api

import (
	"context"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/session"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web"
)

func (a *API) userRoutes() []web.Route {
	return []web.Route{
		{Method: "GET", Path: "/users", Op: "listUsers", Summary: "List accounts, newest first", Permission: web.Allow("read", "users"),
			Handle: web.To(a.listUsers)},
		{Method: "POST", Path: "/users", Op: "createUser", Summary: "Create an account", Permission: web.Allow("create", "users"),
			Status: 201, Audit: "user.create", Handle: web.To(a.createUser)},
		{Method: "GET", Path: "/users/:id", Op: "getUser", Summary: "Show an account: the own one, or any with the right to read users",
			Permission: web.Authenticated().WithAPITokens(), Handle: web.To(a.getUser)},
		{Method: "PUT", Path: "/users/:id", Op: "updateUser",
			Summary: "Change members of an account; everybody may change the own password", Permission: web.Authenticated().WithAPITokens(),
			Audit: "user.update", Handle: web.Do("User updated successfully", a.updateUser)},
		{Method: "DELETE", Path: "/users/:id", Op: "deleteUser", Summary: "Delete an account and end its sessions",
			Permission: web.Allow("delete", "users"), Audit: "user.delete", Handle: web.Do("User deleted successfully", a.deleteUser)},
	}
}

// userView is an account as lists show it.
type userView struct {
	ID        string     `json:"id" doc:"id of the account" example:"01997b1c-0000-7000-8000-000000000001"`
	Username  string     `json:"username" doc:"name to sign in with" example:"alice"`
	Email     string     `json:"email" doc:"address" example:"alice@example.com"`
	Roles     []string   `json:"roles" doc:"what it may do" example:"[\"operator\"]"`
	Enabled   bool       `json:"enabled" doc:"it may sign in"`
	CreatedAt time.Time  `json:"created_at" doc:"when it was made"`
	LastLogin *time.Time `json:"last_login" doc:"when it last signed in; null when never"`
}

func viewUser(u user.User) userView {
	return userView{ID: u.ID, Username: u.Username, Email: u.Email, Roles: u.Roles, Enabled: u.Enabled, CreatedAt: u.CreatedAt,
		LastLogin: u.LastLogin}
}

// createdView is a new account.
type createdView struct {
	ID       string   `json:"id" doc:"id of the account" example:"01997b1c-0000-7000-8000-000000000001"`
	Username string   `json:"username" doc:"name to sign in with" example:"alice"`
	Email    string   `json:"email" doc:"address" example:"alice@example.com"`
	Roles    []string `json:"roles" doc:"what it may do" example:"[\"operator\"]"`
	Enabled  bool     `json:"enabled" doc:"it may sign in"`
}

func viewCreated(u user.User) createdView {
	return createdView{ID: u.ID, Username: u.Username, Email: u.Email, Roles: u.Roles, Enabled: u.Enabled}
}

type listUsersIn struct {
	web.Paging
	Username string `query:"username" max:"256" doc:"only the account that this name means, in any spelling, or this e-mail address" example:"alice"`
	Role     string `query:"role" max:"256" doc:"only accounts with this role" example:"operator"`
	Enabled  *bool  `query:"enabled" doc:"only enabled, or only disabled accounts"`
}

func (a *API) listUsers(ctx context.Context, in listUsersIn) (web.Page[userView], error) {
	if in.Username != "" {
		u, err := a.Users.ByName(ctx, in.Username)
		if err != nil || u.ID == "" || in.Role != "" && !slices.Contains(u.Roles, in.Role) || in.Enabled != nil &&
			*in.Enabled != u.Enabled {
			return web.Page[userView]{}, err
		}
		return web.Page[userView]{Items: []userView{viewUser(u)}, Total: 1}, nil
	}
	w, err := a.Users.List(ctx, user.Filter{Role: in.Role, Enabled: in.Enabled}, in.Place())
	return web.PageOf(w, viewUser), err
}

type createUserIn struct {
	Username string   `json:"username" required:"true" doc:"letters, digits and . _ - @ +" example:"alice"`
	Email    string   `json:"email" required:"true" doc:"address, unique in every spelling" example:"alice@example.com"`
	Password string   `json:"password" required:"true" doc:"at least 15 characters" example:"correct horse battery staple"`
	Roles    []string `json:"roles" required:"true" doc:"admin, operator, developer, viewer, auditor" example:"[\"operator\"]"`
	Enabled  *bool    `json:"enabled" doc:"true when absent"`
}

func (a *API) createUser(ctx context.Context, in createUserIn) (createdView, error) {
	u, err := a.Users.Create(ctx, user.Draft{ID: web.NewID(ctx), Username: in.Username, Email: in.Email, Password: in.Password,
		Roles: in.Roles, Enabled: in.Enabled == nil || *in.Enabled,
		Accept: func(u user.User) { web.Answering(ctx, viewCreated(u)) }}, by(ctx))
	return viewCreated(u), err
}

type oneUser struct {
	ID string `path:"id" doc:"id of the account" example:"01997b1c-0000-7000-8000-000000000001"`
}

func (a *API) getUser(ctx context.Context, in oneUser) (userView, error) {
	action := "read"
	if in.ID == web.CallerOf(ctx).ID() {
		action = "read_own"
	}
	if err := web.Require(ctx, action, authz.Resource{Type: "users", Name: in.ID}); err != nil {
		return userView{}, err
	}
	u, err := a.Users.Get(ctx, in.ID)
	return viewUser(u), err
}

type updateUserIn struct {
	ID       string   `path:"id" doc:"id of the account" example:"01997b1c-0000-7000-8000-000000000001"`
	Email    *string  `json:"email" doc:"a new address" example:"alice@example.com"`
	Roles    []string `json:"roles" doc:"the new roles, all of them" example:"[\"operator\"]"`
	Enabled  *bool    `json:"enabled" doc:"whether it may sign in" rare:"true"`
	Password *string  `json:"password" doc:"a new password" example:"correct horse battery staple" rare:"true"`
}

// Ignores returns the members of the answer to GET that nobody can change; a PUT may repeat them
// (decision 19).
func (updateUserIn) Ignores() []string { return []string{"id", "username", "created_at", "last_login"} }

func (a *API) updateUser(ctx context.Context, in updateUserIn) error {
	c := web.CallerOf(ctx)
	own := in.ID == c.ID() && in.Password != nil && in.Email == nil && in.Roles == nil && in.Enabled == nil
	action := "update"
	if own {
		action = "update_own"
	}
	if err := web.Require(ctx, action, authz.Resource{Type: "users", Name: in.ID}); err != nil {
		return err
	}
	if in.Password != nil && c.Claims.Kind == token.API {
		return web.ErrNotHere
	}
	if in.ID == c.ID() && in.Password != nil {
		if err := a.fresh(c.Claims); err != nil {
			return err
		}
	}
	err := a.Users.Update(ctx, in.ID, user.Change{Email: in.Email, Roles: in.Roles, Enabled: in.Enabled, Password: in.Password}, by(ctx))
	return err
}

func (a *API) deleteUser(ctx context.Context, in oneUser) error {
	return a.Users.Delete(ctx, in.ID, by(ctx), session.Forget(in.ID))
}

// by returns who asks.
func by(ctx context.Context) user.Caller {
	c := web.CallerOf(ctx)
	return user.Caller{ID: c.ID(), Roles: c.Claims.Roles, AV: c.Claims.AuthVersion}
}
