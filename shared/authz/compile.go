package authz

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"

	"github.com/provisioning-platform/platform/policies"
	"github.com/provisioning-platform/platform/shared/fault"
)

// Set is a compiled Source. It never changes, so any number of goroutines may ask it.
type Set struct {
	source     Source
	enforcer   *casbin.Enforcer // the model with all rows and the role graph; asked when compiling, not when deciding
	index      index
	rules      []*rule // in the order of the source, for Explain
	conditions *conditions
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

// Compile returns the set of src, or one Invalid fault that names everything wrong with it, with JSON
// pointers into src ("/policies/3/rules/0/condition").
func Compile(src Source) (*Set, error) {
	set, _, err := compile(src, nil, false)
	return set, err
}

// Load compiles what is stored. A broken policy is left out and reported, so that one bad row does not
// change what all others decide; broken roles or services are an error. Conditions that did not change are taken
// over from before, which may be nil.
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
	var broken []Quarantined
	good := make([]Policy, 0, len(src.Policies))
	ids := map[string]bool{}
	for i, p := range src.Policies {
		pf := &faults{}
		at := fmt.Sprintf("/policies/%d", i)
		checkName(pf, at+"/name", p.Name)
		if p.ID == "" || ids[p.ID] || !printable(p.ID) {
			pf.add(at+"/id", "must be an id of its own")
		}
		ids[p.ID] = true
		checkRules(pf, at+"/rules", p.Rules, c)
		switch {
		case len(pf.fields) == 0:
			good = append(good, p)
		case tolerant:
			broken = append(broken, Quarantined{ID: p.ID, Name: p.Name, Fault: fault.Of(pf.err())})
		default:
			f.fields = append(f.fields, pf.fields...)
		}
	}
	if err := f.err(); err != nil {
		return nil, nil, err
	}
	set := &Set{source: src, conditions: c}
	for _, r := range src.Roles {
		set.add("role:"+r.Name, r.Name, r.Rules, subject{role, r.Name})
	}
	for _, s := range src.Services {
		set.add("service:"+s.Name, s.Name, s.Rules, subject{service, s.Name})
	}
	for _, p := range good {
		if p.Enabled {
			set.add("policy:"+p.ID, p.Name, p.Rules, subject{everyone, ""})
		}
	}
	if err := set.build(src.Roles); err != nil {
		return nil, nil, err
	}
	return set, broken, nil
}

// add compiles checked rules. In a policy, a condition that only some subjects can meet makes them the
// rule's subjects; a role's rules have their subject already.
func (s *Set) add(id, owner string, rules []Rule, who subject) {
	for i, r := range rules {
		typ, name, _ := strings.Cut(r.Resource, ":")
		cond, _ := s.conditions.compile(r.Condition) // checked before
		c := &rule{id: fmt.Sprintf("%s#%d", id, i), owner: owner, source: r, who: []subject{who}, typ: typ, name: name, deny: r.Effect == EffectDeny, cond: cond}
		if cond != nil && cond.subjects != nil && who.kind == everyone {
			c.who = cond.subjects
			if cond.exact {
				c.cond = nil
			}
		}
		s.rules = append(s.rules, c)
	}
}

// build loads the rows into casbin's model and makes the index from them.
func (s *Set) build(roles []Role) error {
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
	byID := make(map[string]*rule, len(s.rules))
	var rows [][]string
	for _, r := range s.rules {
		byID[r.id] = r
		effect := "allow"
		if r.deny {
			effect = "deny"
		}
		for _, row := range r.rows() {
			rows = append(rows, append(row, r.typ, r.name, effect, r.id))
		}
	}
	if _, err := s.enforcer.AddPoliciesEx(rows); err != nil {
		return fmt.Errorf("load policies into the model: %w", err)
	}
	for _, r := range roles {
		for _, above := range r.Inherits {
			if _, err := s.enforcer.AddGroupingPolicy(subject{role, r.Name}.String(), subject{role, above}.String()); err != nil {
				return fmt.Errorf("load roles into the model: %w", err)
			}
		}
	}
	return s.index.build(s.enforcer, roles, byID)
}

// rows returns the distinct pairs of subject and action.
func (r *rule) rows() [][]string {
	var out [][]string
	seen := map[[2]string]bool{}
	for _, who := range r.who {
		for _, a := range r.source.Action {
			if k := [2]string{who.String(), a}; !seen[k] {
				seen[k] = true
				out = append(out, k[:])
			}
		}
	}
	return out
}

// Version returns the version of the source.
func (s *Set) Version() uint64 { return s.source.Version }

// Source returns what the set was compiled from; read only.
func (s *Set) Source() Source { return s.source }

// HasRole says whether there is a role of that name, so that it may be given to a user.
func (s *Set) HasRole(name string) bool { _, ok := s.index.closure[name]; return ok }
