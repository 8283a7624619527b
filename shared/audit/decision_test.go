package audit

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

var seed = flag.Uint64("seed", 0, "seed of random tests; 0 draws one")

// decided returns a decision on servers with these names.
func decided(names ...string) *DecisionRecord {
	a := &authz.Act{Subject: authz.Subject{ID: "u", Username: "änne", MFA: true, Roles: []string{"operator", "viewer"}}, IP: "192.0.2.1",
		Time:  time.Date(2026, 11, 30, 10, 0, 0, 123456000, time.UTC),
		Asked: []authz.Asked{{Action: "create", Resource: authz.Resource{Type: "batches", Name: "b"}}}}
	for _, n := range names {
		a.Asked = append(a.Asked, authz.Asked{Action: "create", Resource: authz.Resource{Type: "servers", Name: n, Infra: "production"}})
	}
	return NewDecision(a, authz.Decision{Allowed: true, Rule: "role:operator#1", Version: 7}, -1)
}

// dice makes policies, whose conditions look at everything that conditions may look at, and acts.
type dice struct{ *rand.Rand }

func (d dice) pick(from ...string) string { return from[d.IntN(len(from))] }

func (d dice) rule(conditions bool) authz.Rule {
	r := authz.Rule{Effect: d.pick("Allow", "Allow", "Allow", "Deny"), Action: []string{d.pick("create", "delete", "*")},
		Resource: d.pick("servers", "batches", "*") + ":" + d.pick("*", "*", "web-*", "web-1", "*-2")}
	if conditions {
		r.Condition = d.pick("", "user.role == 'a'", "user.id == 'u1'", "user.username == 'ann'", "'b' in user.roles",
			"request.ip == '192.0.2.1'",
			"request.mfa == true", "!request.mfa", "request.time < timestamp('2026-11-30T12:00:00.000001Z')", "time.hour >= 12",
			"resource.type == 'servers'",
			"resource.name.startsWith('web')", "resource.infra == 'production'", "has(resource.infra) && user.role != 'c'")
	}
	return r
}

