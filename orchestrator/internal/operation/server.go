package operation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
)

// The facts of a server's resource and step, beside what its provider says of it.
const (
	factCreated = "created" // "true": by this step; an undo leaves what was there before
	factID      = "id"
	factPlan    = "plan"
	factTag     = "tag"
	factZone    = "zone"
)

// createServer makes a server, or finds that it is there: the same name with the same plan and zone is what was
// asked for, anything else is a conflict.
func (x *Executor) createServer(ctx context.Context, a *dag.Attempt) (dag.Result, error) {
	name, plan, zone := a.Step.Name, a.Step.Params[paramPlan], a.Step.Params[paramZone]
	d, err := x.driver(a.Step.Provider)
	if err != nil {
		return dag.Result{}, err
	}
	there, ok, err := x.claim(ctx, d, a)
	if err != nil {
		return dag.Result{}, err
	}
	if ok {
		if err := sameServer(there, a.Step); err != nil {
			return dag.Result{}, err
		}
		return dag.Result{Facts: map[string]string{factCreated: "false"}, Output: fmt.Sprintf("server %s exists already with plan %s in zone %s", name, orNone(plan), orNone(zone))}, nil
	}
	s, err := d.Create(ctx, provider.Spec{Tag: a.Tag, Name: name, Plan: plan, Zone: zone, Wait: a.Operation.Wait})
	if err != nil {
		if refused(provider.Classify(err).Class) {
			x.claims.drop(name, a.Tag)
		}
		return dag.Result{}, err
	}
	return made(a.Step.Provider, s), nil
}

// claim returns the server of that name that another task has made, or nothing and the right to make it. While
// another task is at it, it waits for what that comes to, with patience.
func (x *Executor) claim(ctx context.Context, d provider.Driver, a *dag.Attempt) (dag.Resource, bool, error) {
	for tries := int(x.patience / lookAgain); ; tries-- {
		there, ok, err := x.server(ctx, a.Step.Name)
		if err != nil || ok && there.Facts[factTag] != a.Tag {
			return there, ok, err
		}
		if err = x.claims.take(ctx, a.Step.Provider, d, a.Step.Name, a.Tag); err == nil || tries <= 0 || !errors.Is(err, errHeld) {
			return dag.Resource{}, false, err
		}
		select {
		case <-ctx.Done():
			return dag.Resource{}, false, ctx.Err()
		case <-time.After(lookAgain):
		}
	}
}

// refused says whether a failure leaves nothing behind.
func refused(c dag.Class) bool {
	switch c {
	case dag.Auth, dag.ConflictClass, dag.Permanent, dag.Quota, dag.Throttled:
		return true
	}
	return false
}

