package operation

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider/local"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider/simulated"
	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/naming"
)

// ProviderSettings is a section [providers.NAME] of the configuration: NAME is what requests call
// the provider, Driver is what stands behind it.
type ProviderSettings struct {
	Driver string      `toml:"driver"` // "local" or "simulated"
	Dir    config.Path `toml:"dir"`    // local: where its servers are; default servers/NAME in the data folder

	// simulated:
	Latency        config.Duration `toml:"latency"`          // of each call
	Boot           config.Duration `toml:"boot"`             // until a new server is up, for those who wait for it
	Jitter         config.Duration `toml:"jitter"`           // up to this much more
	CallsPerSecond float64         `toml:"calls_per_second"` // more are refused; 0: all are answered
	State          config.Path     `toml:"state"`            // file that keeps the servers across restarts
	Calls          config.Path     `toml:"calls"`            // file that records each mutating call as a JSON line
	Faults         []FaultSettings `toml:"faults"`
}

// FaultSettings is a section [[providers.NAME.faults]].
type FaultSettings struct {
	Match   string          `toml:"match"`   // glob over server names
	Action  string          `toml:"action"`  // create, delete, find, list, connect, run, upload
	Command string          `toml:"command"` // run: glob over the base names of the arguments
	Times   int             `toml:"times"`   // 0: always
	Class   string          `toml:"class"`   // transient, throttled, quota, auth, conflict, permanent, timed_out, unknown_outcome; empty: only slow
	Latency config.Duration `toml:"latency"`
	After   bool            `toml:"after"` // the effect takes place, the answer is lost
	Message string          `toml:"message"`
}

// Place is what providers need of the program they run in.
type Place struct {
	DataDir string   // absolute
	Command []string // starts a local server: {path of the orchestrator's binary, local.Verb}
	Now     func() time.Time
	Log     *slog.Logger
}

// Providers are the providers of a configuration, by name.
type Providers struct {
	Drivers map[string]provider.Driver
	locals  []*local.Driver
}

// OpenProviders opens them. It starts nothing.
func OpenProviders(settings map[string]ProviderSettings, place Place) (*Providers, error) {
	p := &Providers{Drivers: map[string]provider.Driver{}}
	for name, s := range settings {
		if !naming.Valid(name) {
			return nil, fault.New(fault.Invalid, "config.provider", "providers.%s: the name %s", name, naming.Rule)
		}
		log := place.Log.With("provider", name)
		switch s.Driver {
		case "local":
			dir := string(s.Dir)
			if dir == "" {
				dir = filepath.Join(place.DataDir, "servers", name)
			}
			dir, err := filepath.Abs(dir) // a path of the configuration may be relative to where the program runs
			if err != nil {
				return nil, fmt.Errorf("providers.%s: %w", name, err)
			}
			d, err := local.Open(local.Config{Dir: dir, Command: place.Command, Log: log})
			if err != nil {
				return nil, fmt.Errorf("providers.%s: %w", name, err)
			}
			p.Drivers[name] = d
			p.locals = append(p.locals, d)
		case "simulated":
			d, err := simulated.Open(s.simulated(), place.Now)
			if err != nil {
				return nil, fmt.Errorf("providers.%s: %w", name, err)
			}
			p.Drivers[name] = d
		default:
			return nil, fault.New(fault.Invalid, "config.provider",
				"providers.%s.driver: there is no driver %q; there is: local, simulated", name, s.Driver)
		}
	}
	return p, nil
}

func (s ProviderSettings) simulated() simulated.Config {
	c := simulated.Config{Latency: time.Duration(s.Latency), Boot: time.Duration(s.Boot), Jitter: time.Duration(s.Jitter),
		Throttle: s.CallsPerSecond, State: string(s.State), Calls: string(s.Calls)}
	for _, f := range s.Faults {
		c.Faults = append(c.Faults, simulated.Fault{Match: f.Match, Action: f.Action, Command: f.Command, Times: f.Times,
			Class: dag.Class(f.Class), Latency: time.Duration(f.Latency), After: f.After, Message: f.Message})
	}
	return c
}

// Run keeps the local servers alive until ctx ends; they outlive it.
func (p *Providers) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, d := range p.locals {
		all.Go(func() { d.Run(ctx) })
	}
	all.Wait()
	<-ctx.Done() // also without local servers a component lives as long as its program
	return nil
}

// InfraSettings is the section [infra].
type InfraSettings struct {
	Dir config.Path `toml:"dir"` // a folder an infra
}

// RecipeSettings is the section [recipes].
type RecipeSettings struct {
	Dir          config.Path `toml:"dir"`          // a folder a recipe; empty: only built-in ones and those of infras
	Interpreters []string    `toml:"interpreters"` // absolute paths; empty: /bin/sh
}
