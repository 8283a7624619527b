package api

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web"
)

// meView is the account of the caller as it is now, and the session of the presented token.
type meView struct {
	userView
	Session *sessionView `json:"session,omitempty" doc:"the session of the token; absent for an API token"`
	Token   *tokenView   `json:"api_token,omitempty" doc:"the API token that was presented" rare:"true"`
}

// sessionView says how the caller signed in.
type sessionView struct {
	ID        string    `json:"id" doc:"id of the session" example:"01997b1c-0000-7000-8000-000000000001"`
	ACR       string    `json:"acr" doc:"how sure the sign-in was" example:"aal2"`
	AMR       []string  `json:"amr" doc:"what was shown: pwd, otp" example:"[\"pwd\",\"otp\"]"`
	AuthTime  time.Time `json:"auth_time" doc:"when it was"`
	ExpiresAt time.Time `json:"expires_at" doc:"until when the token is good"`
}

// me returns the caller's own account. It needs a good token and no right.
func (a *API) me(ctx context.Context, _ web.None) (meView, error) {
	c := web.CallerOf(ctx)
	var v meView
	s, err := a.Machines.Get(ctx, c.ID())
	if fault.Is(err, fault.NotFound) {
		var u user.User
		u, err = a.Users.Get(ctx, c.ID())
		v.userView = viewUser(u)
	} else {
		v.userView = userView{ID: s.ID, Username: s.Username(), Roles: s.Roles, Enabled: s.Enabled, CreatedAt: s.CreatedAt}
	}
	if err != nil {
		return meView{}, err
	}
	if c.Claims.Kind == token.API {
		t, err := a.Tokens.Get(ctx, c.Claims.ID)
		shown := a.viewToken(t)
		v.Token = &shown
		return v, err
	}
	v.Session = &sessionView{ID: c.Claims.SessionID, ACR: c.Claims.ACR, AMR: c.Claims.AMR,
		AuthTime: time.Unix(c.Claims.AuthTime, 0).UTC(), ExpiresAt: time.Unix(c.Claims.Expires, 0).UTC()}
	return v, nil
}
