package app

import (
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/operation"
	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store/driver"
	"github.com/provisioning-platform/platform/shared/web"
)

// Config is the configuration; its defaults are in Default.
type Config struct {
	Data           config.Path                           `toml:"data"`
	Listen         []string                              `toml:"listen"`
	ControlCenter  string                                `toml:"control_center"`  // its address
	Credential     config.Path                           `toml:"credential"`      // the file that `control-center init` named
	LogLevel       string                                `toml:"log_level"`       // debug, info, warn, error
	TrustedProxies []string                              `toml:"trusted_proxies"` // networks whose X-Forwarded-For is believed
	Infra          operation.InfraSettings               `toml:"infra"`
	Limits         Limits                                `toml:"limits"`
	Metrics        Metrics                               `toml:"metrics"`
	Providers      map[string]operation.ProviderSettings `toml:"providers"`
	RateLimits     web.RateLimits                        `toml:"rate_limits"`
	Recipes        operation.RecipeSettings              `toml:"recipes"`
	Retry          Retry                                 `toml:"retry"`
	Store          driver.Settings                       `toml:"store"`
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
	return dag.Policy{AttemptTimeout: ms(r.AttemptTimeout), Grace: ms(r.Grace), InitialDelay: ms(r.InitialDelay), MaxAttempts: r.MaxAttempts, MaxDelay: ms(r.MaxDelay), RetryTimeouts: r.RetryTimeouts}
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
		Listen: []string{"localhost:9090"}, LogLevel: "info", RateLimits: web.DefaultRateLimits(),
		Limits: Limits{Operations: dag.DefaultOperations, Tasks: 1000, Steps: 64},
		Retry:  Retry{MaxAttempts: p.MaxAttempts, InitialDelay: d(p.InitialDelay), MaxDelay: d(p.MaxDelay), AttemptTimeout: d(p.AttemptTimeout), Grace: d(p.Grace)},
		Store:  driver.Settings{URL: "embedded:"},
		WS:     WS{AllowQueryToken: true, MaxConnections: 5000, MaxPerUser: 20},
	}
}

// check refuses values that make no sense, and returns the parsed ones.
func (c Config) check() (level slog.Level, proxies []netip.Prefix, err error) {
	bad := func(format string, args ...any) (slog.Level, []netip.Prefix, error) {
		return 0, nil, fault.New(fault.Invalid, "config.value", format, args...)
	}
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return bad("log_level %q is not debug, info, warn or error", c.LogLevel)
	}
	for _, p := range c.TrustedProxies {
		prefix, err := netip.ParsePrefix(p)
		if err != nil {
			return bad("trusted_proxies: %q is no network such as 10.0.0.0/8", p)
		}
		proxies = append(proxies, prefix)
	}
	u, err := url.Parse(c.ControlCenter)
	switch {
	case c.Data == "":
		return bad("the data folder is missing: give --data DIR")
	case len(c.Listen) == 0:
		return bad("listen needs at least one address")
	case c.ControlCenter == "":
		return bad("the control-center's address is missing: give --control-center URL")
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return bad("control_center %q is no address such as http://127.0.0.1:9080", c.ControlCenter)
	case c.Credential == "":
		return bad("the credential is missing: give --credential FILE, the file that `control-center init` named orchestrator_credential")
	case c.Limits.Operations < 1 || c.Limits.Operations > 2000:
		return bad("limits.operations must be 1 to 2000, not %d", c.Limits.Operations)
	case c.Limits.Tasks < 1 || c.Limits.Steps < 1:
		return bad("limits.tasks and limits.steps must be at least 1")
	case c.Retry.MaxAttempts < 1 || c.Retry.MaxAttempts > 100:
		return bad("retry.max_attempts must be 1 to 100, not %d", c.Retry.MaxAttempts)
	case c.Retry.InitialDelay < 1 || c.Retry.MaxDelay < c.Retry.InitialDelay:
		return bad("retry.initial_delay must be above 0 and retry.max_delay not shorter than it")
	case c.Retry.AttemptTimeout < 1 || c.Retry.Grace < 1:
		return bad("retry.attempt_timeout and retry.grace must be above 0")
	}
	return level, proxies, nil
}
