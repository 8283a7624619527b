package app

import (
	"context"
	"net/http"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/admission"
	"github.com/provisioning-platform/platform/control-center/internal/api"
	"github.com/provisioning-platform/platform/control-center/internal/apitoken"
	"github.com/provisioning-platform/platform/control-center/internal/auditlog"
	"github.com/provisioning-platform/platform/control-center/internal/bootstrap"
	"github.com/provisioning-platform/platform/control-center/internal/certificate"
	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/hook"
	"github.com/provisioning-platform/platform/control-center/internal/keys"
	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/control-center/internal/policy"
	"github.com/provisioning-platform/platform/control-center/internal/revocation"
	"github.com/provisioning-platform/platform/control-center/internal/serviceaccount"
	"github.com/provisioning-platform/platform/control-center/internal/session"
	"github.com/provisioning-platform/platform/control-center/internal/tokens"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/health"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/process"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/seal"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/transport"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/webhook/hookapi"
)

// service is the control-center as process runs it. What it stands on is read before anything is
// opened: a folder without a deployment is refused untouched.
func service(c Config) (*process.Service, error) {
	dir := string(c.Data)
	file, err := bootstrap.Load(dir)
	if err != nil {
		return nil, err
	}
	sealer, err := seal.Open(instance.Folder(dir).Keys())
	if err != nil {
		return nil, err
	}
	s := &process.Service{
		Name: token.ControlCenter, Title: "Control Center", Deployment: file.Deployment, Schema: Schema(),
		Data: dir, Listen: c.Listen, TLS: c.TLS.TLSSettings, LogLevel: c.LogLevel, Store: c.Store, Traces: c.Traces,
	}
	var authority *certificate.Authority
	if s.ListenPeer = c.TLS.Peer.Listen; s.ListenPeer != "" {
		if authority, err = certificate.Open(instance.Folder(dir), file.Deployment, time.Now); err != nil {
			return nil, err
		}
		s.PeerTLS = authority.Server()
	}
	s.Build = func(ctx context.Context, b *process.Base) (*process.Parts, error) {
		return build(ctx, c, file, sealer, authority, b)
	}
	return s, nil
}

