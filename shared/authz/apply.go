package authz

import (
	"fmt"

	"github.com/provisioning-platform/platform/shared/fault"
)

// Change is what became of one policy: its new state, or its end.
type Change struct {
	ID     string  `json:"id"`
	Policy *Policy `json:"policy,omitempty"` // nil: removed
}

// Apply brings changes into force, all at once for every decision, and makes the set the one of
// that version. It costs what the changed policies cost, however many there are. A policy that is
// broken is in force no longer, and is reported. One goroutine applies at a time.
func (s *Set) Apply(version uint64, changes ...Change) ([]Quarantined, error) {
	var broken []Quarantined
	next := make([]compiled, len(changes))
	for i, c := range changes { // beside the requests: conditions take their time
		if c.Policy == nil {
			continue
		}
		f := &faults{}
		if checkPolicy(f, "", *c.Policy, s.conditions); len(f.fields) == 0 {
			next[i] = s.prepare(*c.Policy)
			continue
		}
		next[i].source = *c.Policy
		broken = append(broken, Quarantined{ID: c.ID, Name: c.Policy.Name, Fault: fault.Of(f.err())})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range changes {
		if err := s.replace(c, next[i]); err != nil {
			return broken, err
		}
	}
	s.version = version
	s.forget()
	return broken, nil
}

// replace puts the rules of one policy in the place of those it had; mu is held.
func (s *Set) replace(c Change, next compiled) error {
	for _, r := range s.policies[c.ID].rules {
		rows := r.rows()
		if _, err := s.enforcer.RemovePolicies(rows); err != nil {
			return fmt.Errorf("take policy %s out of the model: %w", c.ID, err)
		}
		for _, row := range rows {
			if err := s.index.row(row, r, (*index).remove); err != nil {
				return err
			}
		}
	}
	if delete(s.policies, c.ID); c.Policy == nil {
		return nil
	}
	s.policies[c.ID] = next
	for _, r := range next.rules {
		rows := r.rows()
		if _, err := s.enforcer.AddPoliciesEx(rows); err != nil {
			return fmt.Errorf("put policy %s into the model: %w", c.ID, err)
		}
		for _, row := range rows {
			if err := s.index.row(row, r, (*index).insert); err != nil {
				return err
			}
		}
	}
	return nil
}

// forget drops compiled conditions that no rule has any more, once they may be half of all.
func (s *Set) forget() {
	c := s.conditions
	if len(c.used) < c.forgetAt {
		return
	}
	used := make(map[string]*condition, len(c.used))
	for _, r := range s.all() {
		if done, ok := c.used[r.source.Condition]; ok {
			used[r.source.Condition] = done
		}
	}
	c.used, c.forgetAt = used, forgetAt(len(used))
}

func forgetAt(used int) int { return 2*used + 256 }
