package app

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store/driver"
	"github.com/provisioning-platform/platform/shared/web"
)

// Config is the configuration; its defaults are in Default.
type Config struct {
	Data           config.Path     `toml:"data"`
	Listen         []string        `toml:"listen"`
	LogLevel       string          `toml:"log_level"`       // debug, info, warn, error
	TrustedProxies []string        `toml:"trusted_proxies"` // networks whose X-Forwarded-For is believed
	Metrics        Metrics         `toml:"metrics"`
	MFA            MFA             `toml:"mfa"`
	RateLimits     web.RateLimits  `toml:"rate_limits"`
	Store          driver.Settings `toml:"store"`
	Tokens         Tokens          `toml:"tokens"`
}

// Metrics configures /metrics.
type Metrics struct {
	Public bool `toml:"public"` // served without a token
}

// MFA configures second factors.
type MFA struct {
	Required bool `toml:"required"` // nobody signs in without a code, so passwords may have 8 characters
}

// Tokens configures how long people stay signed in.
type Tokens struct {
	AccessTTL   config.Duration `toml:"access_ttl"`   // of an access token: 1m to 24h
	RefreshIdle config.Duration `toml:"refresh_idle"` // a session that is not refreshed ends after this
	SessionMax  config.Duration `toml:"session_max"`  // and in any case after this
}

// Default returns the configuration of a program that was told nothing.
func Default() Config {
	return Config{
		Listen: []string{"localhost:9080"}, LogLevel: "info", RateLimits: web.DefaultRateLimits(),
		Store:  driver.Settings{URL: "embedded:"},
		Tokens: Tokens{AccessTTL: config.Duration(15 * time.Minute), RefreshIdle: config.Duration(8 * time.Hour), SessionMax: config.Duration(7 * 24 * time.Hour)},
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
	ttl, idle, longest := time.Duration(c.Tokens.AccessTTL), time.Duration(c.Tokens.RefreshIdle), time.Duration(c.Tokens.SessionMax)
	switch {
	case c.Data == "":
		return bad("the data folder is missing: give --data DIR")
	case len(c.Listen) == 0:
		return bad("listen needs at least one address")
	case ttl < time.Minute || ttl > 24*time.Hour:
		return bad("tokens.access_ttl must be 1m to 24h, not %s", ttl)
	case idle < ttl:
		return bad("tokens.refresh_idle (%s) must not be shorter than tokens.access_ttl (%s)", idle, ttl)
	case longest < idle || longest > 31*24*time.Hour:
		return bad("tokens.session_max must be at least tokens.refresh_idle and at most 744h, not %s", longest)
	}
	return level, proxies, nil
}
