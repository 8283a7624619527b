package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

// directorySubscriptions are the behaviours 1 to 10: subscriptions.
var directorySubscriptions = []provisioningTest{
	{1, "a_fresh_name_is_created", func(d *directory) {
		d.null(d.ask(directoryAdmin, "POST", "/v1/subscriptions",
			draft("6c2f0c1e-54f5-4f0b-9d52-1c2a6a3e9b11", "p", false, pair{Realm: "foo", Topic: "bar/baz"})), 201)
	}},
	{2, "the_same_again_changes_nothing", func(d *directory) {
		name := d.unique("sub")
		topics := []pair{{Realm: "foo", Topic: "a"}, {Realm: "foo", Topic: "b"}}
		d.null(d.ask(directoryAdmin, "POST", "/v1/subscriptions", draft(name, "p", false, topics...)), 201)
		before := d.ask(name+":p", "GET", "/v1/subscriptions/"+name, nil).text
		for range 2 {
			d.null(d.ask(directoryAdmin, "POST", "/v1/subscriptions", draft(name, "p", false, topics...)), 200)
			slices.Reverse(topics) // their order says nothing (contract 2.1)
		}
		if after := d.ask(name+":p", "GET", "/v1/subscriptions/"+name, nil).text; after != before {
			d.t.Errorf("%s became %s", before, after)
		}
	}},
	{3, "another_one_of_the_name_is_refused", func(d *directory) {
		c := d.fresh()
		topic := pair{Realm: c.realm, Topic: "users/user"}
		before := c.own("GET", "", nil).text
		for what, other := range map[string]map[string]any{
			"topics":   draft(c.name, c.password(), false, topic, pair{Realm: "foo", Topic: "bar"}),
			"prefill":  draft(c.name, c.password(), true, topic),
			"password": draft(c.name, "another", false, topic),
		} {
			if r := d.want(d.ask(directoryAdmin, "POST", "/v1/subscriptions", other), 409); !strings.Contains(r.text, `"detail":"`) {
				d.t.Errorf("%s: %s", what, r.text)
			}
		}
		if after := c.own("GET", "", nil).text; after != before {
			d.t.Errorf("%s became %s", before, after)
		}
	}},
	{4, "the_administrator_lists_all", func(d *directory) {
		if d.first != "[]" {
			d.t.Errorf("a fresh installation lists %s", d.first)
		}
		c := d.subscribe("foo", false, "b", "a")
		var all []client.Subscription
		d.decode(d.want(d.ask(directoryAdmin, "GET", "/v1/subscriptions", nil), 200), &all)
		i := slices.IndexFunc(all, func(s client.Subscription) bool { return s.Name == c.name })
		if i < 0 || all[i].RequestPrefill || all[i].Status != "done" || len(all[i].Topics) != 2 {
			d.t.Errorf("%s is not listed as it is: %+v", c.name, all)
		}
	}},
	{5, "a_subscription_sees_itself", func(d *directory) {
		c := d.subscribe("foo", false, "bar")
		want := fmt.Sprintf(`{"name":%q,"realms_topics":[{"realm":"foo","topic":"bar"}],"request_prefill":false,"prefill_queue_status":"done"}`,
			c.name)
		if r := d.want(c.own("GET", "", nil), 200); r.text != want {
			d.t.Errorf("%s\nwant %s", r.text, want)
		}
	}},
	{6, "itself_and_the_administrator_delete_it", func(d *directory) {
		c, other := d.fresh(), d.fresh()
		d.null(c.own("DELETE", "", nil), 200)
		d.want(c.own("DELETE", "", nil), 401)
		d.null(d.ask(directoryAdmin, "DELETE", other.path(""), nil), 200)
		d.want(d.ask(directoryAdmin, "DELETE", other.path(""), nil), 404)
	}},
	{7, "prefill_begins_pending_and_none_is_done", func(d *directory) {
		if got := d.subscribe("foo", false, "bar").status(); got != "done" {
			d.t.Errorf("without a prefill it is %s", got)
		}
		release := d.udm.hold("held7")
		c := d.subscribe("udm", true, "held7/x")
		if got := c.status(); got != "pending" && got != "running" { // the job may have begun
			d.t.Errorf("with a prefill it is %s", got)
		}
		release()
		c.awaitStatus("done")
	}},
	{8, "a_create_that_fails_leaves_nothing_half_made", func(d *directory) {
		own := d.withTrouble()
		own.away()
		refused := 0
		var names []string
		for range 5 {
			name := d.unique("half")
			names = append(names, name)
			r, err := own.try(directoryAdmin, "POST", "/v1/subscriptions", draft(name, "p", false, pair{Realm: "foo", Topic: "bar"}))
			if err != nil {
				d.t.Fatal(err)
			}
			if r.status == http.StatusServiceUnavailable {
				refused++
			} else if r.status != 201 {
				d.t.Errorf("without its store the service answers %d %s", r.status, r.text)
			}
		}
		if refused == 0 {
			d.t.Error("no create was refused: nothing is shown")
		}
		own.back()
		own.whole(names)
	}},
	{9, "an_unknown_name_is_not_found_and_nothing_is_written", func(d *directory) {
		name := d.unique("unknown")
		d.want(d.ask(name+":p", "GET", "/v1/subscriptions/"+name, nil), 401)
		d.want(d.ask(directoryPrefill, "PATCH", "/v1/subscriptions/"+name+"/prefill", `{"status":"done"}`), 404)
		d.want(d.ask(directoryAdmin, "DELETE", "/v1/subscriptions/"+name, nil), 404)
		if r := d.ask(directoryAdmin, "GET", "/v1/subscriptions", nil); strings.Contains(r.text, name) {
			d.t.Error(r.text)
		}
	}},
	{10, "the_status_of_a_prefill_is_what_was_set", func(d *directory) {
		for _, c := range []*consumer{d.subscribe("foo", true, "b", "a"), d.subscribe("foo", false, "b", "a")} {
			c.awaitStatus("done") // nobody has objects for this realm
			form := strings.Replace(c.own("GET", "", nil).text, `"done"`, `"%s"`, 1)
			for _, status := range []string{"done", "pending", "failed", "running", "running", "pending", "done"} {
				d.null(d.ask(directoryPrefill, "PATCH", c.path("/prefill"), map[string]any{"status": status}), 200)
				if got, want := c.own("GET", "", nil).text, fmt.Sprintf(form, status); got != want {
					d.t.Errorf("set to %s it is %s\nwant %s", status, got, want)
				}
			}
			d.want(d.ask(directoryPrefill, "PATCH", c.path("/prefill"), `{"status":"unknown"}`), 422)
			d.want(d.ask(directoryAdmin, "PATCH", c.path("/prefill"), `{"status":"done"}`), 401)
			d.want(c.own("PATCH", "/prefill", `{"status":"done"}`), 401)
		}
	}},
}

