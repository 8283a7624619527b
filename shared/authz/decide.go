package authz

import "sync/atomic"

// NoRule is Decision.Rule when nothing matched.
const NoRule = "none"

// needFactor is what a person does next whom only the missing second factor holds up (behaviour
// 106).
const needFactor = "sign in with your MFA code and retry; an account without one enrols it first (POST /mfa/enroll/totp, or an " +
	"administrator: control-center user enrol-totp)"

// Refusal returns in words why d, which does not allow, refuses what was allowed once.
func (d Decision) Refusal() string {
	if d.Rule == NoRule {
		return "no rule allows it any more"
	}
	return "rule " + d.Rule + " forbids it"
}

// Decide answers a request. It does not change the set and does not keep q.
func (s *Set) Decide(q Request) Decision {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.decide(q)
}

// decide is Decide with mu held.
func (s *Set) decide(q Request) Decision {
	d := Decision{Rule: NoRule, Version: s.version}
	if q.Subject.Scope != nil && !q.Subject.Scope.covers(&q) {
		d.Rule, d.Reason = ScopeRule, uncovered(&q)
		return d
	}
	r, allowed, why := s.weigh(&q)
	if r != nil {
		d.Rule = r.id
	}
	d.Allowed, d.Reason = allowed, why
	if !allowed && why == "" {
		d.Reason = s.denial(&q)
	}
	return d
}

// weigh finds the deciding rule: the first Deny whose condition holds or cannot be evaluated, else
// the first Allow whose condition holds. why is empty when nothing matched at all.
func (s *Set) weigh(q *Request) (decided *rule, allowed bool, why string) {
	var space [24]*matchingRules
	found := s.index.candidates(q, space[:0])
	var seen *question
	holds := func(r *rule) (bool, error) {
		if q.Unnamed && (r.cond != nil && r.cond.named || r.deny && r.name != "*") {
			return !r.deny, nil // for some names it holds: enough for an Allow, and too little for a Deny
		}
		if name := r.name; !q.Unnamed && name != "*" && !glob(q.Resource.Name, name) {
			return false, nil
		}
		if r.cond == nil {
			return true, nil
		}
		if seen == nil { // a copy, so that q stays on the stack where there is no condition
			asked := *q
			seen = &question{&asked}
		}
		return r.cond.holds(seen)
	}
	withMFA := func(r *rule) (bool, error) {
		with := *q
		with.Subject.MFA = true
		return r.cond.holds(&question{&with})
	}
	lifted := func(r *rule) bool { // by a second factor
		if r.cond == nil || !r.cond.mfa || q.Subject.MFA {
			return false
		}
		yes, err := withMFA(r)
		return !yes && err == nil
	}
	var forbidden *rule
	for _, v := range found {
		for _, r := range v.deny {
			if yes, err := holds(r); yes || err != nil {
				if !lifted(r) {
					return r, false, "the rule " + r.id + " forbids this; ask an administrator"
				}
				if forbidden == nil {
					forbidden = r
				}
			}
		}
	}
	if forbidden != nil {
		return forbidden, false, "the rule " + forbidden.id + " forbids this without a second factor; " + needFactor
	}
	needsMFA := false
	for _, v := range found {
		for _, r := range v.allow {
			if yes, err := holds(r); yes && err == nil {
				return r, true, ""
			}
			if r.cond != nil && r.cond.mfa && !q.Subject.MFA && !needsMFA {
				yes, err := withMFA(r)
				needsMFA = yes && err == nil && (q.Unnamed || r.name == "*" || glob(q.Resource.Name, r.name))
			}
		}
	}
	if needsMFA {
		return nil, false, "this needs a session with a second factor; " + needFactor
	}
	return nil, false, ""
}

// Authority answers from the current set. The zero value denies everything. It may be asked and
// given a new set at the same time; a request sees one set or the other, never a mixture.
type Authority struct {
	set atomic.Pointer[Set]
}

// Swap makes set the current one.
func (a *Authority) Swap(set *Set) { a.set.Store(set) }

// Set returns the current set, nil when there is none yet.
func (a *Authority) Set() *Set { return a.set.Load() }

// Decide answers from the current set. Without one, and on any fault of ours, it denies.
func (a *Authority) Decide(q Request) (d Decision) {
	defer func() {
		if recover() != nil {
			d = Decision{Rule: NoRule, Reason: "the decision failed; nothing is allowed until it is repaired"}
		}
	}()
	set := a.set.Load()
	if set == nil {
		return Decision{Rule: NoRule, Reason: "no policies are loaded yet; retry shortly"}
	}
	return set.Decide(q)
}
