package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/file"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/transport"
)

// renewBefore is how long before its end a saved token is renewed.
const renewBefore = 30 * time.Second

// SignIn is the saved result of a login (decision 6): a file of mode 0600 that both binaries read.
type SignIn struct {
	Server           string    `json:"server"`            // the control-center that issued it
	CAFile           string    `json:"ca_file,omitempty"` // of private authorities that both services' certificates may be from
	Username         string    `json:"username"`
	Token            string    `json:"token"`
	ExpiresAt        time.Time `json:"expires_at"`
	RefreshToken     string    `json:"refresh_token,omitempty"`
	RefreshExpiresAt time.Time `json:"refresh_expires_at,omitzero"`
}

// signInPath returns where the sign-in is saved.
func (o *IO) signInPath() (string, error) {
	base := o.Getenv("XDG_CONFIG_HOME")
	if base == "" {
		home := o.Getenv("HOME")
		if home == "" {
			return "", Usage("neither XDG_CONFIG_HOME nor HOME is set, so there is no place for the sign-in; set one, or give --token-file")
		}
		base = filepath.Join(home, ".config")
	}
	return filepath.Join(base, "provisioning-platform", "credentials.json"), nil
}

// LoadSignIn returns the saved sign-in; a fault of kind Unauthenticated when there is none.
func (o *IO) LoadSignIn() (SignIn, error) {
	path, err := o.signInPath()
	if err != nil {
		return SignIn{}, err
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return SignIn{}, fault.New(fault.Unauthenticated, "cli.signed_out", "not signed in; run: control-center auth login")
	}
	if err != nil {
		return SignIn{}, err
	}
	var s SignIn
	if err := json.Unmarshal(raw, &s); err != nil {
		return SignIn{}, fmt.Errorf("%s is damaged; sign in again: control-center auth login", path)
	}
	return s, nil
}

// SaveSignIn writes the sign-in, readable by its owner only.
func (o *IO) SaveSignIn(s SignIn) error {
	path, err := o.signInPath()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return file.Write(filepath.Dir(path), filepath.Base(path), append(raw, '\n'))
}

