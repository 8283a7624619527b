package conformance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/fault"
)

// proxy hands requests on to the Provisioning API, unless wrong answers them.
type proxy struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string // method and path with its query, of all requests, under mu
}

// behind starts a proxy; wrong says whether it has answered the n-th request with that method and
// path.
func (d *directory) behind(wrong func(w http.ResponseWriter, r *http.Request, n int) bool) *proxy {
	d.t.Helper()
	to, err := url.Parse(d.url)
	if err != nil {
		d.t.Fatal(err)
	}
	p, next := &proxy{}, httputil.NewSingleHostReverseProxy(to)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		line := r.Method + " " + r.URL.RequestURI()
		p.mu.Lock()
		p.asked = append(p.asked, line)
		n := 0
		for _, a := range p.asked {
			if a == line {
				n++
			}
		}
		p.mu.Unlock()
		if wrong == nil || !wrong(w, r, n) {
			next.ServeHTTP(w, r)
		}
	}))
	d.t.Cleanup(p.Close)
	return p
}

// of returns the requests of that method.
func (p *proxy) of(method string) (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.asked {
		if strings.HasPrefix(a, method+" ") {
			all = append(all, a)
		}
	}
	return all
}

// through returns a client of the consumer's over a proxy.
func (c *consumer) through(p *proxy) *client.Directory {
	d := c.client(c.as())
	d.Base = p.URL
	return d
}

