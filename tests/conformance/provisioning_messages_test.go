package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
)

// directoryMessages are the behaviours 11 to 26: publishing and consuming.
var directoryMessages = []provisioningTest{
	{11, "a_valid_message_is_taken", func(d *directory) {
		d.publish(d.unique("realm"), "a")
	}},
	{12, "a_message_about_nothing_is_refused", func(d *directory) {
		for _, body := range []string{message("foo", "users/user", "{}", "{}"), message("foo", "users/user", "{}", `{"dn":"x"}`),
			message("foo", "users/user", `{"a":1}`, `{"objectType":""}`)} {
			r := d.want(d.ask(directoryPublisher, "POST", "/v1/messages", body), 422)
			if !strings.Contains(r.text, `"status_code":422`) || !strings.Contains(r.text, `"data":null`) {
				d.t.Error(r.text)
			}
		}
	}},
	{13, "a_body_is_read_as_it_was_posted", func(d *directory) {
		c := d.fresh()
		fresh := fmt.Sprintf(`{"objectType":"users/user", %q: {"n":1.0,"big":18446744073709551617,"e":1E+2,"t":"ü\u00fc\\/<&>"} ,"l":[ 1, `+
			`null ]}`, d.unique("key"))
		d.null(d.ask(directoryPublisher, "POST", "/v1/messages", message(c.realm, "users/user", `{ }`, fresh)), 202)
		r := c.want(c.own("GET", "/messages/next", nil), 200)
		if !strings.Contains(r.text, `"body":{"old":{ },"new":`+fresh+`}`) {
			d.t.Errorf("%s\nwant %s", r.text, fresh)
		}
		e := c.next("?timeout=5")
		if e == nil || e.Publisher != "udm-listener" || e.Timestamp != "2026-01-01T10:00:00" || e.Realm != c.realm ||
			e.Topic != "users/user" || e.Sequence != 1 || e.Delivered != 2 {
			d.t.Errorf("%+v", e)
		}
	}},
	{14, "each_subscription_of_the_topic_gets_one_copy", func(d *directory) {
		a := d.fresh()
		b := d.subscribe(a.realm, false, "groups/group", "users/user", "users/user")
		other, elsewhere := d.subscribe(a.realm, false, "groups/group", "Users/user"), d.fresh()
		d.publish(a.realm, "x")
		for _, c := range []*consumer{a, b} {
			c.handle(1, "x")
			c.none("0", "empty")
		}
		for _, c := range []*consumer{other, elsewhere} {
			c.none("0", "empty")
		}
	}},
	{15, "an_empty_queue_is_null_after_the_timeout", func(d *directory) {
		c := d.fresh()
		began := time.Now()
		c.none("1", "empty")
		if took := time.Since(began); took < 900*time.Millisecond {
			d.t.Errorf("timeout=1 is answered after %v", took)
		}
		c.none("0", "empty")
		c.none("-1", "empty")
		c.none("0.05", "empty")
	}},
	{16, "a_message_ends_the_wait", func(d *directory) {
		c := d.fresh()
		d.publish(c.realm, "waits")
		c.handle(1, "waits")
		woken := make(chan reply, 1)
		go func() {
			r, _ := c.try(c.as(), "GET", c.path("/messages/next?timeout=60"), nil)
			woken <- r
		}()
		d.publish(c.realm, "comes")
		select {
		case r := <-woken:
			if !strings.Contains(r.text, object("comes")) {
				d.t.Errorf("%d %s", r.status, r.text)
			}
		case <-time.After(10 * time.Second):
			d.t.Error("a poll does not hear of a message within 10 s")
		}
	}},
	{17, "messages_come_in_order", func(d *directory) {
		c := d.fresh()
		d.publish(c.realm, "a", "b")
		c.handle(1, "a", "b")
	}},
	{18, "an_acknowledged_message_never_comes_again", func(d *directory) {
		c := d.fresh()
		d.publish(c.realm, "a")
		c.handle(1, "a")
		c.none("5", "empty") // five times the redelivery window, which is 30 s in the original's test
	}},
	{19, "an_unacknowledged_message_keeps_the_others_waiting", func(d *directory) {
		c := d.fresh()
		d.publish(c.realm, "a", "b", "c")
		c.expect("a", 1)
		if e := c.next("?timeout=5"); e == nil || string(e.Body.New) != object("a") || e.Sequence != 1 {
			d.t.Errorf("%+v", e)
		}
	}},
	{20, "an_unacknowledged_message_comes_again_under_its_number", func(d *directory) {
		c := d.fresh()
		d.publish(c.realm, "a")
		c.expect("a", 1)
		for count := 2; count <= 3; count++ {
			began := time.Now()
			e := c.next("?timeout=30")
			if e == nil || e.Sequence != 1 || e.Delivered != count || time.Since(began) > 10*time.Second {
				d.t.Errorf("after %v: %+v", time.Since(began), e)
			}
		}
		c.null(c.acknowledge(1), 200)
	}},
	{21, "a_credential_opens_its_own_path_only", func(d *directory) {
		c, other := d.fresh(), d.fresh()
		for as, path := range map[string]string{
			c.as():                     other.path("/messages/next?timeout=0"),
			directoryAdmin:             c.path("/messages/next?timeout=0"),
			c.name + ":wrong":          c.path(""),
			"nobody:x":                 "/v1/subscriptions/nobody/messages/next",
			directoryPublisher:         "/v1/subscriptions",
			strings.ToUpper(c.as()):    c.path(""),
			"":                         c.path(""),
			directoryPrefill + "wrong": "/v1/subscriptions",
		} {
			r := d.want(d.ask(as, "GET", path, nil), 401)
			if r.line != "401 Unauthorized" || r.header.Get("WWW-Authenticate") != "Basic" || !strings.Contains(r.text, `"detail":"`) {
				d.t.Errorf("%s at %s: %s, %v, %s", as, path, r.line, r.header, r.text)
			}
		}
		d.want(d.ask(directoryAdmin, "POST", "/v1/messages", message("foo", "x", "{}", object("x"))), 401)
		d.want(d.ask(c.as(), "POST", "/v1/messages", message("foo", "x", "{}", object("x"))), 401)
	}},
	{22, "nothing_comes_before_the_prefill_is_done", func(d *directory) {
		c := d.subscribe(d.unique("realm"), true, "users/user")
		for status, reason := range map[string]string{"pending": "prefill-pending", "running": "prefill-pending",
			"failed": "prefill-failed"} {
			d.null(d.ask(directoryPrefill, "PATCH", c.path("/prefill"), map[string]any{"status": status}), 200)
			d.publish(c.realm, "before")
			c.none("0.2", reason)
		}
		ended := make(chan reply, 1)
		go func() {
			r, _ := c.try(c.as(), "GET", c.path("/messages/next?timeout=60"), nil)
			ended <- r
		}()
		d.null(d.ask(directoryPrefill, "PATCH", c.path("/prefill"), `{"status":"done"}`), 200)
		if r := <-ended; !strings.Contains(r.text, object("before")) || !strings.Contains(r.text, `"sequence_number":1,`) {
			d.t.Errorf("%d %s", r.status, r.text)
		}
	}},
	{23, "an_acknowledgement_removes_that_number_only", func(d *directory) {
		c := d.fresh()
		d.publish(c.realm, "a", "b")
		c.expect("a", 1)
		c.want(c.acknowledge(7), 404)
		c.null(c.acknowledge(1), 200)
		c.want(c.acknowledge(1), 404)
		c.handle(2, "b")
		c.none("0", "empty")
	}},
	{24, "pop_takes_what_it_delivers", func(d *directory) {
		c := d.fresh()
		for _, sides := range [][2]string{{"{}", object("a")}, {object("a"), object("b")}, {object("b"), "{}"}} {
			d.null(d.ask(directoryPublisher, "POST", "/v1/messages", message(c.realm, "users/user", sides[0], sides[1])), 202)
		}
		for i, sides := range [][2]string{{"{}", object("a")}, {object("a"), object("b")}, {object("b"), "{}"}} {
			e := c.next("?timeout=20&pop=" + []string{"true", "1", "yes"}[i])
			if e == nil || e.Sequence != uint64(i+1) || e.Delivered != 1 || string(e.Body.Old) != sides[0] ||
				string(e.Body.New) != sides[1] {
				d.t.Errorf("%d: %+v", i, e)
			}
		}
		c.none("0", "empty")
	}},
	{25, "ten_messages_in_order_with_and_without_prefill", func(d *directory) {
		for _, prefill := range []bool{false, true} {
			c := d.subscribe(d.unique("realm"), prefill, "users/user")
			c.awaitStatus("done")
			d.publish(c.realm, "warm-up")
			c.handle(1, "warm-up")
			var took []time.Duration
			for i := range 10 {
				text := fmt.Sprint("object", i)
				d.publish(c.realm, text)
				began := time.Now()
				c.expect(text, uint64(i+2))
				took = append(took, time.Since(began))
				c.null(c.acknowledge(uint64(i+2)), 200)
			}
			slices.Sort(took) // the marks are an average of 75 ms and at most 200 ms; make bench judges
			d.t.Logf("prefill %v: a get took %v in the middle and %v at most", prefill, took[5], took[9])
		}
	}},
	{26, "what_was_published_before_the_first_poll_comes_in_order", func(d *directory) {
		c := d.fresh()
		var texts []string
		for i := range 11 {
			texts = append(texts, fmt.Sprint("object", i))
		}
		d.publish(c.realm, texts...)
		c.handle(1, texts...)
	}},
}

// texts returns what the objects of all waiting messages say in their member id, popped, with their
// topics.
func (c *consumer) texts() (all []string) {
	c.t.Helper()
	for number := uint64(0); ; number++ {
		e := c.next("?timeout=0&pop=true")
		if e == nil {
			return all
		}
		if number > 0 && e.Sequence <= number-1 {
			c.t.Errorf("number %d after %d messages", e.Sequence, number)
		}
		all = append(all, e.Topic+" "+idOf(e))
	}
}

func idOf(e *client.DirectoryEvent) string {
	var o struct{ ID string }
	_ = json.Unmarshal(e.Body.New, &o)
	return o.ID
}
