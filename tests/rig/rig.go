package rig

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/transport"
)

// Options say what to start; zero values mean the embedded store, no configuration file and no rate
// limits.
type Options struct {
	Bin                 string   // folder with both binaries
	Dir                 string   // folder for data and logs
	OrchestratorConfig  string   // path of a TOML file
	ControlCenterConfig string   // path of a TOML file
	OrchestratorStore   string   // --store
	ControlCenterStore  string   // --store
	Env                 []string // for both services
	RateLimits          bool     // leave the rate limits on
	Peer                string   // address of the service-to-service port, which the services then use; empty: none
	Directory           string   // address of the Provisioning API, whose roles then have passwords; empty: none
	TLS                 bool     // each service listens a second time, with TLS, under an authority of the rig
}

// Bootstrap is what `control-center init -o json` prints.
type Bootstrap struct {
	Username               string   `json:"username"`
	Password               string   `json:"password"`
	TOTPSecret             string   `json:"totp_secret"`
	TOTPURI                string   `json:"totp_uri"`
	RecoveryCodes          []string `json:"recovery_codes"`
	OrchestratorCredential string   `json:"orchestrator_credential"`
}

// Rig is an installation: both services, its first administrator and a signed-in token.
type Rig struct {
	Options
	Admin         Bootstrap
	ControlCenter *Service
	Orchestrator  *Service
	Token         secret.Text // of the administrator, signed in with TOTP

	lastStep int64 // of the last TOTP code that was used
}

// Sample returns the options of the sample installation of the given repository.
func Sample(repository, bin, dir string) (Options, error) {
	root := filepath.Join(repository, "deploy", "sample")
	if _, err := os.Stat(root); err != nil {
		return Options{}, fmt.Errorf("the sample installation is not there: %w; run this from the repository", err)
	}
	return Options{Bin: bin, Dir: dir, RateLimits: true,
		OrchestratorConfig:  filepath.Join(root, "orchestrator.toml"),
		ControlCenterConfig: filepath.Join(root, "control-center.toml"), Peer: "127.0.0.1:0"}, nil
}

// Authority returns the PEM file of the authority that the certificates of the services are from.
func (o Options) Authority() string { return filepath.Join(o.Dir, "tls", "ca.pem") }

// makeCertificate makes an authority and a certificate of this machine's own names for both
// services, unless they are there. The authority's key is not kept.
func (o Options) makeCertificate() (cert, key string, err error) {
	dir := filepath.Dir(o.Authority())
	cert, key = filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key")
	if _, err := os.Stat(key); err == nil {
		return cert, key, nil
	}
	from := time.Now().Add(-time.Minute)
	until := from.AddDate(0, 0, 825) // what browsers take at most of a private authority
	authority, err := transport.NewCA("make run on this machine", from, until)
	if err != nil {
		return "", "", err
	}
	own, err := transport.NewKey()
	if err != nil {
		return "", "", err
	}
	der, err := authority.Issue(own.Public(), transport.Holder{Names: []string{"localhost", "127.0.0.1", "::1"},
		Usage: x509.ExtKeyUsageServerAuth, From: from, Until: until})
	if err != nil {
		return "", "", err
	}
	text, err := transport.EncodeKey(own)
	if err != nil {
		return "", "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", err
	}
	for _, f := range []struct {
		path string
		text []byte
	}{{o.Authority(), transport.EncodeCertificate(authority.Certificate.Raw)}, {cert, transport.EncodeCertificate(der)}, {key, text}} {
		if err := os.WriteFile(f.path, f.text, 0o600); err != nil {
			return "", "", err
		}
	}
	return cert, key, nil
}

// Prepare initialises the data folder and returns the installation without starting it.
func Prepare(ctx context.Context, o Options) (*Rig, error) {
	r := &Rig{Options: o}
	ccData := filepath.Join(o.Dir, "control-center")
	out, err := r.Run(ctx, "control-center", "init", "--data", ccData, "-o", "json")
	if err != nil {
		return nil, err
	}
	var admin Bootstrap
	if err := json.Unmarshal(out, &admin); err != nil {
		return nil, fmt.Errorf("control-center init printed no JSON: %w: %s", err, out)
	}
	return Open(o, admin)
}

