// Package driver opens the store that an operator names with a URL.
//
// It owns the spelling of `--store` and nothing else; what a store does is in its driver. The one
// rule a caller must know: a password never stands in the URL (decision 2), it is given apart.
package driver

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/store/pebblestore"
	"github.com/provisioning-platform/platform/shared/store/surrealstore"
)

// folder is where the embedded store lives inside the data folder.
const folder = "store"

// Options say which store to open. Password and Sync matter to surrealdb only.
type Options struct {
	URL      string // embedded: (also when empty), memory: or surrealdb://user@host:port/namespace/database
	Dir      string // the data folder
	Schema   store.Schema
	Password secret.Text
	Sync     string // what the operator states of the server (decision 13)
	Standby  bool   // surrealdb: wait until the instance that writes the database is gone (decision 43)
	ReadOnly bool   // surrealdb: take no lease; nothing may be written
	Log      *slog.Logger
}

// Check says what Open would refuse of the options, without opening anything: an Invalid fault.
func Check(o Options) error {
	u, err := parse(o.URL)
	if err != nil {
		return err
	}
	if u.Scheme == "embedded" || u.Scheme == "memory" {
		if o.Standby {
			return fault.New(fault.Invalid, "config.standby",
				"standby (--standby) is for two instances at one SurrealDB server; the store %s: has no second instance", u.Scheme)
		}
		return nil
	}
	return surrealstore.Check(o.surreal(u))
}

// surreal returns the options of the SurrealDB driver.
func (o Options) surreal(u *url.URL) surrealstore.Options {
	return surrealstore.Options{URL: u, Password: o.Password, Sync: o.Sync, Schema: o.Schema, Log: o.Log}
}

// Open opens the store. Faults of kind Invalid are the operator's: a wrong URL or a missing
// setting.
func Open(ctx context.Context, o Options) (store.DB, error) {
	u, err := parse(o.URL)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "embedded":
		return pebblestore.OpenReopening(dataFolder(o.Dir), o.Schema, o.Log)
	case "memory":
		if err := o.Schema.Check(); err != nil {
			return nil, err
		}
		return memstore.New(o.Schema), nil
	}
	options := o.surreal(u)
	if o.ReadOnly {
		s, err := surrealstore.Open(ctx, options)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	identity, release, err := instance.Identify(o.Dir)
	if err != nil {
		return nil, err
	}
	options.Owner = &surrealstore.Owner{Identity: identity, Standby: o.Standby}
	s, err := surrealstore.Open(ctx, options)
	if err != nil {
		release()
		return nil, err
	}
	if err := os.WriteFile(elsewhere(o.Dir), []byte(u.String()+"\n"), 0o600); err != nil {
		return nil, errors.Join(err, leased{s, release}.Close())
	}
	return leased{s, release}, nil
}

// leased is a store that holds the lock of its data folder beside its lease.
type leased struct {
	*surrealstore.Store
	release func()
}

// Close closes the store, then lets the folder go.
func (l leased) Close() error {
	defer l.release()
	return l.Store.Close()
}

// Refused returns why the store refuses changes right now although it shows what is stored:
// store.ErrFull when its disk is full, ErrUnavailable while it waits to be opened anew; nil when it
// takes changes, or cannot know.
func Refused(db store.DB) error {
	if r, ok := db.(interface{ Refused() error }); ok {
		return r.Refused()
	}
	return nil
}

// Size returns how many bytes of this machine's disk the store takes; 0 for one that is in memory
// or on a server, which does not tell.
func Size(db store.DB) int64 {
	if s, ok := db.(interface{ Size() int64 }); ok {
		return s.Size()
	}
	return 0
}

// Lease returns what keeps the lease of a store alive, to be run until the program ends; it does
// nothing for a store that no other process can open.
func Lease(db store.DB) func(ctx context.Context) error {
	if l, ok := db.(leased); ok {
		return l.Run
	}
	return func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	}
}

// OpenReadOnly opens the embedded store of a data folder to look at it; it never repairs anything.
func OpenReadOnly(dir string, schema store.Schema) (store.DB, error) {
	if _, err := os.Stat(dataFolder(dir)); os.IsNotExist(err) {
		if url, err := os.ReadFile(elsewhere(dir)); err == nil {
			return nil, fault.New(fault.Invalid, "store.elsewhere",
				"the store of %s is not in the folder but at %s; give --store %[2]s, with the settings that serve is given for it", dir,
				strings.TrimSpace(string(url)))
		}
	}
	s, err := pebblestore.OpenReadOnly(dataFolder(dir), schema)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// elsewhere is a file that says where the store of a data folder is when it is not in the folder.
func elsewhere(dir string) string { return filepath.Join(dir, "store.url") }

// dataFolder is where the embedded store of a data folder lives.
func dataFolder(dir string) string { return filepath.Join(dir, folder) }

// parse reads a store URL. No message repeats it: it may hold a password by mistake.
func parse(raw string) (*url.URL, error) {
	if raw == "" {
		raw = "embedded:"
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, badURL("the store URL cannot be read")
	}
	if _, has := u.User.Password(); has {
		return nil, fault.New(fault.Invalid, "store.password_in_url",
			"a password in the store URL is visible to every user of this machine; remove it and name a file with it: [store] "+
				"password_file, or …_STORE_PASSWORD_FILE")
	}
	switch u.Scheme {
	case "embedded", "memory":
		if raw != u.Scheme+":" {
			return nil, badURL("the store is %s: with nothing behind it; its place is the data folder", u.Scheme)
		}
	case "surrealdb", "surrealdbs":
		if u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return nil, badURL("a SurrealDB store is surrealdb://user@host:port/namespace/database")
		}
	default:
		return nil, badURL("unknown kind of store; there are embedded:, memory: and surrealdb://user@host:port/namespace/database")
	}
	return u, nil
}

func badURL(format string, args ...any) error {
	return fault.New(fault.Invalid, "store.url", format, args...)
}
