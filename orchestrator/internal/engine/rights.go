package engine

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
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
		d := &rightDecision{}
		d.decision, d.why = r.may(&r.run.Header, op)
		r.decided[i] = d
	}
	return r.decided[i].why
}

// decided is what the submitter of a run may do of one operation.
type rightDecision struct {
	decision *audit.Decision
	why      string // it is refused
	entry    string // id of the first intent that stands on it
}

// decision is what the attempt of an entry stands on: the decision of now for one that does something, that of the
// submission for an undo, which is not asked again. The first intent says what decided; the attempts behind it, of which an
// operation over many servers has as many, refer to it.
func (r *runner) decision(t dag.AttemptRecord, phase audit.Phase, entry string) *audit.Decision {
	g := &r.run.Header.Grant
	d := r.decided[t.Task]
	switch {
	case d == nil || t.Kind != dag.Do:
		return &audit.Decision{Allowed: true, Policy: g.Policy, Rule: g.Rule}
	case phase == audit.Intent && d.entry == "":
		d.entry = entry
		return d.decision
	}
	short := &audit.Decision{Allowed: true, Policy: d.decision.Policy, Rule: d.decision.Rule}
	if phase == audit.Intent {
		short.Of = d.entry
	}
	return short
}

// keepDecisions stores what the audit entries of a submission, and of attempts at its largest operations, have the digest
// of.
func (r *runner) keepDecisions(ctx context.Context, nodes []dag.Node, submitted *audit.Decision) error {
	if err := audit.Keep(ctx, r.e.DB, submitted); err != nil || r.may == nil {
		return err
	}
	for i := range nodes {
		op := &nodes[i].Operation
		if len(op.Servers)+len(op.Targets)+len(op.Taskservs) < large {
			continue
		}
		d, _ := r.may(&r.run.Header, op)
		if err := audit.Keep(ctx, r.e.DB, d); err != nil {
			return err
		}
	}
	return nil
}

// withdrawal is what the audit log says about rights that the submitter of a run lost.
func (r *runner) withdrawal(w dag.Withdrawal, now time.Time) audit.Entry {
	h := &r.run.Header
	e := audit.Entry{
		Action: run.Singular(h.Kind) + ".withdraw", Actor: audit.Actor{Sub: "service:" + run.Origin}, Code: "authz.denied",
		Details: map[string]any{"reason": w.Reason, "submission": h.Grant.Decision, "submitter": h.Grant.Sub, "submitter_name": h.Grant.Username, "tasks": w.Tasks},
		ID:      id.At(now), Origin: run.Origin, Phase: audit.Event, Resource: run.Plural(h.Kind) + "/" + h.ID, Result: audit.Refused, Time: now.UTC(), V: 1,
	}
	if d := r.decided[w.Task]; d != nil {
		e.Decision = d.decision
	}
	return e
}