// whole fails unless each of the subscriptions with the password p is there in all its parts, or
// not at all.
func (d *directory) whole(names []string) (there int) {
	d.t.Helper()
	list := d.want(d.ask(directoryAdmin, "GET", "/v1/subscriptions", nil), 200).text
	var all sync.WaitGroup
	for _, name := range names {
		listed := strings.Contains(list, `"`+name+`"`)
		if listed {
			there++
		}
		all.Go(func() {
			got, err := d.try(name+":p", "GET", "/v1/subscriptions/"+name, nil)
			next, err2 := d.try(name+":p", "GET", "/v1/subscriptions/"+name+"/messages/next?timeout=0", nil)
			want := 401
			if listed {
				want = 200
			}
			if err != nil || err2 != nil || got.status != want || next.status != want {
				d.t.Errorf("%s, listed: %v, is answered %d and %d, %v, %v", name, listed, got.status, next.status, err, err2)
			}
		})
	}
	all.Wait()
	return there
}

// trouble is a control-center whose store can be taken away and given back.
type trouble struct {
	*directory
	away, back func()
}

// withTrouble starts a control-center of its own, whose SurrealDB engine is killed, or whose disk
// is filled.
func (d *directory) withTrouble() trouble {
	d.t.Helper()
	own, o := prepareDirectory(d.t, d.surreal, d.udm)
	own.names = d.names
	serving := func(want bool) {
		rigtest.Await(d.t, 20*time.Second, fmt.Sprintf("changes are taken: %v", want), func() bool {
			r, err := own.try(directoryPublisher, "POST", "/v1/messages", message("trouble", "users/user", "{}", object("x")))
			return err == nil && (r.status == 202) == want
		})
	}
	if d.surreal {
		engine := rigtest.KeepSurreal(d.t, &o)["control-center"]
		own.Rig = rigtest.Prepare(d.t, o)
		own.start()
		return trouble{own, func() { engine.Stop(); serving(false) }, func() { engine.Start(); serving(true) }}
	}
	own.Rig = rigtest.Prepare(d.t, o)
	away, back := own.onSmallDisk()
	own.start()
	return trouble{own, func() { away(); serving(false) }, func() { back(); serving(true) }}
}
