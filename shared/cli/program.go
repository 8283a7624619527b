package cli

import (
	"context"
	"strings"

	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/driver"
)

// Setup is the flags of every verb that works on a program's own configuration: serve, config,
// audit verify. Keys are dotted configuration keys.
type Setup struct {
	Prefix string            // of environment names: "ORCHESTRATOR"
	Listen string            // default address, for the help text
	More   map[string]string // further flags: name to help text; the key is the name with _ for -

	file, data, store string
	listen            []string
	standby           bool
	more              map[string]*string
}

// program returns the name of the binary.
func (s Setup) program() string { return strings.ToLower(strings.ReplaceAll(s.Prefix, "_", "-")) }

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

// declareServe adds the flags of serve. The verbs of config take them all too, so that they judge
// the very command line that serve would get.
func (s *Setup) declareServe(f *Flags) {
	s.Declare(f)
	f.BoolVar(&s.standby, "standby", false, "wait while another instance writes the database, and take over when it is gone (surrealdb)")
}

// load fills *into, which holds the defaults: flags beat the environment, which beats the file.
// check notes wrong values; nil: none are looked at. Loaded may be there beside an error: with what
// could be read.
func (s *Setup) load(o *IO, into any, check func(*config.Problems)) (*config.Loaded, error) {
	flags := map[string]string{}
	set := func(key, value string) {
		if value != "" {
			flags[key] = value
		}
	}
	set("data", s.data)
	set("store.url", s.store)
	set("listen", strings.Join(s.listen, ","))
	if s.standby {
		set("store.standby", "true")
	}
	for name, value := range s.more {
		set(strings.ReplaceAll(name, "-", "_"), *value)
	}
	return config.Load(into, config.Options{
		File: s.file, Prefix: s.Prefix, Flags: flags, Environ: o.Environ(), Check: check,
		OwnNames: []string{s.Prefix + "_SERVER", s.Prefix + "_STORE_FILE", s.Prefix + "_PROVISIONING_SERVER"},
	})
}

// storeFile returns the value of *_STORE_FILE: a file with the whole URL of the store (decision 2).
func (s *Setup) storeFile(o *IO) string { return o.Getenv(s.Prefix + "_STORE_FILE") }

// Program is what the commands of a program know of its configuration, which is of type C.
type Program[C any] struct {
	Setup   Setup
	Default func() C
	// Check notes all that Serve would refuse; storeFile is the value of *_STORE_FILE. It writes
	// nothing.
	Check  func(c C, storeFile string, problems *config.Problems)
	Place  func(c C) (data string, stores driver.Settings)
	Schema store.Schema
	// Serve runs the program until ctx ends; unknown are names of the environment with the
	// program's prefix that no setting reads.
	Serve func(ctx context.Context, o *IO, c C, storeFile string, unknown []string) error
}

// load reads the configuration; with check it refuses what Serve would refuse.
func (p Program[C]) load(o *IO, s *Setup, check bool) (C, *config.Loaded, error) {
	c := p.Default()
	var notes func(*config.Problems)
	if check {
		notes = func(problems *config.Problems) { p.Check(c, s.storeFile(o), problems) }
	}
	loaded, err := s.load(o, &c, notes)
	return c, loaded, err
}

// AuditLog returns where the audit log of the data folder is. It needs no more of the configuration
// than the folder and the store.
func (p Program[C]) AuditLog(o *IO, s *Setup) (AuditLog, error) {
	c, _, err := p.load(o, s, false)
	if err != nil {
		return AuditLog{}, err
	}
	data, settings := p.Place(c)
	if data == "" {
		return AuditLog{}, Usage("the data folder is missing: give --data DIR")
	}
	stores, err := settings.Options(data, s.storeFile(o), p.Schema, obs.Discard())
	return AuditLog{Dir: instance.Folder(data).Audit(), Keys: instance.Folder(data).AuditPublic(), Store: stores}, err
}

// ServeCommand returns the verb serve. A program that cannot start ends with 1, whatever kept it
// from it; a wrong configuration is a usage error.
func (p Program[C]) ServeCommand(short, example string) Command {
	s := p.Setup
	return Command{Use: "serve", Short: short, Example: example, Flags: s.declareServe,
		Run: func(ctx context.Context, o *IO, _ []string) error {
			c, loaded, err := p.load(o, &s, true)
			if err == nil {
				err = p.Serve(ctx, o, c, s.storeFile(o), loaded.Unknown)
			}
			return cannotStart(err)
		}}
}

// cannotStart gives an error the exit code with which serve ends: a wrong configuration is a usage
// error.
func cannotStart(err error) error {
	if err != nil && !fault.Is(err, fault.Invalid) {
		return Exit(ExitFailed, err)
	}
	return err
}

// ConfigCommand returns the noun config with check and show. check decides with what serve decides
// with too, so it says and ends with what serve would. It writes nothing.
func (p Program[C]) ConfigCommand() Command {
	verb := func(use, short string, check bool, run func(*IO, *config.Loaded) error) Command {
		own := p.Setup
		example := "  " + own.program() + " config " + use + " --config ./" + own.program() + ".toml"
		return Command{Use: use, Short: short, Example: example, Flags: own.declareServe,
			Run: func(_ context.Context, o *IO, _ []string) error {
				_, loaded, err := p.load(o, &own, check)
				if err != nil {
					return cannotStart(err)
				}
				return run(o, loaded)
			}}
	}
	return Command{Use: "config", Short: "look at the configuration", Commands: []Command{
		verb("check", "say whether serve would take the configuration, and all that is wrong with it", true,
			func(o *IO, loaded *config.Loaded) error {
				if len(loaded.Unknown) > 0 {
					o.Note("no setting reads these names of the environment: %s", strings.Join(loaded.Unknown, ", "))
				}
				return o.Done(Result{Result: "good"}, "the configuration is good")
			}),
		verb("show", "print every value and where it comes from; secrets are masked", false, func(o *IO, loaded *config.Loaded) error {
			if o.Format == "table" {
				return loaded.Show(o.Out)
			}
			return o.Print(loaded.Values(), Table{})
		}),
	}}
}
