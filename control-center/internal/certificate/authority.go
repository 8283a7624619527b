package certificate

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/shared/file"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/transport"
)

// How long certificates are good (decision 59).
const (
	leafLife  = 30 * 24 * time.Hour
	caLife    = 10 * year
	overlap   = 2 * year // a next authority is made so long before the last one ends, and both are believed
	silent    = year     // of the overlap a next authority is only made known: it signs nothing yet
	year      = 365 * 24 * time.Hour
	clockSlip = 5 * time.Minute // of the other machine, behind this one
)

// Authority issues the certificates of a deployment. It is built by Open.
type Authority struct {
	Deployment string
	Now        func() time.Time
	Changes    *change.Committer // what Renew records with; nil for who only makes credentials

	dir   string
	mu    sync.Mutex
	cas   []*transport.CA // under mu; those that have not ended, the one that ends first at the front
	shown shown           // under mu
}

// Open returns the authority whose keys lie in a data folder. It makes them when there are none,
// and the next ones when the last end within two years.
func Open(dir instance.Folder, deployment string, now func() time.Time) (*Authority, error) {
	a := &Authority{Deployment: deployment, Now: now, dir: dir.PeerKeys()}
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return nil, err
	}
	for _, path := range Files(dir) {
		if err := secret.Private(path, 0o600); err != nil {
			return nil, err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		ca, err := transport.DecodeCA(text)
		if err != nil {
			return nil, fmt.Errorf(
				"%s is no authority of the service-to-service port (%w); restore it from a backup, or remove it and run "+
					"`control-center credential renew`",
				path,
				err,
			)
		}
		a.cas = append(a.cas, ca)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a, a.renew()
}

// Files returns the files with the keys of a data folder's authority.
func Files(dir instance.Folder) []string {
	found, _ := filepath.Glob(filepath.Join(dir.PeerKeys(), "*.pem")) // fails for a bad pattern only
	return found
}

// renew drops authorities that ended and makes the next one in time. a.mu is held.
func (a *Authority) renew() error {
	now := a.Now()
	a.cas = slices.DeleteFunc(a.cas, func(ca *transport.CA) bool { return now.After(ca.Certificate.NotAfter) })
	slices.SortFunc(a.cas, func(x, y *transport.CA) int { return x.Certificate.NotAfter.Compare(y.Certificate.NotAfter) })
	if n := len(a.cas); n > 0 && a.cas[n-1].Certificate.NotAfter.Sub(now) > overlap {
		return nil
	}
	next, err := transport.NewCA("Provisioning Platform "+a.Deployment, now.Add(-clockSlip), now.Add(caLife))
	if err != nil {
		return err
	}
	text, err := next.Encode()
	if err != nil {
		return err
	}
	name := strconv.FormatInt(next.Certificate.NotAfter.Unix(), 10) + ".pem"
	if err := file.Write(a.dir, name, text); err != nil {
		return err
	}
	a.cas = append(a.cas, next)
	return nil
}

// signer returns the authority that signs now: the first one that goes on for longer than a year,
// so that everybody has heard of the next one before it signs anything. a.mu is held.
func (a *Authority) signer() *transport.CA {
	for _, ca := range a.cas {
		if ca.Certificate.NotAfter.Sub(a.Now()) > silent {
			return ca
		}
	}
	return a.cas[len(a.cas)-1]
}

// issue certifies a public key for one name. a.mu is held.
func (a *Authority) issue(public any, name string, usage x509.ExtKeyUsage) (*x509.Certificate, error) {
	if err := a.renew(); err != nil {
		return nil, err
	}
	now := a.Now()
	der, err := a.signer().Issue(public, transport.Holder{Names: []string{name}, Usage: usage, From: now.Add(-clockSlip),
		Until: now.Add(leafLife)})
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// orchestrator is the name in the certificates of orchestrators. No other certificate has it, and a
// server's has the name of the deployment.
func (a *Authority) orchestrator() string { return token.Orchestrator + "." + a.Deployment }

// Issued is what an orchestrator gets: PEM texts.
type Issued struct {
	Certificate string    `json:"certificate" doc:"the certificate, PEM"`
	CA          string    `json:"ca" doc:"the authorities to believe from now on, PEM"`
	Expires     time.Time `json:"expires" doc:"when the certificate ends"`
}

// Orchestrator certifies the key of an orchestrator for 30 days.
func (a *Authority) Orchestrator(public any) (Issued, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	leaf, err := a.issue(public, a.orchestrator(), x509.ExtKeyUsageClientAuth)
	if err != nil {
		return Issued{}, err
	}
	out := Issued{Certificate: string(transport.EncodeCertificate(leaf.Raw)), Expires: leaf.NotAfter}
	for _, ca := range a.cas {
		out.CA += string(transport.EncodeCertificate(ca.Certificate.Raw))
	}
	return out, nil
}

// Expires returns when the last authority ends.
func (a *Authority) Expires() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cas[len(a.cas)-1].Certificate.NotAfter
}
