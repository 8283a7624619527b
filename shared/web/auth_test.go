package web

import (
	"context"
	"fmt"
	"testing"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
)

type several struct {
	Names []string `json:"names"`
}

func (s several) Resources() []authz.Resource {
	var list []authz.Resource
	for _, name := range s.Names {
		list = append(list, authz.Resource{Name: name})
	}
	return list
}

// TestAuthorise_theEntryHasTheInputsOfTheLastQuestion asks about several resources: each is judged,
// and what goes into the audit log is the decision that ended it, complete.
func TestAuthorise_theEntryHasTheInputsOfTheLastQuestion(t *testing.T) {
	t.Parallel()
	rule := func(effect, resource string) authz.Rule {
		return authz.Rule{Effect: effect, Action: []string{"create"}, Resource: resource}
	}
	set, err := authz.Compile(authz.Source{Version: 3, Roles: []authz.Role{{Name: "admin", Rules: []authz.Rule{rule("Allow", "things:*")}}},
		Policies: []authz.Policy{{ID: "p", Name: "p", Enabled: true, Rules: []authz.Rule{rule("Deny", "things:never")}}}})
	if err != nil {
		t.Fatal(err)
	}
	var scene audit.Scene
	g := newRig(t, func(c *Config) {
		c.Decide = set.Decide
		c.Routes = []Route{{Method: "POST", Path: "/t", Op: "t", Permission: Allow("create", "things"), Audit: "thing.create",
			Handle: To(func(ctx context.Context, _ several) (Text, error) {
				scene = *audit.SceneOf(ctx)
				return "", nil
			})}}
	})
	const inputs = "map[action:create ip:192.0.2.1 mfa:true resource:things/%s roles:admin subject:u:alice]"
	if w := g.send("POST", "/t", `{"names":["a","b","c"]}`, asAlice); w.Code != 200 {
		t.Fatal(w.Body.String())
	}
	if d := scene.Decision; !d.Allowed || d.Rule != "role:admin#0" || d.Policy != 3 || fmt.Sprint(d.Inputs) != fmt.Sprintf(inputs, "c") {
		t.Errorf("allowed: %+v", d)
	}
	if w := g.send("POST", "/t", `{"names":["a","never","c"]}`, asAlice); w.Code != 403 {
		t.Fatal(w.Body.String())
	}
	e := g.entries()
	if len(e) != 1 || e[0].Resource != "things/never" || e[0].Decision.Rule != "policy:p#0" || fmt.Sprint(e[0].Decision.Inputs) != fmt.Sprintf(inputs, "never") {
		t.Errorf("refused: %+v", e)
	}
}
