package web

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
)

type item struct {
	Group string `json:"group"`
	ID    string `json:"id"`
}

// TestPage_linksShowEveryRowOnceWhileRowsAreAdded walks a list by its links while rows come in at
// the front.
func TestPage_linksShowEveryRowOnceWhileRowsAreAdded(t *testing.T) {
	t.Parallel()
	table := store.Table[item]{Kind: "item", ID: func(i item) string { return i.ID },
		Index: func(i item) []store.IndexKey { return []store.IndexKey{{Name: "group", Value: i.Group}} }}
	fresh := func() store.DB {
		return memstore.New(store.Schema{Service: "t",
			Kinds: []store.Kind{{Name: "item", Indexes: []string{"group"}, Counted: []string{"group"}}}})
	}
	db, next := fresh(), 0
	add := func(n int) {
		for range n {
			w, err := table.Write(item{Group: []string{"a", "b"}[next%2], ID: fmt.Sprintf("i%03d", next)}, store.Absent())
			if err == nil {
				_, err = db.Commit(t.Context(), store.Batch{Writes: []store.Write{w}})
			}
			if err != nil {
				t.Fatal(err)
			}
			next++
		}
	}
	type filter struct {
		Paging
		Group string `query:"group"`
	}
	g := newRig(t, func(c *Config) {
		c.Routes = []Route{{Method: "GET", Path: "/items", Op: "items", Permission: Open(),
			Handle: To(func(ctx context.Context, in filter) (Page[string], error) {
				q := store.Query{}
				if in.Group != "" {
					q.Index, q.Prefix, q.Exact = "group", in.Group, true
				}
				w, err := table.Window(ctx, db, in.Place(), q)
				return PageOf(w, func(i item) string { return i.ID }), err
			})}}
	})
	link := regexp.MustCompile(`<([^>]*)>; rel="next"`)
	for _, c := range []struct {
		query string
		want  int
	}{{"/items?limit=7", 40}, {"/items?limit=3&group=a", 20}, {"/items?limit=7&offset=7", 33}, {"/items?limit=7&before=i030&offset=1",
		30}} {
		db, next = fresh(), 0
		add(40)
		var got []string
		for at := c.query; at != ""; {
			w := g.send("GET", at, "")
			var v struct{ Data []string }
			if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != 200 {
				t.Fatalf("%s: %d %v", at, w.Code, w.Body.String())
			}
			if total := w.Header().Get("X-Total-Count"); c.want == 40 && total != fmt.Sprint(next) {
				t.Errorf("%s: total %s, there are %d", at, total, next)
			}
			got = append(got, v.Data...)
			at = ""
			if m := link.FindStringSubmatch(w.Header().Get("Link")); m != nil {
				if at = m[1]; !strings.Contains(at, "after=") || strings.Contains(at, "before=") {
					t.Errorf("%s goes on with %s", c.query, at)
				}
			}
			add(2)
		}
		sorted := slices.Clone(got)
		slices.Sort(sorted)
		if len(slices.Compact(sorted)) != len(got) || len(got) != c.want {
			t.Errorf("%s: %d rows, some twice or not at all: %v", c.query, len(got), got)
		}
	}
}

type tagged struct {
	Text string `json:"text"`
}

// ETag is the state of the document.
func (tagged) ETag() string { return "r7" }

func TestETag_answers304ToWhoHasIt(t *testing.T) {
	t.Parallel()
	g := newRig(t, func(c *Config) {
		c.Routes = []Route{{Method: "GET", Path: "/t", Op: "t", Permission: Open(),
			Handle: To(func(_ context.Context, in struct {
				Match string `header:"If-Match"`
			}) (tagged, error) {
				return tagged{in.Match}, nil
			})}}
	})
	w := g.send("GET", "/t", "", "If-Match: x")
	if w.Code != 200 || w.Header().Get("ETag") != `"r7"` || !strings.Contains(w.Body.String(), `"text":"x"`) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body.String())
	}
	for _, has := range []string{`"r7"`, `W/"r7"`, `"r6", "r7"`, `*`} {
		if w := g.send("GET", "/t", "", "If-None-Match: "+has); w.Code != 304 || w.Body.Len() != 0 {
			t.Errorf("%s: %d %s", has, w.Code, w.Body.String())
		}
	}
	if w := g.send("GET", "/t", "", `If-None-Match: "r8"`); w.Code != 200 {
		t.Errorf("%d", w.Code)
	}
}

func TestRaw_whatMayBeCachedHasAnETagAndNothingElse(t *testing.T) {
	t.Parallel()
	g := newRig(t, func(c *Config) {
		c.Routes = []Route{
			{Method: "GET", Path: "/keys", Op: "keys", Permission: Open(), Handle: To(func(context.Context, None) (Raw, error) {
				return Raw{ContentType: "application/json", Body: []byte("{}"), MaxAge: time.Minute}, nil
			})},
			{Method: "GET", Path: "/fresh", Op: "fresh", Permission: Open(), Handle: To(func(context.Context, None) (Raw, error) {
				return Raw{ContentType: "application/json", Body: []byte("{}")}, nil
			})},
		}
	})
	first := g.send("GET", "/keys", "")
	tag := first.Header().Get("ETag")
	if first.Code != 200 || tag == "" || first.Header().Get("Cache-Control") != "max-age=60" {
		t.Fatalf("%d %v", first.Code, first.Header())
	}
	if w := g.send("GET", "/keys", "", "If-None-Match: "+tag); w.Code != 304 || w.Body.Len() != 0 ||
		w.Header().Get("Cache-Control") != "max-age=60" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body.String())
	}
	if w := g.send("GET", "/fresh", ""); w.Header().Get("ETag") != "" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%v", w.Header())
	}
}

