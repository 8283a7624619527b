package authz_test

import (
	"fmt"
	"testing"

	"github.com/provisioning-platform/platform/shared/authz"
)

// many returns n policies in the manner of a large installation: a role each, of which every user
// has one, with a name glob and an action.
func many(n int, condition string) authz.Source {
	src := authz.Source{Version: 1}
	for i := range n {
		src.Policies = append(src.Policies, policy(fmt.Sprint("p", i),
			authz.Rule{Effect: "Allow", Resource: fmt.Sprintf("servers:r%d-*", i),
				Action: []string{"read", "create"}, Condition: fmt.Sprintf("user.role == 'role%d'", i) + condition}))
	}
	src.Roles = []authz.Role{{Name: "viewer", Rules: []authz.Rule{rule("Allow", "tasks:*", "read", "")}}}
	return src
}

// BenchmarkDecide measures decisions beside plain Go maps that answer the same question.
func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{10, 1_000, 10_000} {
		set := compile(b, many(n, ""))
		rights := map[[3]string]bool{}
		member := map[string][]string{}
		for i := range n {
			rights[[3]string{fmt.Sprint("role", i), "servers", "create"}] = true
			member[fmt.Sprint("u", i)] = []string{fmt.Sprint("role", i)}
		}
		q := ask(fmt.Sprint("role", n/2), "create", fmt.Sprintf("servers/r%d-7", n/2))
		q.Subject.ID = fmt.Sprint("u", n/2)
		var limit float64
		b.Run(fmt.Sprintf("policies=%d/maps", n), func(b *testing.B) {
			for b.Loop() {
				yes := false
				for _, r := range member[q.Subject.ID] {
					yes = yes || rights[[3]string{r, q.Resource.Type, q.Action}]
				}
				if !yes {
					b.Fatal()
				}
			}
			limit = float64(b.Elapsed().Nanoseconds()) / float64(b.N)
		})
		run := func(name string, set *authz.Set, q authz.Request, want bool) {
			b.Run(fmt.Sprintf("policies=%d/%s", n, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if set.Decide(q).Allowed != want {
						b.Fatal()
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/max(limit, 1), "x/maps")
			})
		}
		run("allow-create", set, q, true)
		read := q
		read.Action = "read"
		run("allow-read", set, read, true)
		other := q
		other.Subject.Roles = []string{"viewer"}
		run("deny", set, other, false)
		if n <= 1_000 {
			run("condition", compile(b, many(n, " && time.hour < 18")), q, true)
		}
	}
}

// BenchmarkCompile measures a change of one policy among many.
func BenchmarkCompile(b *testing.B) {
	src := many(10_000, " && time.hour < 18")
	set := compile(b, src)
	for b.Loop() {
		src.Version++
		if _, _, err := authz.Load(set, src); err != nil {
			b.Fatal(err)
		}
	}
}
