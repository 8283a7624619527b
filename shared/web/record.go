package web

import (
	"context"
	"strings"
	"time"

	"errors"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
)

// recordTimeout bounds the commit of a refusal, whatever became of the client.
const recordTimeout = 10 * time.Second

// record writes the audit entry of a refused request, unless the code below already did: every 403,
// and on routes that change something 404, 409, 422 and a token that was shown and is bad. It
// returns why that could not be done.
func (x *request) record(err error) error {
	if x.s.cfg.Store == nil || x.ep.unrouted != nil || x.scene.Recorded() {
		return nil
	}
	act := audit.EntryDraft{Action: x.action(), Resource: x.audited(), Code: fault.CodeOf(err)}
	switch kind := fault.KindOf(err); {
	case kind == fault.Denied:
		act.Result = audit.Refused
	case !x.ep.mutates || x.ep.route.Audit == "":
		return nil
	case kind == fault.Unauthenticated && x.ep.route.Permission.kind != permitOpen && !errors.Is(err, ErrNoCredential):
		act.Result = audit.Refused
	case kind == fault.NotFound || kind == fault.Conflict || kind == fault.Invalid:
		act.Result = audit.Failure
	default:
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.context()), recordTimeout)
	defer cancel()
	return audit.Record(ctx, x.s.cfg.Store, act)
}

// action is the audit action of the route; a read is named after what was asked for.
func (x *request) action() string {
	if x.ep.route.Audit != "" {
		return x.ep.route.Audit
	}
	if p := x.ep.route.Permission; p.kind == permitPolicy {
		return singular(p.resource) + "." + p.action
	}
	return x.ep.route.Op
}

// audited is the audit resource: "<plural>/<name>".
func (x *request) audited() string {
	kind, name := x.resource.Type, x.resource.Name
	if kind == "" {
		kind = x.ep.route.Permission.resource
	}
	if kind == "" {
		kind, _, _ = strings.Cut(strings.TrimPrefix(x.ep.route.Path, "/"), "/")
	}
	if name == "" && len(x.c.Params) == 1 {
		name = x.c.Params[0].Value
	}
	if name == "" {
		return kind
	}
	return kind + "/" + name
}

// singular returns the singular of a resource type: "policies" is "policy", "users" is "user".
func singular(plural string) string {
	if stem, ok := strings.CutSuffix(plural, "ies"); ok {
		return stem + "y"
	}
	return strings.TrimSuffix(plural, "s")
}
