package app

import (
	"context"
	"log/slog"
	"net/url"

	"github.com/provisioning-platform/platform/control-center/internal/auditlog"
	"github.com/provisioning-platform/platform/control-center/internal/bootstrap"
	"github.com/provisioning-platform/platform/control-center/internal/keys"
	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/control-center/internal/policy"
	"github.com/provisioning-platform/platform/control-center/internal/session"
	"github.com/provisioning-platform/platform/control-center/internal/tokens"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/driver"
	"github.com/provisioning-platform/platform/shared/web"
)

// memoryURL is the store that ends with the process.
const memoryURL = "memory:"

// Schema is what the control-center stores.
func Schema() store.Schema {
	var kinds []store.Kind
	for _, k := range [][]store.Kind{
		auditlog.Kinds(), bootstrap.Kinds(), feed.Kinds(), keys.Kinds(), mfa.Kinds(), policy.Kinds(),
		session.Kinds(), tokens.Kinds(), user.Kinds(), web.Kinds(),
	} {
		kinds = append(kinds, k...)
	}
	return store.Schema{Service: "control_center", Kinds: kinds}
}

// options turns the configuration into what driver.Open takes. urlFile is the value of
// CONTROL_CENTER_STORE_FILE: a file with the whole URL, in which alone a password may stand.
func (c Store) options(dir, urlFile string, log *slog.Logger) (driver.Options, error) {
	o := driver.Options{URL: c.URL, Dir: dir, Schema: Schema(), Sync: c.Sync, Log: log}
	if urlFile != "" {
		text, err := secret.FromFile(urlFile)
		if err != nil {
			return o, fault.New(fault.Invalid, "config.store_file", "%s_STORE_FILE: %s", envPrefix, err)
		}
		u, err := url.Parse(text.Reveal())
		if err != nil {
			return o, fault.New(fault.Invalid, "config.store_file", "%s_STORE_FILE: the file holds no store URL", envPrefix)
		}
		if p, has := u.User.Password(); has {
			o.Password, u.User = secret.New(p), url.User(u.User.Username())
		}
		o.URL = u.String()
	}
	if c.PasswordFile != "" {
		p, err := secret.FromFile(string(c.PasswordFile))
		if err != nil {
			return o, fault.New(fault.Invalid, "config.password_file", "store password: %s", err)
		}
		o.Password = p
	}
	return o, nil
}

// open opens the store behind its hub.
func open(ctx context.Context, o driver.Options) (*feed.Hub, error) {
	db, err := driver.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return feed.NewHub(db), nil
}