func (d dice) set(t *testing.T, version uint64) *authz.Set {
	src := authz.Source{Version: version}
	for _, name := range []string{"a", "b", "c"} {
		src.Roles = append(src.Roles, authz.Role{Name: name, Rules: []authz.Rule{d.rule(false), d.rule(true)}})
	}
	src.Services = []authz.Role{{Name: "s1", Rules: []authz.Rule{d.rule(false)}}}
	for i := range 1 + d.IntN(6) {
		p := authz.Policy{ID: fmt.Sprint("p", i), Name: fmt.Sprint("p", i), Enabled: d.IntN(5) > 0}
		for range 1 + d.IntN(3) {
			p.Rules = append(p.Rules, d.rule(true))
		}
		src.Policies = append(src.Policies, p)
	}
	set, err := authz.Compile(src)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func (d dice) act() *authz.Act {
	a := &authz.Act{IP: d.pick("192.0.2.1", "2001:db8::7", ""),
		Time: time.Date(2026, 11, 30, 12, 0, 0, 1000*d.IntN(3), time.UTC).Add(-time.Duration(d.IntN(20)) * time.Hour / 10)}
	a.Subject = authz.Subject{ID: d.pick("u1", "u2"), Username: d.pick("ann", "bob", "ü \"x\"\n", ""), MFA: d.IntN(2) == 0}
	for _, r := range []string{"a", "b", "c"} {
		if d.IntN(2) == 0 {
			a.Subject.Roles = append(a.Subject.Roles, r)
		}
	}
	if d.IntN(8) == 0 {
		a.Subject = authz.Subject{ID: "s1", Service: true}
	}
	for range 1 + d.IntN(4) {
		a.Asked = append(a.Asked, authz.Asked{Action: d.pick("create", "create", "create", "delete"), Resource: authz.Resource{
			Type: d.pick("servers", "batches"), Name: d.pick("", "web-1", "web-2", "db-2", "é\"\\<&>"), Infra: d.pick("", "production")}})
	}
	if d.IntN(40) == 0 { // more than an entry takes, and allowed as often as the few
		for i := range 1200 {
			a.Asked = append(a.Asked, a.Asked[i])
		}
	}
	return a
}

// TestDecision_theSamePoliciesGiveTheSameAnswerFromTheEntryAlone is decision 58 as a property: of
// random policies and acts.
func TestDecision_theSamePoliciesGiveTheSameAnswerFromTheEntryAlone(t *testing.T) {
	t.Parallel()
	drawn := *seed
	if drawn == 0 {
		drawn = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d (repeat with -seed)", drawn)
	d := dice{rand.New(rand.NewPCG(drawn, 31))}
	db := feed.NewHub(memstore.New(store.Schema{Service: "test", Kinds: Kinds()}))
	allowed, beside, differs := 0, 0, 0
	for range 100 {
		set, other := d.set(t, 7), d.set(t, 8)
		for range 40 {
			act := d.act()
			answer := Decide(set.Decide, act, 0, 0)
			if answer.Allowed != (answer.Refused == nil) {
				t.Fatalf("allowed is %v, and refused is %v", answer.Allowed, answer.Refused)
			}
			ctx := WithContext(t.Context(), &Context{Decision: answer.Record})
			if err := Record(ctx, db, EntryDraft{Action: "x.create", Resource: "x/1"}); err != nil {
				t.Fatal(err)
			}
			page, err := db.Read(ctx, Stream, store.Latest, 0)
			if err != nil {
				t.Fatal(err)
			}
			page, err = db.Read(ctx, Stream, page.Head-1, 1)
			if err != nil {
				t.Fatal(err)
			}
			var e Entry
			if err := json.Unmarshal(page.Entries[0].Body, &e); err != nil {
				t.Fatalf("%v: %s", err, page.Entries[0].Body)
			}
			kept := e.Decision
			if kept.digest != "" {
				beside++
				if _, ok := kept.Replay(set); ok {
					t.Error("without its resources a decision is replayed")
				}
				if err := kept.readAsked(ctx, db); err != nil {
					t.Fatal(err)
				}
			}
			again, ok := kept.Replay(set)
			if !ok || again.Allowed != answer.Allowed || again.Rule != answer.Rule || again.Version != answer.Version ||
				kept.Allowed != answer.Allowed || kept.Rule != answer.Rule || kept.Policy != 7 {
				t.Fatalf("decided %+v, from the entry %v %+v\n%s", answer, ok, again, page.Entries[0].Body)
			}
			if answer.Allowed {
				allowed++
				if len(kept.Act.Asked) != len(act.Asked) {
					t.Fatalf("%d resources of %d", len(kept.Act.Asked), len(act.Asked))
				}
			}
			was, _ := act.Judge(other.Decide, 0, 0)
			is, _ := kept.Replay(other)
			if answer.Allowed && was.Allowed != is.Allowed {
				t.Fatalf("with other policies the act is %v, from the entry %v", was.Allowed, is.Allowed)
			}
			if was.Allowed != answer.Allowed {
				differs++
			}
		}
	}
	t.Logf("%d allowed, %d with documents beside them, %d judged otherwise by other policies", allowed, beside, differs)
	if allowed < 200 || beside == 0 || differs < 200 {
		t.Errorf("of 4000 acts %d were allowed, %d had documents beside them, %d are judged otherwise by other policies", allowed, beside,
			differs)
	}
}

func TestDecision_isSmallInTheEntryAndWholeBesideIt(t *testing.T) {
	t.Parallel()
	db := feed.NewHub(memstore.New(store.Schema{Service: "test", Kinds: Kinds()}))
	var names []string
	for i := range 30_000 {
		names = append(names, fmt.Sprintf("server-%d-%s", i, strings.Repeat("x", 90)))
	}
	d := decided(names...)
	ctx := WithContext(t.Context(), &Context{Decision: d})
	for range 2 { // the same resources are the same documents
		if err := Record(ctx, db, EntryDraft{Action: "batch.submit",
			Details: map[string]any{"big": strings.Repeat("y", 100_000)}}); err != nil {
			t.Fatal(err)
		}
	}
	page, err := db.Read(ctx, Stream, 0, 9)
	if err != nil || len(page.Entries) != 2 {
		t.Fatal(err, len(page.Entries))
	}
	var e Entry
	if err := json.Unmarshal(page.Entries[0].Body, &e); err != nil || len(page.Entries[0].Body) > 40<<10 {
		t.Fatalf("%d bytes, %v", len(page.Entries[0].Body), err)
	}
	docs, err := db.List(ctx, store.Query{Kind: askedDocs.Kind, Limit: 100})
	if err != nil || len(docs.Docs) != 8 {
		t.Fatalf("%d documents, %v", len(docs.Docs), err)
	}
	if err := e.Decision.readAsked(ctx, db); err != nil || !slices.Equal(e.Decision.Act.Asked, d.Act.Asked) {
		t.Errorf("%d resources of %d, %v", len(e.Decision.Act.Asked), len(d.Act.Asked), err)
	}
	if _, err := db.Commit(ctx, store.Batch{Writes: []store.Write{{Key: docs.Docs[3].Key, Expect: store.Any(),
		Action: store.Delete}}}); err != nil {
		t.Fatal(err)
	}
	if err := e.Decision.readAsked(ctx, db); err == nil {
		t.Error("resources of which a part is missing are taken for the whole")
	}
}

// TestDecision_aRefusalFillsNoStore: who may not do something may ask for it with 8 MiB of names.
func TestDecision_aRefusalFillsNoStore(t *testing.T) {
	t.Parallel()
	db := feed.NewHub(memstore.New(store.Schema{Service: "test", Kinds: Kinds()}))
	d := decided(strings.Split(strings.Repeat("a-server,", 20_000), ",")...)
	refused := NewDecision(d.Act, authz.Decision{Rule: authz.NoRule, Version: 7}, 4)
	ctx := WithContext(t.Context(), &Context{Decision: refused})
	if err := Record(ctx, db, EntryDraft{Action: "batch.submit"}); err != nil {
		t.Fatal(err)
	}
	docs, err := db.List(ctx, store.Query{Kind: askedDocs.Kind, Limit: 1})
	if err != nil || len(docs.Docs) != 0 {
		t.Errorf("%d documents, %v", len(docs.Docs), err)
	}
	if len(refused.Act.Asked) != 1 || refused.Act.Asked[0].Name != "a-server" {
		t.Errorf("%+v", refused.Act)
	}
}

// TestDecision_entriesFromBeforeCannotTell reads what was recorded before acts were.
func TestDecision_entriesFromBeforeCannotTell(t *testing.T) {
	t.Parallel()
	var e Entry
	if err := json.Unmarshal([]byte(`{"decision":{"allowed":true,"inputs":{"subject":"u:1"},"policy":3,"rule":"r"}}`), &e); err != nil {
		t.Fatal(err)
	}
	if _, ok := e.Decision.Replay(nil); ok || !e.Decision.Allowed || e.Decision.Policy != 3 {
		t.Errorf("%+v", e.Decision)
	}
}
