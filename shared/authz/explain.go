package authz

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// maxMisses is how many near misses an explanation shows.
const maxMisses = 5

// Explanation says why a request is decided as it is, for people who may read policies.
type Explanation struct {
	Decision Decision
	Matched  []RuleRef // every rule that speaks of the request and whose condition holds, Denies first
	Misses   []Miss    // when nothing matched: the rules that came closest
}

// RuleRef names a rule.
type RuleRef struct {
	ID    string // as in Decision.Rule
	Owner string // name of the policy, role or service
	Rule  Rule
}

// Miss is a rule that did not match, and everything that failed in it.
type Miss struct {
	RuleRef
	Failed []Failure
}

// Failure is one part of a rule that did not match: Part is "subject", "action", "resource", "name"
// or "condition", Why a sentence.
type Failure struct {
	Part string
	Why  string
}

// Explain decides q and says how. It looks at every rule: it is for people, not for the path of
// requests.
func (s *Set) Explain(q Request) Explanation {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := Explanation{Decision: s.decide(q)}
	var misses []Miss
	for _, r := range s.all() {
		ref := RuleRef{ID: r.id, Owner: r.owner, Rule: r.source}
		failed := s.failures(r, &q)
		switch {
		case len(failed) > 0:
			misses = append(misses, Miss{ref, failed})
		case r.deny:
			e.Matched = append([]RuleRef{ref}, e.Matched...)
		default:
			e.Matched = append(e.Matched, ref)
		}
	}
	if len(e.Matched) > 0 {
		return e
	}
	sort.SliceStable(misses, func(a, b int) bool { return distance(misses[a]) < distance(misses[b]) })
	for _, m := range misses {
		if m.Rule.Effect == EffectAllow && len(e.Misses) < maxMisses {
			e.Misses = append(e.Misses, m)
		}
	}
	return e
}

// distance orders misses: fewer failures first; a rule for another kind of resource is far away.
func distance(m Miss) int {
	weight := map[string]int{"resource": 8, "action": 4, "name": 3, "subject": 2, "condition": 1}
	sum := 0
	for _, f := range m.Failed {
		sum += weight[f.Part]
	}
	return sum
}

// failures says everything in r that does not fit q; nothing when r matches.
func (s *Set) failures(r *rule, q *Request) []Failure {
	var out []Failure
	add := func(part, why string, args ...any) { out = append(out, Failure{part, fmt.Sprintf(why, args...)}) }
	if !s.speaksOf(r, q) {
		var who []string
		for _, w := range r.who {
			who = append(who, w.say())
		}
		add("subject", "is for %s; this is %s", strings.Join(who, ", "), describe(q))
	}
	if action := r.source.Action; !slices.Contains(action, q.Action) && !slices.Contains(action, "*") {
		add("action", "is for %s, not for %s", strings.Join(action, ", "), q.Action)
	}
	if r.typ != "*" && r.typ != q.Resource.Type {
		add("resource", "is for %s, not for %s", r.typ, q.Resource.Type)
	}
	if r.name != "*" && !glob(q.Resource.Name, r.name) {
		add("name", "%q does not match %q", q.Resource.Name, r.name)
	}
	if r.cond != nil {
		switch yes, err := r.cond.holds(&question{q}); {
		case err != nil && !r.deny:
			add("condition", "%s cannot be evaluated: %v", r.cond.text, err)
		case err == nil && !yes:
			add("condition", "%s is false", r.cond.text)
		}
	}
	return out
}

// speaksOf says whether one of the rule's subjects is the request's.
func (s *Set) speaksOf(r *rule, q *Request) bool {
	for _, w := range r.who {
		yes := false
		switch w.kind {
		case service:
			yes = q.Subject.Service && w.name == q.Subject.ID
		case everyone:
			yes = !q.Subject.Service
		case user:
			yes = !q.Subject.Service && w.name == q.Subject.ID
		case userName:
			yes = !q.Subject.Service && w.name == q.Subject.Username
		case directRole:
			yes = !q.Subject.Service && slices.Contains(q.Subject.Roles, w.name)
		case role:
			yes = !q.Subject.Service && slices.ContainsFunc(q.Subject.Roles, func(mine string) bool {
				return slices.Contains(s.index.closure[mine], w.name)
			})
		}
		if yes {
			return true
		}
	}
	return false
}

func describe(q *Request) string {
	if q.Subject.Service {
		return "the service " + q.Subject.ID
	}
	if len(q.Subject.Roles) == 0 {
		return "a user without a role"
	}
	return "a user with " + strings.Join(q.Subject.Roles, ", ")
}
