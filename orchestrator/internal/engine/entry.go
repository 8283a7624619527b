package engine

import (
	"strings"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/id"
)

// entry returns the audit entry of an attempt: who asked for the run, what allowed it, what it did
// to which resource.
func (r *runner) entry(t dag.AttemptRecord, phase audit.Phase, now time.Time) audit.Entry {
	h := &r.run.Header
	task := &r.run.Tasks[t.Task]
	details := map[string]any{"attempt": t.Number, "run": h.ID, "task": task.ID}
	if h.Grant.Decision != "" {
		details["decision"] = h.Grant.Decision
	}
	if h.Grant.Plan != "" {
		details["plan"] = h.Grant.Plan
	}
	if h.Kind == dag.Rollback {
		details["undoes"] = task.ID
	}
	own := id.At(now)
	return audit.Entry{
		Action: actionOf(t), Actor: audit.Actor{Sub: h.Grant.Sub, Username: h.Grant.Username}, Details: details,
		Decision: r.decision(t, phase, own),
		ID:       own, OpID: t.ID, Origin: run.Origin, Phase: phase, Resource: resourceOf(t.Step), Result: audit.Success, Time: now.UTC(),
		V: 1,
	}
}

// actionOf returns the action of an attempt: "server.create", and "server.undo_create" for its
// inverse.
func actionOf(t dag.AttemptRecord) string {
	noun, verb, _ := strings.Cut(t.Step.Action, ".")
	switch {
	case verb == "":
		return "step." + noun
	case t.Kind == dag.Undo:
		return noun + ".undo_" + verb
	}
	return t.Step.Action
}

// resourceOf returns the resource of a step: "servers/web-01", "taskservs/kubernetes on web-01".
func resourceOf(s dag.Step) string {
	noun, _, _ := strings.Cut(s.Action, ".")
	return noun + "s/" + s.Name
}
