package api

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/shared/web"
)

// meView is who asks: the account as it is now, and the session that the presented token belongs to.
type meView struct {
	userView
	Session sessionView `json:"session"`
}

// sessionView says how the caller signed in.
type sessionView struct {
	ID        string    `json:"id"`
	ACR       string    `json:"acr"`       // aal1: password only; aal2: with a second factor
	AMR       []string  `json:"amr"`       // pwd, otp, rc (recovery code)
	AuthTime  time.Time `json:"auth_time"` // when the person signed in
	ExpiresAt time.Time `json:"expires_at"`
}

// me shows the caller's own account; it needs no right but a good token.
func (a *API) me(ctx context.Context, _ web.None) (meView, error) {
	c := web.CallerOf(ctx)
	u, err := a.Users.Get(ctx, c.ID())
	return meView{userView: viewUser(u), Session: sessionView{
		ID: c.Claims.SessionID, ACR: c.Claims.ACR, AMR: c.Claims.AMR,
		AuthTime: time.Unix(c.Claims.AuthTime, 0).UTC(), ExpiresAt: time.Unix(c.Claims.Expires, 0).UTC(),
	}}, err
}
