package webhook

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// Limits of an exchange with a receiver.
const (
	DefaultTimeout = 15 * time.Second // Standard Webhooks: 15 to 30 s
	maxAnswer      = 64 << 10         // bytes of an answer's headers, and of its body, that are read
	maxIdle        = 90 * time.Second // an unused connection is kept
)

// special are the ranges that no receiver has on the public internet, with what they are called:
// the registries of IANA for special purposes (RFC 6890), and the ranges that carry IPv4 addresses
// inside IPv6 ones.
var special = []struct {
	net  netip.Prefix
	name string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "shared (carrier-grade NAT)"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "protocol assignments"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relay"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("::/128"), "unspecified"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("::/96"), "IPv4-compatible"},
	{netip.MustParsePrefix("64:ff9b::/96"), "IPv4 behind NAT64"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "IPv4 behind NAT64"},
	{netip.MustParsePrefix("100::/64"), "discard"},
	{netip.MustParsePrefix("2001::/23"), "protocol assignments"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation"},
	{netip.MustParsePrefix("2002::/16"), "IPv4 behind 6to4"},
	{netip.MustParsePrefix("3fff::/20"), "documentation"},
	{netip.MustParsePrefix("5f00::/16"), "segment routing"},
	{netip.MustParsePrefix("fc00::/7"), "private"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("fec0::/10"), "site-local"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

// Guard says which addresses may be dialled: those of the public internet, and what the operator
// allows.
type Guard struct {
	Allow    []netip.Prefix
	Resolver *net.Resolver // nil: the system's
	Timeout  time.Duration // of a whole exchange; 0 means DefaultTimeout
}

// Check returns nil when addr may be dialled, else an error that names the address, its range and
// the setting that opens it.
func (g *Guard) Check(addr netip.Addr) error {
	plain := addr.WithZone("")
	for _, p := range g.Allow {
		if p.Contains(plain) || p.Contains(plain.Unmap()) {
			return nil
		}
	}
	name := ""
	if plain.Is4In6() {
		name = "IPv4-mapped"
	}
	for _, s := range special {
		if s.net.Contains(plain) {
			name = s.name
			break
		}
	}
	if name == "" && plain.IsValid() {
		return nil
	}
	return fmt.Errorf("address %s is refused: it is %s, and [webhooks] allow does not list it", addr, name)
}

// Client returns an HTTP client that dials nothing but what Check lets pass. It checks the address
// that is dialled, after the name was resolved, so a name that changes its answer gains nothing. It
// follows no redirect, asks no proxy of the environment, and gives up after the timeout.
func (g *Guard) Client() *http.Client {
	timeout := g.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	dialer := &net.Dialer{
		Timeout: timeout, Resolver: g.Resolver,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("address %s is refused: it cannot be read", address)
			}
			return g.Check(at.Addr())
		},
	}
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout,
			MaxResponseHeaderBytes: maxAnswer, MaxIdleConnsPerHost: 1, IdleConnTimeout: maxIdle, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
