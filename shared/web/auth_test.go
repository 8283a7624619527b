package web

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/store"
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

// TestAuthorise_theEntryHasAllThatWasAsked asks about several resources, by the route and by its
// handler: they are one decision, from which alone the same policies give the same answer (decision
// 58).
func TestAuthorise_theEntryHasAllThatWasAsked(t *testing.T) {
	t.Parallel()
	rule := func(effect, resource string) authz.Rule {
		return authz.Rule{Effect: effect, Action: []string{"create", "delete"}, Resource: resource}
	}
	set, err := authz.Compile(authz.Source{Version: 3, Roles: []authz.Role{{Name: "admin", Rules: []authz.Rule{rule("Allow", "things:*")}}},
		Policies: []authz.Policy{{ID: "p", Name: "p", Enabled: true, Rules: []authz.Rule{rule("Deny", "things:never")}}}})
	if err != nil {
		t.Fatal(err)
	}
	var records store.DB
	g := newRig(t, func(c *Config) {
		c.Decide = set.Decide
		c.Routes = []Route{{Method: "POST", Path: "/t", Op: "t", Permission: Allow("create", "things"), Audit: "thing.create",
			Handle: To(func(ctx context.Context, _ several) (Notice, error) {
				err := Require(ctx, "delete", authz.Resource{Type: "things", Name: "old"})
				return "", errors.Join(err, audit.Record(ctx, records, audit.EntryDraft{Action: "thing.create", Resource: "things/a"}))
			})}}
	})
	const subject = `"subject":{"id":"alice","ip":"192.0.2.1","mfa":true,"roles":["admin"],"time":"`
	const allowed = `{"action":"create","allowed":true,"policy":3,"resources":[{"name":"a","type":"things"},{"name":"b","type":"things"},{"name":"c","type":"things"},{"action":"delete","name":"old","type":"things"}],"rule":"role:admin#0",` + subject
	const refused = `{"action":"create","allowed":false,"policy":3,"resources":[{"name":"a","type":"things"},{"name":"never","type":"things"},{"name":"c","type":"things"}],"rule":"policy:p#0",` + subject
	records = g.cfg.Store
	if w := g.send("POST", "/t", `{"names":["a","b","c"]}`, asAlice); w.Code != 200 {
		t.Fatal(w.Body.String())
	}
	if w := g.send("POST", "/t", `{"names":["a","never","c"]}`, asAlice); w.Code != 403 {
		t.Fatal(w.Body.String())
	}
	e := g.entries()
	if len(e) != 2 || e[1].Resource != "things/never" {
		t.Fatalf("%+v", e)
	}
	for i, want := range []string{allowed, refused} {
		got, err := json.Marshal(e[i].Decision)
		if err != nil || !strings.HasPrefix(string(got), want) {
			t.Errorf("%v\n got %s\nwant %s", err, got, want)
		}
		again, ok := e[i].Decision.Replay(set)
		if !ok || again.Allowed != (i == 0) || again.Rule != e[i].Decision.Rule {
			t.Errorf("replayed: %v %+v", ok, again)
		}
		v := audit.Decide(set.Decide, e[i].Decision.Act, 0, 0) // as a planner asks, who has no request
		outside, err := json.Marshal(v.Record)
		if err != nil || string(outside) != string(got) || (v.Refused == nil) != (i == 0) {
			t.Errorf("%v\nin a request    %s\noutside of one %s", err, got, outside)
		}
	}
}
