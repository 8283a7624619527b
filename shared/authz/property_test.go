package authz_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/authz"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random policy sets; 0 draws one")

func seeded(t *testing.T) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d (repeat with -seed)", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

// randomSource makes roles that inherit each other and policies whose conditions speak of subjects
// only, which plain casbin can answer too.
func randomSource(r *rand.Rand) authz.Source {
	src := authz.Source{Version: 1}
	random := func(condition bool) authz.Rule {
		out := authz.Rule{Effect: pick(r, "Allow", "Allow", "Allow", "Deny"),
			Resource: pick(r, "servers", "batches", "*") + ":" +
				pick(r, "*", "web-*", "web-1", "*-1", "?eb-*", "db-?", "w*b-*1", "users:x")}
		for range 1 + r.IntN(3) {
			out.Action = append(out.Action, pick(r, "read", "create", "delete", "*"))
		}
		if condition {
			out.Condition = pick(r, "", "user.role == 'a'", "'b' == user.role", "user.role in ['b', 'c']", "user.id == 'u1'",
				"user.username == 'ann'",
				"user.role == 'c' || user.id == 'a'", "'d' in user.roles")
		}
		return out
	}
	names := []string{"a", "b", "c", "d"}
	for i, n := range names {
		role := authz.Role{Name: n}
		for _, above := range names[:i] {
			if r.IntN(3) == 0 {
				role.Inherits = append(role.Inherits, above)
			}
		}
		for range 1 + r.IntN(3) {
			role.Rules = append(role.Rules, random(false))
		}
		src.Roles = append(src.Roles, role)
	}
	src.Services = []authz.Role{{Name: "a", Rules: []authz.Rule{random(false)}}}
	for i := range r.IntN(8) {
		p := policy(fmt.Sprint("p", i))
		for range 1 + r.IntN(3) {
			p.Rules = append(p.Rules, random(true))
		}
		p.Enabled = r.IntN(5) > 0
		src.Policies = append(src.Policies, p)
	}
	return src
}

// TestIndex_agreesWithPlainCasbin is the differential property: whatever the set and the request,
// the index answers as casbin's own enforcer does.
func TestIndex_agreesWithPlainCasbin(t *testing.T) {
	r := seeded(t)
	sets := 100
	if testing.Short() {
		sets = 25
	}
	allowed := 0
	for range sets {
		src := randomSource(r)
		set := compile(t, src)
		for range 40 {
			q := authz.Request{Action: pick(r, "read", "create", "delete", "rotate"), Time: noon,
				Subject: authz.Subject{ID: pick(r, "u1", "a", "b"), Username: pick(r, "ann", "a"), Service: r.IntN(10) == 0},
				Resource: authz.Resource{Type: pick(r, "servers", "batches", "users"),
					Name: pick(r, "", "web-1", "web-22", "db-1", "xeb-1", "web-*", "users:x")}}
			for _, name := range []string{"a", "b", "c", "d", "unknown"} {
				if r.IntN(4) == 0 {
					q.Subject.Roles = append(q.Subject.Roles, name)
				}
			}
			e, args, err := set.Plain(q)
			if err != nil {
				t.Fatal(err)
			}
			want, err := e.Enforce(args...)
			if err != nil {
				t.Fatal(err)
			}
			got := set.Decide(q)
			if got.Allowed != want {
				t.Fatalf("casbin %v, index %+v\nrequest %+v\nsource %+v", want, got, q, src)
			}
			if x := set.Explain(q); x.Decision.Allowed != want || (len(x.Matched) == 0) != (got.Rule == authz.NoRule) {
				t.Fatalf("the explanation tells another story: %+v of %+v", x, got)
			}
			if want {
				allowed++
			}
		}
	}
	if share := float64(allowed) / float64(sets*40); share < 0.1 || share > 0.9 {
		t.Errorf("the random sets ask too little: %.2f allowed", share)
	}
}

// TestUnnamed_deniesOnlyWhatEveryNameIsDenied: a question that is asked before the name is known
// must not refuse what a name would be allowed, and refuses what none is.
func TestUnnamed_deniesOnlyWhatEveryNameIsDenied(t *testing.T) {
	t.Parallel()
	r := seeded(t)
	refused, open := 0, 0
	for range 100 {
		src := randomSource(r)
		for i := range src.Policies {
			for k := range src.Policies[i].Rules {
				if r.IntN(4) == 0 {
					src.Policies[i].Rules[k].Condition = pick(r, "resource.name == 'web-1'", "resource.infra != ''", "request.mfa",
						"resource.type == 'servers'", "user.role == 'a' && resource.name != ''")
				}
			}
		}
		set := compile(t, src)
		for range 20 {
			q := authz.Request{Action: pick(r, "read", "create", "delete"), Time: noon,
				Subject:  authz.Subject{ID: pick(r, "u1", "a"), Username: "ann", MFA: r.IntN(2) == 0},
				Resource: authz.Resource{Type: pick(r, "servers", "batches", "users")}}
			for _, name := range []string{"a", "b", "c", "d"} {
				if r.IntN(4) == 0 {
					q.Subject.Roles = append(q.Subject.Roles, name)
				}
			}
			some := ""
			for _, name := range []string{"", "web-1", "web-22", "db-1", "xeb-1", "wxb-1", "users:x", "other"} {
				for _, infra := range []string{"", "production"} {
					named := q
					named.Resource.Name, named.Resource.Infra = name, infra
					if set.Decide(named).Allowed {
						some = name + "/" + infra
					}
				}
			}
			before := q
			before.Unnamed = true
			d := set.Decide(before)
			if some != "" && !d.Allowed {
				t.Fatalf("%+v is refused before the name is known, and %s is allowed: %+v", q, some, src)
			}
			if !d.Allowed {
				if refused++; d.Reason == "" {
					t.Fatalf("%+v", d)
				}
			} else if some == "" {
				open++ // it may be: for another name, or because rules of two kinds are not weighed against each other
			}
		}
	}
	if refused < 200 || open > refused {
		t.Errorf("of 2,000 questions %d were refused and %d left open in vain: the early question says too little", refused, open)
	}
}
