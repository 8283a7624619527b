package client

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/file"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/transport"
)

// proof is what an orchestrator proves itself with on the service-to-service port, and whom it
// believes there: PEM texts, members of the credential and of DIR/keys/peer/certificate.json.
type proof struct {
	CA             string `json:"ca"`
	Certificate    string `json:"certificate"`
	CertificateKey string `json:"certificate_key"`
}

// identity is a proof that was read.
type identity struct {
	leaf *x509.Certificate
	http *http.Client
}

// read makes the HTTP client that shows the certificate to a server in the name of the deployment,
// which is from the given authorities and no others.
func (p proof) read(deployment string, now func() time.Time) (identity, error) {
	pair, err := tls.X509KeyPair([]byte(p.Certificate), []byte(p.CertificateKey))
	if err != nil {
		return identity{}, fmt.Errorf("certificate and certificate_key: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(p.CA)) {
		return identity{}, errors.New("ca holds no certificate")
	}
	return identity{leaf: pair.Leaf, http: &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: deployment,
			Certificates: []tls.Certificate{pair}, Time: now},
		IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
	}}}, nil
}

// proofFile is the file with the newest certificate, in DIR/keys/peer.
const proofFile = "certificate.json"

// ProofFile returns DIR/keys/peer/certificate.json.
func ProofFile(dir instance.Folder) string { return filepath.Join(dir.PeerKeys(), proofFile) }

// keptProof is the content of that file.
type keptProof struct {
	Deployment string `json:"deployment"`
	proof
}

// Proof is the certificate of an orchestrator for the service-to-service port. It renews itself
// while Run runs, at half its life.
type Proof struct {
	deployment string
	dir        string
	now        func() time.Time
	mu         sync.Mutex
	current    identity // under mu
}

// OpenProof returns the certificate in the data folder, or that of the credential when it is the
// newer one.
func OpenProof(dir instance.Folder, c Credential, now func() time.Time) (*Proof, error) {
	p := &Proof{deployment: c.Deployment, dir: dir.PeerKeys(), now: now}
	var err error
	if p.current, err = c.proof.read(c.Deployment, now); err != nil {
		return nil, err
	}
	path := filepath.Join(p.dir, proofFile)
	if _, err := os.Stat(path); err != nil {
		return p, nil // nothing was renewed yet
	}
	if err := secret.Private(path, 0o600); err != nil {
		return nil, err
	}
	text, err := file.Read(p.dir, proofFile)
	if err != nil {
		return nil, err
	}
	var kept keptProof
	if json.Unmarshal(text, &kept) != nil || kept.Deployment != c.Deployment {
		return p, nil // what the credential says is good enough
	}
	if newer, err := kept.read(c.Deployment, now); err == nil && newer.leaf.NotAfter.After(p.current.leaf.NotAfter) {
		p.current = newer
	}
	return p, nil
}

func (p *Proof) identity() identity {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

func (p *Proof) client() *http.Client { return p.identity().http }

// Expires returns when the certificate ends.
func (p *Proof) Expires() time.Time { return p.identity().leaf.NotAfter }

// due says whether half of the certificate's life is over.
func (p *Proof) due() bool {
	leaf := p.identity().leaf
	return p.now().After(leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2))
}

// Meter adds the gauge of the certificate's end; nothing when there is none.
func (p *Proof) Meter(r *obs.Registry, name string) {
	if p != nil {
		transport.Meter(r, name, "peer", p.now, p.Expires)
	}
}

// renewEvery is how often RenewProof looks, and tries again.
const renewEvery = time.Minute

// RenewProof renews the certificate whenever half of its life is over, until ctx ends; then it
// returns nil. It logs when the state turns, not each try. Without a certificate it only waits.
func (p *Peer) RenewProof(ctx context.Context, log *slog.Logger) error {
	for failing := false; ; {
		if p.Proof != nil && p.Proof.due() {
			err := p.renew(ctx)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil && !failing:
				log.WarnContext(ctx, "the certificate for the control-center cannot be renewed; it is tried again each minute",
					slog.Any("error", err), slog.Time("expires", p.Proof.Expires()))
			case err == nil:
				log.InfoContext(ctx, "new certificate for the control-center", slog.Time("expires", p.Proof.Expires()))
			}
			failing = err != nil
		}
		if !clock.Pause(ctx, renewEvery, nil) {
			return nil
		}
	}
}

// renew gets a certificate for a new key and keeps it before it is used.
func (p *Peer) renew(ctx context.Context) error {
	key, err := transport.NewKey()
	if err != nil {
		return err
	}
	request, err := signingRequest(key)
	if err != nil {
		return err
	}
	var answer struct {
		Certificate string `json:"certificate"`
		CA          string `json:"ca"`
	}
	ctx, cancel := context.WithTimeout(ctx, longPollSlack)
	defer cancel()
	if err := p.do(ctx, post("/internal/v1/certificate", map[string]string{"request": request}), &answer); err != nil {
		return err
	}
	text, err := transport.EncodeKey(key)
	if err != nil {
		return err
	}
	kept := keptProof{Deployment: p.Proof.deployment,
		proof: proof{CA: answer.CA, Certificate: answer.Certificate, CertificateKey: string(text)}}
	next, err := kept.read(kept.Deployment, p.Now)
	if err != nil {
		return fmt.Errorf("the answer is no certificate of this key: %w", err)
	}
	whole, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.Proof.dir, 0o700); err != nil {
		return err
	}
	if err := file.Write(p.Proof.dir, proofFile, append(whole, '\n')); err != nil {
		return err
	}
	p.Proof.mu.Lock()
	before := p.Proof.current
	p.Proof.current = next
	p.Proof.mu.Unlock()
	before.http.CloseIdleConnections()
	return nil
}

// signingRequest returns a certificate signing request, PEM. It names nobody: the control-center
// knows whom it certifies.
func signingRequest(key *ecdsa.PrivateKey) (string, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), err
}
