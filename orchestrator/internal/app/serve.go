package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/api"
	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/orchestrator/internal/history"
	"github.com/provisioning-platform/platform/orchestrator/internal/infra"
	"github.com/provisioning-platform/platform/orchestrator/internal/operation"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider/local"
	"github.com/provisioning-platform/platform/orchestrator/internal/recipe"
	"github.com/provisioning-platform/platform/orchestrator/internal/rights"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/orchestrator/internal/trust"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/health"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/process"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/store/driver"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/watch"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/web/idempotency"
)

// Options are what serve needs besides the configuration.
type Options struct {
	Config  Config
	URLFile string   // ORCHESTRATOR_STORE_FILE
	Unknown []string // names of the environment with our prefix that no setting reads
	Stdout  io.Writer
	Stderr  io.Writer
}

// Serve runs the orchestrator until ctx ends.
func Serve(ctx context.Context, o Options) error {
	log := obs.NewLogger(o.Stderr, token.Orchestrator, o.Config.LogLevel)
	log.Info("starting", "build", obs.Build())
	if len(o.Unknown) > 0 {
		log.Warn("no setting reads these names of the environment", "names", o.Unknown)
	}
	dir, err := filepath.Abs(string(o.Config.Data))
	if err != nil {
		return err
	}
	stores, err := o.Config.Store.Options(dir, o.URLFile, Schema(), log)
	if err != nil {
		return err
	}
	credential, err := client.ReadCredential(string(o.Config.Credential))
	if err != nil {
		return err
	}
	ctx, stop := process.Signals(ctx, log)
	defer stop()
	db, listen, err := process.Open(ctx, stores.Standby, o.Config.Listen, "Orchestrator", o.Stdout, func(ctx context.Context, wait bool) (*feed.Hub, error) {
		stores.Standby = wait
		return open(ctx, stores)
	})
	if err != nil {
		return err
	}
	s, err := assemble(ctx, o.Config, credential, stores, db, log)
	if err != nil {
		_ = db.Close()
		return err
	}
	listeners, err := process.Listen(ctx, listen)
	if err != nil {
		_ = db.Close()
		return err
	}
	return process.Run(ctx, process.Program{
		Log: log, Stdout: o.Stdout, Listeners: listeners, Server: s.server.HTTP(), Drain: s.server.Drain,
		Ready: s.ready, Components: s.components, Close: db.Close,
	})
}

// service is the built orchestrator.
type service struct {
	server     *web.Server
	components []process.Component
	ready      func(context.Context) error
}

// background is the scene of acts that nobody asked for.
func background(ctx context.Context) context.Context {
	return audit.WithContext(ctx, &audit.Context{Actor: audit.Actor{Sub: "service:" + token.Orchestrator}, Origin: token.Orchestrator})
}

