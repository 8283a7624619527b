package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/control-center/internal/controltest"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
)

// TestWebhooks_anAPITokenSendsNothingThatItMayNotRead: a delivery asks the rights of the account
// alone, so a token that may read keys had its webhook sent what happens to users.
func TestWebhooks_anAPITokenSendsNothingThatItMayNotRead(t *testing.T) {
	t.Parallel()
	schema := controltest.Schema()
	schema.Kinds = append(schema.Kinds, idempotency.Kinds()...)
	r := controltest.Over(t, memstore.New(schema))
	// The built-in role wants a second factor, which no API token has; an operator may want none.
	set, _, err := authz.Load(nil, authz.Source{Roles: []authz.Role{{Name: "admin",
		Rules: []authz.Rule{{Effect: authz.EffectAllow, Resource: "*:*", Action: []string{"*"}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	server, err := web.NewServer(web.Config{Service: token.ControlCenter, Routes: wired(t, r).Webhooks.Routes(), Log: obs.Discard(),
		Key: []byte("k"), Store: r.DB, Now: r.Clock.Now, Decide: set.Decide,
		Authenticate: func(context.Context, string, *http.Request) (token.Claims, error) {
			return token.Claims{Kind: token.API, ID: id.New(), Subject: id.New(), Username: "root", Roles: []string{"admin"},
				Scope: authz.Scope{{Action: []string{"*"}, Resource: "identity-webhooks:*"},
					{Action: []string{"read"}, Resource: "keys:*"}}}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	for event, want := range map[string]int{"key.rotated": 201, "user.created": 403, "login.failed": 403, "policy.changed": 403} {
		q := httptest.NewRequestWithContext(t.Context(), "POST", "/webhooks",
			strings.NewReader(`{"url":"https://receiver.example/hook","events":["`+event+`"]}`))
		q.Header = http.Header{"Authorization": {"Bearer x"}, "Content-Type": {"application/json"}}
		w := httptest.NewRecorder()
		server.ServeHTTP(w, q)
		if w.Code != want || want == 403 && !strings.Contains(w.Body.String(), event) {
			t.Errorf("%s: %d %s", event, w.Code, w.Body)
		}
	}
}
