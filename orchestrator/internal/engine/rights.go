package engine

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/id"
)

// ask brings up to date what the submitter of the run may do, before something may start. A fault
// means that it cannot be told, and that nothing starts until it can.
func (r *runner) ask(ctx context.Context, g dag.Grant) error {
	rights := r.e.Rights
	if rights == nil || r.kind == dag.Rollback {
		return nil
	}
	changed := rights.Changed()
	if r.may != nil && r.asked == changed {
		return nil
	}
	may, err := rights.Submitter(ctx, g)
	if err != nil {
		return err
	}
	r.may, r.asked = may, changed
	clear(r.decided)
	return nil
}

// judge says why the submitter may not do an operation now, empty when they may; it is the run's
// May.
func (r *runner) judge(i int32, op *dag.Operation) string {
	if r.may == nil {
		return ""
	}
	if r.decided[i] == nil {
		d := r.may(&r.run.Header, op)
		r.decided[i] = &d
	}
	if r.decided[i].Allowed {
		return ""
	}
	return r.decided[i].Reason
}

// decision is what an attempt stands on: the decision of now for one that does something, that of
// the submission for an undo, which is not asked again. The intent says what decided; it need not
// stand in the outcome, too.
func (r *runner) decision(t dag.Trial, phase audit.Phase) *audit.Decision {
	g := &r.run.Header.Grant
	a := &audit.Decision{Allowed: true, Policy: g.Policy, Rule: g.Rule}
	if d := r.decided[t.Task]; d != nil && t.Kind == dag.Do {
		a.Policy, a.Rule = d.Version, d.Rule
		if phase == audit.Intent {
			a.Inputs = d.Inputs
		}
	}
	return a
}

// withdrawal is what the audit log says about rights that the submitter of a run lost.
func (r *runner) withdrawal(w dag.Withdrawal, now time.Time) audit.Entry {
	h := &r.run.Header
	e := audit.Entry{
		Action: singular(h.Kind) + ".withdraw", Actor: audit.Actor{Sub: "service:" + origin}, Code: "authz.denied",
		Details: map[string]any{"reason": w.Reason, "submission": h.Grant.Decision, "submitter": h.Grant.Sub, "submitter_name": h.Grant.Username, "tasks": w.Tasks},
		ID:      id.At(now), Origin: origin, Phase: audit.Event, Resource: plural(h.Kind) + "/" + h.ID, Result: audit.Refused, Time: now.UTC(), V: 1,
	}
	if d := r.decided[w.Task]; d != nil {
		e.Decision = &audit.Decision{Inputs: d.Inputs, Policy: d.Version, Rule: d.Rule}
	}
	return e
}
