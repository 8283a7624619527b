package authz

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/provisioning-platform/platform/shared/fault"
)

// vocabulary is the actions that there are, by resource type: those that the built-in roles and
// services name. A right that stands in none of these files does not exist (package policies).
type vocabulary map[string]map[string]bool

func readVocabulary() (vocabulary, error) {
	src, err := Defaults()
	if err != nil {
		return nil, err
	}
	v := vocabulary{}
	for _, r := range append(src.Roles, src.Services...) {
		for _, rule := range r.Rules {
			typ, _, _ := strings.Cut(rule.Resource, ":")
			if typ == "*" {
				continue
			}
			if v[typ] == nil {
				v[typ] = map[string]bool{"read": true} // an administrator reads everything
			}
			for _, a := range rule.Action {
				v[typ][a] = true
			}
		}
	}
	return v, nil
}

// check notes types and actions that do not exist: such a rule would never match, and a Deny that
// silently forbids nothing is worse than no rule.
func (v vocabulary) check(f *faults, place string, rules []Rule) {
	for i, r := range rules {
		typ, _, _ := strings.Cut(r.Resource, ":")
		known := v[typ]
		if typ == "*" {
			known = map[string]bool{}
			for _, actions := range v {
				maps.Copy(known, actions)
			}
		}
		if known == nil && !word(typ) {
			continue // checkRules has said so
		}
		if known == nil {
			f.add(fmt.Sprintf("%s/%d/resource", place, i), noType, typ, list(v))
			continue
		}
		for j, a := range r.Action {
			if word(a) && !known[a] {
				f.add(fmt.Sprintf("%s/%d/action/%d", place, i, j), noAction, a, typ, list(known))
			}
		}
	}
}

const (
	noType   = "there is no resource type %q; there is: %s"
	noAction = "nothing asks for %q on %s; there is: %s"
)

// list returns the words of a vocabulary for people, sorted.
func list[V any](words map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(words)), ", ")
}

// CheckQuestion returns what is wrong with a question whether somebody may do action on resources
// of a type, with JSON pointers ("/action"): it is about something that nothing asks for, and its
// answer, a refusal whatever the policies, would mislead.
func CheckQuestion(action, typ string) ([]fault.Field, error) {
	words, err := readVocabulary()
	f := &faults{}
	switch known := words[typ]; {
	case err != nil:
	case known == nil:
		f.add("/resource", noType, typ, list(words))
	case !known[action]:
		f.add("/action", noAction, action, typ, list(known))
	}
	return f.fields, err
}
