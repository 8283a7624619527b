package app

import (
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/orchestrator/internal/history"
	"github.com/provisioning-platform/platform/orchestrator/internal/operation"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/process"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/seal"
	"github.com/provisioning-platform/platform/shared/store/driver"
	"github.com/provisioning-platform/platform/shared/trace"
	"github.com/provisioning-platform/platform/shared/transport"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
	"github.com/provisioning-platform/platform/shared/web/ratelimit"
	"github.com/provisioning-platform/platform/shared/webhook"
)

// Config is the configuration; its defaults are in Default.
type Config struct {
	Data           config.Path                           `toml:"data"`
	Listen         []string                              `toml:"listen"`
	ControlCenter  string                                `toml:"control_center"`  // its address; empty: the credential's peer_url
	Credential     config.Path                           `toml:"credential"`      // the file that `control-center init` named
	LogLevel       slog.Level                            `toml:"log_level"`       // debug, info, warn, error
	TrustedProxies []netip.Prefix                        `toml:"trusted_proxies"` // networks whose X-Forwarded-For is believed
	CORS           web.CORS                              `toml:"cors"`
	Infra          operation.InfraSettings               `toml:"infra"`
	Limits         Limits                                `toml:"limits"`
	Metrics        Metrics                               `toml:"metrics"`
	Providers      map[string]operation.ProviderSettings `toml:"providers"`
	RateLimits     ratelimit.Limits                      `toml:"rate_limits"`
	Recipes        operation.RecipeSettings              `toml:"recipes"`
	Retention      Retention                             `toml:"retention"`
	Retry          Retry                                 `toml:"retry"`
	Server         process.ServerSettings                `toml:"server"`
	Store          driver.Settings                       `toml:"store"`
	TLS            transport.TLSSettings                 `toml:"tls"`
	Traces         trace.Collector                       `toml:"traces"`
	Webhooks       webhook.SendSettings[event.Hooks]     `toml:"webhooks"`
	WS             WS                                    `toml:"ws"`
}

// Limits bounds work.
type Limits struct {
	Operations int `toml:"operations"` // of one batch
	Tasks      int `toml:"tasks"`      // running at once
	Steps      int `toml:"steps"`      // attempts running at once
}

// Metrics configures /metrics.
type Metrics struct {
	Public bool `toml:"public"` // served without a token
}

// Retention says how long history is kept (decision 45): what is younger than an age and the
// newest of a number, whichever is more. 0 is no limit of that kind; with two of them everything
// is kept.
type Retention struct {
	RunsMaxAge           config.Duration `toml:"runs_max_age"` // of ended runs, their tasks and definitions, since they ended
	RunsMax              int             `toml:"runs_max"`
	EventsMaxAge         config.Duration `toml:"events_max_age"`
	EventsMax            int             `toml:"events_max"`
	AutomaticCheckpoints int             `toml:"automatic_checkpoints"` // the newest of them
	CheckpointEffects    int             `toml:"checkpoint_effects"`    // kept for checkpoints alone; above it the oldest becomes record only
}

// keep returns what the engine is to keep.
func (r Retention) keep() history.Keep {
	return history.Keep{
		Runs:      retention.KeepRule{MaxAge: time.Duration(r.RunsMaxAge), Max: r.RunsMax},
		Events:    retention.KeepRule{MaxAge: time.Duration(r.EventsMaxAge), Max: r.EventsMax},
		Automatic: r.AutomaticCheckpoints, Effects: r.CheckpointEffects,
	}
}

// check notes limits that make no sense.
func (r Retention) check(problems *config.Problems) {
	problems.NotNegative("retention.runs_max_age", r.RunsMaxAge)
	problems.AtLeast("retention.runs_max", r.RunsMax, 0)
	problems.NotNegative("retention.events_max_age", r.EventsMaxAge)
	problems.AtLeast("retention.events_max", r.EventsMax, 0)
	problems.AtLeast("retention.automatic_checkpoints", r.AutomaticCheckpoints, 0)
	problems.AtLeast("retention.checkpoint_effects", r.CheckpointEffects, 0)
}

// Retry is what holds where a batch says nothing.
type Retry struct {
	MaxAttempts    int             `toml:"max_attempts"`
	InitialDelay   config.Duration `toml:"initial_delay"` // before the second try; doubles, with full jitter
	MaxDelay       config.Duration `toml:"max_delay"`
	AttemptTimeout config.Duration `toml:"attempt_timeout"`
	Grace          config.Duration `toml:"grace"` // how long a stopped try may take to end
	RetryTimeouts  bool            `toml:"retry_timeouts"`
}

func (r Retry) policy() dag.Policy {
	ms := func(d config.Duration) int64 { return time.Duration(d).Milliseconds() }
	return dag.Policy{AttemptTimeout: ms(r.AttemptTimeout), Grace: ms(r.Grace), InitialDelay: ms(r.InitialDelay),
		MaxAttempts: r.MaxAttempts, MaxDelay: ms(r.MaxDelay), RetryTimeouts: r.RetryTimeouts}
}

// WS configures /ws.
type WS struct {
	Origins         []string `toml:"origins"`           // exact origins of web pages that may connect, beside the service's own
	AllowQueryToken bool     `toml:"allow_query_token"` // accept ?token=
	MaxConnections  int      `toml:"max_connections"`
	MaxPerUser      int      `toml:"max_per_user"`
}

