package authz

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/casbin/casbin/v2"
)

// subjectKind keeps users, roles and services apart, whatever they are called.
type subjectKind uint8

const (
	everyone   subjectKind = iota // every user; no service
	user                          // by id
	userName                      // by name
	service                       // by name
	role                          // by name, or inherited
	directRole                    // by name, only as the user carries it
)

// subject is whom a row speaks of.
type subject struct {
	kind subjectKind
	name string
}

var prefixes = [...]string{everyone: "everyone", user: "u:", userName: "n:", service: "s:", role: "r:", directRole: "h:"}

// String returns the subject as it stands in casbin's rows.
func (s subject) String() string { return prefixes[s.kind] + s.name }

var nouns = [...]string{everyone: "everyone", user: "the user with the id ", userName: "the user ", service: "the service ", role: "role ",
	directRole: "role "}

// say returns the subject for people.
func (s subject) say() string { return nouns[s.kind] + s.name }

func parseSubject(text string) (subject, error) {
	if text == prefixes[everyone] {
		return subject{}, nil
	}
	for kind := user; kind <= directRole; kind++ {
		if len(text) > 2 && text[:2] == prefixes[kind] {
			return subject{kind, text[2:]}, nil
		}
	}
	return subject{}, fmt.Errorf("row with the unknown subject %q", text)
}

// index finds the rules that can match a request without looking at the others.
type index struct {
	closure map[string][]string // role: itself and everything it inherits
	buckets map[ruleKey]*ruleBucket
}

// ruleKey is an action and a resource type, either of them possibly "*".
type ruleKey struct{ action, typ string }

// ruleBucket holds the rules of one action and type by subject.
type ruleBucket struct {
	kinds [directRole + 1]bool // which kinds of subject there are
	by    map[subject]*names
}

// names holds the rules of one subject by the shape of their name pattern.
type names struct {
	any    *matchingRules            // "*"
	exact  map[string]*matchingRules // no wildcard
	prefix map[string]*matchingRules // by the text before the first wildcard
	sizes  []int                     // lengths of the prefixes there are or were, ascending
}

// matchingRules are rules that differ in effect, condition and (below a prefix) pattern only.
type matchingRules struct{ deny, allow []*rule }

// build reads the rows and the role graph out of casbin.
func (x *index) build(e *casbin.Enforcer, roles []Role, byID map[string]*rule) error {
	x.closure, x.buckets = map[string][]string{}, map[ruleKey]*ruleBucket{}
	for _, r := range roles {
		above, err := e.GetImplicitRolesForUser(subject{role, r.Name}.String())
		if err != nil {
			return fmt.Errorf("close role %s: %w", r.Name, err)
		}
		x.closure[r.Name] = []string{r.Name}
		for _, text := range above {
			s, err := parseSubject(text)
			if err != nil {
				return err
			}
			x.closure[r.Name] = append(x.closure[r.Name], s.name)
		}
		slices.Sort(x.closure[r.Name][1:])
	}
	rows, err := e.GetPolicy()
	if err != nil {
		return fmt.Errorf("read the model's rows: %w", err)
	}
	for _, row := range rows {
		if err := x.row(row, byID[row[5]], (*index).insert); err != nil {
			return err
		}
	}
	return nil
}

// row inserts or removes what a row of the model says: sub, act, type, name, eft, id.
func (x *index) row(row []string, r *rule, do func(*index, subject, ruleKey, string, *rule)) error {
	who, err := parseSubject(row[0])
	if err == nil {
		do(x, who, ruleKey{row[1], row[2]}, row[3], r)
	}
	return err
}

