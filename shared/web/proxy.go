package web

import (
	"net/http"
	"net/netip"
	"strings"
)

// clientAddress returns who is at the other end: the peer, or, behind trusted proxies, the last
// address that none of them is (reliability-bar R05, decision 62). An element that is no address
// ends the walk at the proxy that wrote it: what stands left of it may be the client's own
// invention.
func (s *Server) clientAddress(r *http.Request) netip.Addr {
	ip, ok := addressOf(r.RemoteAddr)
	if !ok || !s.trusted(ip) {
		return ip
	}
	elements := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(elements) - 1; i >= 0; i-- {
		if strings.TrimSpace(elements[i]) == "" {
			continue // of a trailing or doubled comma
		}
		hop, ok := addressOf(elements[i])
		if !ok {
			return ip
		}
		if ip = hop; !s.trusted(ip) {
			return ip
		}
	}
	return ip
}

// addressOf reads an address as a connection or a proxy writes it: bare or with a port, in
// brackets, in quotes, between blanks. A zone is left out: it says something only on the machine
// that wrote it.
func addressOf(text string) (netip.Addr, bool) {
	text = inside(text, '"', '"')
	at, err := netip.ParseAddrPort(text)
	ip := at.Addr()
	if err != nil {
		ip, err = netip.ParseAddr(inside(text, '[', ']'))
	}
	return ip.Unmap().WithZone(""), err == nil
}

// inside returns text without blanks around it and without the two signs around the rest, if they
// are there.
func inside(text string, open, end byte) string {
	text = strings.TrimSpace(text)
	if n := len(text); n > 1 && text[0] == open && text[n-1] == end {
		text = strings.TrimSpace(text[1 : n-1])
	}
	return text
}

func (s *Server) trusted(ip netip.Addr) bool {
	for _, p := range s.cfg.TrustedProxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// addressKey is what an address counts as: itself, or its /64 in IPv6 (reliability-bar R05).
func addressKey(ip netip.Addr) string {
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.Addr().String()
		}
	}
	return ip.String()
}
