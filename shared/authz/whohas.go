package authz

import (
	"maps"
	"slices"
	"strings"
)

// denial is what a person reads whom nothing allows this: what was asked, the roles that were
// looked at, and the roles with which it would have been allowed.
func (s *Set) denial(q *Request) string {
	what := q.Action + " on " + q.Resource.Type
	if q.Resource.Name != "" && q.Resource.Name != "*" {
		what += "/" + q.Resource.Name
	}
	mine := "you have no role"
	if len(q.Subject.Roles) > 0 {
		mine = "your roles: " + strings.Join(q.Subject.Roles, ", ")
	}
	text := "no role of yours and no policy allows " + what + " (" + mine + ")"
	if roles := s.rolesThatMay(q); len(roles) > 0 {
		return text + "; it is allowed for " + strings.Join(roles, ", ") + ": ask an administrator for one of these roles"
	}
	return text + "; ask an administrator for a policy that allows it"
}

// rolesThatMay returns, sorted, the roles that by themselves would have been allowed what q asks,
// with a second factor if need be. It costs a decision a role, and is asked after a refusal only.
func (s *Set) rolesThatMay(q *Request) (roles []string) {
	for _, name := range slices.Sorted(maps.Keys(s.index.closure)) {
		with := *q
		with.Subject = Subject{Roles: []string{name}, MFA: true}
		if _, allowed, _ := s.weigh(&with); allowed {
			roles = append(roles, name)
		}
	}
	return roles
}
