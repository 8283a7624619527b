package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/api"
	"github.com/provisioning-platform/platform/control-center/internal/auditlog"
	"github.com/provisioning-platform/platform/control-center/internal/bootstrap"
	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/keys"
	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/control-center/internal/policy"
	"github.com/provisioning-platform/platform/control-center/internal/revocation"
	"github.com/provisioning-platform/platform/control-center/internal/session"
	"github.com/provisioning-platform/platform/control-center/internal/tokens"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/health"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/process"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/seal"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/driver"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
)

// Options are what Serve takes: the configuration, and what stands beside it in environment and
// process.
type Options struct {
	Config  Config
	URLFile string   // CONTROL_CENTER_STORE_FILE
	Unknown []string // names of the environment with our prefix that no setting reads
	Stdout  io.Writer
	Stderr  io.Writer
}

// Serve runs the control-center until ctx ends.
func Serve(ctx context.Context, o Options) error {
	log := obs.NewLogger(o.Stderr, token.ControlCenter, o.Config.LogLevel)
	log.Info("starting", "build", obs.Build())
	if len(o.Unknown) > 0 {
		log.Warn("no setting reads these names of the environment", "names", o.Unknown)
	}
	stores, err := o.Config.Store.Options(string(o.Config.Data), o.URLFile, Schema(), log)
	if err != nil {
		return err
	}
	ctx, stop := process.Signals(ctx, log)
	defer stop()
	s, listen, err := process.Open(ctx, stores.Standby, o.Config.Listen, "Control Center", o.Stdout, func(ctx context.Context, wait bool) (*service, error) {
		stores.Standby = wait
		return build(ctx, o.Config, stores, log)
	})
	if err != nil {
		return err
	}
	listeners, err := process.Listen(ctx, listen)
	if err != nil {
		_ = s.db.Close()
		return err
	}
	return process.Run(ctx, process.Program{
		Log: log, Stdout: o.Stdout, Listeners: listeners, Server: s.server.HTTP(), Drain: s.server.Drain,
		Components: s.components, Close: s.db.Close,
	})
}

// service is a control-center that is built and not started.
type service struct {
	db         *feed.Hub
	server     *web.Server
	components []process.Component
}

// background returns ctx with the audit context of acts that the service does by itself.
func background(ctx context.Context) context.Context {
	return audit.WithContext(ctx, &audit.Context{Actor: audit.Actor{Sub: token.ServiceSubject(token.ControlCenter)}, Origin: token.ControlCenter})
}

// build opens the store, imports the deployment when the store is empty, and wires everything.
func build(ctx context.Context, c Config, stores driver.Options, log *slog.Logger) (*service, error) {
	ctx = background(ctx)
	dir := stores.Dir
	file, err := bootstrap.Load(dir)
	if err != nil {
		return nil, err
	}
	sealer, err := seal.Open(bootstrap.KeysFolder(dir))
	if err != nil {
		return nil, err
	}
	db, err := open(ctx, stores)
	if err != nil {
		return nil, err
	}
	s, err := assemble(ctx, c, stores.InMemory(), dir, file, sealer, db, log)
	if err != nil {
		_ = db.Close()
	}
	return s, err
}

