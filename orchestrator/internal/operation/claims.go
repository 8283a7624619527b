package operation

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
	"github.com/provisioning-platform/platform/shared/fault"
)

// lookAgain is how often a task that waits for another's server looks.
const lookAgain = 50 * time.Millisecond

// errHeld says that another task holds a name.
var errHeld = errors.New("the name is held")

// claims keeps two tasks from making a server of the same name: between the making and the commit that puts it into the
// inventory, only this knows. What earlier processes left is learned once, from the inventory and from each provider;
// so a name that was never here is free, and nobody has to look it up.
type claims struct {
	mu      sync.Mutex          // guards both maps
	tags    map[string]string   // server name → tag of the step that makes or made it; "" for one that was given back
	learned map[string]*learned // by provider; "" is the inventory
}

// learned says whether the servers of a provider are in tags. A provider that hangs holds up only its own.
type learned struct {
	mu   sync.Mutex
	done bool
}

// named is a server as claims know it.
type named struct{ name, tag string }

// take claims a name for a tag. It fails with errHeld while another tag holds it: then the inventory tells whether
// that server exists by now. used says that others had the name before, so that the inventory may still know theirs.
func (c *claims) take(providerName, name, tag string) (used bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	holder, ok := c.tags[name]
	if ok && holder != tag && holder != "" {
		return true, provider.Errorf(dag.Transient, "server %s is being made or undone by another task; if this stays, a server of that name at provider %s is in no inventory", name, providerName).Because(errHeld)
	}
	c.tags[name] = tag
	return ok && holder == "", nil
}

// learn takes in, once, the servers that a source has.
func (c *claims) learn(ctx context.Context, source string, list func(context.Context) ([]named, error)) error {
	c.mu.Lock()
	l := c.learned[source]
	if l == nil {
		l = &learned{}
		c.learned[source] = l
	}
	c.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return nil
	}
	servers, err := list(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range servers {
		if _, ok := c.tags[s.name]; !ok {
			c.tags[s.name] = s.tag
		}
	}
	l.done = true
	return nil
}

// drop gives a name back when the tag has no server any more.
func (c *claims) drop(name, tag string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tags[name] == tag {
		c.tags[name] = ""
	}
}

// learn makes sure that the claims know the servers of the inventory and of a provider. Whoever makes or destroys one
// there does this first.
func (x *Executor) learn(ctx context.Context, providerName string, d provider.Driver) error {
	err := x.claims.learn(ctx, "", func(ctx context.Context) (all []named, err error) {
		for _, p := range x.ProviderNames() {
			servers, err := x.Inventory.Servers(ctx, p)
			if err != nil {
				return nil, fault.Wrap("list the servers of the inventory", err)
			}
			for _, s := range servers {
				all = append(all, named{s.Name, s.Facts[factTag]})
			}
		}
		return all, nil
	})
	if err != nil {
		return err
	}
	return x.claims.learn(ctx, providerName, func(ctx context.Context) (all []named, err error) {
		servers, err := d.List(ctx)
		for _, s := range servers {
			all = append(all, named{s.Name, s.Tag})
		}
		return all, err
	})
}
