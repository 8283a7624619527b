package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/secret"
)

// tried bounds how long one write may go without an answer, over all its repeats.
const tried = 30 * time.Second

// ledger is what one client knows to be acknowledged.
type ledger struct {
	tasks   map[string]string // task id of a workflow → name of its server
	batches map[string]int    // batch id → number of its operations
	servers map[string]bool   // names of all servers that were accepted
	users   map[string]string // user id → name
	dying   map[string]bool   // user ids whose deletion was asked for
	deleted map[string]bool   // user ids whose deletion was acknowledged
}

// writer is one client: it writes without pause until it is stopped and keeps its ledger.
type writer struct {
	w      *world
	n      int
	random *rand.Rand
	made   int // things made so far; part of every name

	unknown atomic.Int64 // answers that left the outcome open

	mu     sync.Mutex
	ledger ledger // under mu
}

func newClient(w *world, n int, seed uint64) *writer {
	return &writer{w: w, n: n, random: rand.New(rand.NewPCG(seed, uint64(n))), ledger: ledger{
		tasks: map[string]string{}, batches: map[string]int{}, servers: map[string]bool{},
		users: map[string]string{}, dying: map[string]bool{}, deleted: map[string]bool{}}}
}

// run writes until the context ends; an answer that no retry explains ends it with an error.
func (c *writer) run(ctx context.Context) error {
	for ctx.Err() == nil {
		c.made++
		var err error
		switch n := c.random.IntN(100); {
		case n < 45:
			err = c.workflow(ctx)
		case n < 80:
			err = c.batch(ctx)
		case n < 92:
			err = c.createUser(ctx)
		default:
			err = c.deleteUser(ctx)
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("client %d: %w", c.n, err)
		}
		clock.Pause(ctx, time.Duration(c.random.IntN(30))*time.Millisecond, nil)
	}
	return nil
}

// again is again, counted.
func (c *writer) again(ctx context.Context, write func() error) error {
	return again(ctx, func() error {
		err := write()
		if fault.Is(err, fault.Unavailable) {
			c.unknown.Add(1)
		}
		return err
	})
}

// again repeats a write until its outcome is known. The write must be safe to repeat.
func again(ctx context.Context, write func() error) error {
	for began := time.Now(); ; clock.Pause(ctx, 20*time.Millisecond, nil) {
		err := write()
		retry := fault.Is(err, fault.Unavailable) || fault.CodeOf(err) == "idempotency.running"
		if !retry || ctx.Err() != nil {
			return err
		}
		if time.Since(began) > tried {
			return fmt.Errorf("no answer within %s: %w", tried, err)
		}
	}
}

func (c *writer) name(stem string) string { return fmt.Sprintf("%s-%d-%d", stem, c.n, c.made) }

// noted changes the ledger.
func (c *writer) noted(change func(l *ledger)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.ledger)
}

// workflow makes an infra of one server and submits its creation.
func (c *writer) workflow(ctx context.Context) error {
	infra, server := c.name("infra"), c.name("alone")
	folder := filepath.Join(c.w.infra, infra)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	text := fmt.Sprintf("[[servers]]\nname = %q\nplan = \"1xCPU-2GB\"\nzone = \"de-fra1\"\nprovider = \"cloud\"\n", server)
	if err := os.WriteFile(filepath.Join(folder, "config.toml"), []byte(text), 0o600); err != nil {
		return err
	}
	var task string
	err := c.again(ctx, func() (err error) {
		task, err = c.w.orch().SubmitWorkflow(ctx, "servers", client.Workflow{Infra: infra, Settings: "config.toml"}, infra)
		return err
	})
	if err == nil {
		c.noted(func(l *ledger) { l.tasks[task], l.servers[server] = server, true })
	}
	return err
}

// batch submits two servers and a third that waits for them.
func (c *writer) batch(ctx context.Context) error {
	name := c.name("batch")
	servers := []string{c.name("first"), c.name("second"), c.name("third")}
	config := func(names ...string) (list []map[string]string) {
		for _, n := range names {
			list = append(list, map[string]string{"name": n, "plan": "1xCPU-2GB", "zone": "de-fra1"})
		}
		return list
	}
	definition, err := json.Marshal(map[string]any{
		"name": name, "version": "1.0.0", "storage_backend": "filesystem", "parallel_limit": 2, "rollback_enabled": false,
		"operations": []map[string]any{
			{"id": "pair", "type": "server_batch", "provider": "cloud", "dependencies": []string{},
				"server_configs": config(servers[:2]...)},
			{"id": "third", "type": "server_batch", "provider": "cloud", "dependencies": []string{"pair"},
				"server_configs": config(servers[2])},
		}})
	if err != nil {
		return err
	}
	var b client.BatchRun
	err = c.again(ctx, func() (err error) {
		b, err = c.w.orch().SubmitBatch(ctx, definition, name)
		return err
	})
	if err == nil {
		c.noted(func(l *ledger) {
			l.batches[b.BatchID] = 2
			for _, s := range servers {
				l.servers[s] = true
			}
		})
	}
	return err
}

// createUser makes a user. Its name is this client's alone, so "exists already" after an unknown
// outcome is the acknowledgement of the first try.
func (c *writer) createUser(ctx context.Context) error {
	name := c.name("user")
	var u client.User
	unknown := false
	err := c.again(ctx, func() (err error) {
		u, err = c.w.cc().CreateUser(ctx, client.NewUser{Username: name, Email: name + "@example.com",
			Password: secret.New("a rather long passphrase 7"), Roles: []string{"viewer"}})
		if unknown && fault.Is(err, fault.Conflict) {
			u, err = c.w.find(ctx, name)
		}
		unknown = unknown || err != nil
		return err
	})
	if err == nil {
		c.noted(func(l *ledger) { l.users[u.ID] = name })
	}
	return err
}

// deleteUser deletes one of this client's users; after an unknown outcome "not found" is the
// acknowledgement.
func (c *writer) deleteUser(ctx context.Context) error {
	victim := ""
	c.noted(func(l *ledger) {
		for id := range l.users {
			if !l.dying[id] {
				victim = id
			}
		}
		l.dying[victim] = true
	})
	if victim == "" {
		return nil
	}
	unknown := false
	err := c.again(ctx, func() error {
		err := c.w.cc().DeleteUser(ctx, victim)
		if unknown && fault.Is(err, fault.NotFound) {
			err = nil
		}
		unknown = unknown || err != nil
		return err
	})
	if err == nil {
		c.noted(func(l *ledger) { l.deleted[victim] = true })
	}
	return err
}

// acknowledged returns a copy of the ledger.
func (c *writer) acknowledged() ledger {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.ledger
	return ledger{tasks: maps.Clone(l.tasks), batches: maps.Clone(l.batches), servers: maps.Clone(l.servers),
		users: maps.Clone(l.users), dying: maps.Clone(l.dying), deleted: maps.Clone(l.deleted)}
}
