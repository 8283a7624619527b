package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/prefill"
	"github.com/provisioning-platform/platform/control-center/internal/provisioning"
	"github.com/provisioning-platform/platform/control-center/internal/subscription"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/process"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/web"
)

// Provisioning configures the Provisioning API of the directory, on addresses of its own. A role
// without a password lets nobody in; without any the API is not served.
type Provisioning struct {
	Listen            []string    `toml:"listen"`
	RootPath          string      `toml:"root_path"`  // below which the API is served
	AdminUser         string      `toml:"admin_user"` // creates, lists and deletes subscriptions
	AdminPassword     config.Path `toml:"admin_password_file"`
	PrefillUser       string      `toml:"prefill_user"` // says how far prefills are
	PrefillPassword   config.Path `toml:"prefill_password_file"`
	PublisherUser     string      `toml:"publisher_user"` // publishes
	PublisherPassword config.Path `toml:"publisher_password_file"`
	PrefillAttempts   int         `toml:"prefill_attempts"` // without progress before a prefill has failed; -1 is no end
	MaxMessages       int         `toml:"max_messages"`     // kept messages above which a publish is refused; 0 is no limit
	UDM               UDMSettings `toml:"udm"`
}

// UDMSettings configures the directory that the realm udm is prefilled from, by its UDM REST API.
type UDMSettings struct {
	URL      string      `toml:"url"` // such as https://dc.example/univention/udm; empty: the realm has no objects
	User     string      `toml:"user"`
	Password config.Path `toml:"password_file"`
	CA       config.Path `toml:"ca_file"` // authorities for https; empty: those of the system
}

// defaultProvisioning returns the names and the port of the original (contract provisioning-api
// 1.1, 1.2).
func defaultProvisioning() Provisioning {
	return Provisioning{
		Listen: []string{"127.0.0.1:7777"}, RootPath: "/", AdminUser: "admin", PrefillUser: "prefill", PublisherUser: "udm",
		PrefillAttempts: 60,
	}
}

// served says whether somebody has a password, so that the API is worth an open port.
func (p Provisioning) served() bool {
	return p.AdminPassword != "" || p.PrefillPassword != "" || p.PublisherPassword != ""
}

// check adds to problems what serve refuses.
func (p Provisioning) check(problems *config.Problems) {
	if !strings.HasPrefix(p.RootPath, "/") {
		problems.Add("provisioning.root_path must begin with a slash, not %q", p.RootPath)
	}
	problems.AtLeast("provisioning.prefill_attempts", p.PrefillAttempts, -1)
	problems.AtLeast("provisioning.max_messages", p.MaxMessages, 0)
	_, err := p.roles()
	problems.AddError(err)
	_, err = p.UDM.source()
	problems.AddError(err)
}

// roles returns the users of the API that are known by configuration.
func (p Provisioning) roles() (roles [3]provisioning.Role, err error) {
	for i, r := range []struct {
		name string
		file config.Path
	}{{p.AdminUser, p.AdminPassword}, {p.PrefillUser, p.PrefillPassword}, {p.PublisherUser, p.PublisherPassword}} {
		password, err := passwordOf(r.file)
		if err != nil {
			return roles, fmt.Errorf("provisioning: the password of %s: %w", r.name, err)
		}
		roles[i] = provisioning.Role{Name: r.name, Password: password.Reveal()}
	}
	return roles, nil
}

func passwordOf(file config.Path) (secret.Text, error) {
	if file == "" {
		return secret.Text{}, nil
	}
	return secret.FromFile(string(file))
}

// source returns the source of the realm udm; nil when there is none.
func (u UDMSettings) source() (prefill.Source, error) {
	if u.URL == "" {
		return nil, nil
	}
	password, err := passwordOf(u.Password)
	if err != nil {
		return nil, fmt.Errorf("provisioning.udm: the password: %w", err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if u.CA != "" {
		text, err := os.ReadFile(string(u.CA))
		if err != nil {
			return nil, fmt.Errorf("provisioning.udm.ca_file: %w", err)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("provisioning.udm.ca_file: %s holds no certificate in PEM", u.CA)
		}
	}
	return prefill.UDM{URL: strings.TrimRight(u.URL, "/"), Username: u.User, Password: password.Reveal(),
		Client: &http.Client{Transport: transport}}, nil
}

// directory is what serves the Provisioning API, and prunes its messages.
type directory struct {
	door       process.Door
	components []process.Component
	class      retention.Class
}

// newDirectory builds the queues, the prefills and the API over them.
func newDirectory(ctx context.Context, c Config, b *process.Base, changes *change.Committer, users *user.Users) (directory, error) {
	p := c.Provisioning
	roles, err := p.roles()
	if err != nil {
		return directory{}, err
	}
	s := &subscription.Subscriptions{
		DB: b.DB, Changes: changes, Hasher: user.NewHasher(user.Standard()), MaxMessages: p.MaxMessages, Now: b.Now, Log: b.Log,
	}
	if err := s.Load(ctx); err != nil {
		return directory{}, err
	}
	s.Meter(b.Metrics, "control_center")
	sources := map[string]prefill.Source{user.Realm: prefill.Accounts{List: users.After}}
	udm, err := p.UDM.source()
	if err != nil {
		return directory{}, err
	}
	if udm != nil {
		sources["udm"] = udm
	}
	api := &provisioning.API{Subscriptions: s, Admin: roles[0], Prefill: roles[1], Publisher: roles[2], Now: b.Now}
	jobs := &prefill.Prefill{Subscriptions: s, Sources: sources, Attempts: p.PrefillAttempts, Now: b.Now, Log: b.Log}
	routes := s.Router()
	d := directory{
		components: []process.Component{
			{Name: "directory events", Run: routes.Run}, {Name: "directory queues", Run: s.Run}, {Name: "prefills", Run: jobs.Run},
		},
		class: s.Class(retention.KeepRule{MaxAge: time.Duration(c.Retention.DirectoryMaxAge), Max: c.Retention.DirectoryMax}),
		door: process.Door{
			Name: "Provisioning API", Web: web.Config{
				Title: "Provisioning REST APIs", Description: "Directory events: who wants which topics, and a queue for each.",
				Routes: api.Routes(), Nouns: provisioning.Nouns(), Known: provisioning.Known,
			},
			Wrap: func(next http.Handler) http.Handler { return provisioning.Handler(p.RootPath, next) },
		},
	}
	if p.served() {
		d.door.Listen = p.Listen
	}
	return d, nil
}
