package authz

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"

	"github.com/provisioning-platform/platform/policies"
	"github.com/provisioning-platform/platform/shared/fault"
)

// Set is a compiled Source. Any number of goroutines may ask it; its policies are changed by Apply,
// its roles and services never.
type Set struct {
	roles      []Role
	services   []Role
	fixed      []*rule // of roles and services, in the order of the source
	conditions *conditions

	mu       sync.RWMutex // guards all below
	version  uint64
	policies map[string]compiled // by id
	enforcer *casbin.Enforcer    // the model with all rows and the role graph; asked when compiling, not when deciding
	index    index
}

// compiled is a policy with its rules; a disabled or a broken one has none.
type compiled struct {
	source Policy
	rules  []*rule
}

// rule is a compiled Rule.
type rule struct {
	id     string // "policy:<id>#<n>", "role:<name>#<n>", "service:<name>#<n>"; n counts from 0
	owner  string // name of the policy, role or service
	source Rule
	who    []subject // as they stand in the rows
	typ    string
	name   string // glob
	deny   bool
	cond   *condition
}

// Quarantined names a policy that was left out of a set because it is broken, and why.
type Quarantined struct {
	ID    string
	Name  string
	Fault *fault.Error
}

// Compile returns the set of src, or one Invalid fault that names everything wrong with it, with
// JSON pointers into src ("/policies/3/rules/0/condition").
func Compile(src Source) (*Set, error) {
	set, _, err := compile(src, nil, false)
	return set, err
}

// Load compiles what is stored. A broken policy is left out and reported, so that one bad row does
// not change what all others decide; broken roles or services are an error. Conditions that did not
// change are taken over from before, which may be nil.
func Load(before *Set, src Source) (*Set, []Quarantined, error) { return compile(src, before, true) }

func compile(src Source, before *Set, tolerant bool) (*Set, []Quarantined, error) {
	var known *conditions
	if before != nil {
		known = before.conditions
	}
	c := newConditions(known)
	if err := c.ready(); err != nil {
		return nil, nil, err
	}
	f := &faults{}
	checkRoles(f, "/roles", src.Roles, c)
	checkRoles(f, "/services", src.Services, c)
	set := &Set{roles: src.Roles, services: src.Services, version: src.Version, conditions: c,
		policies: make(map[string]compiled, len(src.Policies))}
	var broken []Quarantined
	for i, p := range src.Policies {
		pf := &faults{}
		at := fmt.Sprintf("/policies/%d", i)
		_, twice := set.policies[p.ID]
		checkPolicy(pf, at, p, c)
		if twice {
			pf.add(at+"/id", "must be an id of its own")
		}
		switch {
		case len(pf.fields) == 0:
			set.policies[p.ID] = set.prepare(p)
		case tolerant:
			broken = append(broken, Quarantined{ID: p.ID, Name: p.Name, Fault: fault.Of(pf.err())})
			if p.ID != "" && !twice {
				set.policies[p.ID] = compiled{source: p}
			}
		default:
			f.fields = append(f.fields, pf.fields...)
		}
	}
	if err := f.err(); err != nil {
		return nil, nil, err
	}
	for _, r := range src.Roles {
		set.fixed = append(set.fixed, set.rulesOf("role:"+r.Name, r.Name, r.Rules, subject{role, r.Name})...)
	}
	for _, s := range src.Services {
		set.fixed = append(set.fixed, set.rulesOf("service:"+s.Name, s.Name, s.Rules, subject{service, s.Name})...)
	}
	if err := set.build(); err != nil {
		return nil, nil, err
	}
	c.seen, c.forgetAt = nil, forgetAt(len(c.used))
	return set, broken, nil
}

// prepare compiles the rules of a checked policy, if it is enabled.
func (s *Set) prepare(p Policy) compiled {
	if !p.Enabled {
		return compiled{source: p}
	}
	return compiled{source: p, rules: s.rulesOf("policy:"+p.ID, p.Name, p.Rules, subject{everyone, ""})}
}

// rulesOf compiles checked rules. In a policy, a condition that only some subjects can meet makes
// them the rule's subjects; a role's rules have their subject already.
func (s *Set) rulesOf(id, owner string, rules []Rule, who subject) []*rule {
	out := make([]*rule, len(rules))
	for i, r := range rules {
		typ, name, _ := strings.Cut(r.Resource, ":")
		cond, _ := s.conditions.compile(r.Condition) // checked before
		c := &rule{id: fmt.Sprintf("%s#%d", id, i), owner: owner, source: r, who: []subject{who}, typ: typ, name: name,
			deny: r.Effect == EffectDeny, cond: cond}
		if cond != nil && cond.subjects != nil && who.kind == everyone {
			c.who = cond.subjects
			if cond.exact {
				c.cond = nil
			}
		}
		out[i] = c
	}
	return out
}

// build loads the rows into casbin's model and makes the index from them.
func (s *Set) build() error {
	text, err := fs.ReadFile(policies.Files, "model.conf")
	if err != nil {
		return fmt.Errorf("built-in model: %w", err)
	}
	m, err := model.NewModelFromString(string(text))
	if err != nil {
		return fmt.Errorf("built-in model: %w", err)
	}
	if s.enforcer, err = casbin.NewEnforcer(m); err != nil {
		return fmt.Errorf("built-in model: %w", err)
	}
	s.enforcer.AddFunction("glob", func(args ...any) (any, error) {
		return glob(args[0].(string), args[1].(string)), nil
	})
	byID := map[string]*rule{}
	var rows [][]string
	for _, r := range s.all() {
		byID[r.id] = r
		rows = append(rows, r.rows()...)
	}
	if _, err := s.enforcer.AddPoliciesEx(rows); err != nil {
		return fmt.Errorf("load policies into the model: %w", err)
	}
	for _, r := range s.roles {
		for _, above := range r.Inherits {
			if _, err := s.enforcer.AddGroupingPolicy(subject{role, r.Name}.String(), subject{role, above}.String()); err != nil {
				return fmt.Errorf("load roles into the model: %w", err)
			}
		}
	}
	return s.index.build(s.enforcer, s.roles, byID)
}

// all returns every rule: of roles and services, then of policies by their ids.
func (s *Set) all() []*rule {
	all := slices.Clone(s.fixed)
	for _, id := range slices.Sorted(maps.Keys(s.policies)) {
		all = append(all, s.policies[id].rules...)
	}
	return all
}

// rows returns the rule as casbin's model holds it: a row for each pair of subject and action.
func (r *rule) rows() [][]string {
	var out [][]string
	effect := "allow"
	if r.deny {
		effect = "deny"
	}
	seen := map[[2]string]bool{}
	for _, who := range r.who {
		for _, a := range r.source.Action {
			if k := [2]string{who.String(), a}; !seen[k] {
				seen[k] = true
				out = append(out, []string{k[0], k[1], r.typ, r.name, effect, r.id})
			}
		}
	}
	return out
}

// Version returns the version of the source.
func (s *Set) Version() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.version
}

// Source returns what the set decides by now, policies in the order of their ids; read only.
func (s *Set) Source() Source {
	s.mu.RLock()
	defer s.mu.RUnlock()
	src := Source{Policies: make([]Policy, 0, len(s.policies)), Roles: s.roles, Services: s.services, Version: s.version}
	for _, id := range slices.Sorted(maps.Keys(s.policies)) {
		src.Policies = append(src.Policies, s.policies[id].source)
	}
	return src
}

// HasRole says whether there is a role of that name, so that it may be given to a user.
func (s *Set) HasRole(name string) bool { _, ok := s.index.closure[name]; return ok }
