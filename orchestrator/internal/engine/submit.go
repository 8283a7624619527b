package engine

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/trace"
)

// commitWait bounds a commit that a caller waits for.
const commitWait = 15 * time.Second

// Submission is a run to be. Who asks and which decision allows it come from the audit
// context.
type Submission struct {
	ID         string // of the run, and of a workflow's task; fresh when empty. Submitting it again returns the run
	Definition dag.Definition
	Act        audit.EntryDraft // what the audit log calls it; Action "batch.create" or so, Resource "batches/<id>" when empty
	Grant      dag.Grant        // what the audit context does not say of who asks: the account's version and roles, MFA, and when
	Plan       string           // id of the plan it was rehearsed with
	Accept     func(Submitted)  // hears of the run before its commit, which settles the request's Idempotency-Key; nil: nobody

	resumes store.Row[dag.Header] // the withdrawn batch that it goes on with
}

// Submitted is a run as it was accepted.
type Submitted struct {
	Run   dag.Header
	Tasks []Accepted // in the order of the definition
}

// Accepted names a task of a run that was accepted, and its operation.
type Accepted struct{ ID, Operation string }

func acceptedOf(tasks []dag.Task) []Accepted {
	list := make([]Accepted, len(tasks))
	for i := range tasks {
		list[i] = Accepted{ID: tasks[i].ID, Operation: tasks[i].Operation}
	}
	return list
}

// adopts adds to the writes of a submission the header of the batch that it goes on with, marked as
// adopted, so that nobody else goes on with it. That batch has ended, so nothing else writes its
// header.
func (s *Submission) adopts(writes []store.Write) ([]store.Write, error) {
	if s.resumes.Rev == 0 {
		return writes, nil
	}
	old := s.resumes.Value
	old.AdoptedBy = s.ID
	w, err := run.Headers().Write(old, store.At(s.resumes.Rev))
	return append(writes, w), err
}

// Submit validates a definition, whose nodes become the engine's, and stores it as a run with all
// its tasks, in one commit with the audit entry of the request. When it returns, the run is durable
// and goes on whatever happens.
func (e *Engine) Submit(ctx context.Context, s Submission) (Submitted, error) {
	if faults := dag.Validate(s.Definition, e.Limits); len(faults) > 0 {
		return Submitted{}, Invalid(s.Definition.Kind, faults)
	}
	if s.ID == "" {
		s.ID = id.New()
	}
	s.Definition.Policy = s.Definition.Policy.Or(e.Policy)
	for i := range s.Definition.Nodes {
		n := &s.Definition.Nodes[i]
		n.TaskID = id.Within(s.ID, i)
		if s.Definition.Kind == dag.Workflow {
			n.TaskID = s.ID
		}
	}
	r, err := e.submit(ctx, s)
	if err != nil {
		return Submitted{}, err
	}
	if r == nil { // submitted before
		return e.submitted(ctx, s.ID)
	}
	return *r, nil
}

// Invalid is the fault of a definition with these faults.
func Invalid(kind dag.Kind, faults []fault.Field) error {
	return fault.New(fault.Invalid, string(kind)+".invalid", "The %s is not valid: %s", kind, faults[0].Message).With(faults...)
}

// submit commits a new run and launches it. It returns nil when there is such a run already.
func (e *Engine) submit(ctx context.Context, s Submission) (*Submitted, error) {
	if n := len(s.Definition.Nodes); n > id.MaxWithin {
		return nil, fault.New(fault.Invalid, string(s.Definition.Kind)+".too_large",
			"A %s of %d nodes is too large; at most %d can be stored.", s.Definition.Kind, n, id.MaxWithin)
	}
	now := e.now()
	if s.Act.Resource == "" {
		s.Act.Resource = run.Plural(s.Definition.Kind) + "/" + s.ID
	}
	body, grant, err := granted(ctx, s.Act, s.Grant, now.Wall)
	if err != nil {
		return nil, err
	}
	grant.Plan = s.Plan
	r := e.newRunner(s.ID, s.Definition.Kind)
	if err := r.refreshRights(ctx, grant); err != nil {
		return nil, err
	}
	added, waits, err := e.register(r)
	if err != nil || !added {
		return nil, err
	}
	if waits && s.resumes.Rev != 0 { // a rollback began since the batch was read
		return nil, e.admit(ctx, r, waits, errRollback)
	}
	accepted, err := r.commitSubmission(ctx, &s, grant, body, waits, now)
	if err := e.admit(ctx, r, waits, err); err != nil {
		if fault.Is(err, fault.Conflict) {
			return nil, nil
		}
		return nil, err
	}
	return &accepted, nil
}

