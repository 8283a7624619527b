package authz

import "github.com/casbin/casbin/v2"

// Plain returns casbin's enforcer over the rows of s, with q's subject linked to what it is: the
// slow answer that the index must agree with.
func (s *Set) Plain(q Request) (*casbin.Enforcer, []any, error) {
	e := s.enforcer
	me := subject{user, "asker"}.String()
	if _, err := e.DeleteRolesForUser(me); err != nil {
		return nil, nil, err
	}
	links := []subject{{kind: everyone}, {user, q.Subject.ID}, {userName, q.Subject.Username}}
	for _, r := range q.Subject.Roles {
		links = append(links, subject{role, r}, subject{directRole, r})
	}
	if q.Subject.Service {
		links = []subject{{service, q.Subject.ID}}
	}
	for _, l := range links {
		if l.String() != me {
			if _, err := e.AddRoleForUser(me, l.String()); err != nil {
				return nil, nil, err
			}
		}
	}
	return e, []any{me, q.Action, q.Resource.Type, q.Resource.Name}, nil
}