func (x *index) insert(who subject, key ruleKey, pattern string, r *rule) {
	b := x.buckets[key]
	if b == nil {
		b = &ruleBucket{by: map[subject]*names{}}
		x.buckets[key] = b
	}
	b.kinds[who.kind] = true
	n := b.by[who]
	if n == nil {
		n = &names{any: &matchingRules{}, exact: map[string]*matchingRules{}, prefix: map[string]*matchingRules{}}
		b.by[who] = n
	}
	v := n.any
	if text, whole := literal(pattern); pattern != "*" {
		shelf := n.prefix
		if whole {
			shelf = n.exact
		} else if at, known := slices.BinarySearch(n.sizes, len(text)); !known {
			n.sizes = slices.Insert(n.sizes, at, len(text))
		}
		if v = shelf[text]; v == nil {
			v = &matchingRules{}
			shelf[text] = v
		}
	}
	list := v.of(r)
	at, _ := slices.BinarySearchFunc(*list, r, before)
	*list = slices.Insert(*list, at, r)
}

// of returns the list that a rule belongs to.
func (v *matchingRules) of(r *rule) *[]*rule {
	if r.deny {
		return &v.deny
	}
	return &v.allow
}

// before orders rules that say the same: those that need no evaluation first, then by id, so that
// it does not depend on the history of changes which rule a decision names.
func before(a, b *rule) int {
	if (a.cond == nil) != (b.cond == nil) {
		if a.cond == nil {
			return -1
		}
		return 1
	}
	return strings.Compare(a.id, b.id)
}

// remove takes out what insert put in.
func (x *index) remove(who subject, key ruleKey, pattern string, r *rule) {
	b := x.buckets[key]
	n := b.by[who]
	v, shelf, text := n.any, map[string]*matchingRules(nil), ""
	if pattern != "*" {
		var whole bool
		if text, whole = literal(pattern); whole {
			shelf = n.exact
		} else {
			shelf = n.prefix
		}
		v = shelf[text]
	}
	list := v.of(r)
	*list = slices.DeleteFunc(*list, func(o *rule) bool { return o == r })
	if len(v.allow)+len(v.deny) > 0 {
		return
	}
	if delete(shelf, text); len(n.any.allow)+len(n.any.deny)+len(n.exact)+len(n.prefix) == 0 {
		if delete(b.by, who); len(b.by) == 0 {
			delete(x.buckets, key)
		}
	}
}

// find appends to found the rules for one subject of the bucket that may speak of the name in q;
// those below a prefix have yet to be compared with their pattern.
func (b *ruleBucket) find(who subject, q *Request, found []*matchingRules) []*matchingRules {
	if !b.kinds[who.kind] {
		return found
	}
	n := b.by[who]
	if n == nil {
		return found
	}
	if len(n.any.allow)+len(n.any.deny) > 0 {
		found = append(found, n.any)
	}
	name := q.Resource.Name
	if q.Unnamed {
		return slices.AppendSeq(slices.AppendSeq(found, maps.Values(n.exact)), maps.Values(n.prefix))
	}
	if len(n.exact) > 0 {
		if v := n.exact[name]; v != nil {
			found = append(found, v)
		}
	}
	for _, size := range n.sizes {
		if size <= len(name) {
			if v := n.prefix[name[:size]]; v != nil {
				found = append(found, v)
			}
		}
	}
	return found
}

// candidates appends every rule that may match q.
func (x *index) candidates(q *Request, found []*matchingRules) []*matchingRules {
	for _, key := range [4]ruleKey{{q.Action, q.Resource.Type}, {q.Action, "*"}, {"*", q.Resource.Type}, {"*", "*"}} {
		b := x.buckets[key]
		if b == nil {
			continue
		}
		if q.Subject.Service {
			found = b.find(subject{service, q.Subject.ID}, q, found)
			continue
		}
		found = b.find(subject{kind: everyone}, q, found)
		found = b.find(subject{user, q.Subject.ID}, q, found)
		found = b.find(subject{userName, q.Subject.Username}, q, found)
		for _, r := range q.Subject.Roles {
			found = b.find(subject{directRole, r}, q, found)
			if b.kinds[role] {
				for _, closed := range x.closure[r] {
					found = b.find(subject{role, closed}, q, found)
				}
			}
		}
	}
	return found
}
