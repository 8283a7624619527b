package authz_test

import (
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/provisioning-platform/platform/shared/authz"
)

// TestApply_isWhatCompilingEverythingAnewWouldBe changes random sets step by step and compares each
// answer, the rule that decided too, with a set that is compiled from the whole and with casbin's
// own.
func TestApply_isWhatCompilingEverythingAnewWouldBe(t *testing.T) {
	t.Parallel()
	r := seeded(t)
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	for range rounds {
		src := randomSource(r)
		set := compile(t, src)
		kept := map[string]authz.Policy{}
		for _, p := range src.Policies {
			kept[p.ID] = p
		}
		for version := uint64(2); version < 14; version++ {
			var changes []authz.Change
			for range 1 + r.IntN(2) {
				c := authz.Change{ID: fmt.Sprint("p", r.IntN(9))}
				delete(kept, c.ID)
				if fresh := randomSource(r).Policies; len(fresh) > 0 && r.IntN(3) > 0 {
					fresh[0].ID, c.Policy = c.ID, &fresh[0]
					kept[c.ID] = fresh[0]
				}
				changes = append(changes, c)
			}
			if broken, err := set.Apply(version, changes...); err != nil || len(broken) > 0 {
				t.Fatal(err, broken)
			}
			src.Version, src.Policies = version, nil
			for _, id := range slices.Sorted(maps.Keys(kept)) {
				src.Policies = append(src.Policies, kept[id])
			}
			if now := set.Source(); now.Version != version || !reflect.DeepEqual(now.Policies, append([]authz.Policy{}, src.Policies...)) {
				t.Fatalf("the set is of %+v, want %+v", now.Policies, src.Policies)
			}
			whole := compile(t, src)
			for range 20 {
				q := authz.Request{Action: pick(r, "read", "create", "delete"), Time: noon,
					Subject:  authz.Subject{ID: pick(r, "u1", "a"), Username: pick(r, "ann", "b")},
					Resource: authz.Resource{Type: pick(r, "servers", "batches"), Name: pick(r, "", "web-1", "db-1", "users:x")}}
				for _, name := range []string{"a", "b", "c", "d"} {
					if r.IntN(3) == 0 {
						q.Subject.Roles = append(q.Subject.Roles, name)
					}
				}
				got, want := set.Decide(q), whole.Decide(q)
				if got.Allowed != want.Allowed || got.Rule != want.Rule || got.Version != want.Version {
					t.Fatalf("applied %+v, compiled %+v\nrequest %+v\nsource %+v", got, want, q, src)
				}
				e, args, err := set.Plain(q)
				if err != nil {
					t.Fatal(err)
				}
				if plain, err := e.Enforce(args...); err != nil || plain != got.Allowed {
					t.Fatalf("casbin %v (%v), applied %+v\nrequest %+v\nsource %+v", plain, err, got, q, src)
				}
			}
		}
	}
}

func TestApply_aBrokenPolicyIsInForceNoLongerAndTheOthersAre(t *testing.T) {
	t.Parallel()
	src := defaults(t)
	src.Policies = append(src.Policies, policy("good", rule("Allow", "servers:x", "rename", "")),
		policy("turns", rule("Allow", "servers:y", "rename", "")))
	set := compile(t, src)
	bad := policy("turns", rule("Allow", "servers", "rename", "eval(x)"))
	broken, err := set.Apply(2, authz.Change{ID: "turns", Policy: &bad})
	if err != nil || len(broken) != 1 || broken[0].ID != "turns" || broken[0].Fault == nil {
		t.Fatalf("%v %v", broken, err)
	}
	if !set.Decide(ask("", "rename", "servers/x")).Allowed || set.Decide(ask("", "rename", "servers/y")).Allowed || set.Version() != 2 {
		t.Error("not what is left")
	}
}

// TestApply_underRequestsAnswersAsOneOfTheTwo is Z10 for a change of one policy.
func TestApply_underRequestsAnswersAsOneOfTheTwo(t *testing.T) {
	t.Parallel()
	set := compile(t, defaults(t))
	q := ask("admin", "create", "servers/x")
	stop := policy("stop", rule("Deny", "*:*", "create", ""))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for d := set.Decide(q); d.Version < 200; d = set.Decide(q) {
				if d.Allowed != (d.Version%2 == 1) {
					t.Error("a mixture of two sets answered")
				}
			}
		})
	}
	for v := uint64(2); v <= 200; v++ {
		c := authz.Change{ID: "stop"}
		if v%2 == 0 {
			c.Policy = &stop
		}
		if _, err := set.Apply(v, c); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
}

// TestApply_costsTheSameHoweverManyPoliciesThereAre compares the bytes that changes
// allocate. It runs alone, because it counts those of the whole process.
func TestApply_costsTheSameHoweverManyPoliciesThereAre(t *testing.T) {
	allocated := func(n int) uint64 {
		src := authz.Source{Version: 1}
		for i := range n {
			src.Policies = append(src.Policies,
				policy(fmt.Sprint("p", i), authz.Rule{Effect: "Allow", Resource: fmt.Sprintf("servers:r%d-*", i),
					Action: []string{"read", "create"}}))
		}
		set := compile(t, src)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range 50 {
			p := policy("p7", authz.Rule{Effect: "Allow", Resource: fmt.Sprintf("servers:r%d-*", i), Action: []string{"read", "create"},
				Condition: fmt.Sprintf("user.role == 'role7' && time.hour < %d", i%24)})
			if _, err := set.Apply(uint64(i+2), authz.Change{ID: p.ID, Policy: &p}); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / 50
	}
	few, many := allocated(10), allocated(10_000)
	t.Logf("10 policies: %d bytes, 10,000: %d", few, many)
	if many > 5*few {
		t.Errorf("a change allocates %d bytes with 10,000 policies and %d with 10", many, few)
	}
}
