package api

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web"
)

func (a *API) keyRoutes() []web.Route {
	return []web.Route{
		{Method: "GET", Path: "/keys", Op: "listKeys", Summary: "List the signing keys with their states",
			Permission: web.Allow("read", "keys"), Handle: web.To(a.listKeys)},
		{Method: "POST", Path: "/keys/rotate", Op: "rotateKeys",
			Summary: "Sign with the announced key from now on, ten minutes after its announcement at the earliest; older tokens live " +
				"until they expire", Permission: web.Allow("rotate", "keys"), Audit: "key.rotate", Handle: web.To(a.rotateKeys)},
		{Method: "DELETE", Path: "/keys/:kid", Op: "removeKey",
			Summary:    "Remove a signing key at once, and every token it signed; in place of the current one the next one signs",
			Permission: web.Allow("delete", "keys"), Audit: "key.remove", Handle: web.Do("Key removed", a.removeKey)},
	}
}

// keyView is a signing key without its private half.
type keyView struct {
	ID    string    `json:"kid" doc:"id of the key, as tokens name it" example:"tk-01997b1c"`
	State string    `json:"state" doc:"current signs, next is announced, retiring still verifies" example:"current"`
	Since time.Time `json:"since" doc:"when it came into this state"`

	UsableFrom *time.Time `json:"usable_from,omitempty" doc:"of a next key: when a rotation may put it in use"`
}

func (a *API) listKeys(context.Context, web.None) ([]keyView, error) {
	views := []keyView{}
	for _, k := range a.Ring.Keys() {
		v := keyView{ID: k.ID, State: string(k.State), Since: time.Unix(k.Since, 0).UTC()}
		if k.State == token.Next {
			from := time.Unix(k.NotBefore, 0).UTC()
			v.UsableFrom = &from
		}
		views = append(views, v)
	}
	return views, nil
}

// rotatedView names the key that signs from now on.
type rotatedView struct {
	ID string `json:"kid" doc:"the key that signs from now on" example:"tk-01997b1d"`
}

func (a *API) rotateKeys(ctx context.Context, _ web.None) (rotatedView, error) {
	kid, err := a.Ring.Rotate(ctx, func(kid string) { web.Answering(ctx, rotatedView{ID: kid}) })
	return rotatedView{ID: kid}, err
}

type oneKey struct {
	ID string `path:"kid" doc:"id of the key" example:"tk-01997b1c"`
}

func (a *API) removeKey(ctx context.Context, in oneKey) error {
	return a.Ring.Remove(ctx, in.ID)
}
