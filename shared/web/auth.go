package web

import (
	"context"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/token"
)

// authenticate verifies the credential and fills in who asks.
func (x *request) authenticate() error {
	raw, err := x.ep.face.Credential(x.r)
	if err != nil {
		return err
	}
	claims, err := x.ep.face.Authenticate(x.r.Context(), raw, x.r)
	if err != nil {
		return err
	}
	x.caller.Claims = claims
	a := &x.scene.Actor
	a.Sub, a.Username, a.JTI, a.SID, a.AMR = claims.Subject, claims.Username, claims.ID, claims.SessionID, claims.AMR
	return nil
}

// ErrNotHere is the refusal of an API token where only a person may act (decision 53).
var ErrNotHere = fault.New(fault.Denied, "token.not_here",
	"an API token is not taken here, whatever its scope; sign in as a person (control-center auth login)")

// identity checks that the permission takes this kind of token; the policies are asked later.
func (x *request) identity() error {
	p, c := x.ep.route.Permission, &x.caller.Claims
	switch {
	case p.Takes() == c.Kind && p.service == c.Service(), p.machines && c.Kind == token.API:
		return nil
	case c.Kind == token.API && p.Takes() == token.Access:
		return ErrNotHere
	case p.kind == permitService:
		return fault.New(fault.Denied, "authz.service_only", "only the service %s may do this", p.service)
	}
	return fault.New(fault.Denied, "authz.users_only", "this takes the token of a person; sign in as a user")
}

// authorise asks the policies about each resource; the first refusal ends it.
//
// With unnamed, only the first one's type is asked about: its name is in the body, which is not
// read yet. That decides nothing unless it refuses.
func (x *request) authorise(resources []authz.Resource, unnamed bool) error {
	p := x.ep.route.Permission
	if p.kind != permitPolicy {
		return nil
	}
	if unnamed {
		q := x.question(p.action)
		q.Resource, q.Unnamed = resources[0], true
		if x.s.cfg.Decide(q).Allowed {
			return nil
		}
	}
	if err := x.require(p.action, resources...); err != nil {
		return err
	}
	x.resource = resources[0]
	return nil
}

// question is what the policies are asked about an action of the caller; the resource is left open.
func (x *request) question(action string) authz.Request {
	return authz.Request{Subject: x.caller.Subject(), Action: action, IP: x.scene.Actor.IP, Time: x.caller.At}
}

// require asks the policies about each resource, until one is refused. What was asked before in
// this request and the resources are one act, and its decision is kept for the audit entry.
func (x *request) require(action string, resources ...authz.Resource) error {
	a, version := &x.act, uint64(0)
	if x.scene.Decision != nil {
		version = x.scene.Decision.Policy
	}
	if a.Asked == nil {
		*a = authz.Act{Subject: x.caller.Subject(), IP: x.scene.Actor.IP, Time: x.caller.At, Asked: x.asked[:0]}
	}
	from := len(a.Asked)
	a.Ask(action, resources...)
	v := audit.Decide(x.s.cfg.Decide, a, from, version)
	x.scene.Decision = v.Record
	if v.Refused == nil {
		x.resource = a.Asked[len(a.Asked)-1].Resource
		return nil
	}
	x.resource = v.Refused.Resource
	why := v.Reason
	if why == "" {
		why = "no policy allows you to " + v.Refused.Action + " " + x.resource.Type
	}
	return fault.New(fault.Denied, "authz.denied", "%s", why)
}

// Require asks the policies where the right depends on more than the route: whose work it is, what
// an operation does. It does what Allow does for a route, the decision in the audit entry included.
// Outside a request it denies.
func Require(ctx context.Context, action string, resources ...authz.Resource) error {
	x, ok := ctx.Value(requestKey{}).(*request)
	if !ok || x.s.cfg.Decide == nil {
		return fault.New(fault.Denied, "authz.denied", "nobody asks")
	}
	return x.require(action, resources...)
}

// Ask asks the policies for a view that shows more to some: nothing is refused, and nothing is
// recorded. Outside a request it denies.
func Ask(ctx context.Context, action string, r authz.Resource) authz.Decision {
	x, ok := ctx.Value(requestKey{}).(*request)
	if !ok || x.s.cfg.Decide == nil {
		return authz.Decision{Rule: authz.NoRule}
	}
	q := x.question(action)
	q.Resource = r
	return x.s.cfg.Decide(q)
}

// resources returns what the decision is about: what the input says, else the type with the route's
// only path parameter as the name.
func (x *request) resources(in any) []authz.Resource {
	plain := authz.Resource{Type: x.ep.route.Permission.resource}
	if named, ok := in.(interface{ Resources() []authz.Resource }); ok {
		list := named.Resources()
		for i := range list {
			if list[i].Type == "" {
				list[i].Type = plain.Type
			}
		}
		if len(list) > 0 {
			return list
		}
	}
	if len(x.c.Params) == 1 {
		plain.Name = x.c.Params[0].Value
	}
	return []authz.Resource{plain}
}
