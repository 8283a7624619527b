package cli

import (
	"context"
	"os"
	"strings"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/driver"
)

// Setup is the flags of every verb that works on a program's own configuration: serve, config, audit verify. Keys are
// dotted configuration keys.
type Setup struct {
	Prefix string            // of environment names: "ORCHESTRATOR"
	Listen string            // default address, for the help text
	More   map[string]string // further flags: name to help text; the key is the name with _ for -

	file, data, store string
	listen            []string
	more              map[string]*string
}

// Declare adds the flags.
func (s *Setup) Declare(f *Flags) {
	f.StringVar(&s.file, "config", "", "TOML file with the configuration")
	f.StringVar(&s.data, "data", "", "data folder")
	f.StringSliceVar(&s.listen, "listen", nil, "address to listen on, HOST:PORT; may be repeated (default "+s.Listen+")")
	f.StringVar(&s.store, "store", "", "embedded: (default), memory: or surrealdb://user@host:port/namespace/database")
	s.more = map[string]*string{}
	for name, help := range s.More {
		s.more[name] = f.String(name, "", help)
	}
}

// Load fills *into, which holds the defaults: flags beat the environment, which beats the file.
func (s *Setup) Load(o *IO, into any) (*config.Loaded, error) {
	flags := map[string]string{}
	set := func(key, value string) {
		if value != "" {
			flags[key] = value
		}
	}
	set("data", s.data)
	set("store.url", s.store)
	set("listen", strings.Join(s.listen, ","))
	for name, value := range s.more {
		set(strings.ReplaceAll(name, "-", "_"), *value)
	}
	return config.Load(into, config.Options{File: s.file, Prefix: s.Prefix, Flags: flags, Env: func(name string) (string, bool) {
		v := o.Getenv(name)
		return v, v != ""
	}})
}

// StoreFile returns the value of *_STORE_FILE: a file with the whole URL of the store (decision 2).
func (s *Setup) StoreFile(o *IO) string { return o.Getenv(s.Prefix + "_STORE_FILE") }

// ServeCommand returns the verb serve. run gets its own context and returns when the program has ended. A program that
// cannot start ends with 1, whatever kept it from it; a wrong configuration is a usage error.
func ServeCommand(short, example string, s Setup, run func(ctx context.Context, o *IO, s *Setup) error) Command {
	return Command{Use: "serve", Short: short, Example: example, Flags: s.Declare, Run: func(ctx context.Context, o *IO, _ []string) error {
		err := run(ctx, o, &s)
		if err != nil && !fault.Is(err, fault.Invalid) {
			return Exit(ExitFailed, err)
		}
		return err
	}}
}

// ConfigCommand returns the noun config with check and show. load reads the configuration; check says what is wrong with
// its values.
func ConfigCommand(s Setup, load func(*IO, *Setup) (loaded *config.Loaded, check func() error, err error)) Command {
	verb := func(use, short string, run func(*IO, *config.Loaded, func() error) error) Command {
		own := s
		return Command{Use: use, Short: short, Flags: own.Declare, Run: func(_ context.Context, o *IO, _ []string) error {
			loaded, check, err := load(o, &own)
			if err != nil {
				return err
			}
			return run(o, loaded, check)
		}}
	}
	return Command{Use: "config", Short: "look at the configuration", Commands: []Command{
		verb("check", "say whether the configuration is good", func(o *IO, _ *config.Loaded, check func() error) error {
			if err := check(); err != nil {
				return err
			}
			o.Note("the configuration is good")
			return nil
		}),
		verb("show", "print every value and where it comes from; secrets are masked", func(o *IO, loaded *config.Loaded, _ func() error) error {
			return loaded.Show(o.Out)
		}),
	}}
}

// Ledger says where a program's audit log is.
type Ledger struct {
	Dir   string         // signed heads and hashes: DIR/audit
	Keys  string         // file with the public keys
	Store driver.Options // the entries
}

