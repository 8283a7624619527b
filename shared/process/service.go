package process

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/health"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/driver"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/trace"
	"github.com/provisioning-platform/platform/shared/transport"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
)

// Service is a service of the platform as one literal: what its program says of it, and the
// function that builds what only this service has. Run does what every service has.
type Service struct {
	Name       string       // token.Orchestrator: in log lines, background acts and, with _ for -, names of metrics
	Title      string       // "Orchestrator": what /health and a standby call themselves
	Deployment string       // the audit log is called DEPLOYMENT/audit/NAME
	Peer       audit.Public // the only keys of the other service's log that are believed; empty: those heard first
	Schema     store.Schema

	Data   string // the data folder
	Listen []string
	TLS    transport.TLSSettings
	// ListenPeer is the address of the service-to-service port, PeerTLS how it knows the other
	// service; both empty: there is none.
	ListenPeer string
	PeerTLS    *tls.Config

	LogLevel slog.Level
	Traces   trace.Collector
	Store    driver.Settings
	URLFile  string   // the file of *_STORE_FILE, in which the store's URL stands
	Unknown  []string // names of the environment with the program's prefix that no setting reads
	Stdout   io.Writer
	Stderr   io.Writer

	// Build builds the parts on an open store. Its context is of an act that nobody asked for.
	Build func(ctx context.Context, b *Base) (*Parts, error)

	certificate *transport.Pair // of the listeners with TLS; nil when there is none
}

// Base is what every service stands on when its own parts are built.
type Base struct {
	Dir     instance.Folder
	Stores  driver.Options
	DB      *feed.Hub
	Log     *slog.Logger
	Now     func() time.Time
	Audit   *audit.Log
	Witness *audit.Peer // the memory of the other service's audit log
	Metrics *obs.Registry
	Traces  *trace.Tracer // nil: no traces
}

// Parts is what only this service has.
type Parts struct {
	Health *health.Checks // without Title and Store
	Web    web.Config     // without Service, Version, Log, Metrics, Store, Key and Now
	Doors  []Door         // further servers, which end before Components
	Prunes []retention.Class
	// Components are started together and stopped in this order, before the audit log, the pruner
	// and the lease of the store.
	Components []Component
}

// Run runs the service until ctx ends, a signal comes or a part of it fails. With the setting
// standby it waits until the instance that holds the store is gone.
func (s *Service) Run(ctx context.Context) error {
	log := obs.NewLogger(s.Stderr, s.Name, s.LogLevel)
	log.Info("starting", "build", obs.Build())
	if len(s.Unknown) > 0 {
		log.Warn("no setting reads these names of the environment", "names", s.Unknown)
	}
	dir, err := filepath.Abs(s.Data)
	if err != nil {
		return err
	}
	stores, err := s.Store.Options(dir, s.URLFile, s.Schema, log)
	if err != nil {
		return err
	}
	ctx, stop := signals(ctx, log, os.Exit)
	defer stop()
	on := listening{addresses: s.TLS.Addresses(s.Listen)}
	if s.TLS.On() {
		if s.certificate, err = transport.LoadPair(string(s.TLS.Cert), string(s.TLS.Key)); err != nil {
			return err
		}
		on.tls = s.certificate.Server()
		defer s.follow(ctx, log)()
	}
	p, listen, err := openStandby(ctx, stores.Standby, on, s.Title, s.Stdout, func(ctx context.Context, wait bool) (Built, error) {
		stores.Standby = wait
		return s.Open(ctx, stores, log)
	})
	if err != nil {
		return err
	}
	if p.Listeners, err = openListeners(ctx, listen); err != nil {
		_ = p.Close()
		return err
	}
	p.Server.TLSConfig = on.tls
	if s.ListenPeer != "" {
		p.PeerListeners, err = openListeners(ctx, []transport.Address{{Text: s.ListenPeer, TLS: true}})
		if err != nil {
			for _, l := range p.Listeners {
				_ = l.Close()
			}
			_ = p.Close()
			return err
		}
		p.Peer.TLSConfig = s.PeerTLS
	}
	return run(ctx, p)
}

// follow reads the certificate again when its files change, also while the program is standby and
// while it stops. The function that it returns ends that.
func (s *Service) follow(ctx context.Context, log *slog.Logger) (end func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.certificate.Run(ctx, log) // it ends with ctx and nothing else
	}()
	return func() { cancel(); <-done }
}

