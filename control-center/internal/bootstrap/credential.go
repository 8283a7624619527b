package bootstrap

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/certificate"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/transport"
)

// DefaultPeerURL is where the orchestrator looks for the service-to-service port when nobody says
// otherwise.
const DefaultPeerURL = "https://127.0.0.1:9443"

// certify gives a credential a fresh certificate for the service-to-service port.
func certify(c *Credential, dir instance.Folder, peerURL string, now time.Time) error {
	c.PeerURL = cmp.Or(peerURL, c.PeerURL, DefaultPeerURL)
	if u, err := url.Parse(c.PeerURL); err != nil || u.Scheme != "https" || u.Host == "" {
		return fault.New(fault.Invalid, "bootstrap.peer_url", "%q is no address such as %s", c.PeerURL, DefaultPeerURL)
	}
	authority, err := certificate.Open(dir, c.Deployment, func() time.Time { return now })
	if err != nil {
		return err
	}
	key, err := transport.NewKey()
	if err != nil {
		return err
	}
	issued, err := authority.Orchestrator(key.Public())
	if err != nil {
		return err
	}
	text, err := transport.EncodeKey(key)
	c.CA, c.Certificate, c.CertificateKey = issued.CA, issued.Certificate, string(text)
	return err
}

// Renewed is what RenewCredential has done.
type Renewed struct {
	OrchestratorCredential string `json:"orchestrator_credential"` // path of the file
	PeerURL                string `json:"peer_url"`
}

// RenewCredential gives the orchestrator's credential in dir a fresh certificate for the
// service-to-service port, and its address if peerURL is not empty. The service may run meanwhile.
func RenewCredential(dir, peerURL string, now time.Time) (Renewed, error) {
	f, err := Load(dir)
	if err != nil {
		return Renewed{}, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return Renewed{}, err
	}
	path := filepath.Join(dir, credentialName)
	text, err := secret.FromFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Renewed{}, fault.New(fault.NotFound, "bootstrap.no_credential",
			"%s is not there: put the orchestrator's copy of it back, then renew it", path)
	}
	if err != nil {
		return Renewed{}, err
	}
	var c Credential
	if err := json.Unmarshal([]byte(text.Reveal()), &c); err != nil || c.Deployment != f.Deployment {
		return Renewed{}, fmt.Errorf("%s is no credential of this deployment; put the orchestrator's copy of it back", path)
	}
	if err := certify(&c, instance.Folder(dir), peerURL, now); err != nil {
		return Renewed{}, err
	}
	return Renewed{OrchestratorCredential: path, PeerURL: c.PeerURL}, write(dir, credentialName, c)
}
