package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/session"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/web"
)

// jwksMaxAge is how long a key set may be cached.
const jwksMaxAge = 5 * time.Minute

func (a *API) sessionRoutes() []web.Route {
	return []web.Route{
		{Method: "POST", Path: "/auth/login", Op: "login", Summary: "Sign in with password and one-time code",
			Doc: "The answers to an unknown name, a wrong password, a wrong code and a disabled account are the same. Only when the " +
				"password is right and a code is missing, the text asks for it.", Refuses: []fault.Kind{fault.Unauthenticated},
			Permission: web.Open(), Limit: web.Authentication, Audit: "auth.login", Handle: web.To(a.login)},
		{Method: "POST", Path: "/auth/refresh", Op: "refresh",
			Summary: "Exchange a refresh token, or the newest access token of a session, for the next pair",
			Doc:     "A refresh token is good once.", Refuses: []fault.Kind{fault.Unauthenticated}, Permission: web.Open(),
			Limit: web.Authentication, Audit: "auth.refresh", Handle: web.To(a.refresh)},
		{Method: "POST", Path: "/auth/logout", Op: "logout", Summary: "End the session of the presented token",
			Permission: web.Authenticated(), Audit: "auth.logout", Handle: web.Do("Successfully logged out", a.logout)},
		{Method: "GET", Path: "/me", Op: "me", Summary: "Who the presented token speaks for, and the session it belongs to",
			Permission: web.Authenticated().WithAPITokens(), Handle: web.To(a.me)},
		{Method: "GET", Path: "/.well-known/jwks.json", Op: "jwks", Summary: "The public keys that verify tokens",
			Produces: "application/json", Permission: web.Open(), Limit: web.Free, Handle: web.To(a.jwks)},
	}
}

type loginIn struct {
	Username string  `json:"username" required:"true" doc:"compared exactly" example:"alice"`
	Password string  `json:"password" required:"true" doc:"the password" example:"correct horse battery staple"`
	Code     *string `json:"mfa_code" max:"64" doc:"six digits of the authenticator, or a recovery code" example:"123456"`
}

// grantView is the answer to a refresh. The members after expires_at are additions to the contract.
type grantView struct {
	Token            string    `json:"token" doc:"the token for both services" example:"eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.e30.c2lnbmF0dXJl"`
	ExpiresAt        time.Time `json:"expires_at" doc:"until when it is good"`
	RefreshToken     string    `json:"refresh_token" doc:"good once, for the next pair" example:"rt_3q2-7w"`
	RefreshExpiresAt time.Time `json:"refresh_expires_at" doc:"until when a refresh is possible"`
	TokenType        string    `json:"token_type" doc:"how to send it" example:"Bearer"`
	ExpiresIn        int64     `json:"expires_in" doc:"the same in seconds"`
}

// loginView is a grant with the account it is for.
type loginView struct {
	grantView
	User accountView `json:"user" doc:"the account"`
}

// accountView is the account as a login shows it.
type accountView struct {
	ID       string   `json:"id" doc:"id of the account" example:"01997b1c-0000-7000-8000-000000000001"`
	Username string   `json:"username" doc:"name to sign in with" example:"alice"`
	Email    string   `json:"email" doc:"address" example:"alice@example.com"`
	Roles    []string `json:"roles" doc:"what it may do" example:"[\"operator\"]"`
}

func (a *API) grant(g session.Grant) grantView {
	left := int64(g.ExpiresAt.Sub(a.Now()).Seconds())
	return grantView{Token: g.Token, ExpiresAt: g.ExpiresAt, RefreshToken: g.Refresh, RefreshExpiresAt: g.RefreshExpiresAt,
		TokenType: "Bearer", ExpiresIn: left}
}

func (a *API) login(ctx context.Context, in loginIn) (loginView, error) {
	c := session.Credentials{Username: in.Username, Password: in.Password, IP: web.CallerOf(ctx).IP.String()}
	if in.Code != nil {
		c.Code = *in.Code
	}
	g, err := a.Sessions.SignIn(ctx, c)
	if err != nil {
		a.Logins.Inc(fault.CodeOf(err))
		return loginView{}, err
	}
	a.Logins.Inc("success")
	u := g.User
	return loginView{grantView: a.grant(g), User: accountView{ID: u.ID, Username: u.Username, Email: u.Email, Roles: u.Roles}}, nil
}

type refreshIn struct {
	Token *string `json:"token" doc:"a refresh token, or the newest access token of the session while it is valid" example:"rt_3q2-7w"`
}

// Validate refuses a body without the member. An empty token is a bad one, which Refresh refuses.
func (in refreshIn) Validate() []fault.Field {
	if in.Token == nil {
		return []fault.Field{{Pointer: "/token", Message: "is required"}}
	}
	return nil
}

func (a *API) refresh(ctx context.Context, in refreshIn) (grantView, error) {
	g, err := a.Sessions.Refresh(ctx, *in.Token)
	if err != nil {
		return grantView{}, err
	}
	return a.grant(g), nil
}

func (a *API) logout(ctx context.Context, _ web.None) error {
	return a.Sessions.SignOut(ctx, web.CallerOf(ctx).Claims)
}

func (a *API) jwks(context.Context, web.None) (web.Raw, error) {
	if err := a.Log.Sound(); err != nil {
		return web.Raw{}, err
	}
	body, err := json.Marshal(a.Ring.JWKS())
	return web.Raw{ContentType: "application/json", Body: body, MaxAge: jwksMaxAge}, err
}
