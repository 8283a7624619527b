// Package operation performs what the machine decides: it turns an operation into steps, does each
// step at a provider, undoes it, and finds out whether it took effect.
//
// It does not decide when anything runs or is tried again (dag), does not store (engine commits the
// resources it reports), and knows no provider's API (provider).
//
// The one rule: Execute may be called again with the same attempt at any time. Every effect carries
// the attempt's Tag, which is the same for all tries of a step, so a repeated create finds what is
// there and a repeated undo finds nothing left.
package operation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/infra"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
	"github.com/provisioning-platform/platform/orchestrator/internal/recipe"
	"github.com/provisioning-platform/platform/shared/fault"
)

// The types of operations and their verbs, as submitted.
const (
	typeServers  = "servers"
	typeTaskserv = "taskserv"
	typeCluster  = "cluster"
	typeServerB  = "server_batch"
	typeTaskB    = "taskserv_batch"

	verbCreate = "create"
	verbUpdate = "update"
	verbDelete = "delete"
	verbCheck  = "check"
)

// The actions of steps.
const (
	createServer = "server.create"
	deleteServer = "server.delete"
	install      = "taskserv.install"
	remove       = "taskserv.remove"
	check        = "check"
)

// The kinds of resources.
const (
	kindServer   = "server"
	kindTaskserv = "taskserv"
)

// Inventory is what is known to exist: the resources that results reported.
type Inventory interface {
	// Resource returns one by its provider, kind and name; false when there is none.
	Resource(ctx context.Context, provider, kind, name string) (dag.Resource, bool, error)
	// Taskservs returns the task services on a server.
	Taskservs(ctx context.Context, provider, server string) ([]dag.Resource, error)
}

// Config is what an Executor works with.
type Config struct {
	Providers map[string]provider.Driver // by the name of the instance
	Infra     infra.Folder
	Recipes   recipe.Catalogue
	Inventory Inventory
	Log       *slog.Logger
	// Waited hears for how many seconds a step waited for another task's work on a server of the
	// same name, of each step that had to; nil: nobody does.
	Waited func(seconds float64)
}

// Executor performs attempts; it is the engine's Executor.
type Executor struct {
	Config
	names    []string // of the providers
	claims   claims
	locks    serverLocks
	patience time.Duration // how long an attempt waits for another task that makes the same server
}

// New returns an Executor.
func New(c Config) *Executor {
	return &Executor{Config: c, names: slices.Sorted(maps.Keys(c.Providers)), patience: 10 * time.Second}
}

// Execute makes one attempt and says what it came to. When ctx or the attempt's deadline ends
// first, the result says so.
func (x *Executor) Execute(ctx context.Context, a dag.Attempt) dag.Result {
	if d, ok := ctx.Deadline(); !a.Deadline.IsZero() && !(ok && d.Equal(a.Deadline)) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, a.Deadline)
		defer cancel()
	}
	var res dag.Result
	var err error
	switch a.Kind {
	case dag.Resolve:
		res, err = x.resolve(ctx, *a.Operation)
	case dag.Do:
		res, err = x.do(ctx, &a)
	case dag.Undo:
		res, err = x.undo(ctx, &a)
	case dag.Find:
		res, err = x.find(ctx, &a)
	default:
		err = fmt.Errorf("there is no attempt of kind %q", a.Kind)
	}
	if err != nil {
		return x.failed(ctx, &a, err)
	}
	res.Class = orOK(res.Class)
	return res
}

func orOK(c dag.Class) dag.Class {
	if c == "" {
		return dag.OK
	}
	return c
}

