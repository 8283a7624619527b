package policy

import (
	"context"
	"encoding/json"

	"github.com/provisioning-platform/platform/control-center/internal/auditlog"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/store"
)

// Limits of one rehearsal.
const (
	maxRehearsed = 20_000 // rows of the audit index that it looks at; its Next goes on behind them
	maxChanged   = 200    // rows in Changed
)

// Rehearsal says how recorded decisions would have been under a draft.
type Rehearsal struct {
	Rows       int       // of the audit index that were looked at
	Decisions  int       // recorded decisions that the draft answered
	CannotTell int       // those of which the entry does not hold what was asked (decision 58)
	Deny       int       // were allowed and would be denied
	Allow      int       // were denied and would be allowed
	Changed    []Changed // those of Deny and Allow, newest first, at most maxChanged
	Next       string    // the row behind which another rehearsal goes on; empty when all are looked at
}

// Changed is a recorded decision that would be another one.
type Changed struct {
	Row      auditlog.Row
	Username string
	Recorded string // rule that decided then
	Allowed  bool   // what the draft says
	Rule     string // rule that decides under the draft
	Reason   string
	InForce  bool // what the policies in force say by now
}

// Rehearse asks a set of policies again what the audit log recorded, newest first. page returns the
// rows behind one.
func (ps *Policies) Rehearse(ctx context.Context, set *authz.Set, after string,
	page func(ctx context.Context, after string) (store.Window[auditlog.Row], error),
) (Rehearsal, error) {
	r := Rehearsal{Next: after}
	for {
		w, err := page(ctx, r.Next)
		if err != nil {
			return r, err
		}
		for _, row := range w.Rows {
			r.Rows++
			ps.again(&r, set, row.Value)
		}
		if r.Next = w.Next; r.Next == "" || r.Rows >= maxRehearsed {
			return r, nil
		}
	}
}

// again asks set again what the decision of one row was about.
func (ps *Policies) again(r *Rehearsal, set *authz.Set, row auditlog.Row) {
	var details struct {
		Decision *audit.DecisionRecord `json:"decision"`
		Username string                `json:"username"`
	}
	if err := json.Unmarshal(row.Details, &details); err != nil {
		r.CannotTell++
		return
	}
	then := details.Decision
	if then == nil || then.Of != "" { // it stands on none, or on that of another row
		return
	}
	now, ok := then.Replay(set)
	if !ok {
		r.CannotTell++
		return
	}
	r.Decisions++
	switch {
	case now.Allowed == then.Allowed:
		return
	case now.Allowed:
		r.Allow++
	default:
		r.Deny++
	}
	if len(r.Changed) < maxChanged {
		inForce, _ := then.Replay(ps.Authority.Set())
		r.Changed = append(r.Changed, Changed{
			Row: row, Username: details.Username, Recorded: then.Rule, Allowed: now.Allowed, Rule: now.Rule,
			Reason: now.Reason, InForce: inForce.Allowed,
		})
	}
}
