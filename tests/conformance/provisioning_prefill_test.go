package conformance

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Who may read the directory of the stub.
const (
	udmUser     = "Administrator"
	udmPassword = "of the directory 4"
)

// udmStub answers as a UDM REST API does: modules, object types, lists and single objects. What it
// holds depends on a topic's first word, so that tests beside each other do not meet.
type udmStub struct {
	*httptest.Server
	mu     sync.Mutex
	asked  map[string]int           // requests by path, under mu
	times  map[string][]time.Time   // of the lists of a topic, under mu
	held   map[string]chan struct{} // lists that wait, by the first word of the topic, under mu
	mended bool                     // away13/x answers, under mu
}

// udmTopics are the object types of the stub, with how many objects each has.
var udmTopics = map[string]int{"users/user": 3, "users/contact": 2, "groups/group": 2, "flaky/x": 2, "away31/x": 1, "away13/x": 1,
	"single/x": 2, "held7/x": 1, "held3/x": 5, "held4/x": 2, "held14/x": 3}

// newUDM starts a stub that ends with the test.
func newUDM(t *testing.T) *udmStub {
	u := &udmStub{asked: map[string]int{}, times: map[string][]time.Time{}, held: map[string]chan struct{}{}}
	u.Server = httptest.NewServer(http.HandlerFunc(u.serve))
	t.Cleanup(u.Close)
	return u
}

// hold makes lists of topics with that first word wait until release.
func (u *udmStub) hold(word string) (release func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := make(chan struct{})
	u.held[word] = c
	return sync.OnceFunc(func() { close(c) })
}

func (u *udmStub) count(path string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.asked[path]
}

// lists returns when the objects of a topic were asked for.
func (u *udmStub) lists(topic string) []time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.times[topic])
}

func (u *udmStub) serve(w http.ResponseWriter, r *http.Request) {
	if name, password, _ := r.BasicAuth(); name != udmUser || password != udmPassword {
		http.Error(w, "{}", http.StatusUnauthorized)
		return
	}
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/univention/udm/")
	base := u.URL + "/univention/udm/"
	parts := strings.SplitN(path, "/", 3)
	u.mu.Lock()
	u.asked[path]++
	n, held, mended := u.asked[path], u.held[parts[0]], u.mended
	if len(parts) == 3 && parts[2] == "" {
		u.times[parts[0]+"/"+parts[1]] = append(u.times[parts[0]+"/"+parts[1]], time.Now())
	}
	u.mu.Unlock()
	var items []string
	switch {
	case path == "":
		for topic := range udmTopics {
			module, _, _ := strings.Cut(topic, "/")
			items = append(items, fmt.Sprintf(`{"href":"%s%s/","name":%q}`, base, module, module))
		}
		slices.Sort(items)
		fmt.Fprintf(w, `{"_links":{"udm:object-modules":[%s]}}`, strings.Join(slices.Compact(items), ","))
	case len(parts) == 2:
		for topic := range udmTopics {
			if strings.HasPrefix(topic, parts[0]+"/") {
				items = append(items, fmt.Sprintf(`{"href":"%s%s/","name":%q}`, base, topic, topic))
			}
		}
		fmt.Fprintf(w, `{"_links":{"udm:object-types":[%s]}}`, strings.Join(items, ","))
	case parts[2] == "":
		if held != nil {
			select {
			case <-held:
			case <-r.Context().Done():
			}
		}
		if parts[0] == "flaky" && n <= 2 || parts[0] == "away31" || parts[0] == "away13" && !mended {
			http.Error(w, "{}", http.StatusInternalServerError)
			return
		}
		for i := range udmTopics[parts[0]+"/"+parts[1]] {
			items = append(items, fmt.Sprintf(`{"dn":"cn=%d,cn=%s,dc=example"}`, i, parts[0]))
		}
		fmt.Fprintf(w, `{"_embedded":{"udm:object":[%s]}}`, strings.Join(items, ","))
	default:
		dn, _ := url.PathUnescape(parts[2])
		id, _, _ := strings.Cut(strings.TrimPrefix(dn, "cn="), ",")
		fmt.Fprintf(w, `{"_links":{"self":[]},"dn":%q,"objectType":"%s/%s","id":%q}`, dn, parts[0], parts[1], id)
	}
}

