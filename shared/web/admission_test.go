package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/shared/web/body"
)

// TestBody_whoMayNotIsToldBeforeItIsRead: a refusal costs no memory, and the client, which sends
// first and reads then, sees it.
func TestBody_whoMayNotIsToldBeforeItIsRead(t *testing.T) {
	t.Parallel()
	g := newRig(t, func(c *Config) {
		c.Routes = append(c.Routes, Route{Method: "POST", Path: "/large", Op: "large", Permission: Allow("create", "things"),
			Audit: "large.create", MaxBody: 8 << 20,
			Handle: To(func(context.Context, thing) (Notice, error) { return "done", nil })})
	})
	srv := httptest.NewServer(g)
	defer srv.Close()
	body := `{"name":"a","labels":{"x":"` + strings.Repeat("y", 60<<10) + `"}` + strings.Repeat(" ", 7<<20) + `}`
	for _, c := range []struct {
		what, path, token, head, body string
		status                        int
		again                         bool // the connection is good for another request
	}{
		{"a guest", "/large", "guest", "", body, 403, true},
		{"nobody", "/large", "", "", body, 401, true},
		{"no such path", "/nowhere", "alice", "", body[:1<<20], 404, true},
		{"who may", "/large", "alice", "", body, 200, true},
		{"too large", "/large", "alice", "", body + strings.Repeat(" ", 2<<20), 413, false},
		{"a guest who asks first", "/large", "guest", "Expect: 100-continue\r\n", "", 403, false},
		{"a guest who sends later", "/large", "guest", "", "", 403, false},
	} {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		length := len(c.body)
		if c.body == "" {
			length = 5 << 20
		}
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Type: "+
			"application/json\r\n%sContent-Length: %d\r\n\r\n", c.path, c.token, c.head, length)
		if _, err := io.WriteString(conn, c.body); err != nil && c.again {
			t.Errorf("%s: sending: %v", c.what, err)
		}
		began := time.Now()
		in := bufio.NewReader(conn)
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if took := time.Since(began); resp.StatusCode != c.status || took > discardTimeout/2 {
			t.Errorf("%s: %d after %s, want %d", c.what, resp.StatusCode, took, c.status)
		}
		if c.again {
			fmt.Fprintf(conn, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
			if next, err := http.ReadResponse(in, nil); err != nil || next.StatusCode != 200 {
				t.Errorf("%s: the next request on the connection: %v %v", c.what, next, err)
			}
		}
		_ = conn.Close()
	}
	if w := g.send("POST", "/large", `{"name":`, asGuest); w.Code != 403 {
		t.Errorf("a guest with a broken body: %d", w.Code)
	}
}

// TestBody_theNameInItIsDecidedAfterIt: who may make some things and not others is let send.
func TestBody_theNameInItIsDecidedAfterIt(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	for body, want := range map[string]int{`{"name":"a"}`: 201, `{"name":"forbidden"}`: 403, `{"name":5}`: 422} {
		if w := g.send("POST", "/things", body, asAlice); w.Code != want {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	if n := len(g.entries()); n != 2 {
		t.Errorf("%d entries", n)
	}
}

// TestBody_largeOnesOfOneCallerAreRefusedInTime: more large bodies at once than can be worked on
// are answered all the same.
func TestBody_largeOnesOfOneCallerAreRefusedInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, func(c *Config) {
			c.Routes = append(c.Routes, Route{Method: "POST", Path: "/slow", Op: "slow", Permission: Authenticated(), Audit: "slow.create",
				Handle: To(func(context.Context, thing) (Notice, error) { <-time.After((2 * time.Second) / 2); return "done", nil })})
		})
		body := `{"name":"a"` + strings.Repeat(" ", body.SmallBody) + `}`
		var wg sync.WaitGroup
		var done, busy atomic.Int64
		for range 8 {
			wg.Go(func() {
				began := time.Now()
				switch w := g.send("POST", "/slow", body, asAlice); {
				case w.Code == 200:
					done.Add(1)
				case w.Code == 503 && w.Header().Get("Retry-After") == "2" && time.Since(began) == (2*time.Second):
					busy.Add(1)
				default:
					t.Errorf("%d %s", w.Code, w.Body)
				}
			})
		}
		wg.Wait()
		if done.Load() < 2 || done.Load()+busy.Load() != 8 {
			t.Errorf("%d done, %d refused", done.Load(), busy.Load())
		}
	})
}