// Open opens the store and builds all parts. Nothing listens and nothing runs yet; whoever does not
// run the program closes it.
func (s *Service) Open(ctx context.Context, stores driver.Options, log *slog.Logger) (Built, error) {
	if err := instance.Folder(stores.Dir).Make(); err != nil {
		return Built{}, err
	}
	db, err := driver.Open(ctx, stores)
	if err != nil {
		return Built{}, err
	}
	b := &Base{
		Dir:     instance.Folder(stores.Dir),
		Stores:  stores,
		DB:      feed.NewHub(db),
		Log:     log,
		Now:     time.Now,
		Metrics: obs.NewRegistry(),
	}
	b.DB.Meter(b.Metrics, s.prefix())
	if b.Traces, err = trace.Open(ctx, s.Traces, s.Name, log); err != nil {
		_ = b.DB.Close()
		return Built{}, err
	}
	b.Traces.Meter(b.Metrics, s.prefix())
	p, err := s.build(s.background(ctx), b)
	if err != nil {
		_ = b.DB.Close()
	}
	return p, err
}

// prefix returns what the names of the service's metrics begin with.
func (s *Service) prefix() string { return strings.ReplaceAll(s.Name, "-", "_") }

// background returns ctx with this service as the actor of what nobody asked for.
func (s *Service) background(ctx context.Context) context.Context {
	return audit.WithContext(ctx, &audit.Context{Actor: audit.Actor{Sub: token.ServiceSubject(s.Name)}, Origin: s.Name})
}

// build builds the audit log, the service's own parts and the server around them.
func (s *Service) build(ctx context.Context, b *Base) (Built, error) {
	entries, err := s.openAudit(ctx, b)
	if err != nil {
		return Built{}, err
	}
	b.Audit = entries
	if b.Witness, err = audit.NewPeer(entries, s.Peer); err != nil {
		return Built{}, err
	}
	parts, err := s.Build(ctx, b)
	if err != nil {
		return Built{}, err
	}
	parts.Web.Metrics = b.Metrics
	server, err := s.server(b, parts.Web)
	if err != nil {
		return Built{}, err
	}
	state, prefix := parts.Health, s.prefix()
	state.Title, state.Store = s.Title, b.DB
	state.Meter(b.Metrics, prefix)
	entries.Meter(b.Metrics, prefix)
	b.Witness.Meter(b.Metrics, prefix)
	if s.certificate != nil {
		transport.Meter(b.Metrics, prefix, "listener", b.Now, s.certificate.Expires)
	}
	pruner := &retention.Pruner{DB: b.DB, Classes: parts.Prunes, Now: b.Now, Log: b.Log}
	pruner.Meter(b.Metrics, prefix)
	all, doors := []Component{{Name: "idempotency keys", Run: server.Run}}, []<-chan []string{}
	for _, d := range parts.Doors {
		if len(d.Listen) == 0 {
			continue
		}
		open := make(chan []string, 1)
		c, err := s.door(b, d, open)
		if err != nil {
			return Built{}, err
		}
		all, doors = append(all, c), append(doors, open)
	}
	all = append(append(all, parts.Components...), Component{Name: "traces", Run: b.Traces.Run},
		Component{Name: "audit log", Run: entries.Run}, Component{Name: "retention", Run: pruner.Run},
		Component{Name: "store lease", Run: driver.Lease(b.DB.DB)})
	for i, c := range all {
		all[i].Run = func(ctx context.Context) error { return c.Run(s.background(ctx)) }
	}
	return Built{
		Log: b.Log, Stdout: s.Stdout, Server: server.HTTP(), Peer: server.PeerHTTP(),
		Drain: server.Drain, Ready: state.AwaitServes, Components: all, Doors: doors,
		Close: b.DB.Close,
	}, nil
}

// openAudit opens the audit log of the data folder; that of a store in memory has no folder.
func (s *Service) openAudit(ctx context.Context, b *Base) (*audit.Log, error) {
	keys, err := audit.MakeKeys(b.Dir.AuditKeys(), audit.Origin(s.Deployment, s.Name))
	if err != nil {
		return nil, err
	}
	dir := b.Dir.Audit()
	if b.Stores.InMemory() {
		dir = ""
	}
	return audit.Open(ctx, audit.Options{DB: b.DB, Dir: dir, Keys: keys, Log: b.Log})
}

// server returns the HTTP side of the service.
func (s *Service) server(b *Base, c web.Config) (*web.Server, error) {
	key, err := secret.MakeKey(filepath.Join(b.Dir.Keys(), idempotency.KeyFile))
	if err != nil {
		return nil, err
	}
	c.HSTS = s.TLS.HSTS
	c.Service, c.Version, c.Log, c.Traces, c.Store, c.Key, c.Now = s.Name, "v1", b.Log, b.Traces, b.DB, key, b.Now
	return web.NewServer(c)
}