func assemble(ctx context.Context, c Config, credential client.Credential, stores driver.Options, db *feed.Hub, log *slog.Logger) (*service, error) {
	ctx = background(ctx)
	now := time.Now
	keys, err := audit.MakeKeys(filepath.Join(stores.Dir, keysFolder, auditFolder), credential.Deployment+"/audit/"+token.Orchestrator)
	if err != nil {
		return nil, err
	}
	ledger, err := audit.Open(ctx, audit.Options{DB: db, Dir: auditDir(stores.Dir, stores.InMemory()), Keys: keys, Log: log})
	if err != nil {
		return nil, err
	}
	witness, err := audit.NewPeer(ledger, credential.AuditKey)
	if err != nil {
		return nil, err
	}
	epoch, err := epochOf(ctx, db)
	if err != nil {
		return nil, err
	}
	peer := &client.Peer{Base: c.ControlCenter, Credential: credential, Now: now}
	known := &trust.Trust{
		DB: db, Source: peer, Issuer: credential.Issuer, Now: now, Log: log,
		Witness: func(ctx context.Context) error { return witness.Meet(ctx, peer.ExchangeHeads) },
	}
	if err := known.Load(ctx); err != nil {
		return nil, err
	}
	metrics := obs.NewRegistry()
	state := &health.Service{
		Title: "Orchestrator", Store: db, Waits: known.Serves, Refusals: []func() error{known.AllowChanges, db.Refusal},
		Heard: func() time.Time { return known.Status().Heard },
	}
	state.Meter(metrics, token.Orchestrator)
	ledger.Meter(metrics, token.Orchestrator)
	witness.Meter(metrics, token.Orchestrator)
	executor, providers, err := executorOf(c, stores.Dir, db, log)
	if err != nil {
		return nil, err
	}
	runs := engine.New(engine.Config{
		// The data folder's audit key names this instance: the same after a restart, another one
		// for a second orchestrator on the same server, which then has to wait for leases.
		Instance: id.Derived(keys.Public().String()),
		DB:       db, Executor: executor, Rights: rights.Book{Known: known}, Now: now, Log: log, Meter: engine.NewMeter(metrics), Policy: c.Retry.policy(),
		Limits: dag.Limits{Operations: c.Limits.Operations}, MaxTasks: c.Limits.Tasks, MaxSteps: c.Limits.Steps,
	})
	sockets := watch.New(watch.Config{
		DB: db, Epoch: epoch, Log: log, Origins: c.WS.Origins, NoQueryToken: !c.WS.AllowQueryToken, MaxSockets: c.WS.MaxConnections, MaxPerUser: c.WS.MaxPerUser,
		Verify: known.Authenticate, Alive: known.Alive, Fail: api.RefuseSocket,
		Categories: event.Categories(), Labels: func(body []byte) watch.Labels { return watch.Labels(event.LabelsOf(body)) }, Allowed: api.MayWatch(known.Decide, now),
	})
	sockets.Meter(metrics, token.Orchestrator)
	a := &api.API{
		Engine: runs, Log: ledger, Catalogue: executor, Storage: storageName(stores), Metrics: metrics.Handler(), Public: c.Metrics.Public,
		Socket: sockets, Health: state,
	}
	webKey, err := secret.MakeKey(filepath.Join(stores.Dir, keysFolder, idempotency.KeyFile))
	if err != nil {
		return nil, err
	}
	server, err := web.NewServer(web.Config{
		Service: token.Orchestrator, Title: "Orchestrator", Version: "v1", Routes: a.Routes(), Nouns: api.Nouns(), Log: log, Metrics: metrics, Store: db, Key: webKey, Now: now,
		Description: "Runs provisioning work: workflows, batches, checkpoints, rollback and live events.",
		Authenticate: func(ctx context.Context, raw string, _ *http.Request) (token.Claims, error) {
			return known.Authenticate(ctx, raw)
		},
		Decide: known.Decide, Admit: api.Admit(known.AllowChanges), Known: api.EntryNumber, RateLimits: c.RateLimits, TrustedProxies: c.TrustedProxies,
	})
	if err != nil {
		return nil, err
	}
	copier := audit.NewCopier(db, log, peer.CopyEntries)
	pruner := &retention.Pruner{DB: db, Classes: history.Classes(db, c.Retention.keep(), runs), Now: now, Log: log}
	pruner.Meter(metrics, token.Orchestrator)
	return &service{server: server, ready: state.AwaitServes, components: []process.Component{
		component("sockets", sockets.Run), component("idempotency keys", server.Run), component("engine", runs.Run), component("providers", providers.Run), component("trust", known.Run),
		component("audit copy", copier.Run),
		component("audit log", ledger.Run), component("retention", pruner.Run), component("store lease", driver.Lease(db.DB)),
	}}, nil
}

// executorOf builds what makes attempts: providers, infra definitions and recipes.
func executorOf(c Config, dir string, db *feed.Hub, log *slog.Logger) (*operation.Executor, *operation.Providers, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	providers, err := operation.OpenProviders(c.Providers, operation.Place{DataDir: dir, Command: []string{binary, local.Verb}, Now: time.Now, Log: log})
	if err != nil {
		return nil, nil, err
	}
	formats := infra.ReadableFormats(config.DecodeYAML)
	folder := infra.Folder{Dir: string(c.Infra.Dir), Formats: formats}
	recipes := recipe.Catalogue{Infra: folder, Formats: formats, Interpreters: c.Recipes.Interpreters}
	if c.Recipes.Dir != "" {
		recipes.Dir = os.DirFS(string(c.Recipes.Dir))
	}
	return operation.New(operation.Config{Providers: providers.Drivers, Infra: folder, Recipes: recipes, Inventory: run.Inventory{DB: db}, Log: log}), providers, nil
}

// storageName is the word of the contract for the store in use.
func storageName(o driver.Options) string {
	if o.InMemory() || o.Embedded() {
		return "filesystem"
	}
	return "surrealdb"
}

// component runs part in the scene of background acts.
func component(name string, part func(context.Context) error) process.Component {
	return process.Component{Name: name, Run: func(ctx context.Context) error { return part(background(ctx)) }}
}
