package app

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/api"
	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/engine"
	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/orchestrator/internal/history"
	"github.com/provisioning-platform/platform/orchestrator/internal/hook"
	"github.com/provisioning-platform/platform/orchestrator/internal/infra"
	"github.com/provisioning-platform/platform/orchestrator/internal/operation"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider/local"
	"github.com/provisioning-platform/platform/orchestrator/internal/pulse"
	"github.com/provisioning-platform/platform/orchestrator/internal/recipe"
	"github.com/provisioning-platform/platform/orchestrator/internal/rights"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/orchestrator/internal/state"
	"github.com/provisioning-platform/platform/orchestrator/internal/trust"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/health"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/process"
	"github.com/provisioning-platform/platform/shared/seal"
	"github.com/provisioning-platform/platform/shared/store/driver"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/watch"
	"github.com/provisioning-platform/platform/shared/web"
	"github.com/provisioning-platform/platform/shared/webhook/hookapi"
)

// service is the orchestrator as process runs it.
func service(c Config) (*process.Service, error) {
	credential, err := client.ReadCredential(string(c.Credential))
	if err != nil {
		return nil, err
	}
	return &process.Service{
		Name: token.Orchestrator, Title: "Orchestrator", Deployment: credential.Deployment, Peer: credential.AuditKey, Schema: Schema(),
		Data: string(c.Data), Listen: c.Listen, TLS: c.TLS, LogLevel: c.LogLevel, Store: c.Store, Traces: c.Traces,
		Build: func(ctx context.Context, b *process.Base) (*process.Parts, error) {
			return build(ctx, c, credential, b)
		},
	}, nil
}