// Default returns the configuration of a program that was told nothing.
func Default() Config {
	p := dag.DefaultPolicy()
	d := func(ms int64) config.Duration { return config.Duration(time.Duration(ms) * time.Millisecond) }
	return Config{
		Listen: []string{"localhost:9090"}, RateLimits: ratelimit.Default(),
		Limits: Limits{Operations: dag.DefaultOperations, Tasks: 1000, Steps: 64},
		Retention: Retention{
			RunsMaxAge: config.Duration(30 * 24 * time.Hour), RunsMax: 100_000, EventsMaxAge: config.Duration(30 * 24 * time.Hour),
			EventsMax:            1_000_000,
			AutomaticCheckpoints: 50, CheckpointEffects: 1_000_000,
		},
		Retry: Retry{MaxAttempts: p.MaxAttempts, InitialDelay: d(p.InitialDelay), MaxDelay: d(p.MaxDelay),
			AttemptTimeout: d(p.AttemptTimeout), Grace: d(p.Grace)},
		Store:    driver.Settings{URL: "embedded:"},
		Traces:   trace.Default(),
		Webhooks: webhook.DefaultSettings[event.Hooks](),
		WS:       WS{AllowQueryToken: true, MaxConnections: 5000, MaxPerUser: 20},
	}
}

// check notes all that serve would refuse. urlFile is the value of ORCHESTRATOR_STORE_FILE.
func (c Config) check(urlFile string, problems *config.Problems) {
	if c.Data == "" {
		problems.Add("the data folder is missing: give --data DIR")
	} else {
		checkFolder(string(c.Data), problems)
	}
	process.CheckListen(c.Listen, c.TLS, c.Server, problems)
	c.CORS.Check(problems)
	credential, unread := client.ReadCredential(string(c.Credential))
	if u, err := url.Parse(c.ControlCenter); c.ControlCenter == "" {
		if credential.PeerURL == "" {
			problems.Add("the control-center's address is missing: give --control-center URL, or a credential with peer_url " +
				"(`control-center credential renew`)")
		}
	} else if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		problems.Add("control_center is no address such as http://127.0.0.1:9080")
	} else if u.User != nil {
		problems.Add("control_center must hold no user and no password: the orchestrator signs in with its credential")
	}
	if c.Credential == "" {
		problems.Add("the credential is missing: give --credential FILE, the file orchestrator-credential.json that `control-center " +
			"init` wrote (it prints the path as orchestrator_credential)")
	} else {
		problems.AddError(unread)
	}
	_, err := c.Store.Options(string(c.Data), urlFile, Schema(), nil)
	problems.AddError(err)
	c.RateLimits.Check(problems)
	c.Traces.Check(problems)
	c.checkWork(problems)
	c.Retention.check(problems)
	problems.Folder("infra.dir", c.Infra.Dir)
	problems.Folder("recipes.dir", c.Recipes.Dir)
	for _, i := range c.Recipes.Interpreters {
		if info, err := os.Stat(i); !filepath.IsAbs(i) || err != nil || info.Mode()&0o111 == 0 || info.IsDir() {
			problems.Add("recipes.interpreters: %q is no absolute path of a program on this machine", i)
		}
	}
	operation.CheckProviders(c.Providers, problems)
	c.Webhooks.Check(problems)
	for _, o := range c.WS.Origins {
		if !web.IsOrigin(o) {
			problems.Add("ws.origins: %q is no origin such as https://console.example.com; each is listed, there is no wildcard", o)
		}
	}
}

// checkWork notes limits and retry rules with which no work would be done.
func (c Config) checkWork(problems *config.Problems) {
	if c.Limits.Operations < 1 || c.Limits.Operations > 2000 {
		problems.Add("limits.operations must be 1 to 2000, not %d", c.Limits.Operations)
	}
	problems.AtLeast("limits.tasks", c.Limits.Tasks, 1)
	problems.AtLeast("limits.steps", c.Limits.Steps, 1)
	problems.AtLeast("ws.max_connections", c.WS.MaxConnections, 1)
	problems.AtLeast("ws.max_per_user", c.WS.MaxPerUser, 1)
	if c.Retry.MaxAttempts < 1 || c.Retry.MaxAttempts > 100 {
		problems.Add("retry.max_attempts must be 1 to 100, not %d", c.Retry.MaxAttempts)
	}
	// The stored policy counts milliseconds: a shorter span would be none.
	if c.Retry.InitialDelay < config.Duration(time.Millisecond) || c.Retry.MaxDelay < c.Retry.InitialDelay {
		problems.Add("retry.initial_delay must be at least 1ms and retry.max_delay not shorter than it")
	}
	if c.Retry.AttemptTimeout < config.Duration(time.Millisecond) || c.Retry.Grace < config.Duration(time.Millisecond) {
		problems.Add("retry.attempt_timeout and retry.grace must be at least 1ms")
	}
}

// checkFolder notes why serve could not work with a data folder, as far as the store need not be
// opened for it. A folder that is not there is made by serve. It changes nothing.
func checkFolder(dir string, problems *config.Problems) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		problems.AddState(err)
		return
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		problems.AddState(fmt.Errorf("the data folder %s is a file; give another with --data DIR", dir))
		return
	}
	own := instance.Folder(dir).Keys()
	problems.Private(dir, own, seal.File(own), filepath.Join(own, idempotency.KeyFile))
	problems.Private(audit.KeyFiles(instance.Folder(dir).AuditKeys())...)
	problems.Private(client.ProofFile(instance.Folder(dir)))
}
