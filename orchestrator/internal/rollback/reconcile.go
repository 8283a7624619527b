package rollback

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// ServerLister says what exists at the providers.
type ServerLister interface {
	ProviderNames() []string
	// Servers returns the servers of a provider that carry a tag of this service's kind, as the
	// inventory has them.
	Servers(ctx context.Context, provider string) ([]dag.Resource, error)
}

// Reconciled is what a comparison of the inventory with the providers came to.
type Reconciled struct {
	Verified   bool     // each provider has answered, and nothing changed meanwhile
	Checked    int      // servers and task services that the inventory had
	Removed    []string // resources that are at no provider any more: "<provider>/<kind>/<name>"
	Added      []string // servers that operations of this service made and the inventory lacked
	Unlisted   []string // servers with a tag that no operation which stands has
	Unanswered []string // providers that did not answer, or are not in the configuration, and why
}

// comparison is a reconcile on its way.
type comparison struct {
	Reconciled
	before  uint64                             // the last commit before the providers were asked
	own     map[string]store.Write             // by tag of what stands: the demand that its effect is as it was read
	asked   map[string]bool                    // providers that something of this service is at
	there   map[string]map[string]dag.Resource // by provider and tag: what it has
	changes []difference
	lost    map[string]bool // "<provider>/<server>": servers that are gone
}

// askWithin is how long a provider may take to list its servers.
const askWithin = time.Minute

// Reconcile asks each provider that something of this service is at which servers it has, and makes
// the inventory say so: what is gone leaves it, with the task services on it, and a server that a
// standing operation made comes back. It does not look at the task services of a server that is
// there. When every provider has answered, the inventory is verified. It looks at all effects.
// accept hears of the outcome before the commit, which also settles the request's Idempotency-Key.
func (s *Checkpoints) Reconcile(ctx context.Context, providers ServerLister, accept func(Reconciled)) (Reconciled, error) {
	mark, err := run.Verifications().Get(ctx, s.DB, run.VerificationID)
	if err != nil {
		return Reconciled{}, err
	}
	c := comparison{own: map[string]store.Write{}, asked: map[string]bool{}, there: map[string]map[string]dag.Resource{},
		lost: map[string]bool{}}
	if err := c.begin(ctx, s.DB); err != nil {
		return Reconciled{}, err
	}
	c.ask(ctx, providers)
	if err := c.compare(ctx, s.DB); err != nil {
		return Reconciled{}, err
	}
	c.addOwn(s.Now())
	c.Verified = len(c.Unanswered) == 0 && !mark.Value.Unfinished
	accept(c.Reconciled)
	return s.settle(ctx, &c, mark)
}

// begin notes what stands, and which providers are to be asked.
func (c *comparison) begin(ctx context.Context, db store.DB) error {
	page, err := db.List(ctx, store.Query{Kind: run.Resources().Kind})
	if err != nil {
		return err
	}
	c.before = page.Rev
	for row, err := range run.Resources().All(ctx, db, store.Query{}) {
		if err != nil {
			return err
		}
		c.asked[row.Value.Provider] = true
	}
	for row, err := range run.Effects().All(ctx, db, store.Query{}) {
		if err != nil {
			return err
		}
		if x := &row.Value; x.Progress.Applied {
			taskID, step := x.TaskAndStep()
			c.own[dag.Tag(taskID, step)] = store.Write{Key: run.Effects().Key(x.ID), Expect: store.At(row.Rev), Action: store.Check}
			for _, made := range x.Recorded.Made {
				c.asked[made.Provider] = true
			}
		}
	}
	return nil
}

// ask asks the providers beside each other.
func (c *comparison) ask(ctx context.Context, providers ServerLister) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	known := providers.ProviderNames()
	var mu sync.Mutex // of c
	var all sync.WaitGroup
	for name := range c.asked {
		if !slices.Contains(known, name) {
			mu.Lock()
			c.Unanswered = append(c.Unanswered, name+": is not in the configuration any more")
			mu.Unlock()
			continue
		}
		all.Go(func() {
			servers, err := providers.Servers(ctx, name)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				c.Unanswered = append(c.Unanswered, name+": "+message(err))
				return
			}
			c.there[name] = map[string]dag.Resource{}
			for _, server := range servers {
				c.there[name][server.Facts["tag"]] = server
			}
		})
	}
	all.Wait()
	slices.Sort(c.Unanswered)
}

