package policy

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
)

// Caller is who asks for a change, as the policies see the request.
type Caller struct {
	Subject authz.Subject
	IP      string
	Time    time.Time
}

// Faults of a change that nobody could take back over the API (decision 64).
var (
	errLocksCallerOut = fault.New(
		fault.Conflict,
		"policy.lockout",
		"with this change you, from this address, at this time and with this session, could no longer change policies, so it was not "+
			"made; except yourself or change the condition",
	)
	errLocksAllOut = fault.New(fault.Conflict, "policy.lockout",
		"with this change no enabled administrator could change policies any more, so it was not made; except one of them")
)

// keepsOpen refuses with policy.lockout the change c of the policy d, which is empty when it is
// new, when its caller could update policies before it and not after it, or when some enabled
// administrator with a second factor could before it, whatever the address and the time, and none
// could after it. It asks about a policy that no rule names and about the changed one, and compiles
// only those policies that speak of changing policies, so it costs nothing for most changes.
func (ps *Policies) keepsOpen(ctx context.Context, by Caller, d Document, c authz.Change) error {
	if !governs(d.compiled()) && (c.Policy == nil || !governs(*c.Policy)) {
		return nil
	}
	src := ps.Authority.Set().Source()
	before, after := src, src
	before.Policies, after.Policies = nil, nil
	for _, p := range src.Policies {
		if governs(p) {
			before.Policies = append(before.Policies, p)
			if p.ID != c.ID {
				after.Policies = append(after.Policies, p)
			}
		}
	}
	if c.Policy != nil && governs(*c.Policy) {
		after.Policies = append(after.Policies, *c.Policy)
	}
	q := authz.Request{Subject: by.Subject, IP: by.IP, Time: by.Time}
	if lost, err := loses(before, after, c, func(may func(authz.Request) bool) (bool, error) { return may(q), nil }); err != nil || lost {
		return firstError(err, errLocksCallerOut)
	}
	lost, err := loses(anywhere(before), anywhere(after), c, func(may func(authz.Request) bool) (bool, error) {
		for u, err := range user.Admins(ctx, ps.Changes.DB) {
			if err != nil {
				return false, err
			}
			q := authz.Request{Subject: authz.Subject{ID: u.ID, Username: u.Username, Roles: u.Roles, MFA: true}, IP: by.IP, Time: by.Time}
			if may(q) {
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil || lost {
		return firstError(err, errLocksAllOut)
	}
	return nil
}

func firstError(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// loses says whether somebody, as anybody asks it, may update policies under before and nobody
// under after.
func loses(before, after authz.Source, c authz.Change, anybody func(may func(authz.Request) bool) (bool, error)) (bool, error) {
	could, err := ask(before, c, anybody)
	if err != nil || !could {
		return false, err
	}
	can, err := ask(after, c, anybody)
	return !can, err
}

// ask asks anybody whether somebody may update policies under src: any policy, and the changed one.
func ask(src authz.Source, c authz.Change, anybody func(may func(authz.Request) bool) (bool, error)) (bool, error) {
	set, _, err := authz.Load(nil, src)
	if err != nil {
		return false, err
	}
	names := []string{"*"}
	if c.Policy != nil {
		names = append(names, c.ID)
	}
	return anybody(func(q authz.Request) bool {
		q.Action = "update"
		return !slices.ContainsFunc(names, func(name string) bool {
			q.Resource = authz.Resource{Type: "policies", Name: name}
			return !set.Decide(q).Allowed
		})
	})
}

// governs says whether a policy says anything about updating policies.
func governs(p authz.Policy) bool {
	return p.Enabled && slices.ContainsFunc(p.Rules, func(r authz.Rule) bool {
		typ, _, _ := strings.Cut(r.Resource, ":")
		return (typ == "policies" || typ == "*") && (slices.Contains(r.Action, "update") || slices.Contains(r.Action, "*"))
	})
}

// anywhere returns src without the Denies that look at the address or the time: at another place or
// hour they may not hold. An administrator needs no Allow, whose role allows it.
func anywhere(src authz.Source) authz.Source {
	policies := src.Policies
	src.Policies = nil
	for _, p := range policies {
		p.Rules = slices.DeleteFunc(slices.Clone(p.Rules), func(r authz.Rule) bool {
			text := strings.Join(strings.Fields(r.Condition), "")
			return r.Effect == authz.EffectDeny &&
				slices.ContainsFunc(
					[]string{"request.ip", "request.time", "time.hour"},
					func(name string) bool { return strings.Contains(text, name) },
				)
		})
		if len(p.Rules) > 0 {
			src.Policies = append(src.Policies, p)
		}
	}
	return src
}
