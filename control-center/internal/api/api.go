package api

import (
	"net/http"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/apitoken"
	"github.com/provisioning-platform/platform/control-center/internal/auditlog"
	"github.com/provisioning-platform/platform/control-center/internal/certificate"
	"github.com/provisioning-platform/platform/control-center/internal/keys"
	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/control-center/internal/policy"
	"github.com/provisioning-platform/platform/control-center/internal/revocation"
	"github.com/provisioning-platform/platform/control-center/internal/serviceaccount"
	"github.com/provisioning-platform/platform/control-center/internal/session"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/health"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/openapi"
	"github.com/provisioning-platform/platform/shared/webhook/hookapi"
)

// API holds what the handlers call. It is built as a literal.
type API struct {
	Users    *user.Users
	Factors  *mfa.Factors
	Tokens   *apitoken.Registry
	Machines *serviceaccount.Roster
	Sessions *session.Sessions
	Ring     *keys.Ring
	Revoked  *revocation.Log
	Policies *policy.Policies
	Index    *auditlog.Index
	Log      *audit.Log
	Peer     *audit.Peer
	Webhooks *hookapi.API
	Metrics  http.Handler
	Logins   obs.Counter // by result
	Public   bool        // /metrics needs no token
	Health   *health.Checks
	Now      func() time.Time

	Certificates *certificate.Authority // of the service-to-service port; nil: there is none
}

// freshFor is how long after a sign-in somebody may change the own factors and password.
const freshFor = 5 * time.Minute

// Routes returns the whole route table.
func (a *API) Routes() []web.Route {
	metrics := web.Allow("read", "metrics")
	if a.Public {
		metrics = web.Open()
	}
	all := []web.Route{
		{Method: "GET", Path: "/metrics", Op: "metrics", Summary: "Figures in the text format of Prometheus", Permission: metrics,
			Limit: web.Free, Speaks: &openapi.StreamDoc{Type: "text/plain", Doc: "The figures, in the text format of Prometheus."},
			Stream: a.Metrics},
	}
	for _, part := range [][]web.Route{a.Health.Routes(), a.sessionRoutes(), a.userRoutes(), a.factorRoutes(), a.tokenRoutes(),
		a.serviceAccountRoutes(), a.keyRoutes(), a.policyRoutes(), a.Webhooks.Routes(), a.auditRoutes(), a.internalRoutes()} {
		all = append(all, part...)
	}
	return all
}

// Nouns returns the groups of routes in the OpenAPI document, the main ones first.
func Nouns() []openapi.Noun {
	return []openapi.Noun{
		{Name: "Sessions", Paths: []string{"auth", "me", ".well-known"},
			Doc: "Signing in gives a token that both services take; a session ends by signing out, by time, or when its account changes."},
		{Name: "Accounts", Paths: []string{"users"}, Doc: "An account is a person who may sign in; its roles say what it may do."},
		{Name: "Second factors", Paths: []string{"mfa"},
			Doc: "One-time codes of an authenticator. Changes of accounts and keys need a session that was begun with one."},
		{Name: "API tokens", Paths: []string{"tokens"},
			Doc: "A token for a machine acts for its owner, within its scope and until it expires. Its text is shown once."},
		{Name: "Service accounts", Paths: []string{"service-accounts"},
			Doc: "A service account is a machine that acts by API tokens; a person answers for it."},
		{Name: "Policies", Paths: []string{"policies"},
			Doc: "Rules that allow or deny beside the rights of roles. Every state that a policy had is kept; " +
				"a change is in force at once."},
		{Name: "Signing keys", Paths: []string{"keys"},
			Doc: "The keys that sign tokens. One signs, the next one is announced, older ones verify until their tokens have expired."},
		{Name: "Webhooks", Paths: []string{"webhooks"},
			Doc: "A webhook sends what happens to accounts, sessions, factors, keys and policies to a URL, signed, until the receiver " +
				"has taken it. Deliveries are at least once: the id of a delivery is the same in every repetition."},
		{Name: "Audit log", Paths: []string{"audit"}, Doc: "Who did what on both services, each act with a proof that verifies offline."},
		{Name: "Service", Paths: []string{"health", "ready", "metrics", "openapi.json", "docs"},
			Doc: "Whether the service works, its figures, and this document."},
	}
}

// Admit returns what refuses a route before anybody is authenticated: one that grants or changes
// something while changes returns a fault, and one at which people read while reads does. Health,
// metrics and the API's description go on.
func Admit(changes, reads func() error) func(web.Route) error {
	return func(r web.Route) error {
		if r.Mutates() {
			return changes()
		}
		if r.Permission.Takes() == token.Access && r.Limit != web.Free {
			return reads()
		}
		return nil
	}
}

// fresh refuses a session whose sign-in is longer ago than freshFor.
func (a *API) fresh(c token.Claims) error {
	if a.Now().Sub(time.Unix(c.AuthTime, 0)) <= freshFor {
		return nil
	}
	return fault.New(fault.Unauthenticated, "auth.sign_in_again", "this needs a sign-in of the last five minutes; sign in again and retry")
}
