package api

import (
	"cmp"
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/web"
)

func (a *API) policyQuestionRoutes() []web.Route {
	return []web.Route{
		{Method: "POST", Path: "/policies/explain", Op: "explainPolicy",
			Summary:    "Say which rule decides who may do what, or which rules came nearest and what failed in them",
			Permission: web.Allow("explain", "policies"), Reads: true, Handle: web.To(a.explainPolicy)},
		{Method: "POST", Path: "/policies/check", Op: "checkPolicy",
			Summary:    "Check a draft and rehearse it against recorded decisions; nothing is stored",
			Permission: web.Allow("check", "policies"), Reads: true, Refuses: []fault.Kind{fault.Conflict, fault.NotFound},
			Handle: web.To(a.checkPolicy),
			Doc: "A draft that could not be stored is refused as it would be then. With rehearse, the decisions that the audit log " +
				"recorded on both services are asked again with the draft."},
	}
}

type explainPolicyIn struct {
	User     string     `json:"user" max:"256" doc:"name or id of an account, with its roles of now" example:"alice"`
	Roles    []string   `json:"roles" doc:"roles to ask for instead of the account's, or without an account" example:"[\"operator\"]" rare:"true"`
	MFA      bool       `json:"mfa" doc:"with a second factor"`
	Action   string     `json:"action" required:"true" max:"64" doc:"what would be done" example:"create"`
	Resource string     `json:"resource" required:"true" max:"512" doc:"type:name" example:"servers:web-01"`
	Infra    string     `json:"infra" max:"256" doc:"the infra it is in" example:"production" rare:"true"`
	IP       string     `json:"ip" max:"64" doc:"from this address; yours when absent" example:"203.0.113.7" rare:"true"`
	Time     *time.Time `json:"time" doc:"at this time; now when absent" rare:"true"`
}

// explainView says how a question is decided.
type explainView struct {
	Allowed bool          `json:"allowed" doc:"the answer"`
	Rule    string        `json:"rule" doc:"the rule that decides; none when none matches" example:"role:operator#1"`
	Reason  string        `json:"reason" doc:"what the person who is refused reads; empty when it is allowed" example:"the rule policy:01997b1c-0000-7000-8000-000000000001#0 forbids this; ask an administrator"`
	Version uint64        `json:"policy_version" doc:"version of the policies and roles in force" example:"7"`
	Asked   askedView     `json:"asked" doc:"the question as it was decided"`
	Matched []ruleView    `json:"matched" doc:"every rule that matches; Denies come first"`
	Misses  []nearestView `json:"misses" doc:"when none matches: the rules that came nearest"`
}

// askedView is a question as it was decided.
type askedView struct {
	UserID   string    `json:"user_id" doc:"the account; empty when roles were asked for" example:"01997b1c-0000-7000-8000-000000000001"`
	Username string    `json:"username" doc:"its name" example:"alice"`
	Roles    []string  `json:"roles" doc:"the roles that counted" example:"[\"operator\"]"`
	MFA      bool      `json:"mfa" doc:"with a second factor"`
	IP       string    `json:"ip" doc:"from this address" example:"203.0.113.7"`
	Time     time.Time `json:"time" doc:"at this time"`
}

// ruleView is a rule with its place.
type ruleView struct {
	ID    string `json:"id" doc:"policy:<id>#<n>, role:<name>#<n> or service:<name>#<n>; n counts from 0" example:"role:operator#1"`
	Owner string `json:"owner" doc:"name of the policy, role or service" example:"operator"`
	rule
}

// nearestView is a rule that did not match.
type nearestView struct {
	ruleView
	Failed []failureView `json:"failed" doc:"everything in it that does not fit"`
}

// failureView is one part of a rule that does not fit.
type failureView struct {
	Part string `json:"part" doc:"subject, action, resource, name or condition" example:"condition"`
	Why  string `json:"why" doc:"what it wants and what was asked" example:"request.mfa is false"`
}