// Open returns an installation that was initialised before, without starting it.
func Open(o Options, admin Bootstrap) (*Rig, error) {
	r := &Rig{Options: o, Admin: admin}
	env := append([]string(nil), r.Env...)
	if r.TLS {
		cert, key, err := r.makeCertificate()
		if err != nil {
			return nil, err
		}
		env = append(env, "CONTROL_CENTER_TLS_CERT="+cert, "CONTROL_CENTER_TLS_KEY="+key, "ORCHESTRATOR_TLS_CERT="+cert,
			"ORCHESTRATOR_TLS_KEY="+key)
	}
	if !r.RateLimits {
		env = append(env, "CONTROL_CENTER_RATE_LIMITS_ENABLED=false", "ORCHESTRATOR_RATE_LIMITS_ENABLED=false")
	}
	service := func(name, config, store string, args ...string) *Service {
		args = append([]string{"serve", "--data", filepath.Join(r.Dir, name)}, args...)
		if config != "" {
			args = append(args, "--config", config)
		}
		if store != "" {
			args = append(args, "--store", store)
		}
		s := &Service{Name: name, Bin: filepath.Join(r.Bin, name), Args: args, Env: env, Log: filepath.Join(r.Dir, name+".log")}
		if r.TLS {
			s.ListenTLS = "127.0.0.1:0"
		}
		return s
	}
	r.ControlCenter = service("control-center", r.ControlCenterConfig, r.ControlCenterStore)
	r.ControlCenter.ListenPeer = r.Peer
	if r.Directory != "" {
		passwords, err := r.directoryPasswords()
		if err != nil {
			return nil, err
		}
		r.ControlCenter.ListenDirectory = r.Directory
		r.ControlCenter.Env = append(slices.Clone(env), passwords...)
	}
	r.Orchestrator = service("orchestrator", r.OrchestratorConfig, r.OrchestratorStore)
	return r, nil
}

// Start prepares an installation, starts both services and signs the administrator in.
func Start(ctx context.Context, o Options) (*Rig, error) {
	r, err := Prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := r.StartServices(ctx); err != nil {
		return nil, fmt.Errorf("%w (%v)", err, r.Close())
	}
	session, err := r.Login(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w (%v)", err, r.Close())
	}
	r.Token = session.Token
	return r, nil
}

// StartServices starts the control-center, then the orchestrator, each on a free port.
func (r *Rig) StartServices(ctx context.Context) error {
	if err := r.ControlCenter.Start(ctx); err != nil {
		return err
	}
	if err := r.Connect(ctx); err != nil {
		return err
	}
	return r.Orchestrator.Start(ctx)
}

// Connect tells the orchestrator where the started control-center is; once. For the
// service-to-service port the credential says it, which is renewed when it says another address.
func (r *Rig) Connect(ctx context.Context) error {
	if slices.Contains(r.Orchestrator.Args, "--credential") {
		return nil
	}
	r.Orchestrator.Args = append(r.Orchestrator.Args, "--credential", r.Admin.OrchestratorCredential)
	if r.Peer == "" {
		r.Orchestrator.Args = append(r.Orchestrator.Args, "--control-center", r.ControlCenter.Address)
		return nil
	}
	var file struct {
		PeerURL string `json:"peer_url"`
	}
	raw, err := os.ReadFile(r.Admin.OrchestratorCredential)
	if err == nil {
		err = json.Unmarshal(raw, &file)
	}
	if address := "https://" + r.ControlCenter.ListenPeer; err == nil && file.PeerURL != address {
		_, err = r.Run(ctx, "control-center", "credential", "renew", "--data", filepath.Join(r.Dir, "control-center"),
			"--peer-url", address)
	}
	return err
}

// Login signs the administrator in with a fresh TOTP code; it waits for the next step when the
// current code was used before, for a code is good once.
func (r *Rig) Login(ctx context.Context) (client.Session, error) {
	step := time.Now().Unix() / totpPeriod
	// Codes of one step ahead are accepted, which spares half of the waiting.
	for step <= r.lastStep {
		if step+1 > r.lastStep {
			step++
			break
		}
		select {
		case <-ctx.Done():
			return client.Session{}, ctx.Err()
		case <-time.After(time.Second):
		}
		step = time.Now().Unix() / totpPeriod
	}
	code, err := TOTP(r.Admin.TOTPSecret, step)
	if err != nil {
		return client.Session{}, err
	}
	r.lastStep = step
	return r.CC(secret.Text{}).Login(ctx, r.Admin.Username, secret.New(r.Admin.Password), code)
}

// CC returns a client of the control-center with the given token.
func (r *Rig) CC(token secret.Text) *client.Client {
	return &client.Client{Base: r.ControlCenter.Address, Token: token}
}

// Orch returns a client of the orchestrator with the given token.
func (r *Rig) Orch(token secret.Text) *client.Client {
	return &client.Client{Base: r.Orchestrator.Address, Token: token}
}

// Run runs a verb of one of the binaries and returns its standard output; the error holds standard
// error.
func (r *Rig) Run(ctx context.Context, binary string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(r.Bin, binary), args...)
	cmd.Env = append(os.Environ(), append([]string{"XDG_CONFIG_HOME=" + filepath.Join(r.Dir, "config")}, r.Env...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("%s %v: %w: %s", binary, args, err, errs.String())
	}
	return out.Bytes(), nil
}

// Close stops both services, the orchestrator first.
func (r *Rig) Close() error {
	var first error
	for _, s := range []*Service{r.Orchestrator, r.ControlCenter} {
		code, err := s.Stop()
		if err == nil && code != 0 {
			err = fmt.Errorf("%s ended with exit code %d: %s", s.Name, code, s.tail())
		}
		if first == nil {
			first = err
		}
	}
	return first
}
