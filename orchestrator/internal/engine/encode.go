package engine

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/store"
)

// The documents that every commit of a run writes are encoded by hand: it is a quarter of the engine's time with
// encoding/json. The bytes are those of store.Canonical; a test with every field set holds them equal.

// object appends JSON objects, one behind the other; the caller gives the members in bytewise order of their names.
type object struct {
	b    []byte
	open bool // a member stands in front
}

// since returns what was appended from start on.
func (o *object) since(start int) []byte { return o.b[start:len(o.b):len(o.b)] }

func (o *object) begin() { o.b, o.open = append(o.b, '{'), false }

func (o *object) end() { o.b, o.open = append(o.b, '}'), true }

func (o *object) name(name string) {
	if o.open {
		o.b = append(o.b, ',')
	}
	o.open = true
	o.b = append(o.b, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, `":`...)
}

// text appends a member, nothing when it is empty.
func (o *object) text(name, value string) {
	if value != "" {
		o.name(name)
		o.b = store.AppendString(o.b, value)
	}
}

// always appends a member also when it is empty.
func (o *object) always(name, value string) {
	o.name(name)
	o.b = store.AppendString(o.b, value)
}

func (o *object) number(name string, value int64) {
	o.name(name)
	o.b = strconv.AppendInt(o.b, value, 10)
}

// count appends a number, nothing when it is 0.
func (o *object) count(name string, value int64) {
	if value != 0 {
		o.number(name, value)
	}
}

func (o *object) flag(name string, value bool) {
	if value {
		o.name(name)
		o.b = append(o.b, "true"...)
	}
}

// percent appends hundredths of a percent as a percentage.
func (o *object) percent(name string, hundredths int) {
	o.name(name)
	o.b = strconv.AppendFloat(o.b, float64(hundredths)/100, 'f', -1, 64)
}

func (o *object) time(name string, t time.Time) {
	o.name(name)
	o.b = t.AppendFormat(append(o.b, '"'), time.RFC3339Nano)
	o.b = append(o.b, '"')
}

// moment appends a time, nothing when there is none.
func (o *object) moment(name string, t *time.Time) {
	if t != nil {
		o.time(name, *t)
	}
}

func (o *object) list(name string, values []string) {
	o.name(name)
	o.b = append(o.b, '[')
	for i, v := range values {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = store.AppendString(o.b, v)
	}
	o.b = append(o.b, ']')
}

// some appends a list of texts, nothing when it is empty.
func (o *object) some(name string, values []string) {
	if len(values) > 0 {
		o.list(name, values)
	}
}

// dict appends a map of texts, nothing when it is empty.
func (o *object) dict(name string, m map[string]string) {
	if len(m) == 0 {
		return
	}
	o.name(name)
	o.begin()
	var room [8]string
	names := slices.AppendSeq(room[:0], maps.Keys(m))
	slices.Sort(names)
	for _, k := range names {
		if o.open {
			o.b = append(o.b, ',')
		}
		o.open = true
		o.b = append(store.AppendString(o.b, k), ':')
		o.b = store.AppendString(o.b, m[k])
	}
	o.end()
}

func (o *object) task(t *dag.Task) []byte {
	start := len(o.b)
	o.begin()
	o.list("args", t.Args)
	o.text("attention", t.Attention)
	o.flag("batch", t.Batch)
	o.flag("check_mode", t.CheckMode)
	o.always("command", t.Command)
	o.moment("completed_at", t.CompletedAt)
	o.time("created_at", t.CreatedAt)
	o.moment("deadline", t.Deadline)
	o.list("dependencies", t.Dependencies)
	o.text("error", t.Error)
	o.flag("expired", t.Expired)
	o.always("id", t.ID)
	o.always("name", t.Name)
	o.number("number", int64(t.Number))
	o.text("operation", t.Operation)
	o.text("output", t.Output)
	o.count("progress", int64(t.Progress))
	o.flag("resolved", t.Resolved)
	o.count("resolves", int64(t.Resolves))
	o.moment("retry_at", t.RetryAt)
	o.moment("rolled_back_at", t.RolledBackAt)
	o.always("run", t.Run)
	o.moment("started_at", t.StartedAt)
	o.always("state", string(t.State))
	if len(t.Steps) > 0 {
		o.name("steps")
		o.b = append(o.b, '[')
		for i := range t.Steps {
			if i > 0 {
				o.b = append(o.b, ',')
			}
			o.step(&t.Steps[i])
		}
		o.b = append(o.b, ']')
	}
	o.moment("stop_by", t.StopBy)
	o.text("type", t.Type)
	o.text("undoes", t.Undoes)
	o.text("user", t.User)
	o.end()
	return o.since(start)
}