// directoryPrefills are the behaviours 27 to 32: the initial objects.
var directoryPrefills = []provisioningTest{
	{27, "a_prefill_reads_each_object_once", func(d *directory) {
		c := d.subscribe("udm", true, "single/x")
		c.awaitStatus("done")
		for _, path := range []string{"single/x/", "single/x/cn=0%2Ccn=single%2Cdc=example", "single/x/cn=1%2Ccn=single%2Cdc=example"} {
			if n := d.udm.count(path); n != 1 {
				d.t.Errorf("%s was asked for %d times", path, n)
			}
		}
		// Again, and what the first one left is purged.
		if e := c.next("?timeout=5&pop=true"); e == nil || idOf(e) != "0" {
			d.t.Errorf("%+v", e)
		}
		c.null(c.ask(directoryAdmin, "POST", c.path("/prefill/restart"), nil), 200)
		c.awaitStatus("done")
		c.expectTexts("single/x 0", "single/x 1")
	}},
	{28, "objects_come_in_the_order_of_the_topics", func(d *directory) {
		for _, topics := range [][]string{{"groups/group", "users/user"}, {"users/user", "groups/group"}} {
			c := d.subscribe("udm", true, topics...)
			c.awaitStatus("done")
			e := c.next("?timeout=20")
			if e == nil || e.Publisher != "udm-pre-fill" || e.Realm != "udm" || string(e.Body.Old) != "{}" ||
				strings.Contains(string(e.Body.New), "_links") {
				d.t.Fatalf("%+v", e)
			}
			c.null(c.acknowledge(e.Sequence), 200)
			want := []string{"groups/group 0", "groups/group 1", "users/user 0", "users/user 1", "users/user 2"}
			if topics[0] == "users/user" {
				want = append(want[2:], want[:2]...)
			}
			c.expectTexts(want[1:]...)
		}
	}},
	{29, "a_topic_matches_itself_and_a_pattern_what_it_says", func(d *directory) {
		users := []string{"users/contact 0", "users/contact 1", "users/user 0", "users/user 1", "users/user 2"}
		for topic, want := range map[string][]string{"users/user": users[2:], "users/.*": users, "users/*": users, "users": nil} {
			c := d.subscribe("udm", true, topic)
			c.awaitStatus("done")
			c.expectTexts(want...)
		}
		c := d.subscribe("control-center", true, ".*") // this service's own accounts: the administrator
		c.awaitStatus("done")
		if e := c.next("?timeout=5"); e == nil || e.Topic != "users/user" || e.Publisher != "udm-pre-fill" {
			d.t.Errorf("%+v", e)
		}
	}},
	{30, "a_topic_without_objects_is_done", func(d *directory) {
		for _, c := range []*consumer{d.subscribe("udm", true, "unknown/thing"), d.subscribe(d.unique("realm"), true, "users/user"),
			d.subscribe("udm", true)} {
			c.awaitStatus("done")
			c.expectTexts()
		}
	}},
	{31, "a_prefill_that_fails_too_often_has_failed", func(d *directory) {
		c := d.subscribe("udm", true, "away31/x")
		c.awaitStatus("failed")
		c.none("0", "prefill-failed")
		same := draft(c.name, c.password(), true, pair{Realm: "udm", Topic: "away31/x"})
		d.null(d.ask(directoryAdmin, "POST", "/v1/subscriptions", same), 200)
		c.none("1", "prefill-failed")
		if at := d.udm.lists("away31/x"); len(at) != 4 || at[3].Sub(at[0]) < 7*time.Second {
			d.t.Errorf("asked %d times, and 4 are configured: %v", len(at), at)
		}
	}},
	{32, "a_source_that_fails_twice_is_asked_three_times", func(d *directory) {
		c := d.subscribe("udm", true, "flaky/x")
		c.awaitStatus("done")
		c.expectTexts("flaky/x 0", "flaky/x 1")
		at := d.udm.lists("flaky/x")
		if len(at) != 3 || at[2].Sub(at[0]) < 3*time.Second {
			d.t.Errorf("asked %d times: %v", len(at), at)
		}
	}},
}

// expectTexts fails unless these are all waiting messages.
func (c *consumer) expectTexts(want ...string) {
	c.t.Helper()
	if got := c.texts(); !slices.Equal(got, want) {
		c.t.Errorf("%s is delivered %q, want %q", c.name, got, want)
	}
}
