package webhook

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// loopback is what tests allow, as the sample installation does.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func TestGuard_refusesWhatIsNotOnThePublicInternet(t *testing.T) {
	t.Parallel()
	var g Guard
	for _, bad := range []string{
		"127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
		"169.254.169.254", "192.0.0.192",
		"198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1", "::ffff:127.0.0.1",
		"::ffff:8.8.8.8", "64:ff9b::7f00:1",
		"64:ff9b:1::a00:1", "2002:7f00:1::", "2001::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
		"2001:db8::1",
	} {
		if err := g.Check(netip.MustParseAddr(bad)); err == nil {
			t.Errorf("%s may be dialled", bad)
		}
	}
	for _, good := range []string{"8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450:4001::1"} {
		if err := g.Check(netip.MustParseAddr(good)); err != nil {
			t.Error(err)
		}
	}
	g.Allow = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32")}
	for text, want := range map[string]bool{"10.1.2.3": true, "::ffff:10.1.2.3": true, "10.2.0.1": false, "fd00:1::5": true,
		"fd00:2::5": false, "127.0.0.1": false} {
		if err := g.Check(netip.MustParseAddr(text)); (err == nil) != want {
			t.Errorf("%s with an allow list: %v", text, err)
		}
	}
	if err := g.Check(netip.Addr{}); err == nil {
		t.Error("no address may be dialled")
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	var g Guard
	for _, good := range []string{"https://example.com/hook?x=1", "http://example.com:8080", "https://8.8.8.8/"} {
		if err := g.CheckURL(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "example.com", "/hook", "ftp://example.com", "file:///etc/passwd", "https://", "https:example.com",
		"https://user:pw@example.com", "https://example.com/#x",
		"http://127.0.0.1/", "http://[::1]/", "http://[::ffff:8.8.8.8]/", "http://169.254.169.254/latest", "http://example.com:port/",
		"https://example.com/" + strings.Repeat("x", maxURL),
	} {
		if err := g.CheckURL(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestClient_followsNoRedirect sends to a receiver that points at the metadata address of clouds.
func TestClient_followsNoRedirect(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.RedirectHandler("http://169.254.169.254/latest/meta-data", http.StatusTemporaryRedirect))
	defer srv.Close()
	answer, err := (&Guard{Allow: loopback}).Client().Post(srv.URL, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusTemporaryRedirect {
		t.Errorf("status %d", answer.StatusCode)
	}
}

// TestClient_asksNoProxy would find every request at the proxy if the environment counted.
func TestClient_asksNoProxy(t *testing.T) {
	var asked atomic.Bool
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Store(true) }))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	if _, err := (&Guard{Timeout: time.Second}).Client().Get("http://10.255.255.1/"); err == nil ||
		!strings.Contains(err.Error(), "is refused: it is private") {
		t.Errorf("%v", err)
	}
	if asked.Load() {
		t.Error("the proxy was asked")
	}
}

// liar is a name server that answers every question for an address with the next of its answers.
func liar(t *testing.T, answers ...netip.Addr) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	var n atomic.Int64
	go func() {
		buf := make([]byte, 1500)
		for {
			size, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			q := buf[:size]
			end := 12
			for q[end] != 0 {
				end += int(q[end]) + 1
			}
			end += 5
			kind := binary.BigEndian.Uint16(q[end-4:])
			out := append([]byte(nil), q[:end]...)
			out[2], out[3] = 0x81, 0x80
			copy(out[4:], []byte{0, 1, 0, 0, 0, 0, 0, 0})
			if kind == 1 {
				out[7] = 1
				a := answers[min(int(n.Add(1))-1, len(answers)-1)].As4()
				out = append(append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4), a[:]...)
			}
			_, _ = server.WriteTo(out, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

// TestClient_checksTheAddressThatIsDialled is the rebinding name: its second answer is a private
// address.
func TestClient_checksTheAddressThatIsDialled(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	url := "http://receiver.example:" + port
	g := Guard{Resolver: liar(t, netip.MustParseAddr("127.0.0.1")), Timeout: 5 * time.Second}
	if err := g.CheckURL(url); err != nil {
		t.Fatalf("the name itself says nothing: %v", err)
	}
	for range 3 {
		if _, err := g.Client().Get(url); err == nil || !strings.Contains(err.Error(), "127.0.0.1 is refused: it is loopback") {
			t.Errorf("%v", err)
		}
	}
	if hits.Load() != 0 {
		t.Error("the receiver was reached")
	}
	g.Allow = loopback
	g.Resolver = liar(t, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.9.9.9"))
	client := g.Client()
	client.Transport.(*http.Transport).DisableKeepAlives = true
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if _, err := client.Get(url); err == nil || !strings.Contains(err.Error(), "10.9.9.9 is refused") {
		t.Errorf("after its answer changed: %v", err)
	}
	if hits.Load() != 1 {
		t.Errorf("reached %d times", hits.Load())
	}
}

// TestAttempt_survivesBadReceivers: each of them ends within the timeout, and nothing of the answer
// is kept.
func TestAttempt_survivesBadReceivers(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	for name, serve := range map[string]http.HandlerFunc{
		"no answer": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		},
		"endless body": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := fmt.Fprint(w, strings.Repeat("x", 1<<16)); err != nil {
					return
				}
			}
		},
		"slow body": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			w.(http.Flusher).Flush()
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		},
		"huge headers": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 2*maxAnswer)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(serve)
			t.Cleanup(srv.CloseClientConnections)
			w := New(Config{Guard: Guard{Allow: loopback, Timeout: 300 * time.Millisecond}, Now: time.Now})
			start := time.Now()
			a := w.attempt(t.Context(), &Endpoint{URL: srv.URL}, []string{"secret"}, &Delivery{ID: "x", Payload: `{"event":"x"}`})
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if strings.Contains(a.Error, "xxx") || len(a.Error) > maxError {
				t.Errorf("keeps %q", a.Error)
			}
			if (name == "endless body") != (a.outcome == received) {
				t.Errorf("%+v", a)
			}
		})
	}
	t.Cleanup(func() { close(hang) })
}