// message is what an error says to people.
func message(err error) string {
	if f := fault.Of(err); f != nil {
		return f.Message
	}
	return err.Error()
}

// compare finds the resources of the inventory that are gone. A server sorts before the task
// services on it. A row that was written after the providers were asked is newer than their answer.
func (c *comparison) compare(ctx context.Context, db store.DB) error {
	for row, err := range run.Resources().All(ctx, db, store.Query{}) {
		if err != nil {
			return err
		}
		r := row.Value
		servers, answered := c.there[r.Provider]
		if !answered {
			continue
		}
		c.Checked++
		switch tag := r.Facts["tag"]; r.Kind {
		case "server":
			if _, there := servers[tag]; !there && row.Rev <= c.before {
				c.lost[r.Provider+"/"+r.Name] = true
				c.remove(row)
			}
			delete(servers, tag)
		default:
			server, _, _ := strings.Cut(r.Name, "/")
			if c.lost[r.Provider+"/"+server] {
				c.remove(row)
			}
		}
	}
	return nil
}

func (c *comparison) remove(row store.Row[run.Resource]) {
	c.Removed = append(c.Removed, run.Resources().ID(row.Value))
	c.changes = append(c.changes, difference{row: row.Value, gone: true, rev: row.Rev})
}

// addOwn lists again the servers that the inventory lacks and an operation that stands made.
func (c *comparison) addOwn(now time.Time) {
	for _, servers := range c.there {
		for tag, server := range servers {
			r := run.Resource{Facts: server.Facts, Kind: server.Kind, Name: server.Name, Provider: server.Provider, Updated: now.UTC()}
			key := run.Resources().ID(r)
			i := slices.IndexFunc(c.changes, func(x difference) bool { return run.Resources().ID(x.row) == key })
			switch {
			case c.own[tag].Key.ID == "":
				c.Unlisted = append(c.Unlisted, key)
				continue
			case i >= 0: // another server of that name was there before
				c.changes[i] = difference{row: r, rev: c.changes[i].rev, demand: c.own[tag]}
				c.Removed = slices.DeleteFunc(c.Removed, func(removed string) bool { return removed == key })
			default:
				c.changes = append(c.changes, difference{row: r, demand: c.own[tag]})
			}
			c.Added = append(c.Added, key)
		}
	}
	slices.Sort(c.Added)
	slices.Sort(c.Unlisted)
}

// settle commits what a comparison found. A row that somebody has changed meanwhile stays as it is,
// and so does the mark.
func (s *Checkpoints) settle(ctx context.Context, c *comparison, mark store.Row[run.Verification]) (Reconciled, error) {
	left := c.changes
	for len(left) > mostChanges {
		if err := s.settlePart(ctx, left[:mostChanges]); err != nil {
			return Reconciled{}, err
		}
		left = left[mostChanges:]
	}
	act := audit.EntryDraft{Action: "inventory.reconcile", Resource: "rollbacks/inventory", Details: map[string]any{"added": len(c.Added),
		"checked": c.Checked, "removed": len(c.Removed), "unlisted": len(c.Unlisted), "verified": c.Verified}}
	_, err := audit.Update(ctx, s.DB, &act, func(tx *store.Tx) error {
		if err := s.correct(left, tx.Add); err != nil {
			return err
		}
		if !c.Verified {
			return nil
		}
		at := s.Now().UTC()
		v := mark.Value
		v.ID, v.Unverified, v.ReconciledAt = run.VerificationID, false, &at
		w, err := run.Verifications().Write(v, store.At(mark.Rev))
		tx.Add(w)
		return err
	})
	if fault.Is(err, fault.Conflict) {
		return Reconciled{}, fault.New(fault.Conflict, "reconcile.changed",
			"The inventory was changed while the providers were asked; ask again.")
	}
	if err == nil && c.Verified {
		s.unverified.Store(false)
	}
	return c.Reconciled, err
}

// settlePart commits some of the changes of a reconcile that does not fit into one commit.
func (s *Checkpoints) settlePart(ctx context.Context, changes []difference) error {
	_, err := store.Update(ctx, s.DB, func(tx *store.Tx) error { return s.correct(changes, tx.Add) })
	return err
}
