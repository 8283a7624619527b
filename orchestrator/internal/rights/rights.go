// Package rights says what an operation asks of the policies, and whether the one who submitted a
// run may still do it (decision 39).
//
// It owns neither policies (package authz) nor accounts (package trust), and starts and stops
// nothing (package engine).
//
// The one rule: a submission and each start of what was submitted are asked the same questions, and
// both take them from Needs.
package rights

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/token"
)

// Needs returns the action that an operation is, as policies know it, and what it is done to: what
// it makes, and the servers that its task services go to. Looking at what is there is reading.
func Needs(op *dag.Operation) (action string, resources []authz.Resource) {
	action = op.Verb
	if action == "check" {
		action = "read"
	}
	switch op.Type {
	case "servers":
		return action, []authz.Resource{{Type: "servers", Infra: op.Infra}}
	case "taskserv":
		return action, []authz.Resource{{Type: "taskservs", Name: op.Taskserv, Infra: op.Infra}}
	case "cluster":
		return action, []authz.Resource{{Type: "clusters", Name: op.ClusterType, Infra: op.Infra}}
	}
	return action, appendNeeds(make([]authz.Resource, 0, len(op.Servers)+len(op.Taskservs)+len(op.Targets)), op, map[string]bool{})
}

// appendNeeds appends what an operation of a batch needs; of the servers that its task services go
// to only those that are not in seen, which it adds.
func appendNeeds(list []authz.Resource, op *dag.Operation, seen map[string]bool) []authz.Resource {
	for i := range op.Servers {
		list = append(list, authz.Resource{Type: "servers", Name: op.Servers[i].Name})
	}
	for _, name := range op.Targets {
		if !seen[name] {
			seen[name] = true
			list = append(list, authz.Resource{Type: "servers", Name: name})
		}
	}
	for _, name := range op.Taskservs {
		list = append(list, authz.Resource{Type: "taskservs", Name: name})
	}
	return list
}

// Batch returns what the submission of a batch is asked: the batch itself, and what its operations
// need, each server that task services go to once, for many operations may have the same.
func Batch(name string, operations iter.Seq[dag.Operation]) []authz.Resource {
	list, seen := []authz.Resource{Submission(dag.Batch, name)}, map[string]bool{}
	for op := range operations {
		list = appendNeeds(list, &op, seen)
	}
	return list
}

// Submission returns what is created when a run of that kind and name is submitted.
func Submission(kind dag.Kind, name string) authz.Resource {
	if kind == dag.Batch {
		return authz.Resource{Type: "batches", Name: name}
	}
	return authz.Resource{Type: "workflows"}
}

// Known is what the control-center has said last: the policies in force, what an account may be
// taken for, and which API tokens there are (package trust). RightsChanged is another number after
// every change of any of them.
type Known interface {
	Policies() *authz.Set
	Subject(ctx context.Context, sub string) (token.SubjectState, bool, error)
	APIToken(ctx context.Context, tokenID string) (token.APITokenState, bool, error)
	RightsChanged() uint64
}

// Book answers for the submitters of runs; it is the engine's Rights.
type Book struct {
	Known Known
}

// Changed returns a number that is another one after every change of policies or accounts.
func (b Book) Changed() uint64 { return b.Known.RightsChanged() }

