package certificate_test

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/certificate"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/transport"
)

const (
	deployment = "5d7f4a2e-0a3e-4f4a-8a2e-5d7f4a2e0a3e"
	day        = 24 * time.Hour
	year       = 365 * day
)

// port is a service-to-service port whose clock the test moves.
type port struct {
	*certificate.Authority
	dir   instance.Folder
	url   string
	moved atomic.Int64 // how far its clock is ahead
}

func (p *port) now() time.Time { return time.Now().Add(time.Duration(p.moved.Load())) }

func open(t *testing.T) *port {
	t.Helper()
	p := &port{dir: instance.Folder(t.TempDir())}
	var err error
	if p.Authority, err = certificate.Open(p.dir, deployment, p.now); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := p.Admit(r.URL.Path == "/renewal", r); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
		}
	}))
	s.TLS = p.Server()
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.StartTLS()
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

// proof is a certificate with its key and what its owner believes.
type proof struct {
	key      *ecdsa.PrivateKey
	der      []byte
	believes string // PEM
}

// issue lets an orchestrator be certified.
func (p *port) issue(t *testing.T) proof {
	t.Helper()
	key, err := transport.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	issued, err := p.Orchestrator(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(issued.Certificate))
	return proof{key: key, der: block.Bytes, believes: issued.CA}
}

// ask asks the port with a proof, as a client of a server called name, and returns "" when it is
// answered with 200, else why not.
func (p *port) ask(t *testing.T, with proof, name, path string) string {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(with.believes))
	c := &tls.Config{RootCAs: roots, ServerName: name, Time: p.now}
	if with.der != nil {
		// Whatever the server asks for, this is what it is shown.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{with.der}, PrivateKey: with.key}, nil
		}
	}
	own := &http.Transport{TLSClientConfig: c}
	defer own.CloseIdleConnections()
	resp, err := (&http.Client{Transport: own, Timeout: 10 * time.Second}).Get(p.url + path)
	if err != nil {
		return err.Error()
	}
	text, _ := io.ReadAll(resp.Body)
	if _ = resp.Body.Close(); resp.StatusCode != http.StatusOK {
		return resp.Status + " " + string(text)
	}
	return ""
}

// TestPort_onlyAnOrchestratorOfThisDeploymentComesIn is decision 59.
func TestPort_onlyAnOrchestratorOfThisDeploymentComesIn(t *testing.T) {
	t.Parallel()
	p := open(t)
	good := p.issue(t)
	if said := p.ask(t, good, deployment, "/"); said != "" {
		t.Fatalf("an orchestrator is refused: %s", said)
	}
	own, err := transport.DecodeCA(readCA(t, p.dir))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := transport.NewCA("Provisioning Platform "+deployment, time.Now().Add(-time.Hour), time.Now().Add(year))
	if err != nil {
		t.Fatal(err)
	}
	forge := func(ca *transport.CA, name string, usage x509.ExtKeyUsage, from, until time.Duration) proof {
		der, err := ca.Issue(good.key.Public(), transport.Holder{Names: []string{name}, Usage: usage, From: time.Now().Add(from),
			Until: time.Now().Add(until)})
		if err != nil {
			t.Fatal(err)
		}
		return proof{key: good.key, der: der, believes: good.believes}
	}
	right := "orchestrator." + deployment
	for name, with := range map[string]proof{
		"no certificate":             {believes: good.believes},
		"another authority":          forge(foreign, right, x509.ExtKeyUsageClientAuth, -time.Hour, day),
		"another deployment":         forge(own, "orchestrator.other", x509.ExtKeyUsageClientAuth, -time.Hour, day),
		"the server's name":          forge(own, deployment, x509.ExtKeyUsageClientAuth, -time.Hour, day),
		"a certificate of a server":  forge(own, right, x509.ExtKeyUsageServerAuth, -time.Hour, day),
		"not valid yet":              forge(own, right, x509.ExtKeyUsageClientAuth, time.Hour, day),
		"ran out, another authority": forge(foreign, right, x509.ExtKeyUsageClientAuth, -2*day, -day),
	} {
		for _, path := range []string{"/", "/renewal"} {
			if said := p.ask(t, with, deployment, path); !strings.Contains(said, "tls: ") {
				t.Errorf("%s at %s: %q, want a refused handshake", name, path, said)
			}
		}
	}
	for name, with := range map[string]proof{"another name": good,
		deployment: {key: good.key, der: good.der, believes: string(transport.EncodeCertificate(foreign.Certificate.Raw))}} {
		if said := p.ask(t, with, name, "/"); !strings.Contains(said, "certificate") {
			t.Errorf("the orchestrator believes a server that is called %s: %q", name, said)
		}
	}
	p.moved.Store(int64(31 * day))
	if said := p.ask(t, good, deployment, "/"); !strings.Contains(said, "401") {
		t.Errorf("a certificate that ran out: %q", said)
	}
	if said := p.ask(t, good, deployment, "/renewal"); said != "" {
		t.Errorf("a certificate that ran out is not good for its renewal: %s", said)
	}
}

// TestPort_authoritiesOverlapForTwoYears: whoever renews within a year is let in at all times, a
// next authority signs nothing before everybody heard of it, and an old one is no longer believed.
func TestPort_authoritiesOverlapForTwoYears(t *testing.T) {
	t.Parallel()
	p := open(t)
	first, years := p.issue(t), 0
	held := first
	for at := time.Duration(0); at < 21*year; at += 180 * day {
		p.moved.Store(int64(at))
		if said := p.ask(t, held, deployment, "/renewal"); said != "" {
			t.Fatalf("after %d days the certificate of 180 days before is not good for its renewal: %s", at/day, said)
		}
		held = p.issue(t)
		if said := p.ask(t, held, deployment, "/"); said != "" {
			t.Fatalf("after %d days a fresh certificate is refused: %s", at/day, said)
		}
		if n := strings.Count(held.believes, "BEGIN"); n == 2 {
			years++
		} else if n != 1 {
			t.Errorf("after %d days %d authorities are believed", at/day, n)
		}
	}
	if years < 8 || years > 10 { // two overlaps of two years, looked at twice a year
		t.Errorf("two authorities were believed %d times, want about 8", years)
	}
	if said := p.ask(t, proof{key: first.key, der: first.der, believes: held.believes}, deployment, "/renewal"); said == "" {
		t.Error("a certificate of an authority that ended is good for its renewal")
	}
	again, err := certificate.Open(p.dir, deployment, p.now)
	if err != nil || !again.Expires().Equal(p.Expires()) {
		t.Errorf("opened again, the authority ends at %s, want %s: %v", again.Expires(), p.Expires(), err)
	}
}
