package api

import (
	"net/http"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/auditlog"
	"github.com/provisioning-platform/platform/control-center/internal/keys"
	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/control-center/internal/policy"
	"github.com/provisioning-platform/platform/control-center/internal/revocation"
	"github.com/provisioning-platform/platform/control-center/internal/session"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/health"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web"
)

// API holds what the handlers speak to. Its fields are set in one literal.
type API struct {
	Users    *user.Users
	Factors  *mfa.Factors
	Desk     *session.Desk
	Ring     *keys.Ring
	Revoked  *revocation.Log
	Policies *policy.Book
	Index    *auditlog.Index
	Log      *audit.Log
	Peer     *audit.Peer
	Metrics  http.Handler
	Logins   obs.Counter // by result
	Public   bool        // /metrics needs no token
	Health   *health.Service
	Now      func() time.Time
}

// freshFor is how long after signing in the own factors and password may be changed.
const freshFor = 5 * time.Minute

// Routes returns the whole table.
func (a *API) Routes() []web.Route {
	metrics := web.Allow("read", "metrics")
	if a.Public {
		metrics = web.Open()
	}
	all := []web.Route{
		{Method: "GET", Path: "/metrics", Op: "metrics", Summary: "Figures in the text format of Prometheus", Permission: metrics, Limit: web.Free, Stream: a.Metrics},
	}
	for _, part := range [][]web.Route{a.Health.Routes(), a.sessionRoutes(), a.userRoutes(), a.factorRoutes(), a.keyRoutes(), a.auditRoutes(), a.internalRoutes()} {
		all = append(all, part...)
	}
	return all
}

// fresh refuses a session whose sign-in is too long ago for what it wants to change.
func (a *API) fresh(c token.Claims) error {
	if a.Now().Sub(time.Unix(c.AuthTime, 0)) <= freshFor {
		return nil
	}
	return fault.New(fault.Unauthenticated, "auth.sign_in_again", "this needs a sign-in of the last five minutes; sign in again and retry")
}