// failed turns an error into a result. What was asked for and does not exist (infra, recipe) does
// not go away by itself; a fault of our own does, or needs us, and is not the provider's.
func (x *Executor) failed(ctx context.Context, a *dag.Attempt, err error) dag.Result {
	x.Log.LogAttrs(ctx, slog.LevelWarn, "attempt failed", slog.String("attempt", a.ID), slog.String("task", a.TaskID),
		slog.String("kind", string(a.Kind)), slog.String("step", a.Step.Name), slog.String("error", fault.LogText(err, error.Error)))
	if f := fault.Of(err); f != nil {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) { // our look-up was cut off: nothing was begun, so nothing is in doubt
			return dag.Result{Class: dag.Stopped, Error: "stopped before it began"}
		}
		class := dag.Permanent
		switch f.Kind {
		case fault.Unavailable, fault.Throttled, fault.Internal:
			class = dag.Transient
		case fault.Conflict:
			class = dag.ConflictClass
		}
		return dag.Result{Class: class, Error: f.Message, RetryAfter: f.RetryAfter}
	}
	e := provider.Classify(err)
	return dag.Result{Class: e.Class, Error: e.Message, RetryAfter: e.RetryAfter}
}

func (x *Executor) do(ctx context.Context, a *dag.Attempt) (dag.Result, error) {
	switch a.Step.Action {
	case createServer:
		return x.createServer(ctx, a)
	case deleteServer:
		return x.deleteServer(ctx, a)
	case install:
		return x.alone(ctx, a, func() (dag.Result, error) { return x.install(ctx, a) })
	case remove:
		return x.alone(ctx, a, func() (dag.Result, error) { return x.remove(ctx, a) })
	case check:
		return x.check(ctx, a)
	}
	return dag.Result{}, fmt.Errorf("there is no action %q", a.Step.Action)
}

func (x *Executor) undo(ctx context.Context, a *dag.Attempt) (dag.Result, error) {
	switch a.Step.Action {
	case createServer:
		return x.undoCreate(ctx, a)
	case deleteServer:
		return x.recreate(ctx, a)
	case install:
		return x.alone(ctx, a, func() (dag.Result, error) { return x.undoInstall(ctx, a) })
	case remove:
		return x.alone(ctx, a, func() (dag.Result, error) { return x.undoRemove(ctx, a) })
	case check:
		return dag.Result{Output: "a check changed nothing"}, nil
	}
	return dag.Result{}, fmt.Errorf("there is no action %q", a.Step.Action)
}

func (x *Executor) find(ctx context.Context, a *dag.Attempt) (dag.Result, error) {
	switch a.Step.Action {
	case createServer:
		return x.findServer(ctx, a)
	case deleteServer:
		return x.findDeletion(ctx, a)
	case install, remove:
		return x.findInstall(ctx, a)
	}
	return dag.Result{Class: dag.NotFoundClass}, nil // a check may simply be made again
}

// driver returns the provider with that name.
func (x *Executor) driver(name string) (provider.Driver, error) {
	if d := x.Providers[name]; d != nil {
		return d, nil
	}
	return nil, fault.New(fault.NotFound, "provider.unknown", "there is no provider %q; there is: %s", name, list(x.names))
}

// ProviderNames lists the names of the providers. The list is not to be changed.
func (x *Executor) ProviderNames() []string { return x.names }

// Servers returns the servers of a provider that carry a tag, as the inventory has them.
func (x *Executor) Servers(ctx context.Context, name string) ([]dag.Resource, error) {
	d, err := x.driver(name)
	if err != nil {
		return nil, err
	}
	found, err := d.List(ctx)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "provider.silent", "%s", provider.Classify(err).Message).Because(err)
	}
	var all []dag.Resource
	for _, s := range found {
		all = append(all, made(name, s).Resources...)
	}
	return all, nil
}

// Reach returns what the system's ssh on this machine needs for a server of the inventory; nil when
// its provider has nothing to say, or is no longer in the configuration.
func (x *Executor) Reach(server dag.Resource) map[string]string {
	if r, ok := x.Providers[server.Provider].(provider.Reacher); ok {
		return r.Reach(server.Facts[factID])
	}
	return nil
}

// Taskservs lists the task services that can be installed without an infra of its own.
func (x *Executor) Taskservs() ([]string, error) { return x.Recipes.Names("") }

// server looks a server up by name, whichever provider has it: names are unique in the inventory.
func (x *Executor) server(ctx context.Context, name string) (dag.Resource, bool, error) {
	for _, p := range x.names {
		r, ok, err := x.Inventory.Resource(ctx, p, kindServer, name)
		if ok || err != nil {
			return r, ok, fault.Wrap("look up server "+name, err)
		}
	}
	return dag.Resource{}, false, nil
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
