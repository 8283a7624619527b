package authz

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/naming"
)

// Limits of what people write.
const (
	maxRules     = 256     // of one policy or role
	maxActions   = 64      // of one rule
	maxName      = 256     // bytes of a name or a pattern
	maxCondition = 4 << 10 // bytes of a condition
)

// faults collects everything that is wrong, each with the place.
type faults struct{ fields []fault.Field }

func (f *faults) add(place, message string, args ...any) {
	f.fields = append(f.fields, fault.Field{Pointer: place, Message: fmt.Sprintf(message, args...)})
}

// err returns the fault that names all places, or nil.
func (f *faults) err() error {
	if len(f.fields) == 0 {
		return nil
	}
	first := f.fields[0]
	return fault.New(fault.Invalid, "policy.invalid", "%s: %s", first.Pointer, first.Message).With(f.fields...)
}

// Check says everything that is wrong with a policy that comes in, with JSON pointers into it
// ("/rules/0/effect").
func Check(p Policy) error {
	f, c := &faults{}, newConditions(nil)
	if err := c.ready(); err != nil {
		return err
	}
	if !naming.Valid(p.Name) {
		f.add("/name", "%s", naming.Rule)
	}
	checkRules(f, "/rules", p.Rules, c)
	words, err := readVocabulary()
	if err != nil {
		return err
	}
	words.check(f, "/rules", p.Rules)
	return f.err()
}

// checkPolicy checks a stored policy; its condition texts are compiled by c.
func checkPolicy(f *faults, at string, p Policy, c *conditions) {
	checkName(f, at+"/name", p.Name)
	if p.ID == "" || !printable(p.ID) {
		f.add(at+"/id", "must be an id of its own")
	}
	checkRules(f, at+"/rules", p.Rules, c)
}

// checkName checks the name of a stored policy, which may be older than the rule of package naming.
func checkName(f *faults, place, name string) {
	if name == "" || len(name) > maxName || !printable(name) {
		f.add(place, "must be 1 to %d bytes of printable text", maxName)
	}
}

func checkRules(f *faults, place string, rules []Rule, c *conditions) {
	if len(rules) == 0 || len(rules) > maxRules {
		f.add(place, "must hold 1 to %d rules", maxRules)
	}
	for i, r := range rules {
		at := fmt.Sprintf("%s/%d", place, i)
		if r.Effect != EffectAllow && r.Effect != EffectDeny {
			f.add(at+"/effect", `must be "Allow" or "Deny", in this spelling`)
		}
		typ, name, ok := strings.Cut(r.Resource, ":")
		switch {
		case !ok:
			f.add(at+"/resource", `must be "<type>:<name>", for example "servers:web-*"`)
		case typ != "*" && !word(typ):
			f.add(at+"/resource", "the type in front of the colon must be * or a lower-case word")
		case name == "" || len(name) > maxName || !printable(name):
			f.add(at+"/resource", "the name behind the colon must be 1 to %d bytes of printable text; * stands for any text, ? for one "+
				"character", maxName)
		}
		if len(r.Action) == 0 || len(r.Action) > maxActions {
			f.add(at+"/action", "must hold 1 to %d actions", maxActions)
		}
		for j, a := range r.Action {
			if a != "*" && !word(a) {
				f.add(fmt.Sprintf("%s/action/%d", at, j), "must be * or a lower-case word such as create")
			}
		}
		if _, err := c.compile(r.Condition); err != nil {
			f.add(at+"/condition", "%s", err.Error())
		}
	}
}

// checkRoles checks roles or services: their names, their rules, and that inheritance ends.
func checkRoles(f *faults, place string, roles []Role, c *conditions) {
	inherits := map[string][]string{}
	for i, r := range roles {
		at := fmt.Sprintf("%s/%d", place, i)
		if !word(r.Name) {
			f.add(at+"/name", "must be a lower-case word")
		}
		if _, twice := inherits[r.Name]; twice {
			f.add(at+"/name", "there is another one of that name")
		}
		inherits[r.Name] = r.Inherits
		checkRules(f, at+"/rules", r.Rules, c)
	}
	for i, r := range roles {
		for j, above := range r.Inherits {
			at := fmt.Sprintf("%s/%d/inherits/%d", place, i, j)
			if _, known := inherits[above]; !known {
				f.add(at, "there is no role %q", above)
			} else if reaches(inherits, above, r.Name, map[string]bool{}) {
				f.add(at, "%s inherits %s and the other way round", r.Name, above)
			}
		}
	}
}

func reaches(inherits map[string][]string, from, to string, seen map[string]bool) bool {
	if from == to {
		return true
	}
	if seen[from] {
		return false
	}
	seen[from] = true
	for _, next := range inherits[from] {
		if reaches(inherits, next, to, seen) {
			return true
		}
	}
	return false
}

// word says whether s is a name of a type, an action, a role or a service.
func word(s string) bool {
	if s == "" || len(s) > 64 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