// VerifyCommand returns the verb verify of the noun audit. find says where the log of the configured data folder is;
// peer is the name of the other service.
func VerifyCommand(peer string, s Setup, find func(*IO, *Setup) (Ledger, error)) Command {
	var peerKeys, peerAudit, export, keys string
	return Command{
		Use: "verify", Short: "verify the log offline, with the data folder or an export alone",
		Long: "Computes the log again from its entries and compares it with every signed head at hand. Changes nothing and asks nobody.\n" +
			"A running service holds its folder: stop it first, or verify a copy or an export. Ends with 11 when the log does not verify.",
		Flags: func(f *Flags) {
			s.Declare(f)
			f.StringVar(&peerKeys, "peer-keys", "", "file with the public audit keys of the "+peer+" (its DIR/keys/audit/public), to check cosignatures too")
			f.StringVar(&peerAudit, "peer-audit", "", "folder DIR/audit of the "+peer+": what it has seen of this log is compared too, which finds a log that was put back")
			f.StringVar(&export, "export", "", "verify this export instead of a data folder; needs --keys")
			f.StringVar(&keys, "keys", "", "file with the public audit keys of the log in the export")
		},
		Run: func(ctx context.Context, o *IO, _ []string) error {
			var opt audit.VerifyOptions
			if export == "" {
				ledger, err := find(o, &s)
				if err != nil {
					return err
				}
				db, err := openToRead(ctx, ledger.Store)
				if err != nil {
					return err
				}
				defer func() { _ = db.Close() }()
				opt.Dir, opt.Read, keys = ledger.Dir, db.Read, ledger.Keys
			} else {
				exported, err := readExport(export)
				if err != nil {
					return err
				}
				opt.Read, opt.Heads = exported.Read, exported.Heads
			}
			var err error
			if opt.Log, err = publicKeys(keys); err != nil {
				return err
			}
			if peerKeys != "" {
				if opt.Peer, err = publicKeys(peerKeys); err != nil {
					return err
				}
			}
			if peerAudit != "" {
				seen, err := audit.SeenBy(peerAudit, opt.Log.Origin())
				if err != nil {
					return err
				}
				if len(seen) == 0 {
					return fault.New(fault.NotFound, "audit.unseen", "%s holds nothing that the %s has seen of the log %s; give the folder audit of its data folder", peerAudit, peer, opt.Log.Origin())
				}
				opt.Heads = append(opt.Heads, seen...)
			}
			return o.verdict(audit.Verify(ctx, opt))
		},
	}
}

// verdict prints a report and returns the error that the program ends with.
func (o *IO) verdict(report audit.Report, err error) error {
	if err != nil {
		return err
	}
	t := Table{Rows: [][]string{{"verdict", string(report.Verdict)}, {"log", report.Origin}, {"report", report.Text}}}
	if err := o.Print(report, t); err != nil || report.OK {
		return err
	}
	return Exit(ExitUnverified, fault.New(fault.Conflict, "audit.unverified", "the log does not verify: %s", report.Text))
}

// openToRead opens the embedded store without changing it; a server's store is opened as ever and only read.
func openToRead(ctx context.Context, o driver.Options) (store.DB, error) {
	if o.Embedded() {
		return driver.OpenReadOnly(o.Dir, o.Schema)
	}
	return driver.Open(ctx, o)
}

func readExport(path string) (*audit.Exported, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.New(fault.NotFound, "audit.export", "the export cannot be read: %s", err)
	}
	defer func() { _ = f.Close() }()
	return audit.ReadExport(f)
}

func publicKeys(path string) (audit.Public, error) {
	if path == "" {
		return audit.Public{}, Usage("--keys is needed with --export: the file DIR/keys/audit/public of the service whose log it is")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return audit.Public{}, fault.New(fault.NotFound, "audit.keys", "the public audit keys cannot be read: %s", err)
	}
	return audit.ParsePublic(string(b))
}
