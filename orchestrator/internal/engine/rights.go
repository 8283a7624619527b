package engine

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/id"
)

// refreshRights asks what the submitter of the run may do, if that may have changed. After a fault
// nothing starts until it succeeds.
func (r *runner) refreshRights(ctx context.Context, g dag.Grant) error {
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

// judge says why the submitter may not do an operation now, empty when they may; it is dag.Run.May.
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

// rightDecision is whether the submitter of a run may do one operation.
type rightDecision struct {
	decision *audit.DecisionRecord
	why      string // why it is refused; empty: it is not
	entry    string // id of the audit entry of the first intent with this decision
}

// decision returns what allowed an attempt, for its audit entry: the decision of now for one that
// does something, that of the submission for an undo, about which nobody is asked again. Only the
// first intent of an operation has the whole decision; the entries of its other attempts, as many
// as it has servers, refer to that one.
func (r *runner) decision(t dag.AttemptRecord, phase audit.Phase, entry string) *audit.DecisionRecord {
	g := &r.run.Header.Grant
	d := r.decided[t.Task]
	switch {
	case d == nil || t.Kind != dag.Do:
		return &audit.DecisionRecord{Allowed: true, Policy: g.Policy, Rule: g.Rule}
	case phase == audit.Intent && d.entry == "":
		d.entry = entry
		return d.decision
	}
	short := &audit.DecisionRecord{Allowed: true, Policy: d.decision.Policy, Rule: d.decision.Rule}
	if phase == audit.Intent {
		short.Of = d.entry
	}
	return short
}

// largeOperation is the number of servers, targets and task services from which on the decision on
// an operation is stored once and its audit entries refer to it.
const largeOperation = 16

// keepDecisions stores the decisions of which the audit entries have only the digest: of a
// submission, and of attempts at its largest operations.
func (r *runner) keepDecisions(ctx context.Context, nodes []dag.Node, submitted *audit.DecisionRecord) error {
	if err := audit.Keep(ctx, r.e.DB, submitted); err != nil || r.may == nil {
		return err
	}
	for i := range nodes {
		op := &nodes[i].Operation
		if len(op.Servers)+len(op.Targets)+len(op.Taskservs) < largeOperation {
			continue
		}
		d, _ := r.may(&r.run.Header, op)
		if err := audit.Keep(ctx, r.e.DB, d); err != nil {
			return err
		}
	}
	return nil
}

// withdrawal returns the audit entry of rights that the submitter of a run lost.
func (r *runner) withdrawal(w dag.Withdrawal, now time.Time) audit.Entry {
	h := &r.run.Header
	e := audit.Entry{
		Action: run.Singular(h.Kind) + ".withdraw", Actor: audit.Actor{Sub: "service:" + run.Origin}, Code: "authz.denied",
		Details: map[string]any{"reason": w.Reason, "submission": h.Grant.Decision, "submitter": h.Grant.Sub,
			"submitter_name": h.Grant.Username, "tasks": w.Tasks},
		ID: id.At(now), Origin: run.Origin, Phase: audit.Event, Resource: run.Plural(h.Kind) + "/" + h.ID,
		Result: audit.Refused, Time: now.UTC(), V: 1,
	}
	if d := r.decided[w.Task]; d != nil {
		e.Decision = d.decision
	}
	return e
}
