package engine

import (
	"log/slog"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/trace"
)

// SpanOfRun returns a run's span: below that of the request that submitted it, and
// known from its header alone, so that every process that goes on with the run knows it. It is
// none when the request was not traced.
func SpanOfRun(h *dag.Header) trace.SpanContext { return trace.Parse(h.Trace).Child(h.ID) }

// SpanOfTask returns the span of a run's task.
func SpanOfTask(h *dag.Header, taskID string) trace.SpanContext { return SpanOfRun(h).Child(taskID) }

// spanOf returns the span below which the attempts of a task stand. A rollback undoes tasks of
// other runs, so its attempts stand below the rollback itself.
func (r *runner) spanOf(taskID string) trace.SpanContext {
	if r.kind == dag.Rollback {
		return r.span
	}
	return r.span.Child(taskID)
}

// recordSpans records the spans of what a change that is stored has ended: tasks, and the run.
func (r *runner) recordSpans(c *dag.Change) {
	if r.span.None() {
		return
	}
	h := &r.run.Header
	if r.kind != dag.Rollback {
		for _, i := range c.Finished {
			if t := &r.run.Tasks[i]; t.StartedAt != nil && t.CompletedAt != nil {
				r.e.Traces.Record(trace.EndedSpan{
					Own: r.span.Child(t.ID), Parent: r.span, Name: t.Name, Begin: *t.StartedAt, End: *t.CompletedAt,
					Failed: failed(t.Status()),
					Attributes: []slog.Attr{slog.String("run.id", h.ID), slog.String("task.id", t.ID),
						slog.String("task.operation", t.Operation), slog.String("task.status", t.Status().Lower())},
				})
			}
		}
	}
	if r.run.Done() && h.CompletedAt != nil {
		r.e.Traces.Record(trace.EndedSpan{
			Own: r.span, Parent: trace.Parse(h.Trace), Name: string(h.Kind), Begin: h.CreatedAt, End: *h.CompletedAt,
			Failed: failed(h.Status()),
			Attributes: []slog.Attr{slog.String("run.id", h.ID), slog.String("run.kind", string(h.Kind)),
				slog.String("run.status", h.Status().Lower())},
		})
	}
}

// failed returns the word of a failure; empty for any other end.
func failed(s dag.Status) string {
	if s == dag.StatusFailed {
		return s.Lower()
	}
	return ""
}

// recordAttempt records the span of an attempt that ended now. Its error stays in the audit log: it
// is a text of somebody else.
func (e *Engine) recordAttempt(a *dag.Attempt, class dag.Class, parent trace.SpanContext, began time.Time) {
	if parent.None() {
		return
	}
	name, bad := a.Step.Action, ""
	if name == "" || a.Kind != dag.Do {
		name = string(a.Kind) + " " + name
	}
	if class != dag.OK && class != dag.NotFoundClass {
		bad = string(class)
	}
	e.Traces.Record(trace.EndedSpan{
		Own: parent.Child(a.ID), Parent: parent, Kind: trace.Client, Name: name, Begin: began, End: time.Now(), Failed: bad,
		Attributes: []slog.Attr{
			slog.String("run.id", a.RunID), slog.String("task.id", a.TaskID), slog.String("attempt.id", a.ID),
			slog.String("attempt.kind", string(a.Kind)), slog.Int("attempt.number", a.Number), slog.String("attempt.class", string(class)),
			slog.String("step.name", a.Step.Name), slog.String("step.provider", a.Step.Provider),
		},
	})
}
