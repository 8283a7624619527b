package conformance

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// directoryDefects are those of the original that ours must not have (section 4.1).
var directoryDefects = []provisioningTest{
	{1, "a_bad_name_is_refused_and_breaks_no_list", func(d *directory) {
		for _, name := range []string{"a.b", "a/b", "a b", "*", ">", "a:b", `a\b`, "", "ä", ".a", "-a", strings.Repeat("a", 300), "a\x00"} {
			if r := d.want(d.ask(directoryAdmin, "POST", "/v1/subscriptions", draft(name, "p", false)), 422); !strings.Contains(r.text, `/name`) {
				d.t.Errorf("%q: %s", name, r.text)
			}
		}
		d.want(d.ask(directoryAdmin, "GET", "/v1/subscriptions", nil), 200)
	}},
	{2, "names_of_the_inside_are_names_like_others", func(d *directory) {
		realm := d.unique("realm")
		for _, name := range []string{"incoming", "prefill", "admin", "udm", "messages", "subscriptions"} {
			made := draft(name, "of: "+name, false, pair{Realm: realm, Topic: "users/user"})
			d.null(d.ask(directoryAdmin, "POST", "/v1/subscriptions", made), 201)
		}
		d.publish(realm, "x")
		for _, name := range []string{"incoming", "prefill", "admin", "udm", "messages", "subscriptions"} {
			c := &consumer{directory: d, name: name, realm: realm}
			c.handle(1, "x")
			c.null(c.own("DELETE", "", nil), 200)
		}
	}},
	{3, "changes_come_after_the_prefill", func(d *directory) {
		release := d.udm.hold("held3")
		c := d.subscribe("udm", true, "held3/x")
		c.awaitStatus("running")
		d.null(d.ask(directoryPublisher, "POST", "/v1/messages", message("udm", "held3/x", object("2"), object("changed"))), 202)
		release()
		c.awaitStatus("done")
		c.expectTexts("held3/x 0", "held3/x 1", "held3/x 2", "held3/x 3", "held3/x 4", "held3/x changed")
	}},
	{4, "delete_and_create_again_waits_for_its_own_prefill", func(d *directory) {
		realm := d.unique("realm")
		c := d.subscribe(realm, true, "users/user")
		c.awaitStatus("done")
		c.none("0", "empty")
		c.null(c.own("DELETE", "", nil), 200)
		release := d.udm.hold("held4")
		topics := []pair{{Realm: "udm", Topic: "held4/x"}, {Realm: realm, Topic: "users/user"}}
		d.null(d.ask(directoryAdmin, "POST", "/v1/subscriptions", draft(c.name, c.password(), true, topics...)), 201)
		d.publish(realm, "live")
		c.none("0.5", "prefill-pending")
		release()
		c.awaitStatus("done")
		c.expectTexts("held4/x 0", "held4/x 1", "users/user live")
	}},
	{5, "a_pattern_gets_changes_too", func(d *directory) {
		realm := d.unique("realm")
		for _, topic := range []string{"users/.*", "users/*", ".*"} {
			c := d.subscribe(realm, false, topic)
			text := fmt.Sprint("for ", c.name)
			d.publish(realm, text)
			c.handle(1, text)
		}
		c := d.subscribe(realm, false, "users", "users/use", "users/user/", "groups/*")
		d.publish(realm, "not wanted")
		c.none("0", "empty")
	}},
	{6, "of_parallel_creates_one_is_made", func(d *directory) {
		name := d.unique("sub")
		var made, refused []string
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := range 4 {
			password := fmt.Sprint("password ", i)
			all.Go(func() {
				r, err := d.try(directoryAdmin, "POST", "/v1/subscriptions", draft(name, password, false, pair{Realm: "foo", Topic: "bar"}))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && r.status == 201:
					made = append(made, password)
				case err == nil && r.status == 409:
					refused = append(refused, password)
				default:
					d.t.Errorf("%d %s, %v", r.status, r.text, err)
				}
			})
		}
		all.Wait()
		if len(made) != 1 {
			d.t.Fatalf("%d were made", len(made))
		}
		d.want(d.ask(name+":"+made[0], "GET", "/v1/subscriptions/"+name, nil), 200)
		for _, password := range refused {
			d.want(d.ask(name+":"+password, "GET", "/v1/subscriptions/"+name, nil), 401)
		}
	}},
	{7, "a_client_that_left_takes_nothing_and_a_deleted_queue_ends_its_polls", func(d *directory) {
		c := d.fresh()
		poll := func(ctx context.Context) <-chan reply {
			ended, in := make(chan reply, 1), c.path("/messages/next?timeout=60")
			r, err := http.NewRequestWithContext(ctx, "GET", d.url+in, nil)
			if err != nil {
				d.t.Fatal(err)
			}
			r.SetBasicAuth(c.name, c.password())
			go func() {
				resp, err := directoryHTTP.Do(r)
				if err != nil {
					close(ended)
					return
				}
				_ = resp.Body.Close()
				ended <- reply{status: resp.StatusCode}
			}()
			c.none("0.1", "empty") // another request later: the poll waits
			return ended
		}
		// The service hears of a closed connection on its own time, so one of three is enough: the
		// original gives every one of them away.
		taken := 0
		for i := range 3 {
			ctx, leave := context.WithCancel(d.t.Context())
			ended := poll(ctx)
			leave()
			<-ended
			c.none("0.1", "empty")
			d.publish(c.realm, fmt.Sprint("after ", i))
			if e := c.expect(fmt.Sprint("after ", i), uint64(i+1)); e.Delivered > 1 {
				taken++
			}
			c.null(c.acknowledge(uint64(i+1)), 200)
		}
		if taken == 3 {
			d.t.Error("messages are delivered to clients that have left")
		}
		ended := poll(d.t.Context())
		c.null(c.own("DELETE", "", nil), 200)
		select {
		case r := <-ended:
			if r.status != 401 && r.status != 404 {
				d.t.Errorf("the poll of a deleted subscription is answered %d", r.status)
			}
		case <-time.After(20 * time.Second):
			d.t.Error("a deleted subscription keeps its poll waiting")
		}
	}},
	{8, "pop_leaves_nothing_and_strict_refuses_what_was_not_delivered", func(d *directory) {
		c := d.fresh()
		d.publish(c.realm, "a", "b")
		if e := c.next("?timeout=20&pop=true"); e == nil || e.Sequence != 1 {
			d.t.Fatalf("%+v", e)
		}
		c.want(c.acknowledge(1), 404)
		if q, err := d.client(c.as()).Queue(d.t.Context(), c.name); err != nil || q.Waiting != 1 || q.Number != 2 {
			d.t.Errorf("%+v, %v", q, err)
		}
		c.want(c.acknowledge(3), 404)
		c.null(c.acknowledge(2), 200) // the oldest one, as in the original
		strict := d.unique("strict")
		body := draft(strict, "of: "+strict, false, pair{Realm: c.realm, Topic: "users/user"})
		body["options"] = map[string]any{"strict": true}
		d.null(d.ask(directoryAdmin, "POST", "/v1/subscriptions", body), 201)
		s := &consumer{directory: d, name: strict, realm: c.realm}
		d.publish(c.realm, "c")
		s.want(s.acknowledge(1), 404)
		s.handle(1, "c")
	}},
	{9, "what_a_client_gets_wrong_is_its_fault", func(d *directory) {
		c := d.fresh()
		for _, r := range []reply{
			c.own("GET", "/messages/next?timeout=inf", nil), c.own("GET", "/messages/next?timeout=nan", nil),
			c.own("GET", "/messages/next?timeout=abc", nil), c.own("GET", "/messages/next?timeout=", nil),
			c.own("GET", "/messages/next?pop=2", nil), c.acknowledge(0), c.own("PATCH", "/messages/-1/status", `{"status":"ok"}`),
			c.own("PATCH", "/messages/18446744073709551616/status", `{"status":"ok"}`), c.own("PATCH", "/messages/1/status", `{"status":"no"}`),
			c.own("PATCH", "/messages/1/status", `{}`),
			d.ask(directoryPublisher, "POST", "/v1/messages", message("foo", "bar", "{}", "{}")),
			d.ask(directoryPublisher, "POST", "/v1/messages", message("foo", "bar", "{}", "null")),
			d.ask(directoryPublisher, "POST", "/v1/messages", `{"realm":"foo"`),
			d.ask(directoryPublisher, "POST", "/v1/messages", "a=b", "Content-Type", "application/x-www-form-urlencoded"),
		} {
			d.want(r, 422)
			var wrong struct {
				Status  int `json:"status_code"`
				Message string
				Data    any
				Errors  []any
			}
			if d.decode(r, &wrong); wrong.Status != 422 || wrong.Message == "" || wrong.Data != nil {
				d.t.Error(r.text)
			}
		}
		large := message("foo", "bar", "{}", `{"objectType":"x","x":"`+strings.Repeat("x", 8<<20)+`"}`)
		d.want(d.ask(directoryPublisher, "POST", "/v1/messages", large), 413)
		c.none("0", "empty")
	}},
	{10, "wrong_passwords_slow_nobody_else", func(d *directory) {
		c, attacked := d.fresh(), d.fresh()
		c.none("0", "empty")
		attacked.none("0", "empty")
		ctx, stop := context.WithCancel(d.t.Context())
		var all sync.WaitGroup
		var mu sync.Mutex
		answers := map[int]int{}
		for range 4 {
			all.Go(func() {
				for ctx.Err() == nil {
					r, err := d.try(attacked.name+":wrong", "GET", attacked.path(""), nil)
					mu.Lock()
					answers[r.status]++
					if err != nil || r.status == 429 && r.header.Get("Retry-After") == "" {
						d.t.Errorf("%v, %v", err, r.header)
					}
					mu.Unlock()
				}
			})
		}
		var took []time.Duration
		throttled := func() bool { mu.Lock(); defer mu.Unlock(); return answers[429] > 0 }
		for i := 0; i < 20 || !throttled(); i++ {
			began := time.Now()
			d.publish(c.realm, fmt.Sprint(i))
			c.handle(uint64(i+1), fmt.Sprint(i))
			attacked.none("0", "empty") // its own consumer, too
			took = append(took, time.Since(began))
		}
		stop()
		all.Wait()
		slices.Sort(took)
		d.t.Logf("beside %v wrong passwords a publish, get and ack took %v in the middle and %v at most", answers, took[len(took)/2],
			took[len(took)-1])
		if len(answers) != 2 || answers[401] == 0 || answers[429] == 0 {
			d.t.Errorf("wrong passwords are answered %v", answers)
		}
	}},
	{11, "no_password_is_logged", func(d *directory) {
		c := d.fresh()
		c.none("0", "empty")
		d.want(d.ask(directoryAdmin, "POST", "/v1/subscriptions", draft(c.name, "another canary", false)), 409)
		d.want(d.ask(directoryAdmin, "POST", "/v1/subscriptions", draft("a.b", "refused canary", false)), 422)
		d.want(d.ask(c.name+":wrong canary", "GET", c.path(""), nil), 401)
		log, err := os.ReadFile(d.ControlCenter.Log)
		if err != nil {
			d.t.Fatal(err)
		}
		secrets := []string{c.password(), "another canary", "refused canary", "wrong canary", udmPassword}
		for _, role := range []string{directoryAdmin, directoryPrefill, directoryPublisher} {
			_, password, _ := strings.Cut(role, ":")
			secrets = append(secrets, password)
		}
		for _, secret := range secrets {
			if strings.Contains(string(log), secret) {
				d.t.Errorf("the log says %q", secret)
			}
		}
		if !strings.Contains(string(log), c.name) {
			d.t.Errorf("%s says nothing of %s: nothing is shown", filepath.Base(d.ControlCenter.Log), c.name)
		}
	}},
	{12, "trouble_behind_the_service_is_503", func(d *directory) {
		own := d.withTrouble()
		own.away()
		for _, r := range []reply{
			own.ask(directoryPublisher, "POST", "/v1/messages", message("foo", "x", "{}", object("x"))),
			own.ask(directoryAdmin, "POST", "/v1/subscriptions", draft("a", "p", false)),
		} {
			if own.want(r, 503); r.header.Get("Retry-After") == "" || !strings.Contains(r.text, `"detail":"`) {
				d.t.Errorf("%v %s", r.header, r.text)
			}
		}
		own.back()
		own.null(own.ask(directoryAdmin, "POST", "/v1/subscriptions", draft("a", "p", false)), 201)
	}},
	{13, "a_failed_prefill_stops_nobody_and_is_restarted", func(d *directory) {
		c := d.subscribe("udm", true, "away13/x")
		other := d.subscribe("udm", true, "groups/group")
		other.awaitStatus("done")
		c.awaitStatus("failed")
		d.udm.mend()
		c.null(c.own("POST", "/prefill/restart", nil), 200)
		c.awaitStatus("done")
		c.expectTexts("away13/x 0")
	}},
	{14, "a_prefill_survives_a_kill", func(d *directory) {
		own := newDirectory(d.t, d.surreal, d.udm)
		own.names = d.names
		var made []*consumer
		for range 3 {
			made = append(made, own.subscribe("udm", true, "held14/x"))
		}
		if err := own.ControlCenter.Kill(); err != nil { // right after the answer, with its job at most begun
			d.t.Fatal(err)
		}
		own.start()
		for _, c := range made {
			c.awaitStatus("done")
			c.expectTexts("held14/x 0", "held14/x 1", "held14/x 2")
		}
	}},
}

// mend makes the directory answer for away13/x.
func (u *udmStub) mend() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mended = true
}