// directoryClients are the behaviours 33 to 36, of the client in shared/client.
var directoryClients = []provisioningTest{
	{33, "a_consumer_handles_so_many_and_acknowledges_each_once", func(d *directory) {
		c := d.fresh()
		d.publish(c.realm, "a", "b", "c", "d")
		p := d.behind(nil)
		var got []string
		handle := func(_ context.Context, e *client.DirectoryEvent) error { got = append(got, idOf(e)); return nil }
		for _, most := range []int{1, 3} {
			run := client.Consumer{From: c.through(p), Handle: handle, Most: most, Log: slog.New(slog.DiscardHandler)}
			if err := run.Run(d.t.Context()); err != nil {
				d.t.Fatal(err)
			}
		}
		var acks []string
		for i := range 4 {
			acks = append(acks, fmt.Sprintf("PATCH %s", c.path(fmt.Sprintf("/messages/%d/status", i+1))))
		}
		if strings.Join(got, "") != "abcd" || !slices.Equal(p.of("PATCH"), acks) {
			d.t.Errorf("handled %q, acknowledged %q", got, p.of("PATCH"))
		}
		for _, poll := range p.of("GET") {
			if !strings.HasSuffix(poll, "?timeout=10") {
				d.t.Error(poll)
			}
		}
		c.none("0", "empty")
	}},
	{34, "a_failed_acknowledgement_is_repeated_and_the_loop_goes_on", func(d *directory) {
		c := d.fresh()
		d.publish(c.realm, "a", "b")
		p := d.behind(func(w http.ResponseWriter, r *http.Request, _ int) bool {
			wrong := r.Method == "PATCH" && strings.HasSuffix(r.URL.Path, "/1/status")
			if wrong {
				w.WriteHeader(http.StatusBadRequest)
			}
			return wrong
		})
		var got []string
		run := client.Consumer{From: c.through(p), Most: 2, Log: slog.New(slog.DiscardHandler),
			Handle: func(_ context.Context, e *client.DirectoryEvent) error { got = append(got, idOf(e)); return nil }}
		began := time.Now()
		if err := run.Run(d.t.Context()); err != nil {
			d.t.Fatal(err)
		}
		// The first one counts as handled after 1 + 3 tries; it was not acknowledged, so it is
		// delivered again, for which the second round is.
		if strings.Join(got, "") != "aa" || len(p.of("PATCH")) != 8 || time.Since(began) < 14*time.Second {
			d.t.Errorf("handled %q with %d acknowledgements in %v", got, len(p.of("PATCH")), time.Since(began))
		}
	}},
	{35, "what_may_be_repeated_is_and_what_may_not_is_not", func(d *directory) {
		c := d.fresh()
		type try struct {
			status, times int // what the proxy answers, so often
			call          func(*client.Directory) error
			tries         int // requests that come
			kind          fault.Kind
			fails         bool
		}
		list := func(a *client.Directory) error { _, err := a.Subscriptions(d.t.Context()); return err }
		remove := func(a *client.Directory) error { return a.Unsubscribe(d.t.Context(), d.unique("sub")) }
		create := func(a *client.Directory) error {
			return a.Subscribe(d.t.Context(), client.NewSubscription{Name: d.unique("sub"), Password: "p", Topics: []pair{{Realm: "foo"}}})
		}
		for what, x := range map[string]try{
			"a list after ten times 503":    {503, 10, list, 11, 0, false},
			"a list after eleven times 503": {503, 11, list, 11, fault.Unavailable, true},
			"a create after twice 503":      {503, 2, create, 3, 0, false},
			"a list that breaks off":        {0, 2, list, 3, 0, false},
			"a delete":                      {503, 1, remove, 1, fault.Unavailable, true},
			"a list with 401":               {401, 1, list, 1, fault.Unauthenticated, true},
			"a create with 409":             {409, 1, create, 1, fault.Conflict, true},
			"a delete with 404":             {404, 1, remove, 1, fault.NotFound, true},
			"a list with 500":               {500, 1, list, 1, fault.Internal, true},
			"a list with a redirect":        {307, 1, list, 1, fault.Internal, true},
		} {
			n := 0 // requests come one after the other
			p := d.behind(func(w http.ResponseWriter, r *http.Request, _ int) bool {
				if n++; n > x.times {
					return false
				}
				if x.status == 0 {
					panic(http.ErrAbortHandler)
				}
				w.Header().Set("Location", d.url+r.URL.Path)
				w.WriteHeader(x.status)
				return true
			})
			a := c.client(directoryAdmin)
			a.Base, a.Tries, a.Pause = p.URL, 11, time.Millisecond // 3 s unless it is given
			err := x.call(a)
			if n != x.tries || (err != nil) != x.fails || x.fails && fault.KindOf(err) != x.kind {
				d.t.Errorf("%s: %d requests, %v", what, n, err)
			}
		}
	}},
	{36, "a_lost_answer_is_made_good_by_doing_it_again", func(d *directory) {
		lost := func(method string) func(http.ResponseWriter, *http.Request, int) bool {
			return func(_ http.ResponseWriter, r *http.Request, n int) bool {
				if r.Method != method || n > 1 {
					return false
				}
				to := r.Clone(r.Context())
				to.RequestURI = ""
				to.URL, _ = url.Parse(d.url + r.URL.Path)
				if resp, err := directoryHTTP.Do(to); err == nil {
					_ = resp.Body.Close()
				}
				panic(http.ErrAbortHandler)
			}
		}
		admin, name := d.client(directoryAdmin), d.unique("sub")
		admin.Base = d.behind(lost("POST")).URL
		made := client.NewSubscription{Name: name, Password: "p", Topics: []pair{{Realm: "foo", Topic: "bar"}}}
		if err := admin.Subscribe(d.t.Context(), made); err == nil {
			d.t.Fatal("the answer was not lost")
		}
		if err := admin.Subscribe(d.t.Context(), made); err != nil {
			d.t.Error(err)
		}
		own := d.client(name + ":p")
		own.Base = d.behind(lost("DELETE")).URL
		if err := own.Unsubscribe(d.t.Context(), name); err == nil {
			d.t.Fatal("the answer was not lost")
		}
		if err := own.Unsubscribe(d.t.Context(), name); !fault.Is(err, fault.Unauthenticated) {
			d.t.Error(err)
		}
		all, err := admin.Subscriptions(d.t.Context())
		if err != nil || slices.ContainsFunc(all, func(s client.Subscription) bool { return s.Name == name }) {
			d.t.Error(errors.Join(err, fmt.Errorf("%s is listed", name)))
		}
	}},
}
