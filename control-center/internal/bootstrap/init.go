package bootstrap

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/keys"
	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/control-center/internal/tokens"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/seal"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/token"
)

// MFAIssuer is the name of the service in authenticator apps.
const MFAIssuer = "Provisioning Platform"

// Options are what Init takes. The zero value of a member stands for its default.
type Options struct {
	Dir      string
	Username string
	Email    string
	Password secret.Text // generated when empty
	PeerURL  string      // of the service-to-service port; DefaultPeerURL when empty
	Hasher   *user.Hasher
}

// InitResult is what init prints. Nobody can read it a second time. Password is empty when it came
// from a file.
type InitResult struct {
	Username               string   `json:"username"`
	Password               string   `json:"password,omitempty"`
	TOTPSecret             string   `json:"totp_secret"`
	TOTPURI                string   `json:"totp_uri"`
	RecoveryCodes          []string `json:"recovery_codes"`
	OrchestratorCredential string   `json:"orchestrator_credential"`
}

// ErrInitialised is the answer to Init of a folder that is initialised.
var ErrInitialised = fault.New(fault.Conflict, "bootstrap.initialised", "this data folder is initialised already; nothing was changed")

// Init makes a deployment in the folder o.Dir: keys, the first administrator with a one-time-code
// factor, and the credential of the orchestrator. It returns what to show.
func Init(ctx context.Context, o Options, now time.Time) (InitResult, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return InitResult{}, err
	}
	if _, err := os.Stat(filepath.Join(dir, fileName)); err == nil {
		return InitResult{}, ErrInitialised
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return InitResult{}, err
	}
	if err := secret.Private(dir, 0o700); err != nil {
		return InitResult{}, err
	}
	out := InitResult{Username: o.Username, OrchestratorCredential: filepath.Join(dir, credentialName)}
	if out.Username == "" {
		out.Username = user.Admin
	}
	email := o.Email
	if email == "" {
		email = "admin@localhost"
	}
	password := o.Password.Reveal()
	if password == "" {
		password = generated()
		out.Password = password
	}
	hasher := o.Hasher
	if hasher == nil {
		hasher = user.NewHasher(user.Standard())
	}
	u, err := user.Make(ctx, hasher, user.Draft{Username: out.Username, Email: email, Password: password, Roles: []string{user.Admin},
		Enabled: true}, false, now)
	if err != nil {
		return InitResult{}, err
	}
	sealer, err := seal.Make(instance.Folder(dir).Keys())
	if err != nil {
		return InitResult{}, err
	}
	deployment := id.Random()
	auditKeys, err := audit.MakeKeys(instance.Folder(dir).AuditKeys(), audit.Origin(deployment, token.ControlCenter))
	if err != nil {
		return InitResult{}, err
	}
	enrolment, pending, err := mfa.Generate(sealer, MFAIssuer, u.ID, u.Username, now)
	if err != nil {
		return InitResult{}, err
	}
	out.TOTPSecret, out.TOTPURI, out.RecoveryCodes = enrolment.Secret, enrolment.URI, enrolment.RecoveryCodes

	public, private, _ := ed25519.GenerateKey(nil)
	client := tokens.Client{CreatedAt: u.CreatedAt, ID: id.New(), Name: token.Orchestrator,
		Public: base64.RawURLEncoding.EncodeToString(public)}
	credential := Credential{
		ClientID: client.ID, ControlCenterAuditKey: auditKeys.Public().String(), Deployment: deployment,
		Issuer: tokens.Issuer(deployment), PrivateKey: base64.RawURLEncoding.EncodeToString(private.Seed()),
	}
	if err := certify(&credential, instance.Folder(dir), o.PeerURL, now); err != nil {
		return InitResult{}, err
	}
	if err := write(dir, credentialName, credential); err != nil {
		return InitResult{}, err
	}
	// The bootstrap file comes last, because without it the folder is not initialised.
	return out, write(dir, fileName, File{
		Client: client, CreatedAt: u.CreatedAt, Deployment: deployment, Factor: mfa.Factor{ID: u.ID}.Activate(pending, now),
		Keys: keys.NewRing(sealer, now), User: u, V: 1,
	})
}

// generated returns a password of 24 random letters in groups, about 118 bits.
func generated() string {
	text := strings.ToLower(rand.Text())[:24]
	groups := make([]string, 0, 6)
	for i := 0; i < len(text); i += 4 {
		groups = append(groups, text[i:i+4])
	}
	return strings.Join(groups, "-")
}
