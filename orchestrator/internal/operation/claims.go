package operation

import (
	"sync"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
)

// claims are the steps at work on servers, by the server's name: those that make or delete it and
// of which an attempt runs or the effect is in doubt. The engine says so from the state of its
// runs, and nothing is remembered beyond: what exists is in the inventory, and a provider gives a
// name once.
type claims struct {
	mu   sync.Mutex
	tags map[string][]string // name → tags of the steps, the first in front
}

// Claim notes that a step is at work and returns what ends that; nil for a step that works on no
// server's existence. It is the engine's Claimer.
func (x *Executor) Claim(a dag.Attempt) (release func()) {
	if a.Step.Action != createServer && a.Step.Action != deleteServer {
		return nil
	}
	name, tag := a.Step.Name, a.Tag
	x.claims.add(name, tag)
	return func() { x.claims.remove(name, tag) }
}

func (c *claims) add(name, tag string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tags == nil {
		c.tags = map[string][]string{}
	}
	c.tags[name] = append(c.tags[name], tag)
}

func (c *claims) remove(name, tag string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	tags := c.tags[name]
	for i := range tags {
		if tags[i] == tag {
			tags = append(tags[:i:i], tags[i+1:]...)
			break
		}
	}
	if c.tags[name] = tags; len(tags) == 0 {
		delete(c.tags, name)
	}
}

// held says whether a step other than tag came first to the name.
func (c *claims) held(name, tag string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	tags := c.tags[name]
	return len(tags) > 0 && tags[0] != tag
}