// Submitter returns what the one who was given g may do now, with the policies and the account of
// now and the request of then, and why not. The answer holds until Changed returns another number.
// A fault means that it cannot be told yet.
func (b Book) Submitter(ctx context.Context, g dag.Grant) (func(*dag.Header, *dag.Operation) (*audit.DecisionRecord, string), error) {
	set := b.Known.Policies()
	account, named, err := b.Known.Subject(ctx, g.Sub)
	switch {
	case err != nil:
		return nil, err
	case set == nil:
		return nil, fault.New(fault.Unavailable, "rights.unknown",
			"what the submitter may do is not known before the control-center was heard")
	case !named || g.AuthVersion > account.Version: // the token of the submission says more than what was heard since
		account = token.SubjectState{Enabled: true, Roles: g.Roles}
	}
	var machine token.APITokenState
	if g.Token != "" {
		if machine, _, err = b.Known.APIToken(ctx, g.Token); err != nil {
			return nil, err
		}
	}
	who := g.Username
	if who == "" {
		who = g.Sub
	}
	asks := authz.Act{Subject: authz.Subject{ID: g.Sub, Username: g.Username, Roles: account.Roles, MFA: g.MFA, Scope: bounds(g)},
		IP: g.IP, Time: g.Time}
	return func(h *dag.Header, op *dag.Operation) (*audit.DecisionRecord, string) {
		a := asks
		switch {
		case account.Deleted:
			return audit.NewDecision(&a, authz.Decision{Rule: authz.NoRule, Version: set.Version()}, -1), "the account of " + who +
				" was deleted"
		case !account.Enabled:
			return audit.NewDecision(&a, authz.Decision{Rule: authz.NoRule, Version: set.Version()}, -1), "the account of " + who +
				" was disabled"
		case machine.Revoked:
			return audit.NewDecision(&a, authz.Decision{Rule: authz.NoRule, Version: set.Version()}, -1), "the API token " + g.Token +
				" of " + who + " was revoked"
		}
		action, resources := Needs(op)
		a.Asked = make([]authz.Asked, 0, 1+len(resources))
		a.Ask("create", Submission(h.Kind, h.Name))
		a.Ask(action, resources...)
		v := audit.Decide(set.Decide, &a, 0, set.Version())
		if v.Refused == nil {
			return v.Record, ""
		}
		return v.Record, refusal(who, *v.Refused, v.Decision)
	}, nil
}

// bounds returns what the API token of a submission allows at most; nil when there was none. A
// right that cannot be read allows nothing.
func bounds(g dag.Grant) authz.Scope {
	if g.Token == "" {
		return nil
	}
	scope := authz.Scope{}
	for _, text := range g.Scope {
		if r, err := authz.ParseRight(text); err == nil {
			scope = append(scope, r)
		}
	}
	return scope
}

// Token returns why what an API token has set up may not go on at a time; "" when it may, and for
// no token. One that is known no more expired long ago.
func (b Book) Token(ctx context.Context, tokenID string, now time.Time) (string, error) {
	if tokenID == "" {
		return "", nil
	}
	machine, named, err := b.Known.APIToken(ctx, tokenID)
	switch {
	case err != nil:
		return "", err
	case named && machine.Revoked:
		return "the API token " + tokenID + " was revoked", nil
	case !named || now.Unix() >= machine.Expires:
		return "the API token " + tokenID + " has expired", nil
	}
	return "", nil
}

// Reads returns why an account may not read resources of a type now, with the policies and the
// account of now and without a second factor or an address; "" when it may. A fault means that it
// cannot be told yet.
func (b Book) Reads(ctx context.Context, sub, resourceType string, now time.Time) (string, error) {
	set := b.Known.Policies()
	account, named, err := b.Known.Subject(ctx, sub)
	switch {
	case err != nil:
		return "", err
	case set == nil || !named:
		return "", fault.New(fault.Unavailable, "rights.unknown",
			"what account %s may read is not known before the control-center has named it", sub)
	case account.Deleted:
		return "the account " + sub + " was deleted", nil
	case !account.Enabled:
		return "the account " + sub + " was disabled", nil
	}
	q := authz.Asked{Action: "read", Resource: authz.Resource{Type: resourceType}}
	d := set.Decide(authz.Request{Subject: authz.Subject{ID: sub, Roles: account.Roles}, Action: q.Action, Resource: q.Resource, Time: now})
	if d.Allowed {
		return "", nil
	}
	return refusal("the account "+sub, q, d), nil
}

func refusal(who string, q authz.Asked, d authz.Decision) string {
	what := q.Resource.Type
	if q.Resource.Name != "" {
		what += " " + q.Resource.Name
	}
	return fmt.Sprintf("%s may no longer %s %s: %s", who, q.Action, what, d.Refusal())
}
