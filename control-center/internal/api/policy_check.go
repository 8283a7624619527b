package api

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/auditlog"
	"github.com/provisioning-platform/platform/control-center/internal/policy"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/instant"
	"github.com/provisioning-platform/platform/shared/store"
)

type checkPolicyIn struct {
	ID       string      `json:"id" doc:"the policy that the draft replaces; a new one when absent" example:"01997b1c-0000-7000-8000-000000000001" rare:"true"`
	Name     string      `json:"name" required:"true" doc:"letters, digits and . _ -" example:"web_operators"`
	Version  string      `json:"version" doc:"what you call this state; needed for a new one, else the last part rises when absent" example:"1.0.0"`
	Rules    []rule      `json:"rules" required:"true" doc:"1 to 256 rules"`
	Enabled  *bool       `json:"enabled" doc:"whether it would be in force; true when absent" rare:"true"`
	Rehearse *rehearseIn `json:"rehearse" doc:"asks the recorded decisions again, when present" rare:"true"`
}

// rehearseIn says which recorded decisions are asked again.
type rehearseIn struct {
	From  *instant.Span `json:"from" doc:"not before: ISO 8601; the oldest when absent"`
	To    *instant.Span `json:"to" doc:"not after: ISO 8601; now when absent"`
	After string        `json:"after" max:"256" doc:"next of a rehearsal, to go on behind it" example:"01997b1c-0000-7000-8000-000000000001"`
}

func (in rehearseIn) filter() (f auditlog.Filter) {
	if in.From != nil {
		f.From = in.From.First
	}
	if in.To != nil {
		f.To = in.To.Last
	}
	return f
}

// checkView says what would come of a draft.
type checkView struct {
	Warnings  []warningView    `json:"warnings" doc:"what is allowed and probably not meant"`
	Diff      []differenceView `json:"diff" doc:"what the draft changes"`
	Rehearsal *rehearsalView   `json:"rehearsal,omitempty" doc:"how recorded decisions would have been" rare:"true"`
}

// warningView is one place that is worth a look.
type warningView struct {
	Pointer string `json:"pointer" doc:"JSON pointer into the draft" example:"/rules/0"`
	Message string `json:"message" doc:"what it means" example:"says the same as /rules/1"`
}

// rehearsalView says how recorded decisions would have been.
type rehearsalView struct {
	Rows       int           `json:"rows" doc:"audit records that were looked at, at most 20,000 or a few more" example:"9120"`
	Decisions  int           `json:"decisions" doc:"decisions that were asked again" example:"2311"`
	CannotTell int           `json:"cannot_tell" doc:"decisions whose record does not hold what was asked" example:"0"`
	WouldDeny  int           `json:"would_deny" doc:"were allowed and would be denied" example:"14"`
	WouldAllow int           `json:"would_allow" doc:"were denied and would be allowed" example:"3"`
	Changed    []changedView `json:"changed" doc:"these decisions, newest first, at most 200"`
	Next       string        `json:"next,omitempty" doc:"what after takes to go on; absent when all records were looked at" example:"01997b1c-0000-7000-8000-000000000001" rare:"true"`
}

// changedView is a recorded decision that would be another one.
type changedView struct {
	ID       string    `json:"id" doc:"id of the audit record" example:"01997b1c-0000-7000-8000-000000000001"`
	At       time.Time `json:"timestamp" doc:"when it was"`
	UserID   string    `json:"user_id" doc:"who asked" example:"01997b1c-0000-7000-8000-000000000001"`
	Username string    `json:"username" doc:"the name of who asked; empty when not recorded" example:"alice"`
	Action   string    `json:"action" doc:"what was done or refused" example:"server.create"`
	Resource string    `json:"resource" doc:"what it was about" example:"servers/web-01"`
	Recorded string    `json:"recorded_rule" doc:"the rule that decided then" example:"role:operator#0"`
	Allowed  bool      `json:"allowed" doc:"what the draft says"`
	Rule     string    `json:"rule" doc:"the rule that decides with the draft; none when none matches" example:"policy:01997b1c-0000-7000-8000-000000000001#0"`
	Reason   string    `json:"reason" doc:"why it is refused; empty when it is allowed" example:"the rule policy:01997b1c-0000-7000-8000-000000000001#0 forbids this; ask an administrator"`
	InForce  bool      `json:"in_force" doc:"what the policies in force say by now"`
}

func (a *API) checkPolicy(ctx context.Context, in checkPolicyIn) (checkView, error) {
	draft := policy.Document{Enabled: in.Enabled == nil || *in.Enabled, ID: in.ID, Name: in.Name, Rules: rulesOf(in.Rules),
		Version: in.Version}
	c, err := a.Policies.Check(ctx, draft, asking(ctx))
	if err != nil {
		return checkView{}, err
	}
	v := checkView{Warnings: viewWarnings(c.Warnings), Diff: viewDiff(c.Diff)}
	if in.Rehearse == nil {
		return v, nil
	}
	if err := a.Index.Await(ctx); err != nil {
		return v, err
	}
	f := in.Rehearse.filter()
	r, err := a.Policies.Rehearse(ctx, c.Set, in.Rehearse.After,
		func(ctx context.Context, after string) (store.Window[auditlog.Row], error) {
			return a.Index.Search(ctx, f, store.Place{After: after, Limit: store.MaxPage})
		})
	v.Rehearsal = viewRehearsal(r)
	return v, err
}

func viewWarnings(list []fault.Field) []warningView {
	all := make([]warningView, len(list))
	for i, f := range list {
		all[i] = warningView{Pointer: f.Pointer, Message: f.Message}
	}
	return all
}

func viewRehearsal(r policy.Rehearsal) *rehearsalView {
	v := &rehearsalView{Rows: r.Rows, Decisions: r.Decisions, CannotTell: r.CannotTell, WouldDeny: r.Deny, WouldAllow: r.Allow,
		Next: r.Next, Changed: make([]changedView, len(r.Changed))}
	for i, c := range r.Changed {
		v.Changed[i] = changedView{
			ID: c.Row.ID, At: c.Row.Timestamp, UserID: c.Row.UserID, Username: c.Username, Action: c.Row.Action, Resource: c.Row.Resource,
			Recorded: c.Recorded, Allowed: c.Allowed, Rule: c.Rule, Reason: c.Reason, InForce: c.InForce,
		}
	}
	return v
}