// build builds what only this service has.
func build(ctx context.Context, c Config, credential client.Credential, b *process.Base) (*process.Parts, error) {
	db, log, now, metrics := b.DB, b.Log, b.Now, b.Metrics
	epoch, err := run.Epoch(ctx, db)
	if err != nil {
		return nil, err
	}
	peer, err := client.NewPeer(c.ControlCenter, credential, b.Dir, now)
	if err != nil {
		return nil, err
	}
	peer.Proof.Meter(metrics, token.Orchestrator)
	known := &trust.Trust{
		DB: db, Source: peer, Issuer: credential.Issuer, Now: now, Log: log,
		Witness: func(ctx context.Context) error { return b.Witness.Meet(ctx, peer.ExchangeHeads) },
	}
	if err := known.Load(ctx); err != nil {
		return nil, err
	}
	executor, providers, err := executorOf(c, string(b.Dir), db, log, metrics)
	if err != nil {
		return nil, err
	}
	runs := engine.New(engine.Config{
		// The data folder's audit key names this instance: the same after a restart, another one
		// for a second orchestrator on the same server, which then has to wait for leases.
		Instance: id.Derived(b.Audit.Public().String()),
		DB:       db, Executor: executor, Rights: rights.Book{Known: known}, Now: now, Log: log,
		Meter: engine.NewMeter(metrics), Traces: b.Traces,
		Policy: c.Retry.policy(),
		Limits: dag.Limits{Operations: c.Limits.Operations}, MaxTasks: c.Limits.Tasks, MaxSteps: c.Limits.Steps,
	})
	runs.MeterQueues(metrics)
	runs.Checkpoints.Meter(metrics)
	sends := hook.Config(db, rights.Book{Known: known}, now)
	if sends.Sealer, err = seal.Make(b.Dir.Keys()); err != nil {
		return nil, err
	}
	sends.Log, sends.Traces = log, b.Traces
	hooks, err := c.Webhooks.Open(ctx, sends)
	if err != nil {
		return nil, err
	}
	hooks.Meter(metrics, token.Orchestrator)
	sockets := watch.New(watch.Config{
		DB: db, Epoch: epoch, Log: log, Origins: c.WS.Origins, NoQueryToken: !c.WS.AllowQueryToken, MaxSockets: c.WS.MaxConnections,
		MaxPerUser: c.WS.MaxPerUser,
		Verify:     known.Authenticate, Alive: known.Alive, Fail: api.RefuseSocket,
		Categories: event.Categories(), Types: event.Types(),
		Labels:  func(body []byte) watch.Labels { return watch.Labels(event.LabelsOf(body)) },
		Address: api.AddressOf, Allowed: api.MayWatch(known.Decide, now),
	})
	sockets.Meter(metrics, token.Orchestrator)
	checks := &health.Checks{
		Waits: known.Serves, Refusals: []func() error{known.AllowChanges, db.Refusal},
		Heard: known.Heard,
	}
	a := &api.API{
		Engine: runs, Log: b.Audit, Catalogue: executor, Storage: api.StorageName(b.Stores), Metrics: metrics.Handler(),
		Public: c.Metrics.Public,
		Socket: sockets, Tickets: sockets.Ticket, Health: checks, Host: state.NewHost(string(b.Dir)),
		StoreSize: func() int64 { return driver.Size(db.DB) },
		Webhooks:  &hookapi.API{Hooks: hooks, DB: db, Examples: [2]string{"task.failed", "batch.completed"}},
	}
	copier := audit.NewCopier(db, log, peer.CopyEntries)
	copier.Meter(metrics, "orchestrator_audit_copy_lag_entries",
		"Entries of the audit log that the control-center's index does not have yet.")
	known.Meter(metrics, token.Orchestrator)
	return &process.Parts{
		Health: checks,
		Web: web.Config{
			Title: "Orchestrator", Routes: a.Routes(), Nouns: api.Nouns(),
			Description: "Runs provisioning work: workflows, batches, checkpoints, rollback and live events.",
			Authenticate: func(ctx context.Context, raw string, _ *http.Request) (token.Claims, error) {
				return known.Authenticate(ctx, raw)
			},
			Decide: known.Decide, Admit: api.Admit(known.AllowChanges), Known: a.Known, RateLimits: c.RateLimits,
			TrustedProxies: c.TrustedProxies, CORS: c.CORS,
		},
		Prunes: append(history.Classes(db, c.Retention.keep(), runs), trust.Classes(db)...),
		Components: []process.Component{
			{Name: "sockets", Run: sockets.Run}, {Name: "engine", Run: runs.Run}, {Name: "providers", Run: providers.Run},
			{Name: "trust", Run: known.Run},
			{Name: "certificate", Run: func(ctx context.Context) error { return peer.RenewProof(ctx, log) }},
			{Name: "audit copy", Run: copier.Run}, {Name: "webhooks", Run: hooks.Run},
			{Name: "health events", Run: (&pulse.Teller{DB: db, Reasons: checks.Words, Now: now, Log: log}).Run},
		},
	}, nil
}

// executorOf builds what makes attempts: providers, infra definitions and recipes.
func executorOf(c Config, dir string, db *feed.Hub, log *slog.Logger,
	metrics *obs.Registry) (*operation.Executor, *operation.Providers, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	providers, err := operation.OpenProviders(c.Providers,
		operation.Place{DataDir: dir, Command: []string{binary, local.Verb}, Now: time.Now, Log: log})
	if err != nil {
		return nil, nil, err
	}
	formats := infra.ReadableFormats(config.DecodeYAML)
	folder := infra.Folder{Dir: string(c.Infra.Dir), Formats: formats}
	recipes := recipe.Catalogue{Infra: folder, Formats: formats, Interpreters: c.Recipes.Interpreters}
	if c.Recipes.Dir != "" {
		recipes.Dir = os.DirFS(string(c.Recipes.Dir))
	}
	return operation.New(operation.Config{Providers: providers.Drivers, Infra: folder, Recipes: recipes, Inventory: run.Inventory{DB: db},
		Log: log, Waited: metrics.Histogram("orchestrator_lock_wait_seconds",
			"Seconds that a step waited for another task's work on a server of the same name; steps that need not wait are not counted.",
			[]float64{.05, .1, .5, 1, 5, 10, 30}).At()}), providers, nil
}
