package driver

import (
	"log/slog"
	"net/url"
	"strings"

	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store"
)

// Settings is the section [store] of both programs' configuration.
type Settings struct {
	PasswordFile config.Path `toml:"password_file"`
	Standby      bool        `toml:"standby"` // surrealdb: wait while another instance writes the database, then take over
	Sync         string      `toml:"sync"`    // what the operator states of a SurrealDB server: "every"
	URL          string      `toml:"url"`     // embedded:, memory:, surrealdb://user@host:port/namespace/database
}

// InMemory says whether the store ends with the process.
func (o Options) InMemory() bool { return strings.HasPrefix(o.URL, "memory:") }

// Embedded says whether the store lives in the data folder.
func (o Options) Embedded() bool { return o.URL == "" || strings.HasPrefix(o.URL, "embedded:") }

// Options turns the settings into what Open takes. urlFile is the value of *_STORE_FILE: a file
// with the whole URL, in which alone a password may stand (decision 2). Faults are the operator's
// and name what to correct.
func (c Settings) Options(dir, urlFile string, schema store.Schema, log *slog.Logger) (Options, error) {
	o := Options{URL: c.URL, Dir: dir, Schema: schema, Sync: c.Sync, Standby: c.Standby, Log: log}
	if urlFile != "" {
		text, err := secret.FromFile(urlFile)
		if err != nil {
			return o, fault.New(fault.Invalid, "config.store_file", "the file with the store's URL: %s", err)
		}
		u, err := url.Parse(text.Reveal())
		if err != nil {
			return o, fault.New(fault.Invalid, "config.store_file", "the file with the store's URL holds no URL")
		}
		if p, has := u.User.Password(); has {
			o.Password, u.User = secret.New(p), url.User(u.User.Username())
		}
		o.URL = u.String()
	}
	if c.PasswordFile != "" {
		p, err := secret.FromFile(string(c.PasswordFile))
		if err != nil {
			return o, fault.New(fault.Invalid, "config.password_file", "the store's password: %s", err)
		}
		o.Password = p
	}
	return o, Check(o)
}
