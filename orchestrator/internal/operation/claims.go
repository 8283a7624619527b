package operation

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
)

// lookAgain is how often a task that waits for another's server looks.
const lookAgain = 50 * time.Millisecond

// errHeld says that another task holds a name.
var errHeld = errors.New("the name is held")

// claims keeps two tasks from making a server of the same name: between the making and the commit that
// puts it into the inventory, only this knows. What earlier processes left is learned once from each provider.
type claims struct {
	seeds   [2]maphash.Seed
	mu      sync.Mutex          // guards both maps
	tags    map[mark]mark       // server name → tag of the step that makes or made it
	learned map[string]*learned // by provider
}

func newClaims() claims {
	return claims{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, tags: map[mark]mark{}, learned: map[string]*learned{}}
}

// mark stands for a text in this process. Claims of all servers there are stay in memory, where texts would cost much
// more, and the collector would look at each.
type mark [2]uint64

func (c *claims) markOf(text string) mark {
	return mark{maphash.String(c.seeds[0], text), maphash.String(c.seeds[1], text)}
}

// learned says whether the servers of a provider are in tags. A provider that hangs holds up only its own.
type learned struct {
	mu   sync.Mutex
	done bool
}

// take claims a name for a tag. Whoever comes while another tag holds it tries again later: then the inventory
// tells whether the server exists.
func (c *claims) take(ctx context.Context, providerName string, d provider.Driver, name, tag string) error {
	if err := c.learn(ctx, providerName, d); err != nil {
		return err
	}
	key, holds := c.markOf(name), c.markOf(tag)
	c.mu.Lock()
	defer c.mu.Unlock()
	if holder, ok := c.tags[key]; ok && holder != holds {
		return provider.Errorf(dag.Transient, "server %s is being made or undone by another task; if this stays, a server of that name at provider %s is in no inventory", name, providerName).Because(errHeld)
	}
	c.tags[key] = holds
	return nil
}

// learn asks a provider, once, which servers it has. Whoever makes or destroys one asks first.
func (c *claims) learn(ctx context.Context, providerName string, d provider.Driver) error {
	c.mu.Lock()
	l := c.learned[providerName]
	if l == nil {
		l = &learned{}
		c.learned[providerName] = l
	}
	c.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return nil
	}
	servers, err := d.List(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range servers {
		if name := c.markOf(s.Name); c.tags[name] == (mark{}) {
			c.tags[name] = c.markOf(s.Tag)
		}
	}
	l.done = true
	return nil
}

// drop gives a name back when the tag has no server any more.
func (c *claims) drop(name, tag string) {
	key, holds := c.markOf(name), c.markOf(tag)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tags[key] == holds {
		delete(c.tags, key)
	}
}
