package operation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
	"github.com/provisioning-platform/platform/shared/clock"
)

// The facts of a server's resource and step, beside what its provider says of it.
const (
	factCreated = "created" // "true": by this step; an undo leaves what was there before
	factID      = "id"
	factPlan    = "plan"
	factTag     = "tag"
	factZone    = "zone"
)

// lookAgain is how often a task that waits for another's server looks.
const lookAgain = 50 * time.Millisecond

// createServer makes a server, or finds that it is there: the same name with the same plan and zone
// is what was asked for, anything else is a conflict. While another task is at work on a server of
// that name, it waits for what that comes to, with patience.
func (x *Executor) createServer(ctx context.Context, a *dag.Attempt) (dag.Result, error) {
	return x.createClaimed(ctx, a, a.Tag)
}

// createClaimed is createServer for the step that holds the claim on the name of the server.
func (x *Executor) createClaimed(ctx context.Context, a *dag.Attempt, claim string) (dag.Result, error) {
	d, err := x.driver(a.Step.Provider)
	if err != nil {
		return dag.Result{}, err
	}
	tried, waiting, began := false, false, time.Now()
	for tries := int(x.patience / lookAgain); ; tries-- {
		if !x.claims.held(a.Step.Name, claim) {
			there, ok, err := x.server(ctx, a.Step.Name)
			if err != nil {
				return dag.Result{}, err
			}
			if ok && there.Facts[factTag] != a.Tag {
				return x.existing(ctx, d, a, there)
			}
			if !tried {
				res, err := x.make(ctx, d, a)
				if !errors.Is(err, provider.ErrTaken) {
					return res, err
				}
				tried = true // the inventory is about to say whose it is
			}
		}
		if tries <= 0 {
			return dag.Result{}, provider.Errorf(dag.Transient,
				"server %s is being made or undone by another task; if this stays, a server of that name at provider %s is in no inventory",
				a.Step.Name, a.Step.Provider)
		}
		if !waiting && x.Waited != nil {
			waiting = true
			defer func() { x.Waited(time.Since(began).Seconds()) }()
		}
		if !clock.Pause(ctx, lookAgain, nil) {
			return dag.Result{}, ctx.Err()
		}
	}
}

// make asks the provider for the server of a step.
func (x *Executor) make(ctx context.Context, d provider.Driver, a *dag.Attempt) (dag.Result, error) {
	p := a.Step.Params
	s, err := d.Create(ctx, provider.Spec{Tag: a.Tag, Name: a.Step.Name, Plan: p[paramPlan], Zone: p[paramZone], Wait: a.Operation.Wait})
	if err != nil {
		return dag.Result{}, err
	}
	return made(a.Step.Provider, s), nil
}

// existing is the result of a step whose server another task has made: there is nothing to do if it
// is the one asked for. One that is in the inventory and not at its provider any more is made anew.
func (x *Executor) existing(ctx context.Context, d provider.Driver, a *dag.Attempt, there dag.Resource) (dag.Result, error) {
	its, err := x.driver(there.Provider)
	if err != nil {
		return dag.Result{}, err
	}
	if _, ok, err := its.Find(ctx, there.Facts[factTag]); err != nil {
		return dag.Result{}, err
	} else if !ok {
		gone, err := x.gone(ctx, there.Provider, there.Name, there.Facts[factTag])
		if err != nil {
			return dag.Result{}, err
		}
		res, err := x.make(ctx, d, a)
		res.Resources = append(gone, res.Resources...)
		return res, err
	}
	if err := sameServer(there, a.Step); err != nil {
		return dag.Result{}, err
	}
	return dag.Result{Facts: map[string]string{factCreated: "false"},
		Output: fmt.Sprintf("server %s exists already with plan %s in zone %s", there.Name, orNone(there.Facts[factPlan]),
			orNone(there.Facts[factZone]))}, nil
}

