package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/transport"
)

// shown is the certificate that the port shows. It lives in memory: each start makes a new one.
type shown struct {
	certificate *tls.Certificate
	from        time.Time
}

// Server returns the settings of the service-to-service port: TLS 1.3, a certificate in the name of
// the deployment, and nobody without a certificate of an orchestrator. One that ran out is let in:
// Admit takes it for its renewal alone.
func (a *Authority) Server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAnyClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return a.show() },
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return errors.New("no certificate")
			}
			return a.verify(s.PeerCertificates[0])
		},
	}
}

// show returns the certificate of the port, which is renewed at half its life.
func (a *Authority) show() (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.shown.certificate != nil && a.Now().Sub(a.shown.from) < leafLife/2 {
		return a.shown.certificate, nil
	}
	key, err := transport.NewKey()
	if err != nil {
		return nil, err
	}
	leaf, err := a.issue(key.Public(), a.Deployment, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return nil, err
	}
	a.shown = shown{certificate: &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, from: a.Now()}
	return a.shown.certificate, nil
}

// verify says why a client's certificate is none of an orchestrator of this deployment. Of one that
// ran out it is asked whether it was one at its end.
func (a *Authority) verify(leaf *x509.Certificate) error {
	roots, now := x509.NewCertPool(), a.Now()
	a.mu.Lock()
	for _, ca := range a.cas {
		if now.Before(ca.Certificate.NotAfter) {
			roots.AddCert(ca.Certificate)
		}
	}
	a.mu.Unlock()
	at := now
	if at.After(leaf.NotAfter) {
		at = leaf.NotAfter
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, DNSName: a.orchestrator(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}

// errRanOut is the refusal of a certificate that is over.
var errRanOut = fault.New(fault.Unauthenticated, "peer.certificate_expired",
	"the orchestrator's certificate ran out: it is good for its own renewal only, which the orchestrator does by itself")

// Admit refuses a request on the port whose certificate ran out, but for the renewal of it. A
// connection may live longer than the certificate that it began with.
func (a *Authority) Admit(renewal bool, r *http.Request) error {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return fault.New(fault.Unauthenticated, "peer.no_certificate", "this port wants the certificate of an orchestrator")
	}
	if !renewal && a.Now().After(r.TLS.PeerCertificates[0].NotAfter) {
		return errRanOut
	}
	return nil
}
