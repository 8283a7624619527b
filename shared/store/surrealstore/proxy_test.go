package surrealstore

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// breakage is what the proxy does to the connections that stand when it is set.
type breakage uint8

const (
	pass         breakage = iota
	cut                   // end the connections
	loseReplies           // swallow what the server sends next, then end the connection
	loseRequests          // swallow what the client sends next, then end the connection
	cutAfterward          // pass on what the client sends next and end the connection at once
	blackHole             // swallow everything and keep the connections open
)

// proxy stands between driver and server.
type proxy struct {
	listener net.Listener
	target   string

	mu    sync.Mutex // guards what follows
	pairs map[*pair]bool
}

// pair is one proxied connection.
type pair struct {
	client, server net.Conn

	mu   sync.Mutex
	mode breakage
}

// newProxy starts a proxy before the server of a store URL and returns the URL through it.
func newProxy(t testing.TB, at string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: u.Host, pairs: map[*pair]bool{}}
	u.Host = l.Addr().String()
	go p.accept()
	t.Cleanup(func() { l.Close(); p.set(cut) })
	return p, u.String()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		c := &pair{client: client, server: server}
		p.mu.Lock()
		p.pairs[c] = true
		p.mu.Unlock()
		go func() { c.pump(server, client, loseRequests) }()
		go func() { c.pump(client, server, loseReplies) }()
	}
}

// set puts the connections that stand into a mode; later ones pass.
func (p *proxy) set(mode breakage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		if mode == cut {
			c.end()
			delete(p.pairs, c)
			continue
		}
		c.mu.Lock()
		c.mode = mode
		c.mu.Unlock()
	}
}

// pump moves bytes one way; lose is the mode that swallows this direction.
func (c *pair) pump(to, from net.Conn, lose breakage) {
	defer c.end()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		c.mu.Lock()
		mode := c.mode
		c.mu.Unlock()
		switch {
		case mode == blackHole:
			_, _ = io.Copy(io.Discard, from)
			return
		case mode == lose:
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
		if mode == cutAfterward && lose == loseRequests {
			return
		}
	}
}

func (c *pair) end() {
	c.client.Close()
	c.server.Close()
}
