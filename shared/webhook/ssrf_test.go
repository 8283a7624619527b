package webhook

import (
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

// forbidden are addresses that nothing may reach, by what they are.
var forbidden = []string{
	"127.0.0.1", "127.0.0.2", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254",
	"192.168.0.1", "192.168.255.254", "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200", "192.0.0.192", "198.18.0.1",
	"224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
}

// hostile returns the URLs of I12; port is that of the traps.
func hostile(port string) (urls []string) {
	for _, text := range forbidden {
		a := netip.MustParseAddr(text)
		b := a.As4()
		hex := fmt.Sprintf("%02x%02x:%02x%02x", b[0], b[1], b[2], b[3])
		for _, host := range []string{
			text, "[::ffff:" + text + "]", "[::ffff:" + hex + "]", "[64:ff9b::" + hex + "]", "[2002:" + hex + "::]", "[::" + hex + "]",
		} {
			urls = append(urls, "http://"+host+":"+port+"/latest/meta-data")
		}
	}
	for _, host := range []string{
		"[::1]", "[::]", "[::1%25lo]", "[fe80::1]", "[fe80::1%25eth0]",
		"[fc00::1]", "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]", "[2001::1]",
		"[2001:db8::1]", "[100::1]", "[64:ff9b:1::7f00:1]", "[3fff::1]", "[5f00::1]",
		// What other programs read as 127.0.0.1 is a name to us, which the resolver of the test
		// answers with it.
		"2130706433", "0x7f000001", "017700000001", "0177.0.0.1", "0x7f.0.0.1", "127.1", "127.0.1", "127.0.0.1.", "localhost", "localhost.",
		"LOCALHOST", "metadata.google.internal", "169.254.169.254.nip.example", "xn--bcher-kva.example", "①②⑦.⓪.⓪.①", "ⓛocalhost",
		"127。0。0。1", "%31%32%37.0.0.1",
	} {
		urls = append(urls, "http://"+host+":"+port+"/")
	}
	return append(urls,
		"https://127.0.0.1:"+port+"/", "https://rebound.example:"+port+"/", "http://user@127.0.0.1:"+port+"/",
		"http://example.com@127.0.0.1:"+port+"/", "http://127.0.0.1:"+port+"#@example.com/",
		"http://127.0.0.1:"+port+`\@example.com/`,
		"file:///etc/passwd", "gopher://127.0.0.1:"+port+"/", "ftp://127.0.0.1:"+port+"/", "dict://127.0.0.1:"+port+"/",
		"unix:///var/run/docker.sock", "data:text/plain,x", "//127.0.0.1:"+port+"/", "http:127.0.0.1:"+port,
		"http:///127.0.0.1:"+port,
		"http://127.0.0.1:22/", "http://127.0.0.1:0/", "http://127.0.0.1:65536/", "http://[::ffff:127.0.0.1%25lo]:"+port+"/")
}

// TestSSRF_noForbiddenAddressIsReached is I12 for webhooks: each of more than 120 URLs is refused
// when the webhook is made, or when its address is dialled, and no trap socket is connected to; a
// resolver answers every name with loopback, and a receiver that is allowed redirects to a trap.
func TestSSRF_noForbiddenAddressIsReached(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	trap, err := net.Listen("tcp", ":0") // all addresses of this machine
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = trap.Close() })
	go func() {
		for {
			c, err := trap.Accept()
			if err != nil {
				return
			}
			hits.Add(1)
			_ = c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(trap.Addr().String())
	guard := Guard{Resolver: liar(t, netip.MustParseAddr("127.0.0.1")), Timeout: time.Second}
	w := New(Config{Guard: guard, Now: time.Now})
	urls := hostile(port)
	dialled := 0
	for _, url := range urls {
		if w.c.Guard.CheckURL(url) != nil {
			continue
		}
		dialled++
		a := w.attempt(t.Context(), &Endpoint{URL: url}, []string{"secret"}, &Delivery{ID: "x", Payload: `{"event":"x"}`})
		if a.outcome == received || a.Status != 0 {
			t.Errorf("%s was reached: %+v", url, a)
		}
	}
	if len(urls) < 120 || dialled < 10 {
		t.Errorf("%d URLs, %d of them dialled: the test is weaker than the bar", len(urls), dialled)
	}

	// A list opens exactly what it names: 127.0.0.1 and not its neighbour, to which it redirects.
	away := httptest.NewServer(http.RedirectHandler("http://127.0.0.2:"+port+"/", http.StatusTemporaryRedirect))
	t.Cleanup(away.Close)
	open := New(Config{Guard: Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Timeout: time.Second}, Now: time.Now})
	next := strings.Replace(away.URL, "127.0.0.1", "127.0.0.2", 1)
	for url, want := range map[string]string{away.URL: "", next: "is refused: it is loopback"} {
		a := open.attempt(t.Context(), &Endpoint{URL: url}, []string{"secret"}, &Delivery{ID: "x", Payload: `{"event":"x"}`})
		if !strings.Contains(a.Error, want) || want == "" && a.Status != http.StatusTemporaryRedirect {
			t.Errorf("%s: %+v", url, a)
		}
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("the traps were connected to %d times", n)
	}
}