// sameServer says what keeps a server that exists from being the one asked for.
func sameServer(there dag.Resource, want dag.Step) error {
	for _, c := range []struct{ what, is, wanted string }{
		{"at provider", there.Provider, want.Provider},
		{"with plan", there.Facts[factPlan], want.Params[paramPlan]},
		{"in zone", there.Facts[factZone], want.Params[paramZone]},
	} {
		if c.is != c.wanted {
			return provider.Errorf(dag.ConflictClass,
				"server %s exists already %s %s, asked for was %s: delete it first or choose another name", want.Name, c.what, orNone(c.is),
				orNone(c.wanted))
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
	there, known, err := x.Inventory.Resource(ctx, a.Step.Provider, kindServer, a.Step.Name)
	if err != nil {
		return dag.Result{}, err
	}
	switch {
	case known && there.Facts[factTag] == a.Tag: // it may have been deleted and made again
		s = handle(there)
	case s.ID == "": // its outcome was never known
		found, ok, err := d.Find(ctx, a.Tag)
		if err != nil {
			return dag.Result{}, err
		}
		if !ok {
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
		return dag.Result{Facts: map[string]string{factCreated: "false"},
			Output: fmt.Sprintf("server %s does not exist: nothing to delete", a.Step.Name)}, nil
	}
	if a.Step.Provider != "" && there.Provider != a.Step.Provider {
		return dag.Result{}, provider.Errorf(dag.ConflictClass, "server %s is at provider %s, asked for was %s", a.Step.Name,
			there.Provider, a.Step.Provider)
	}
	d, err := x.driver(there.Provider)
	if err != nil {
		return dag.Result{}, err
	}
	res, err := x.destroy(ctx, d, there.Provider, handle(there))
	res.Facts = deleted(there)
	return res, err
}

// handle is a server of the inventory as its provider knows it.
func handle(r dag.Resource) provider.Server {
	return provider.Server{ID: r.Facts[factID], Tag: r.Facts[factTag], Name: r.Name, Plan: r.Facts[factPlan], Zone: r.Facts[factZone]}
}

// destroy deletes a server and reports it, and what was on it, as gone. What its provider refuses
// to delete may be gone all the same: the tag is looked up once before the refusal counts.
func (x *Executor) destroy(ctx context.Context, d provider.Driver, providerName string, s provider.Server) (dag.Result, error) {
	gone, err := x.gone(ctx, providerName, s.Name, s.Tag)
	if err != nil {
		return dag.Result{}, err
	}
	if err := d.Delete(ctx, s); err != nil {
		if !final(err) {
			return dag.Result{}, err
		}
		if _, there, unknown := d.Find(ctx, s.Tag); there || unknown != nil {
			return dag.Result{}, err
		}
	}
	return dag.Result{Resources: gone, Output: fmt.Sprintf("deleted server %s at %s", s.Name, providerName)}, nil
}

// final says whether a failure is a refusal that no other try would change.
func final(err error) bool {
	switch provider.Classify(err).Class {
	case dag.Auth, dag.ConflictClass, dag.Permanent:
		return true
	}
	return false
}

// gone is what the inventory loses with the server of that name and tag: it, and what was on it. An
// inventory that has another server of that name by now keeps it.
func (x *Executor) gone(ctx context.Context, providerName, name, tag string) ([]dag.Resource, error) {
	there, known, err := x.Inventory.Resource(ctx, providerName, kindServer, name)
	if err != nil || known && there.Facts[factTag] != tag {
		return nil, err
	}
	services, err := x.Inventory.Taskservs(ctx, providerName, name)
	if err != nil {
		return nil, err
	}
	var lost []dag.Resource
	for _, r := range services {
		lost = append(lost, dag.Resource{Gone: true, Kind: kindTaskserv, Name: r.Name, Provider: providerName})
	}
	return append(lost, dag.Resource{Gone: true, Kind: kindServer, Name: name, Provider: providerName}), nil
}

// findServer asks the provider for the server with the step's tag. One that is not there is none in
// the inventory either: an undo may have been cut off behind its deletion.
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
		gone, err := x.gone(ctx, a.Step.Provider, a.Step.Name, a.Tag)
		return dag.Result{Class: dag.NotFoundClass, Resources: gone}, err
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
	res, err := x.destroy(ctx, d, there.Provider, handle(there)) // deletes nothing any more and reports what is gone
	res.Facts = deleted(there)
	return res, err
}
