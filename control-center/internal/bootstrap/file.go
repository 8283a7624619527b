package bootstrap

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/keys"
	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/control-center/internal/tokens"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/file"
	"github.com/provisioning-platform/platform/shared/secret"
)

// The names of files and folders inside DIR.
const (
	fileName       = "bootstrap.json"
	credentialName = "orchestrator-credential.json"
)

// File is DIR/bootstrap.json: what an empty store begins with. Its secrets are hashed or sealed.
type File struct {
	Client     tokens.Client   `json:"client"`
	CreatedAt  time.Time       `json:"created_at"`
	Deployment string          `json:"deployment"`
	Factor     mfa.Factor      `json:"factor"`
	Keys       []keys.TokenKey `json:"keys"`
	UsedAt     *time.Time      `json:"used_at,omitempty"`
	User       user.User       `json:"user"`
	V          int             `json:"v"`
}

// Credential is DIR/orchestrator-credential.json, by which the orchestrator proves who it is
// (decision 4).
type Credential struct {
	CA                    string `json:"ca,omitempty"`              // PEM: what the service-to-service port's certificate is from
	Certificate           string `json:"certificate,omitempty"`     // PEM
	CertificateKey        string `json:"certificate_key,omitempty"` // PEM
	ClientID              string `json:"client_id"`
	ControlCenterAuditKey string `json:"control_center_audit_key"`
	Deployment            string `json:"deployment"`
	Issuer                string `json:"issuer"`
	PeerURL               string `json:"peer_url,omitempty"`
	PrivateKey            string `json:"private_key"` // seed of an Ed25519 key, base64url
}

// FilePath returns DIR/bootstrap.json.
func FilePath(dir string) string { return filepath.Join(dir, fileName) }

// Load reads the bootstrap file of dir. It refuses a folder that others can read, one that is not
// initialised and a damaged file, each with what to do about it.
func Load(dir string) (File, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return File{}, err
	}
	if _, err := os.Stat(filepath.Join(dir, fileName)); errors.Is(err, fs.ErrNotExist) {
		return File{}, fault.New(fault.Conflict, "bootstrap.missing",
			"%s is not initialised: run `control-center init --data %s` once, then start again", dir, dir)
	}
	for path, mode := range map[string]fs.FileMode{dir: 0o700, filepath.Join(dir, fileName): 0o600} {
		if err := secret.Private(path, mode); err != nil {
			return File{}, err
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		return File{}, err
	}
	var f File
	if err := json.Unmarshal(b, &f); err != nil || f.V != 1 || f.Deployment == "" {
		return File{}, fmt.Errorf("%s is damaged or of another version; restore it from a backup", filepath.Join(dir, fileName))
	}
	return f, nil
}

// write replaces the file called name in dir by the JSON of v. After a crash the file has its old
// or its new content.
func write(dir, name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return file.Write(dir, name, append(b, '\n'))
}