// commitSubmission makes the run of a submission, starts it unless it waits, and commits it.
func (r *runner) commitSubmission(ctx context.Context, s *Submission, grant dag.Grant, entry []byte, waits bool,
	now dag.Now) (Submitted, error) {
	writes, err := new(run.Encoder).Definition(s.ID, s.Definition.Nodes)
	if err != nil {
		return Submitted{}, err
	}
	fresh := dag.New(s.ID, s.Definition, grant, now)
	fresh.Header.Resumes, fresh.Header.Slices, fresh.Header.Trace = s.resumes.Value.ID, len(writes), trace.At(ctx).String()
	r.own(fresh, 0)
	if !waits {
		_ = dag.Apply(fresh, dag.Start{}, now)
		r.advance(now)
	}
	if writes, err = s.adopts(writes); err != nil {
		return Submitted{}, err
	}
	if err := r.keepDecisions(ctx, s.Definition.Nodes, audit.ContextOf(ctx).Decision); err != nil {
		return Submitted{}, err
	}
	accepted := Submitted{Run: fresh.Header, Tasks: acceptedOf(fresh.Tasks)}
	if s.Accept != nil {
		s.Accept(accepted)
	}
	settled, err := audit.ContextOf(ctx).Settlement(audit.Success)
	if err != nil {
		return Submitted{}, err
	}
	return accepted, r.first(ctx, append(writes, settled...), entry, now)
}

// granted returns the audit entry of a request for a run, and the grant of the run: g with what the
// audit.Context says.
func granted(ctx context.Context, act audit.EntryDraft, g dag.Grant, now time.Time) ([]byte, dag.Grant, error) {
	entry := run.Entry(ctx, act, now)
	scene := audit.ContextOf(ctx)
	g.Decision, g.IP, g.Sub, g.Username = entry.ID, scene.Actor.IP, scene.Actor.Sub, scene.Actor.Username
	if scene.Decision != nil {
		g.Policy, g.Rule = scene.Decision.Policy, scene.Decision.Rule
	}
	body, err := entry.Encode()
	return body, g, err
}

// admit launches a registered run, or forgets it when its first commit failed with err, which it
// returns. waits says that the run was not started because of a rollback.
func (e *Engine) admit(ctx context.Context, r *runner, waits bool, err error) error {
	if err != nil {
		r.close()
		close(r.ended)
		return err
	}
	audit.ContextOf(ctx).MarkRecorded()
	r.releaseSlots()
	e.mu.Lock()
	defer e.mu.Unlock()
	r.admitted = true
	e.launch(r)
	if waits && !e.startsWait() { // the rollback ended in between
		r.post(message{command: dag.Start{}})
	}
	return nil
}

// first commits a run that does not exist yet.
func (r *runner) first(ctx context.Context, writes []store.Write, entry []byte, now dag.Now) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitWait)
	defer cancel()
	return r.commit(ctx, &cycle{change: r.run.Take(), entries: [][]byte{entry}, writes: writes, now: now})
}

// submitted returns a run that was submitted before.
func (e *Engine) submitted(ctx context.Context, id string) (Submitted, error) {
	h, err := run.Headers().Get(ctx, e.DB, id)
	if err != nil {
		return Submitted{}, err
	}
	if h.Rev == 0 { // just being committed by somebody else
		return Submitted{}, store.ErrUnavailable
	}
	rows, err := run.TasksOf(ctx, e.DB, id)
	return Submitted{Run: h.Value, Tasks: acceptedOf(rows)}, err
}
