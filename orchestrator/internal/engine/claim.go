package engine

import (
	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
)

// Claimer is an Executor that wants to know which steps are at work. The engine calls Claim before
// the first attempt at a step, and what Claim returns, unless nil, once it is stored that the step
// is at work no longer (dag.AtWork).
type Claimer interface {
	Claim(a dag.Attempt) (release func())
}

// claim is a step at work.
type claim struct {
	ref     dag.Ref
	task    string
	release func()
}

// claim tells the executor of a step whose attempt is about to begin.
func (r *runner) claim(l *dag.Launch) {
	c, ok := r.e.Executor.(Claimer)
	if !ok || l.Step < 0 || r.claims[l.Attempt.Tag].release != nil {
		return
	}
	if release := c.Claim(l.Attempt); release != nil {
		r.claims[l.Attempt.Tag] = claim{l.Ref, l.Attempt.TaskID, release}
	}
}

// endedClaims returns the tags of the steps that are at work no longer, as the run in memory says.
func (r *runner) endedClaims() (tags []string) {
	for tag, c := range r.claims {
		if !dag.AtWork(r.run, c.ref, c.task) {
			tags = append(tags, tag)
		}
	}
	return tags
}

// unclaim releases claims.
func (r *runner) unclaim(tags []string) {
	for _, tag := range tags {
		if c, ok := r.claims[tag]; ok {
			c.release()
			delete(r.claims, tag)
		}
	}
}

// unclaimAll releases all claims of a run that this process drives no longer.
func (r *runner) unclaimAll() {
	for _, c := range r.claims {
		c.release()
	}
	clear(r.claims)
}
