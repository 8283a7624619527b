// Package security attacks the built binaries: forged tokens, every role at every operation, bodies
// made from the published schemas, planted secrets. It owns the rows of the reliability bar that
// need both services; rows that one package can show alone are tested there.
//
// The one rule: what is attacked is read from the OpenAPI documents of the running services, so
// that an operation nobody thought of fails a test instead of escaping it.
package security

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/tests/rig"
	"github.com/provisioning-platform/platform/tests/rig/rigtest"
)

var update = flag.Bool("update", false, "write the enforcement matrix anew, to be reviewed")

// password of every person of the suite.
const password = "a rather long passphrase 7"

// person is somebody who can sign in.
type person struct {
	id, name, token string
	roles           []string
	second          *client.Enrolment // nil: without a second factor
}

// site is an installation with one person of each kind.
type site struct {
	*rig.Rig
	people map[string]*person
	hook   string // path of the webhook that TestBodies_strangeTexts has made last
}

// shared is the installation that most tests use; those that stop something or look for traces have
// their own.
var shared *site

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "security")
	if err != nil {
		return failed(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if shared, err = open(ctx, dir); err != nil {
		return failed(err)
	}
	code := m.Run()
	if err := shared.Close(); err != nil {
		return failed(err)
	}
	return code
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// open starts an installation whose providers are simulated, but for "real", and signs everybody
// in.
func open(ctx context.Context, dir string) (*site, error) {
	o := rig.Options{Dir: dir, Env: []string{"CONTROL_CENTER_WEBHOOKS_ALLOW=127.0.0.0/8"}}
	var err error
	if o.Bin, err = rigtest.Folder(); err != nil {
		return nil, err
	}
	if o.OrchestratorConfig, err = configure(dir); err != nil {
		return nil, err
	}
	r, err := rig.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &site{Rig: r, people: map[string]*person{}}
	for _, role := range []string{"viewer", "auditor", "developer", "operator", "admin"} {
		if s.people[role], err = s.hire(ctx, role+"-1", role); err != nil {
			return nil, fmt.Errorf("%w (%v)", err, r.Close())
		}
	}
	if err = s.hireRoot(ctx, "admin+mfa"); err != nil {
		return nil, fmt.Errorf("%w (%v)", err, r.Close())
	}
	return s, nil
}

// configure writes the orchestrator's configuration and two infras, one of them real.
func configure(dir string) (string, error) {
	text := "[infra]\ndir = \"infra\"\n[providers.fast]\ndriver = \"simulated\"\n[providers.real]\ndriver = \"local\"\n"
	for _, name := range []string{"fast", "real"} {
		folder := filepath.Join(dir, "infra", name)
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return "", err
		}
		server := fmt.Sprintf("[[servers]]\nname = \"%s-server\"\nplan = \"1xCPU-2GB\"\nzone = \"de-fra1\"\nprovider = %q\n", name, name)
		if err := os.WriteFile(filepath.Join(folder, "config.toml"), []byte(server), 0o600); err != nil {
			return "", err
		}
	}
	text += "[webhooks]\nallow = [\"127.0.0.0/8\"]\n" // receivers of tests
	config := filepath.Join(dir, "orchestrator.toml")
	return config, os.WriteFile(config, []byte(text), 0o600)
}

// hire makes an account and signs it in.
func (s *site) hire(ctx context.Context, name string, roles ...string) (*person, error) {
	u, err := s.CC(s.Token).CreateUser(ctx, client.NewUser{Username: name, Email: name + "@example.com", Password: secret.New(password),
		Roles: roles})
	if err != nil {
		return nil, err
	}
	p := &person{id: u.ID, name: name, roles: roles}
	return p, s.signIn(ctx, p)
}

// hireRoot makes an administrator with a second factor.
func (s *site) hireRoot(ctx context.Context, name string) error {
	u, err := s.CC(s.Token).CreateUser(ctx, client.NewUser{Username: name, Email: name + "@example.com", Password: secret.New(password),
		Roles: []string{"admin"}})
	if err != nil {
		return err
	}
	e, err := s.CC(s.Token).EnrolTOTP(ctx, u.ID)
	if err != nil {
		return err
	}
	p := &person{id: u.ID, name: name, roles: []string{"admin"}, second: &e}
	s.people[name] = p
	return s.signIn(ctx, p)
}

// signIn gives a person a new session; a second factor is a recovery code, of which there are ten.
func (s *site) signIn(ctx context.Context, p *person) error {
	code := ""
	if p.second != nil {
		code, p.second.RecoveryCodes = p.second.RecoveryCodes[0], p.second.RecoveryCodes[1:]
	}
	session, err := s.CC(secret.Text{}).Login(ctx, p.name, secret.New(password), code)
	p.token = session.Token.Reveal()
	return err
}