// TestHTTP_smuggledRequest is the pair of I14: net/http reads the chunks and forgets the length, so
// nothing behind such a body may be taken for a request.
func TestHTTP_smuggledRequest(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := newRig(t, nil).HTTP()
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()
	for _, length := range []string{"", "Content-Length: 6\r\n", "Content-Length: 1000\r\n"} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte("POST /things HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer alice\r\nContent-Type: application/json\r\n" +
			length +
			"Transfer-Encoding: chunked\r\n\r\nc\r\n{\"name\":\"a\"}\r\n0\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n"))
		raw, err := io.ReadAll(conn)
		if n := strings.Count(string(raw), "HTTP/1.1 "); err != nil || n != 1 || !strings.Contains(string(raw), "Connection: close") {
			t.Errorf("%q: %d answers (%v):\n%s", length, n, err, raw)
		}
		_ = conn.Close()
	}
}

// TestHTTP_rawRequests is I04 and I14: what a well-behaved client library would never send.
func TestHTTP_rawRequests(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := newRig(t, nil).HTTP()
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()
	head := "POST /things HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer alice\r\nContent-Type: application/json\r\n"
	for name, c := range map[string]struct {
		request string
		want    int
	}{
		"chunked": {head + "Transfer-Encoding: chunked\r\n\r\nc\r\n{\"name\":\"a\"}\r\n0\r\n\r\n", 201},
		"chunked and too much": {head + "Transfer-Encoding: chunked\r\n\r\n200000\r\n" + strings.Repeat("x", 0x200000) + "\r\n0\r\n\r\n",
			413},
		"declared too much": {head + "Content-Length: 99999999999\r\n\r\n", 413},
		"huge header":       {"GET /health HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", 431},
		"two lengths":       {head + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400},
		"negative length":   {head + "Content-Length: -1\r\n\r\n", 400},
		"strange encoding":  {head + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
		"line in a header":  {"GET /health HTTP/1.1\r\nHost: a\r\nX-Request-ID: a\rb\r\n\r\n", 400},
		"no host":           {"GET /health HTTP/1.1\r\n\r\n", 400},
		"version 1.0":       {"GET /health HTTP/1.0\r\n\r\n", 200},
	} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = conn.Write([]byte(c.request)) }()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != c.want {
			t.Errorf("%s: %v, want %d (%v)", name, resp, c.want, err)
		} else {
			_ = resp.Body.Close()
		}
		_ = conn.Close()
	}
}

// TestIDs_inAnyCaseAreOneObject writes an id in capitals: handler, policy and audit log see it in
// one spelling, so a rule on the object holds however it is written.
func TestIDs_inAnyCaseAreOneObject(t *testing.T) {
	t.Parallel()
	const own = "01997b1c-0000-7000-8000-00000000000a"
	var asked []string
	g := newRig(t, func(c *Config) {
		decide := c.Decide
		c.Decide = func(q authz.Request) authz.Decision {
			asked = append(asked, q.Resource.Name)
			return decide(q)
		}
	})
	if w := g.send("GET", "/things/"+strings.ToUpper(own), "", asAlice); w.Code != 200 || !strings.Contains(w.Body.String(), `"id":"`+own+`"`) {
		t.Errorf("%d %s", w.Code, w.Body.String())
	}
	if w := g.send("PUT", "/things/"+strings.ToUpper(own), `{"email":"a"}`, asGuest); w.Code != 403 {
		t.Errorf("%d %s", w.Code, w.Body.String())
	}
	if e := g.entries(); len(e) != 1 || e[0].Resource != "things/"+own || !slices.Equal(asked, []string{own, own}) {
		t.Errorf("recorded %+v, asked about %v", e, asked)
	}
}

func TestLog_aClientThatLeftIsNoFaultOfTheService(t *testing.T) {
	t.Parallel()
	g := newRig(t, func(c *Config) {
		c.Routes = []Route{{Method: "GET", Path: "/long", Op: "long", Permission: Open(),
			Handle: To(func(ctx context.Context, _ None) (Notice, error) {
				<-ctx.Done()
				return "", store.ErrUnavailable.Because(ctx.Err())
			})}}
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/long", nil))
	w := httptest.NewRecorder()
	g.cfg.Metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if !strings.Contains(w.Body.String(), `http_requests_total{op="long",status="499"} 1`) {
		t.Error(w.Body.String())
	}
}

// TestMetrics_whatWaitsForSomethingIsNoLatency has a long poll beside an ordinary route.
func TestMetrics_whatWaitsForSomethingIsNoLatency(t *testing.T) {
	t.Parallel()
	say := To(func(context.Context, None) (Notice, error) { return "x", nil })
	g := newRig(t, func(c *Config) {
		c.Routes = []Route{
			{Method: "GET", Path: "/a", Op: "ordinary", Permission: Open(), Handle: say},
			{Method: "GET", Path: "/b", Op: "poll", Permission: Open(), Lasts: true, Handle: say},
			{Method: "GET", Path: "/c", Op: "waits", Permission: Open(), Wait: time.Hour, Handle: say},
		}
	})
	for _, path := range []string{"/a", "/b", "/c"} {
		if w := g.send("GET", path, ""); w.Code != 200 {
			t.Fatal(path, w.Code)
		}
	}
	w := httptest.NewRecorder()
	g.cfg.Metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	for line, want := range map[string]bool{
		`http_request_duration_seconds_count{op="ordinary"} 1`: true, `http_request_duration_seconds_count{op="poll"} 1`: false, `http_request_duration_seconds_count{op="waits"} 1`: false,
		`http_requests_total{op="poll",status="200"} 1`: true,
	} {
		if strings.Contains(w.Body.String(), line) != want {
			t.Errorf("%s: %v", line, !want)
		}
	}
}
