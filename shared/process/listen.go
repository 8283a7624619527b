package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/transport"
)

// Listener is an open address and how it is served.
type Listener struct {
	net.Listener
	TLS bool
}

// URL returns where the listener is reached.
func (l Listener) URL() string {
	if l.TLS {
		return "https://" + l.Addr().String()
	}
	return "http://" + l.Addr().String()
}

// serve serves with s until it is shut down. Over TLS s.TLSConfig has the certificate.
func (l Listener) serve(s *http.Server) error {
	if l.TLS {
		return s.ServeTLS(l.Listener, "", "")
	}
	return s.Serve(l.Listener)
}

// openListeners opens a listener for every address. Port 0 takes a free one. "localhost:PORT" is
// every loopback address that localhost resolves to, on one port. When one cannot be opened none
// stays open, and the error names it.
func openListeners(ctx context.Context, addresses []transport.Address) ([]Listener, error) {
	var all []Listener
	for _, address := range addresses {
		ls, err := listenOne(ctx, address.Text)
		if err != nil {
			for _, l := range all {
				_ = l.Close()
			}
			return nil, fmt.Errorf("listen on %s: %w", address.Text, plainly(err))
		}
		for _, l := range ls {
			all = append(all, Listener{l, address.TLS})
		}
	}
	return all, nil
}

// portTries is how often a free port of the first loopback address may be taken on the second.
const portTries = 16

// CheckAddress says what is wrong with an address to listen on, without listening: it must be
// HOST:PORT with a port of 0 to 65535.
func CheckAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT, such as 127.0.0.1:9090 or [::1]:9090", address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q: the port must be a number of 0 to 65535", address)
	}
	return nil
}

// CheckListen notes what is wrong with the settings by which a program listens.
func CheckListen(addresses []string, tls transport.TLSSettings, server ServerSettings, problems *config.Problems) {
	if len(addresses) == 0 {
		problems.Add("listen needs at least one address")
	}
	for _, address := range tls.Addresses(addresses) {
		if err := CheckAddress(address.Text); err != nil {
			problems.Add("listen: %s", err)
		}
	}
	tls.Check(addresses, server.Plaintext, problems)
}

// CheckDoor notes what is wrong with where a further server listens. key is its key of the
// configuration, and taken has the key of each address that the service listens on already.
func CheckDoor(key string, addresses []string, tls transport.TLSSettings, server ServerSettings, taken map[string]string,
	problems *config.Problems) {
	seen := maps.Clone(taken)
	for _, a := range tls.Beside(addresses) {
		if err := CheckAddress(a.Text); err != nil {
			problems.Add("%s: %s", key, err)
			continue
		}
		if by, there := seen[a.Text]; there && !strings.HasSuffix(a.Text, ":0") {
			problems.Add("%s: %s is listened on already, by %s; give another port", key, a.Text, by)
		}
		seen[a.Text] = key
		if !a.TLS && !server.Plaintext && !transport.Loopback(a.Text) {
			problems.Add("%s: other machines can reach %s, and passwords would travel there in the clear: set tls.cert and tls.key, or "+
				"server.plaintext = true when a proxy in front of it speaks TLS", key, a.Text)
		}
	}
}

// ServerSettings is the table [server] of a service.
type ServerSettings struct {
	Plaintext bool `toml:"plaintext"` // other machines reach it without TLS: a proxy in front of it has that
}

func listenOne(ctx context.Context, address string) ([]net.Listener, error) {
	if err := CheckAddress(address); err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	hosts := []string{host}
	if host == "localhost" {
		if hosts, err = loopbacks(ctx); err != nil {
			return nil, err
		}
	}
	for try := 0; ; try++ {
		ls, err := listenAll(ctx, hosts, port)
		if err == nil || port != "0" || !errors.Is(err, syscall.EADDRINUSE) || try >= portTries {
			return ls, err
		}
	}
}

// listenAll opens one port on every host; addresses that this machine does not have are left out as
// long as one works.
func listenAll(ctx context.Context, hosts []string, port string) ([]net.Listener, error) {
	var all []net.Listener
	var missing error
	for _, host := range hosts {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, port))
		switch {
		case err == nil:
			all = append(all, l)
			port = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
		case len(hosts) > 1 && (errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)):
			missing = err
		default:
			closeAll(all)
			return nil, err
		}
	}
	if len(all) == 0 {
		return nil, missing
	}
	return all, nil
}

// loopbacks returns the loopback addresses that localhost stands for, IPv4 first.
func loopbacks(ctx context.Context) ([]string, error) {
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", "localhost")
	if err != nil {
		return []string{"127.0.0.1"}, nil // a machine without a hosts file still has it
	}
	var four, six []string
	seen := map[netip.Addr]bool{}
	for _, ip := range found {
		ip = ip.Unmap()
		switch {
		case !ip.IsLoopback() || seen[ip]:
		case ip.Is4():
			four = append(four, ip.String())
		default:
			six = append(six, ip.String())
		}
		seen[ip] = true
	}
	if len(four)+len(six) == 0 {
		return nil, errors.New("localhost does not resolve to a loopback address")
	}
	return append(four, six...), nil
}

// plainly says the common failures in words.
func plainly(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return errors.New("the port is already in use")
	case errors.Is(err, syscall.EACCES):
		return errors.New("not permitted; ports below 1024 need a privilege")
	}
	return err
}

func closeAll(ls []net.Listener) {
	for _, l := range ls {
		_ = l.Close()
	}
}