// DropSignIn removes the saved sign-in; nil when there is none.
func (o *IO) DropSignIn() error {
	path, err := o.signInPath()
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Target is the flags and environment that say which service a verb talks to, as whom.
type Target struct {
	Default   string // address when nothing else is said
	Env       string // "ORCHESTRATOR_SERVER"
	Issuer    bool   // the service is the control-center: the saved sign-in knows its address
	server    string
	tokenFile string
	caFile    string
	noWait    bool
}

// patience is how long a verb waits in all for a service that says 429 (decision 70).
const patience = time.Minute

// Declare adds the flags of the target.
func (t *Target) Declare(f *Flags) {
	f.StringVar(&t.server, "server", "", "address of the service (environment: "+t.Env+", default "+t.Default+")")
	f.StringVar(&t.tokenFile, "token-file", "", "file with a bearer token (environment: PROVISIONING_TOKEN_FILE); beats the saved sign-in")
	f.StringVar(&t.caFile, "ca-file", "", "PEM file with the authority of the service's certificate, when that is a private one "+
		"(environment: PROVISIONING_CA_FILE); auth login saves its path")
	f.BoolVar(&t.noWait, "no-wait", false, "end with 12 at once when the service asks to wait because of its rate limits")
}

// Address returns the address of the service.
func (t *Target) Address(o *IO) string {
	if t.server != "" {
		return t.server
	}
	if v := o.Getenv(t.Env); v != "" {
		return v
	}
	if t.Issuer {
		if s, err := o.LoadSignIn(); err == nil && s.Server != "" {
			return s.Server
		}
	}
	return t.Default
}

// Client returns a client of the target that is signed in: with the token file if one is given,
// else with the saved sign-in, which is renewed when it is about to end.
func (t *Target) Client(ctx context.Context, o *IO) (*client.Client, error) {
	api, err := t.Open(o)
	if err != nil {
		return nil, err
	}
	path := t.tokenFile
	if path == "" {
		path = o.Getenv("PROVISIONING_TOKEN_FILE")
	}
	if path != "" {
		api.Token, err = SecretFile(path)
		return api, err
	}
	s, err := t.renewed(ctx, o)
	if err != nil {
		return nil, err
	}
	api.Token = secret.New(s.Token)
	if s.RefreshToken != "" {
		api.Fresh = t.freshOf(o, s.Username)
	}
	return api, nil
}

// freshOf returns what a client asks for its token that outlives the one it began with: the saved
// sign-in, while it is of that user.
func (t *Target) freshOf(o *IO, username string) func(context.Context) (secret.Text, time.Time, error) {
	return func(ctx context.Context) (secret.Text, time.Time, error) {
		s, err := t.renewed(ctx, o)
		if err == nil && s.Username != username {
			err = fault.New(fault.Unauthenticated, "cli.other_user", "%s has signed in here in the place of %s, who began this", s.Username,
				username)
		}
		return secret.New(s.Token), s.ExpiresAt, err
	}
}

// Open returns a client of the target that is not signed in. It tells the person what it waits for
// and what was not done again.
func (t *Target) Open(o *IO) (*client.Client, error) {
	api := &client.Client{
		Base: t.Address(o), Patience: patience,
		Waiting:  func(d time.Duration) { o.Note("the service asks to wait %s because of its rate limits", d) },
		Replayed: func() { o.Note("unchanged: this idempotency key was used before, and this is its first answer") },
	}
	if t.noWait {
		api.Patience = 0
	}
	return api, t.trust(o, api)
}

// trust makes a client believe the private authorities that a flag, the environment or the saved
// sign-in names.
func (t *Target) trust(o *IO, api *client.Client) error {
	path, err := t.CAFile(o)
	if path == "" || err != nil {
		return err
	}
	if api.Roots, err = transport.Roots(path); err != nil {
		return Usage("--ca-file: %s", err)
	}
	api.HTTP = client.Connect(api.Roots, time.Minute)
	return nil
}

// CAFile returns the file of private authorities, as an absolute path; empty when there is none.
func (t *Target) CAFile(o *IO) (string, error) {
	path := t.caFile
	if path == "" {
		path = o.Getenv("PROVISIONING_CA_FILE")
	}
	if path == "" {
		s, err := o.LoadSignIn()
		if err != nil {
			return "", nil // who is not signed in has saved none
		}
		return s.CAFile, nil
	}
	return filepath.Abs(path)
}

// SecretFile reads a secret from a file that the command line or the environment names. A file that
// is not there, is empty or can be read by others is a usage error.
func SecretFile(path string) (secret.Text, error) {
	text, err := secret.FromFile(path)
	if err != nil {
		return secret.Text{}, Usage("%s", err)
	}
	return text, nil
}

// Password returns the password in the file at path or, without one, what a person types. Where
// nobody can be asked, the error names the flag that is missing.
func (o *IO) Password(prompt, path, flag string) (secret.Text, error) {
	if path != "" {
		return SecretFile(path)
	}
	line, err := o.Ask(prompt, true)
	if errors.Is(err, ErrNoTerminal) {
		err = Usage("%s is needed when there is no terminal to ask on", flag)
	}
	return secret.New(line), err
}

// renewed returns the saved sign-in, which it renews when it is about to end.
func (t *Target) renewed(ctx context.Context, o *IO) (SignIn, error) {
	s, err := o.LoadSignIn()
	if err != nil || time.Until(s.ExpiresAt) > renewBefore {
		return s, err
	}
	if s.RefreshToken == "" {
		return SignIn{}, fault.New(fault.Unauthenticated, "cli.expired",
			"the sign-in of %s has expired; run: control-center auth login", s.Username)
	}
	issuer := client.Client{Base: s.Server}
	if err := t.trust(o, &issuer); err != nil {
		return SignIn{}, err
	}
	renewed, err := issuer.Refresh(ctx, secret.New(s.RefreshToken))
	if err != nil {
		return SignIn{}, err
	}
	next := SignInOf(s.Server, s.Username, renewed)
	next.CAFile = s.CAFile
	return next, o.SaveSignIn(next)
}

// SignInOf returns what is saved of a session.
func SignInOf(server, username string, s client.Session) SignIn {
	return SignIn{Server: server, Username: username, Token: s.Token.Reveal(), ExpiresAt: s.ExpiresAt,
		RefreshToken: s.RefreshToken.Reveal(), RefreshExpiresAt: s.RefreshExpiresAt}
}

// ErrNoTerminal is returned by Ask when there is nobody to ask.
var ErrNoTerminal = errors.New("standard input is no terminal")

// Confirm asks before something is destroyed and returns nil when the answer is want, in any case
// of its letters, or when yes is true. Any other answer is a usage error, and so is a lack of a
// terminal: a script says --yes.
func (o *IO) Confirm(question, want string, yes bool) error {
	if yes {
		return nil
	}
	answer, err := o.Ask(question, false)
	switch {
	case errors.Is(err, ErrNoTerminal):
		return Usage("nothing was changed: --yes is needed when there is no terminal to ask on")
	case err != nil:
		return err
	case !strings.EqualFold(strings.TrimSpace(answer), want):
		return Usage("not confirmed; nothing was changed")
	}
	return nil
}

// Ask prompts for a line on the terminal; hidden input is not echoed. It refuses without a
// terminal.
func (o *IO) Ask(prompt string, hidden bool) (string, error) {
	file, ok := o.In.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return "", ErrNoTerminal
	}
	fmt.Fprint(o.Err, Printable(prompt))
	if hidden {
		line, err := term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(o.Err)
		return string(line), err
	}
	line, err := bufio.NewReader(file).ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

// Terminal says whether Err, where progress is shown, is a terminal that understands cursor
// movements, and its width in columns.
func (o *IO) Terminal() (width int, ok bool) {
	file, isFile := o.Err.(*os.File)
	if !isFile || o.Getenv("TERM") == "dumb" || !term.IsTerminal(int(file.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(file.Fd()))
	return width, err == nil && width > 0
}