func (o *object) step(p *dag.Progress) {
	o.begin()
	o.text("attempt", p.Attempt)
	o.flag("doubt", p.Doubt)
	o.flag("ended", p.Ended)
	o.text("error", p.Error)
	o.dict("facts", p.Facts)
	o.count("finds", int64(p.Finds))
	o.text("kind", string(p.Kind))
	o.text("output", p.Output)
	o.moment("retry_at", p.RetryAt)
	o.count("seq", int64(p.Seq))
	o.flag("stands", p.Stands)
	o.always("state", string(p.State))
	o.name("step")
	o.begin()
	o.always("action", p.Step.Action)
	o.always("name", p.Step.Name)
	o.dict("params", p.Step.Params)
	o.text("provider", p.Step.Provider)
	o.text("target", p.Step.Target)
	o.end()
	o.count("tries", int64(p.Tries))
	o.text("undo_error", p.UndoError)
	o.end()
}

func (o *object) header(h *dag.Header) []byte {
	start := len(o.b)
	o.begin()
	o.text("cancel_id", h.CancelID)
	o.text("cancelled_by", h.CancelledBy)
	o.text("checkpoint", h.Checkpoint)
	o.moment("completed_at", h.CompletedAt)
	o.name("counts")
	o.begin()
	o.number("cancelled", int64(h.Counts.Cancelled))
	o.number("completed", int64(h.Counts.Completed))
	o.number("failed", int64(h.Counts.Failed))
	o.number("pending", int64(h.Counts.Pending))
	o.number("running", int64(h.Counts.Running))
	o.end()
	o.time("created_at", h.CreatedAt)
	o.text("error", h.Error)
	o.text("failed_by", h.FailedBy)
	o.name("grant")
	o.begin()
	o.text("decision", h.Grant.Decision)
	o.text("plan", h.Grant.Plan)
	o.count("policy", int64(h.Grant.Policy))
	o.text("rule", h.Grant.Rule)
	o.text("sub", h.Grant.Sub)
	o.text("username", h.Grant.Username)
	o.end()
	o.always("id", h.ID)
	o.always("kind", string(h.Kind))
	o.always("name", h.Name)
	o.text("owner", h.Owner)
	o.number("parallel_limit", int64(h.ParallelLimit))
	o.name("policy")
	o.policy(&h.Policy)
	o.flag("roll_back", h.RollBack)
	o.flag("rollback_enabled", h.RollbackEnabled)
	o.number("slices", int64(h.Slices))
	o.moment("started_at", h.StartedAt)
	o.always("state", string(h.State))
	o.number("step_limit", int64(h.StepLimit))
	o.text("storage_backend", h.StorageBackend)
	o.time("until", h.Until)
	o.time("updated_at", h.UpdatedAt)
	o.text("version", h.Version)
	o.end()
	return o.since(start)
}

func (o *object) policy(p *dag.Policy) {
	o.begin()
	o.count("attempt_timeout_ms", p.AttemptTimeout)
	o.count("grace_ms", p.Grace)
	o.count("initial_delay_ms", p.InitialDelay)
	o.count("max_attempts", int64(p.MaxAttempts))
	o.count("max_delay_ms", p.MaxDelay)
	o.flag("retry_timeouts", p.RetryTimeouts)
	o.count("timeout_ms", p.Timeout)
	o.end()
}

func (o *object) node(n *dag.Node) []byte {
	start := len(o.b)
	o.begin()
	o.some("args", n.Args)
	o.text("command", n.Command)
	o.some("dependencies", n.Dependencies)
	o.always("id", n.ID)
	o.text("name", n.Name)
	o.text("on_failure", n.OnFailure)
	o.name("operation")
	o.operation(&n.Operation)
	if n.Policy != nil {
		o.name("policy")
		o.policy(n.Policy)
	}
	o.text("task_id", n.TaskID)
	o.text("undo", n.Undo)
	o.end()
	return o.since(start)
}

func (o *object) operation(p *dag.Operation) {
	o.begin()
	o.flag("check_mode", p.CheckMode)
	o.text("cluster_type", p.ClusterType)
	o.text("infra", p.Infra)
	o.text("provider", p.Provider)
	if len(p.Servers) > 0 {
		o.name("servers")
		o.b = append(o.b, '[')
		for i, s := range p.Servers {
			if i > 0 {
				o.b = append(o.b, ',')
			}
			o.begin()
			o.always("name", s.Name)
			o.text("plan", s.Plan)
			o.text("zone", s.Zone)
			o.end()
		}
		o.b = append(o.b, ']')
	}
	o.text("settings", p.Settings)
	o.some("targets", p.Targets)
	o.text("taskserv", p.Taskserv)
	o.some("taskservs", p.Taskservs)
	o.always("type", p.Type)
	o.always("verb", p.Verb)
	o.flag("wait", p.Wait)
	o.end()
}

func (o *object) effect(e *Effect) []byte {
	start := len(o.b)
	o.begin()
	o.time("at", e.At)
	o.some("made", e.Made)
	o.text("operation", e.Operation)
	o.always("run", e.Run)
	o.always("task", e.Task)
	o.some("used", e.Used)
	o.end()
	return o.since(start)
}

func (o *object) resource(r *Resource) []byte {
	start := len(o.b)
	o.begin()
	o.dict("facts", r.Facts)
	o.always("kind", r.Kind)
	o.always("name", r.Name)
	o.always("provider", r.Provider)
	o.time("updated", r.Updated)
	o.end()
	return o.since(start)
}
