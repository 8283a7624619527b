package transport

import (
	"net"
	"net/netip"

	"github.com/provisioning-platform/platform/shared/config"
)

// TLSSettings is the table [tls] of a service. Without Cert and Key nothing speaks TLS.
type TLSSettings struct {
	Cert   config.Path `toml:"cert"`   // PEM: the certificate, then those between it and its authority
	Key    config.Path `toml:"key"`    // PEM; not readable by everybody
	HSTS   bool        `toml:"hsts"`   // tell browsers to come over TLS only, from now on
	Listen []string    `toml:"listen"` // addresses that speak TLS; empty: all of the key listen
}

// On says whether a listener speaks TLS.
func (s TLSSettings) On() bool { return s.Cert != "" || s.Key != "" }

// Address is an address to listen on.
type Address struct {
	Text string // HOST:PORT
	TLS  bool
}

// Addresses returns where a service listens whose key listen is plain: all of it with TLS, unless
// tls.listen names further addresses for that.
func (s TLSSettings) Addresses(plain []string) []Address {
	var all []Address
	for _, a := range plain {
		all = append(all, Address{Text: a, TLS: s.On() && len(s.Listen) == 0})
	}
	for _, a := range s.Listen {
		all = append(all, Address{Text: a, TLS: true})
	}
	return all
}

// Beside returns where a further server of the service listens: with TLS as the key listen, and
// beside tls.listen, which leaves the key listen plain for this machine, wherever another machine
// reaches it.
func (s TLSSettings) Beside(listen []string) []Address {
	var all []Address
	for _, a := range listen {
		all = append(all, Address{Text: a, TLS: s.On() && (len(s.Listen) == 0 || !Loopback(a))})
	}
	return all
}

// Check notes what is wrong with the table, and each address without TLS that other machines can
// reach, unless plaintext says that a proxy speaks TLS before it (decision 60).
func (s TLSSettings) Check(listen []string, plaintext bool, problems *config.Problems) {
	switch {
	case s.On() && s.Cert == "":
		problems.Add("tls.cert is missing: tls.key is the key of a certificate")
	case s.On() && s.Key == "":
		problems.Add("tls.key is missing: the key of the certificate in tls.cert")
	case s.On():
		_, err := LoadPair(string(s.Cert), string(s.Key))
		problems.AddError(err)
	case len(s.Listen) > 0:
		problems.Add("tls.listen needs tls.cert and tls.key")
	case s.HSTS:
		problems.Add("tls.hsts needs tls.cert and tls.key")
	}
	for _, a := range s.Addresses(listen) {
		if !a.TLS && !plaintext && !Loopback(a.Text) {
			problems.Add("listen: other machines can reach %s, and passwords and tokens would travel there in the clear: set tls.cert and "+
				"tls.key, or server.plaintext = true when a proxy in front of it speaks TLS", a.Text)
		}
	}
}

// Loopback says whether only this machine reaches an address HOST:PORT: its host is localhost or a
// loopback address. What is no address at all is left to whoever listens there.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
