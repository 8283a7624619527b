package web

import (
	"context"
	"net/netip"
	"time"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/token"
)

// Caller is who asks. It is in the context of every handler; in an open route only At, IP and
// RequestID are known.
type Caller struct {
	Claims    token.Claims // of the verified token, their Kind included; zero in an open route
	At        time.Time    // when the request came, to the microsecond: the time that its decisions are made for
	IP        netip.Addr
	RequestID string
}

// ID returns the user's id, or the service's "service:<name>"; empty in an open route.
func (c *Caller) ID() string { return c.Claims.Subject }

// Subject returns the caller as the policies see it.
func (c *Caller) Subject() authz.Subject {
	if name := c.Claims.Service(); name != "" {
		return authz.Subject{ID: name, Service: true}
	}
	return authz.Subject{ID: c.Claims.Subject, Username: c.Claims.Username, Roles: c.Claims.Roles, MFA: c.Claims.MFA(),
		Scope: c.Claims.Bounds()}
}

// CallerOf returns who asks; an empty one outside a request.
func CallerOf(ctx context.Context) *Caller {
	if x := requestOf(ctx); x != nil {
		return &x.caller
	}
	return &Caller{}
}

// requestOf returns the request that a context is of; nil outside of one.
func requestOf(ctx context.Context) *request {
	x, _ := ctx.Value(requestKey{}).(*request)
	return x
}
