package app

import (
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/bootstrap"
	"github.com/provisioning-platform/platform/control-center/internal/certificate"
	"github.com/provisioning-platform/platform/control-center/internal/hook"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/process"
	"github.com/provisioning-platform/platform/shared/seal"
	"github.com/provisioning-platform/platform/shared/store/driver"
	"github.com/provisioning-platform/platform/shared/trace"
	"github.com/provisioning-platform/platform/shared/transport"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
	"github.com/provisioning-platform/platform/shared/web/ratelimit"
	"github.com/provisioning-platform/platform/shared/webhook"
)

// Config is the configuration of the control-center. Default returns its defaults.
type Config struct {
	Data           config.Path                       `toml:"data"`
	Listen         []string                          `toml:"listen"`
	LogLevel       slog.Level                        `toml:"log_level"`       // debug, info, warn, error
	TrustedProxies []netip.Prefix                    `toml:"trusted_proxies"` // networks whose X-Forwarded-For is believed
	Audit          Audit                             `toml:"audit"`
	Metrics        Metrics                           `toml:"metrics"`
	CORS           web.CORS                          `toml:"cors"`
	MFA            MFA                               `toml:"mfa"`
	Provisioning   Provisioning                      `toml:"provisioning"`
	RateLimits     ratelimit.Limits                  `toml:"rate_limits"`
	Retention      Retention                         `toml:"retention"`
	Server         process.ServerSettings            `toml:"server"`
	Store          driver.Settings                   `toml:"store"`
	TLS            TLS                               `toml:"tls"`
	Tokens         Tokens                            `toml:"tokens"`
	Traces         trace.Collector                   `toml:"traces"`
	Webhooks       webhook.SendSettings[hook.Events] `toml:"webhooks"`
}

// Audit configures the audit log.
type Audit struct {
	WaitForPeer config.Duration `toml:"wait_for_peer"` // after a start changes wait so long for the orchestrator; 0: not at all
}

// Metrics configures /metrics.
type Metrics struct {
	Public bool `toml:"public"` // served without a token
}

// MFA configures second factors.
type MFA struct {
	Required bool `toml:"required"` // nobody signs in without a code, so passwords may have 8 characters
}

// Retention configures how long history is kept; 0 stands for ever.
type Retention struct {
	AuditIndexMaxAge config.Duration `toml:"audit_index_max_age"`      // rows of the audit search; the log itself is kept
	DirectoryMaxAge  config.Duration `toml:"directory_events_max_age"` // what some subscription waits for is kept however old it is
	DirectoryMax     int             `toml:"directory_events_max"`     // the newest directory events, however old they are
	EventsMaxAge     config.Duration `toml:"events_max_age"`
	EventsMax        int             `toml:"events_max"`       // the newest events, however old they are
	SessionsMaxAge   config.Duration `toml:"sessions_max_age"` // after the end of a session
}

// Tokens configures how long people stay signed in, and machines.
type Tokens struct {
	AccessTTL   config.Duration `toml:"access_ttl"`   // of an access token: 1m to 24h
	RefreshIdle config.Duration `toml:"refresh_idle"` // a session that is not refreshed ends after this
	SessionMax  config.Duration `toml:"session_max"`  // and in any case after this
	APIMaxTTL   config.Duration `toml:"api_max_ttl"`  // the longest life of an API token that is made: 1h to 8760h
}

// TLS configures the listeners with TLS and the service-to-service port.
type TLS struct {
	transport.TLSSettings
	Peer PeerPort `toml:"peer"`
}

// PeerPort configures the service-to-service port.
type PeerPort struct {
	Listen string `toml:"listen"` // one address; empty: the orchestrator comes to the listeners of everybody
}

// Default returns the configuration without file, environment and flags.
func Default() Config {
	return Config{
		Listen: []string{"localhost:9080"}, RateLimits: ratelimit.Default(),
		Retention: Retention{
			AuditIndexMaxAge: config.Duration(365 * 24 * time.Hour), EventsMaxAge: config.Duration(30 * 24 * time.Hour),
			DirectoryMaxAge: config.Duration(7 * 24 * time.Hour), DirectoryMax: 100_000,
			EventsMax:      1_000_000,
			SessionsMaxAge: config.Duration(24 * time.Hour),
		},
		Provisioning: defaultProvisioning(),
		Audit:        Audit{WaitForPeer: config.Duration(10 * time.Second)},
		Store:        driver.Settings{URL: "embedded:"}, Traces: trace.Default(),
		Tokens: Tokens{AccessTTL: config.Duration(15 * time.Minute), RefreshIdle: config.Duration(8 * time.Hour),
			SessionMax: config.Duration(7 * 24 * time.Hour), APIMaxTTL: config.Duration(365 * 24 * time.Hour)},
		Webhooks: webhook.DefaultSettings[hook.Events](),
	}
}

