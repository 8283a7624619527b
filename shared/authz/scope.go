package authz

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/provisioning-platform/platform/shared/fault"
)

// ScopeRule is Decision.Rule when the scope of the subject does not cover the request.
const ScopeRule = "scope"

// Limits of a scope. It stands in the audit entry of each act, so it is small.
const (
	maxRights    = 32
	maxScopeSize = 4 << 10 // bytes as JSON
)

// Right is one sentence of a scope, in the form of a rule without effect and condition.
type Right struct {
	Action   []string `json:"action"`
	Resource string   `json:"resource"` // "<type>:<name glob>", either may be "*"
}

// Scope bounds what a subject may do to what one of its rights names, whatever its roles and the
// policies allow (decision 53). nil bounds nothing; an empty one allows nothing.
type Scope []Right

// covers says whether a right of the scope names what q asks for.
func (s Scope) covers(q *Request) bool {
	for _, r := range s {
		typ, name, _ := strings.Cut(r.Resource, ":")
		switch {
		case !slices.Contains(r.Action, q.Action) && !slices.Contains(r.Action, "*"):
		case typ != q.Resource.Type && typ != "*":
		case q.Unnamed || name == "*" || glob(q.Resource.Name, name):
			return true
		}
	}
	return false
}

// uncovered is what somebody reads whose token is too narrow.
func uncovered(q *Request) string {
	what := q.Resource.Type
	if q.Resource.Name != "" {
		what += ":" + q.Resource.Name
	}
	return "the scope of this API token does not hold the right to " + q.Action + " " + what + "; make another token with it " +
		"(control-center token create --scope)"
}

// CheckScope returns one Invalid fault that names everything that is wrong with a scope that comes
// in, with JSON pointers ("/scope/0/resource"), or nil.
func CheckScope(s Scope) error {
	f, c := &faults{}, newConditions(nil)
	if err := c.ready(); err != nil {
		return err
	}
	words, err := readVocabulary()
	if err != nil {
		return err
	}
	if text, err := json.Marshal(s); err != nil || len(s) == 0 || len(s) > maxRights || len(text) > maxScopeSize {
		f.add("/scope", "must hold 1 to %d rights, and at most %d bytes in all", maxRights, maxScopeSize)
	} else {
		rules := make([]Rule, len(s))
		for i, r := range s {
			rules[i] = Rule{Action: r.Action, Effect: EffectAllow, Resource: r.Resource}
		}
		checkRules(f, "/scope", rules, c)
		words.check(f, "/scope", rules)
	}
	if len(f.fields) == 0 {
		return nil
	}
	first := f.fields[0]
	return fault.New(fault.Invalid, "token.scope", "%s: %s", first.Pointer, first.Message).With(f.fields...)
}

// ParseRight reads a right as command lines take it: "<type>:<name>=<action>,<action>".
func ParseRight(text string) (Right, error) {
	at := strings.LastIndexByte(text, '=')
	if at < 1 || at == len(text)-1 {
		return Right{}, fmt.Errorf("%q is no right; write TYPE:NAME=ACTION,ACTION, for example batches:*=create,read", text)
	}
	resource, actions := text[:at], text[at+1:]
	if !strings.Contains(resource, ":") {
		resource += ":*"
	}
	return Right{Action: strings.Split(actions, ","), Resource: resource}, nil
}

// String returns the right as ParseRight reads it.
func (r Right) String() string { return r.Resource + "=" + strings.Join(r.Action, ",") }