func assemble(ctx context.Context, c Config, memory bool, dir string, file bootstrap.File, sealer *seal.Sealer, db *feed.Hub, log *slog.Logger) (*service, error) {
	now := time.Now
	auditKeys, err := audit.MakeKeys(bootstrap.AuditKeysFolder(dir), bootstrap.AuditOrigin(file.Deployment))
	if err != nil {
		return nil, err
	}
	auditDir := filepath.Join(dir, "audit")
	if memory {
		auditDir = ""
	}
	ownLog, err := audit.Open(ctx, audit.Options{DB: db, Dir: auditDir, Keys: auditKeys, Log: log})
	if err != nil {
		return nil, err
	}
	peer, err := audit.NewPeer(ownLog, audit.Public{})
	if err != nil {
		return nil, err
	}
	if err := bootstrap.Import(ctx, db, dir, file, memory, now()); err != nil {
		return nil, err
	}

	epoch, err := epoch(ctx, db, file, memory)
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
	verifier := &token.Verifier{Issuer: issuer, Audience: token.ControlCenter, Keys: token.KeySources{&ring.Public, clients}, Revoked: revoked.State.Check}
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
	metrics := figures(ownLog, peer, revoked)
	waiting := newWait(ownLog, peer, time.Duration(c.Audit.WaitForPeer), log)
	state := &health.Service{
		Title: "Control Center", Store: db, Heard: peer.Heard,
		Refusals: []func() error{waiting.refusal, db.Refusal}, Notes: map[health.Reason]func() bool{health.AuditUnwitnessed: waiting.unwitnessed},
	}
	state.Meter(metrics, "control_center")
	users := &user.Users{DB: db, Changes: changes, Epoch: epoch, Hasher: hasher, MFA: c.MFA.Required, Now: now, HasFactor: mfa.Has}
	a := &api.API{
		Users:    users,
		Factors:  &mfa.Factors{Changes: changes, Users: users, Sealer: sealer, Issuer: bootstrap.MFAIssuer, Now: now},
		Logins:   metrics.Counter("control_center_logins_total", "Sign-ins by result.", "result"),
		Sessions: sessions, Ring: ring, Revoked: revoked, Policies: policies, Index: index, Log: ownLog, Peer: peer,
		Metrics: metrics.Handler(), Public: c.Metrics.Public, Health: state, Now: now,
	}
	webKey, err := secret.MakeKey(filepath.Join(bootstrap.KeysFolder(dir), idempotency.KeyFile))
	if err != nil {
		return nil, err
	}
	server, err := web.NewServer(web.Config{
		Service: token.ControlCenter, Title: "Control-center", Version: "v1", Routes: a.Routes(), Nouns: api.Nouns(), Log: log, Metrics: metrics, Store: db, Key: webKey, Now: now,
		Description: "Who may do what: accounts, tokens, policies and the tamper-evident audit log.",
		Authenticate: func(_ context.Context, raw string, _ *http.Request) (token.Claims, error) {
			return verifier.Verify(raw, now())
		},
		Decide: policies.Authority.Decide, Admit: waiting.admit,
		Known: func(param, value string) bool {
			_, exists := ring.Public.Key(value)
			return param == "kid" && exists
		},
		RateLimits: c.RateLimits, TrustedProxies: c.TrustedProxies,
	})
	if err != nil {
		return nil, err
	}
	rows := &feed.Follower{Name: auditlog.Follower, Stream: audit.Stream, DB: db, Batch: 200, Log: log, Handle: func(ctx context.Context, entries []store.Entry) error {
		bodies := make([][]byte, len(entries))
		for i, e := range entries {
			bodies[i] = e.Body
		}
		return index.Add(ctx, token.ControlCenter, entries[0].Seq-1, bodies)
	}}
	age := func(d config.Duration) retention.KeepRule { return retention.KeepRule{MaxAge: time.Duration(d)} }
	history := &retention.Pruner{DB: db, Now: now, Log: log,
		Classes: append(session.Classes(db, age(c.Retention.SessionsMaxAge)), auditlog.Class(db, age(c.Retention.AuditIndexMaxAge)),
			change.Class(db, retention.KeepRule{MaxAge: time.Duration(c.Retention.EventsMaxAge), Max: c.Retention.EventsMax}))}
	history.Meter(metrics, "control_center")
	return &service{db: db, server: server, components: []process.Component{
		component("idempotency keys", server.Run), component("revocations", revoked.Run), component("signing keys", ring.Run),
		component("audit index", rows.Run), component("audit log", ownLog.Run), component("retention", history.Run),
		component("wait for the orchestrator", waiting.run), component("store lease", driver.Lease(db.DB)),
	}}, nil
}

// figures returns a registry of metrics with those of this service beside those of requests and of
// the runtime.
func figures(ownLog *audit.Log, peer *audit.Peer, revoked *revocation.Log) *obs.Registry {
	m := obs.NewRegistry()
	ownLog.Meter(m, "control_center")
	peer.Meter(m, "control_center")
	m.GaugeFunc("control_center_revocations", "Sequence of the newest revocation.", func() float64 { return float64(revoked.State.Head()) })
	return m
}

// component returns a component that runs part with the audit context of background.
func component(name string, part func(context.Context) error) process.Component {
	return process.Component{Name: name, Run: func(ctx context.Context) error { return part(background(ctx)) }}
}

// epoch returns the identity of the streams that the orchestrator follows. A store in memory has a
// new one at each start.
func epoch(ctx context.Context, db store.DB, f bootstrap.File, memory bool) (string, error) {
	if memory {
		return f.Deployment + "/" + time.Now().UTC().Format(time.RFC3339Nano), nil
	}
	return bootstrap.Epoch(ctx, db, f)
}
