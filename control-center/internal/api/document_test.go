package api

import (
	"context"
	"net/http"
	"testing"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
	"github.com/provisioning-platform/platform/shared/web/webtest"
	"github.com/provisioning-platform/platform/shared/webhook"
	"github.com/provisioning-platform/platform/shared/webhook/hookapi"
)

func TestDocument_everythingIsDescribed(t *testing.T) {
	t.Parallel()
	a := &API{Metrics: http.NotFoundHandler(), Webhooks: &hookapi.API{Hooks: webhook.New(webhook.Config{Noun: "identity-webhooks"}),
		Examples: [2]string{"user.disabled", "login.failed"}}}
	s, err := web.NewServer(web.Config{Service: token.ControlCenter, Routes: a.Routes(), Nouns: Nouns(), Log: obs.Discard(),
		Key:          []byte("k"),
		Store:        memstore.New(store.Schema{Service: "control_center", Kinds: idempotency.Kinds()}),
		Decide:       func(authz.Request) authz.Decision { return authz.Decision{} },
		Authenticate: func(context.Context, string, *http.Request) (token.Claims, error) { return token.Claims{}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	webtest.Described(t, s.OpenAPI())
}