// build brings the deployment into the store if that is new, and builds what only this service has.
func build(ctx context.Context, c Config, file bootstrap.File, sealer *seal.Sealer, authority *certificate.Authority,
	b *process.Base) (*process.Parts, error) {
	db, log, now, memory := b.DB, b.Log, b.Now, b.Stores.InMemory()
	if err := bootstrap.Import(ctx, db, string(b.Dir), file, memory, now()); err != nil {
		return nil, err
	}
	epoch, err := bootstrap.Epoch(ctx, db, file, memory, now())
	if err != nil {
		return nil, err
	}
	revoked := &revocation.Log{DB: db, State: &token.Revocations{}, Epoch: epoch}
	changes := &change.Committer{DB: db, Revoked: revoked.State}
	ring := &keys.Ring{Changes: changes, Sealer: sealer, Now: now, Log: log}
	policies := &policy.Policies{Changes: changes, Epoch: epoch, Authority: &authz.Authority{}, Now: now, Log: log}
	clients := &token.KeySet{}
	for _, load := range []func() error{
		func() error { return revoked.Load(ctx, now()) },
		func() error { return ring.Load(ctx) },
		func() error { return ring.Announce(ctx) },
		func() error { return policies.Load(ctx) },
		func() error { return tokens.LoadClients(ctx, db, clients) },
	} {
		if err := load(); err != nil {
			return nil, err
		}
	}
	issuer := tokens.Issuer(file.Deployment)
	verifier := &token.Verifier{Issuer: issuer, Audience: token.ControlCenter, Keys: token.KeySources{&ring.Public, clients},
		Revoked: revoked.State.Check}
	hasher := user.NewHasher(user.Standard())
	dummy, err := mfa.Dummy(sealer)
	if err != nil {
		return nil, err
	}
	sessions := &session.Sessions{
		Changes: changes, Hasher: hasher, Sealer: sealer, Dummy: dummy, Now: now,
		Mint:     &tokens.Mint{Ring: ring, Issuer: issuer, TTL: time.Duration(c.Tokens.AccessTTL)},
		Verifier: &token.Verifier{Issuer: issuer, Audience: token.ControlCenter, Keys: &ring.Public},
		MFA:      c.MFA.Required,
		Idle:     time.Duration(c.Tokens.RefreshIdle), Absolute: time.Duration(c.Tokens.SessionMax),
	}
	index := &auditlog.Index{DB: db}
	b.Metrics.GaugeFunc("control_center_revocations", "Sequence of the newest revocation.",
		func() float64 { return float64(revoked.State.Head()) })
	policies.Meter(b.Metrics, "control_center")
	start := admission.New(b.Audit, b.Witness, time.Duration(c.Audit.WaitForPeer), log)
	state := &health.Checks{
		Heard: b.Witness.Heard, Refusals: []func() error{start.Changes, db.Refusal},
		Notes: map[health.Reason]func() bool{health.AuditUnwitnessed: start.Unwitnessed},
	}
	users := &user.Users{DB: db, Changes: changes, Epoch: epoch, Hasher: hasher, MFA: c.MFA.Required, Now: now, HasFactor: mfa.Has}
	accounts := &serviceaccount.Roster{DB: db, Changes: changes, Now: now}
	machines := &apitoken.Registry{DB: db, Changes: changes, Epoch: epoch, MaxTTL: time.Duration(c.Tokens.APIMaxTTL),
		Owner: serviceaccount.Owner(users, accounts), Now: now}
	sends := hook.Config(db, hook.Makers{People: users, Machines: accounts, Tokens: machines}, policies.Authority, now)
	sends.Sealer, sends.Log = sealer, log
	hooks, err := c.Webhooks.Open(ctx, sends)
	if err != nil {
		return nil, err
	}
	hooks.Meter(b.Metrics, "control_center")
	a := &api.API{
		Users: users, Tokens: machines, Machines: accounts,
		Webhooks: &hookapi.API{Hooks: hooks, DB: db, Examples: [2]string{"user.disabled", "login.failed"}},
		Factors:  &mfa.Factors{Changes: changes, Users: users, Sealer: sealer, Issuer: bootstrap.MFAIssuer, Now: now},
		Logins:   b.Metrics.Counter("control_center_logins_total", "Sign-ins by result.", "result"),
		Sessions: sessions, Ring: ring, Revoked: revoked, Policies: policies, Index: index, Log: b.Audit, Peer: b.Witness,
		Metrics: b.Metrics.Handler(), Public: c.Metrics.Public, Health: state, Now: now,
	}
	events, err := newDirectory(ctx, c, b, changes, users)
	if err != nil {
		return nil, err
	}
	events.door.Web.Admit = api.Admit(start.Changes, start.Reads)
	events.door.Web.TrustedProxies = c.TrustedProxies
	var admitPeer func(web.Route, *http.Request) error
	if authority != nil {
		authority.Changes, a.Certificates, admitPeer = changes, authority, api.AdmitPeer(authority)
		transport.Meter(b.Metrics, "control_center", "peer_authority", now, authority.Expires)
	}
	rows := index.Follower(db, log)
	rows.Meter(b.Metrics, "control_center_audit_index_lag_entries", "Entries of the own audit log that the audit search does not have yet.")
	age := func(d config.Duration) retention.KeepRule { return retention.KeepRule{MaxAge: time.Duration(d)} }
	return &process.Parts{
		Health: state,
		Web: web.Config{
			Title: "Control-center", Routes: a.Routes(), Nouns: api.Nouns(),
			Description: "Who may do what: accounts, tokens, policies and the tamper-evident audit log.",
			Authenticate: func(ctx context.Context, raw string, _ *http.Request) (token.Claims, error) {
				if token.IsAPI(raw) {
					return machines.Authenticate(ctx, raw)
				}
				return verifier.Verify(raw, now())
			},
			Decide: policies.Authority.Decide, Admit: api.Admit(start.Changes, start.Reads),
			Known: func(param, value string) bool {
				_, exists := ring.Public.Key(value)
				return param == "kid" && exists || param == "revision" && policy.Revision(value) > 0
			},
			RateLimits: c.RateLimits, TrustedProxies: c.TrustedProxies, CORS: c.CORS, AdmitPeer: admitPeer,
		},
		Prunes: append(append(session.Classes(db, age(c.Retention.SessionsMaxAge)), apitoken.Classes(db)...),
			auditlog.Class(db, age(c.Retention.AuditIndexMaxAge)),
			events.class,
			change.Class(db, retention.KeepRule{MaxAge: time.Duration(c.Retention.EventsMaxAge), Max: c.Retention.EventsMax})),
		Doors: []process.Door{events.door},
		Components: append(events.components, []process.Component{
			{Name: "revocations", Run: revoked.Run}, {Name: "signing keys", Run: ring.Run}, {Name: "policies", Run: policies.Run},
			{Name: "audit index", Run: rows.Run}, {Name: "last uses of API tokens", Run: machines.Run},
			{Name: "wait for the orchestrator", Run: start.Run}, {Name: "webhooks", Run: hooks.Run},
		}...),
	}, nil
}