// check adds to problems all settings that serve refuses. urlFile is the value of
// CONTROL_CENTER_STORE_FILE.
func (c Config) check(urlFile string, problems *config.Problems) {
	if c.Data == "" {
		problems.Add("the data folder is missing: give --data DIR")
	} else {
		checkFolder(string(c.Data), problems)
	}
	process.CheckListen(c.Listen, c.TLS.TLSSettings, c.Server, problems)
	if c.TLS.Peer.Listen != "" {
		if err := process.CheckAddress(c.TLS.Peer.Listen); err != nil {
			problems.Add("tls.peer.listen: %s", err)
		}
	}
	c.CORS.Check(problems)
	_, err := c.Store.Options(string(c.Data), urlFile, Schema(), nil)
	problems.AddError(err)
	c.RateLimits.Check(problems)
	c.Traces.Check(problems)
	c.Provisioning.check(problems)
	if c.Provisioning.served() {
		process.CheckDoor("provisioning.listen", c.Provisioning.Listen, c.TLS.TLSSettings, c.Server, c.addresses(), problems)
	}
	ttl, idle, longest := time.Duration(c.Tokens.AccessTTL), time.Duration(c.Tokens.RefreshIdle), time.Duration(c.Tokens.SessionMax)
	if c.Audit.WaitForPeer < 0 {
		problems.Add("audit.wait_for_peer must not be below 0")
	}
	if ttl < time.Minute || ttl > 24*time.Hour {
		problems.Add("tokens.access_ttl must be 1m to 24h, not %s", ttl)
	}
	if idle < ttl {
		problems.Add("tokens.refresh_idle (%s) must not be shorter than tokens.access_ttl (%s)", idle, ttl)
	}
	if longest := time.Duration(c.Tokens.APIMaxTTL); longest < time.Hour || longest > 365*24*time.Hour {
		problems.Add("tokens.api_max_ttl must be 1h to 8760h, not %s", longest)
	}
	problems.NotNegative("retention.audit_index_max_age", c.Retention.AuditIndexMaxAge)
	problems.NotNegative("retention.directory_events_max_age", c.Retention.DirectoryMaxAge)
	problems.AtLeast("retention.directory_events_max", c.Retention.DirectoryMax, 0)
	problems.NotNegative("retention.events_max_age", c.Retention.EventsMaxAge)
	problems.AtLeast("retention.events_max", c.Retention.EventsMax, 0)
	problems.NotNegative("retention.sessions_max_age", c.Retention.SessionsMaxAge)
	c.Webhooks.Check(problems)
	if longest < idle || longest > 31*24*time.Hour {
		problems.Add("tokens.session_max must be at least tokens.refresh_idle and at most 744h, not %s", longest)
	}
}

// addresses returns where everybody and the orchestrator are listened to, by key of the
// configuration.
func (c Config) addresses() map[string]string {
	by := map[string]string{c.TLS.Peer.Listen: "tls.peer.listen"}
	for _, a := range c.TLS.Listen {
		by[a] = "tls.listen"
	}
	for _, a := range c.Listen {
		by[a] = "listen"
	}
	return by
}

// checkFolder adds to problems why serve refuses a data folder, as far as that shows without
// opening the store. It changes nothing.
func checkFolder(dir string, problems *config.Problems) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		_, err = bootstrap.Load(dir)
	}
	if fault.CodeOf(err) == "bootstrap.missing" {
		problems.AddState(err)
		return
	}
	own := instance.Folder(dir).Keys()
	problems.Private(dir, bootstrap.FilePath(dir), own, seal.File(own), filepath.Join(own, idempotency.KeyFile))
	problems.AddState(err)
	_, err = seal.Open(own)
	problems.AddState(err)
	problems.Private(audit.KeyFiles(instance.Folder(dir).AuditKeys())...)
	problems.Private(certificate.Files(instance.Folder(dir))...)
}