// sameServer says what keeps a server that exists from being the one asked for.
func sameServer(there dag.Resource, want dag.Step) error {
	for _, c := range []struct{ what, is, wanted string }{
		{"at provider", there.Provider, want.Provider},
		{"with plan", there.Facts[factPlan], want.Params[paramPlan]},
		{"in zone", there.Facts[factZone], want.Params[paramZone]},
	} {
		if c.is != c.wanted {
			return provider.Errorf(dag.ConflictClass, "server %s exists already %s %s, asked for was %s: delete it first or choose another name", want.Name, c.what, orNone(c.is), orNone(c.wanted))
		}
	}
	return nil
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// made is the result of a server that exists under our tag.
func made(providerName string, s provider.Server) dag.Result {
	facts := map[string]string{factID: s.ID, factTag: s.Tag, factPlan: s.Plan, factZone: s.Zone}
	maps.Copy(facts, s.Facts)
	out := "server " + s.Name + " (" + orNone(s.Plan) + ", " + orNone(s.Zone) + ") is up at " + providerName
	if address := s.Facts["address"]; address != "" {
		out += ": " + address + " port " + s.Facts["port"]
	}
	return dag.Result{
		Facts:     map[string]string{factCreated: "true", factID: s.ID},
		Resources: []dag.Resource{{Facts: facts, Kind: kindServer, Name: s.Name, Provider: providerName}},
		Output:    out,
	}
}

// undoCreate deletes the server if this step made it.
func (x *Executor) undoCreate(ctx context.Context, a *dag.Attempt) (dag.Result, error) {
	if a.Facts[factCreated] == "false" {
		return dag.Result{Output: fmt.Sprintf("server %s was there before and stays", a.Step.Name)}, nil
	}
	d, err := x.driver(a.Step.Provider)
	if err != nil {
		return dag.Result{}, err
	}
	s := provider.Server{ID: a.Facts[factID], Tag: a.Tag, Name: a.Step.Name}
	if s.ID == "" { // its outcome was never known
		found, ok, err := d.Find(ctx, a.Tag)
		if err != nil {
			return dag.Result{}, err
		}
		if !ok {
			x.claims.drop(a.Step.Name, a.Tag)
			return dag.Result{Output: fmt.Sprintf("server %s was not made", a.Step.Name)}, nil
		}
		s = found
	}
	return x.destroy(ctx, d, a.Step.Provider, s)
}

// deleteServer deletes a server of the inventory.
func (x *Executor) deleteServer(ctx context.Context, a *dag.Attempt) (dag.Result, error) {
	there, ok, err := x.server(ctx, a.Step.Name)
	if err != nil {
		return dag.Result{}, err
	}
	if !ok {
		return dag.Result{Facts: map[string]string{factCreated: "false"}, Output: fmt.Sprintf("server %s does not exist: nothing to delete", a.Step.Name)}, nil
	}
	if a.Step.Provider != "" && there.Provider != a.Step.Provider {
		return dag.Result{}, provider.Errorf(dag.ConflictClass, "server %s is at provider %s, asked for was %s", a.Step.Name, there.Provider, a.Step.Provider)
	}
	d, err := x.driver(there.Provider)
	if err != nil {
		return dag.Result{}, err
	}
	return x.destroy(ctx, d, there.Provider, handle(there))
}

// handle is a server of the inventory as its provider knows it.
func handle(r dag.Resource) provider.Server {
	return provider.Server{ID: r.Facts[factID], Tag: r.Facts[factTag], Name: r.Name, Plan: r.Facts[factPlan], Zone: r.Facts[factZone]}
}

// destroy deletes a server and reports it, and what was on it, as gone. An inventory that has another server of that
// name by now keeps it.
func (x *Executor) destroy(ctx context.Context, d provider.Driver, providerName string, s provider.Server) (dag.Result, error) {
	there, known, err := x.Inventory.Resource(ctx, providerName, kindServer, s.Name)
	if err != nil {
		return dag.Result{}, err
	}
	services, err := x.Inventory.Taskservs(ctx, providerName, s.Name)
	if err == nil {
		err = x.claims.learn(ctx, providerName, d)
	}
	if err != nil {
		return dag.Result{}, err
	}
	if err := d.Delete(ctx, s); err != nil {
		return dag.Result{}, err
	}
	x.claims.drop(s.Name, s.Tag)
	res := dag.Result{Output: fmt.Sprintf("deleted server %s at %s", s.Name, providerName)}
	if known && there.Facts[factTag] != s.Tag {
		return res, nil
	}
	for _, r := range services {
		res.Resources = append(res.Resources, dag.Resource{Gone: true, Kind: kindTaskserv, Name: r.Name, Provider: providerName})
	}
	res.Resources = append(res.Resources, dag.Resource{Gone: true, Kind: kindServer, Name: s.Name, Provider: providerName})
	return res, nil
}

// findServer asks the provider for the server with the step's tag.
func (x *Executor) findServer(ctx context.Context, a *dag.Attempt) (dag.Result, error) {
	d, err := x.driver(a.Step.Provider)
	if err != nil {
		return dag.Result{}, err
	}
	s, ok, err := d.Find(ctx, a.Tag)
	if err != nil {
		return dag.Result{}, err
	}
	if !ok {
		x.claims.drop(a.Step.Name, a.Tag)
		return dag.Result{Class: dag.NotFoundClass}, nil
	}
	if a.Operation.Wait { // the try was cut off: the server is there, whether it answers is not known
		conn, err := d.Connect(ctx, s)
		if err != nil {
			return dag.Result{}, err
		}
		conn.Close()
	}
	return made(a.Step.Provider, s), nil
}

// findDeletion asks whether the server of the inventory is gone at its provider.
func (x *Executor) findDeletion(ctx context.Context, a *dag.Attempt) (dag.Result, error) {
	there, ok, err := x.server(ctx, a.Step.Name)
	if err != nil || !ok {
		return dag.Result{}, err
	}
	d, err := x.driver(there.Provider)
	if err != nil {
		return dag.Result{}, err
	}
	if _, ok, err = d.Find(ctx, there.Facts[factTag]); err != nil {
		return dag.Result{}, err
	}
	if ok {
		return dag.Result{Class: dag.NotFoundClass}, nil
	}
	return x.destroy(ctx, d, there.Provider, handle(there)) // deletes nothing any more and reports what is gone
}