func (a *API) explainPolicy(ctx context.Context, in explainPolicyIn) (explainView, error) {
	q, err := a.questionOf(ctx, in)
	if err != nil {
		return explainView{}, err
	}
	e := a.Policies.Authority.Set().Explain(q)
	v := explainView{
		Allowed: e.Decision.Allowed, Rule: e.Decision.Rule, Reason: e.Decision.Reason, Version: e.Decision.Version,
		Asked: askedView{UserID: q.Subject.ID, Username: q.Subject.Username, Roles: q.Subject.Roles, MFA: q.Subject.MFA, IP: q.IP,
			Time: q.Time},
		Matched: make([]ruleView, len(e.Matched)), Misses: make([]nearestView, len(e.Misses)),
	}
	if v.Asked.Roles == nil {
		v.Asked.Roles = []string{}
	}
	for i, r := range e.Matched {
		v.Matched[i] = viewRef(r)
	}
	for i, m := range e.Misses {
		v.Misses[i] = nearestView{ruleView: viewRef(m.RuleRef)}
		for _, f := range m.Failed {
			v.Misses[i].Failed = append(v.Misses[i].Failed, failureView(f))
		}
	}
	return v, nil
}

func viewRef(r authz.RuleRef) ruleView {
	return ruleView{ID: r.ID, Owner: r.Owner, rule: viewRule(r.Rule)}
}

// questionOf returns what is asked; the faults name each member that makes no question.
func (a *API) questionOf(ctx context.Context, in explainPolicyIn) (authz.Request, error) {
	c := web.CallerOf(ctx)
	q := authz.Request{Action: in.Action, IP: cmp.Or(in.IP, c.IP.String()), Time: c.At,
		Subject: authz.Subject{Roles: in.Roles, MFA: in.MFA}}
	if in.Time != nil {
		q.Time = *in.Time
	}
	var fields []fault.Field
	var err error
	typ, name, ok := strings.Cut(in.Resource, ":")
	if q.Resource = (authz.Resource{Type: typ, Name: name, Infra: in.Infra}); !ok {
		fields = append(fields, fault.Field{Pointer: "/resource", Message: `must be "<type>:<name>", for example "servers:web-01"`})
	} else if fields, err = authz.CheckQuestion(in.Action, typ); err != nil {
		return q, err
	}
	if _, err := netip.ParseAddr(q.IP); err != nil {
		fields = append(fields, fault.Field{Pointer: "/ip", Message: "must be an IP address"})
	}
	if in.User == "" && in.Roles == nil {
		fields = append(fields, fault.Field{Pointer: "/user", Message: "say who: a user, or roles"})
	}
	for _, r := range in.Roles {
		if !a.Policies.Authority.Set().HasRole(r) {
			fields = append(fields, fault.Field{Pointer: "/roles", Message: "there are " + strings.Join(user.Roles(), ", ")})
			break
		}
	}
	if in.User != "" {
		u, err := a.account(ctx, in.User)
		if fault.Is(err, fault.NotFound) {
			fields = append(fields, fault.Field{Pointer: "/user", Message: "there is no account with this name or id"})
		} else if err != nil {
			return q, err
		}
		q.Subject.ID, q.Subject.Username = u.ID, u.Username
		if in.Roles == nil {
			q.Subject.Roles = u.Roles
		}
	}
	if fields != nil {
		return q, fault.New(fault.Invalid, "policy.question", "%s: %s", fields[0].Pointer, fields[0].Message).With(fields...)
	}
	return q, nil
}

// account returns the account with that id or name; the fault is user.ErrNotFound.
func (a *API) account(ctx context.Context, text string) (user.User, error) {
	if id.Valid(text) {
		return a.Users.Get(ctx, text)
	}
	u, err := a.Users.ByName(ctx, text)
	if err == nil && u.ID == "" {
		err = user.ErrNotFound
	}
	return u, err
}
