package simulated

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"sort"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
	"github.com/provisioning-platform/platform/shared/clock"
)

// Driver is a provider.Driver without infrastructure.
type Driver struct {
	config Config
	now    func() time.Time

	mu      sync.Mutex // guards all below
	servers map[key]record
	names   map[key]key // of a name: the server that has it
	used    []int       // by fault: how often it applied
	tokens  float64
	filled  time.Time
	state   *journal
	owned   bool // state is ours and was read
	calls   *journal
}

// change is one line of the state file.
type change struct {
	Gone   bool            `json:"gone,omitempty"`
	Server provider.Server `json:"server"`
}

// Call is one line of the calls file.
type Call struct {
	Action  string    `json:"action"`
	Command []string  `json:"command,omitempty"` // of "run"
	Effect  bool      `json:"effect"`            // something was changed or run
	ID      string    `json:"id,omitempty"`
	Name    string    `json:"name"`
	Result  dag.Class `json:"result"`
	Tag     string    `json:"tag,omitempty"`
	Time    time.Time `json:"time"`
}

// Open returns a driver with the servers of its state file.
func Open(config Config, now func() time.Time) (*Driver, error) {
	if err := config.Check(); err != nil {
		return nil, err
	}
	d := &Driver{config: config, now: now, servers: map[key]record{}, names: map[key]key{}, used: make([]int, len(config.Faults)),
		tokens: max(1, config.Throttle), filled: now()}
	var err error
	if d.state, err = openJournal(config.State); err != nil {
		return nil, err
	}
	if d.calls, err = openJournal(config.Calls); err != nil {
		return nil, err
	}
	if d.calls != nil {
		if err := cutTorn(d.calls.file); err != nil {
			return nil, fmt.Errorf("simulated provider: %w", err)
		}
	}
	return d, d.load()
}

// load reads the state file, unless that was done or another process works with the file; under mu,
// but for Open.
func (d *Driver) load() error {
	if d.state == nil || d.owned {
		return nil
	}
	ours, err := d.state.own()
	if err == nil && ours {
		err = d.read()
		d.owned = err == nil
	}
	return err
}

// read takes in the whole state file.
func (d *Driver) read() error {
	clear(d.servers)
	clear(d.names)
	if err := cutTorn(d.state.file); err != nil {
		return fmt.Errorf("simulated provider: %w", err)
	}
	if _, err := d.state.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("simulated provider: %w", err)
	}
	lines := bufio.NewScanner(d.state.file)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var c change
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return fmt.Errorf("simulated provider: state file %s: %w", d.config.State, err)
		}
		d.apply(c)
	}
	return lines.Err()
}

// apply takes a change into memory; under mu.
func (d *Driver) apply(c change) {
	k, name := keyOf(c.Server.Tag), keyOf(c.Server.Name)
	if !c.Gone {
		d.servers[k], d.names[name] = recordOf(c.Server), k
		return
	}
	delete(d.servers, k)
	if d.names[name] == k {
		delete(d.names, name)
	}
}

// keep writes a change into the state file, if there is one.
func (d *Driver) keep(c change) error {
	if d.state == nil {
		return nil
	}
	return d.state.add(c)
}

// call is the frame of every call: throttle, fault, latency, effect, record.
func (d *Driver) call(ctx context.Context, c Call, effect func() error) error {
	if err := d.ready(); err != nil {
		return err
	}
	fault, throttled := d.admit(c)
	err := pause(ctx, d.config.Latency+d.jitter()+fault.Latency)
	if err != nil {
		return err
	}
	switch {
	case throttled:
		err = &provider.Error{Class: dag.Throttled, Message: "the provider refuses more calls for now",
			RetryAfter: time.Duration(float64(time.Second) / d.config.Throttle)}
	case fault.Class != "" && !fault.After:
		err = fault.err(c)
	default:
		d.mu.Lock()
		err = effect()
		d.mu.Unlock()
		c.Effect = err == nil
		if err == nil && fault.Class != "" {
			err = fault.err(c)
		}
	}
	if d.calls != nil && mutating(c.Action) {
		c.Time, c.Result = d.now(), dag.OK
		if err != nil {
			c.Result = provider.Classify(err).Class
		}
		if jerr := d.calls.add(c); jerr != nil {
			return jerr
		}
	}
	return err
}

// ready says why the servers are not known, or nil. It asks again each time, because the other
// process ends.
func (d *Driver) ready() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(); err != nil {
		return err
	}
	if d.state != nil && !d.owned {
		return provider.Errorf(dag.Transient,
			"another process works with the state file of this provider: end it, or give this orchestrator a file of its own "+
				"(providers.NAME.state)")
	}
	return nil
}

// pause waits, or returns why not; no time costs nothing.
func pause(ctx context.Context, wait time.Duration) error {
	if wait > 0 && !clock.Pause(ctx, wait, nil) {
		return ctx.Err()
	}
	return nil
}

// admit takes a token and picks the fault of a call.
func (d *Driver) admit(c Call) (fault Fault, throttled bool) {
	if d.config.Throttle == 0 && len(d.config.Faults) == 0 {
		return Fault{}, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if rate := d.config.Throttle; rate > 0 {
		now := d.now()
		d.tokens = min(max(1, rate), d.tokens+now.Sub(d.filled).Seconds()*rate)
		d.filled = now
		if d.tokens < 1 {
			return Fault{}, true
		}
		d.tokens--
	}
	for i, f := range d.config.Faults {
		if (f.Times == 0 || d.used[i] < f.Times) && f.matches(c) {
			d.used[i]++
			return f, false
		}
	}
	return Fault{}, false
}

func (d *Driver) jitter() time.Duration {
	if d.config.Jitter <= 0 {
		return 0
	}
	return rand.N(d.config.Jitter)
}

func (f Fault) matches(c Call) bool {
	if f.Action == "" && !mutating(c.Action) || f.Action != "" && f.Action != c.Action {
		return false
	}
	if ok, _ := path.Match(f.Match, c.Name); f.Match != "" && !ok {
		return false
	}
	if f.Command == "" {
		return true
	}
	for _, word := range c.Command {
		if ok, _ := path.Match(f.Command, path.Base(word)); ok {
			return true
		}
	}
	return false
}

func (f Fault) err(c Call) error {
	if f.Message != "" {
		return provider.Errorf(f.Class, "%s", f.Message)
	}
	return provider.Errorf(f.Class, "simulated failure (%s) of %s for %s", f.Class, c.Action, c.Name)
}

// Create records the server.
func (d *Driver) Create(ctx context.Context, spec provider.Spec) (provider.Server, error) {
	k := keyOf(spec.Tag)
	s := provider.Server{ID: k.id(), Tag: spec.Tag, Name: spec.Name, Plan: spec.Plan, Zone: spec.Zone}
	err := d.call(ctx, Call{Action: "create", ID: s.ID, Name: spec.Name, Tag: spec.Tag}, func() error {
		if r, ok := d.servers[k]; ok {
			old := r.server()
			if old.Name != s.Name || old.Plan != s.Plan || old.Zone != s.Zone {
				return provider.Errorf(dag.ConflictClass, "the tag already belongs to server %s with plan %q in zone %q", old.Name,
					old.Plan, old.Zone)
			}
			return nil
		}
		if _, taken := d.names[keyOf(s.Name)]; taken {
			return provider.Taken(s.Name)
		}
		if err := d.keep(change{Server: s}); err != nil {
			return err
		}
		d.apply(change{Server: s})
		return nil
	})
	if err == nil && spec.Wait {
		err = provider.Begun(pause(ctx, d.config.Boot))
	}
	if err != nil {
		return provider.Server{}, err
	}
	return s, nil
}

// Delete forgets the server.
func (d *Driver) Delete(ctx context.Context, server provider.Server) error {
	if server.ID == "" {
		server.ID = keyOf(server.Tag).id()
	}
	return d.call(ctx, Call{Action: "delete", ID: server.ID, Name: server.Name, Tag: server.Tag}, func() error {
		old, ok := d.server(server.ID)
		switch {
		case !ok:
			return nil
		case old.Tag != server.Tag:
			return provider.Errorf(dag.Permanent, "server %s carries another tag than ours and is not deleted", old.Name)
		}
		if err := d.keep(change{Gone: true, Server: old}); err != nil {
			return err
		}
		d.apply(change{Gone: true, Server: old})
		return nil
	})
}

// Find answers by tag.
func (d *Driver) Find(ctx context.Context, tag string) (s provider.Server, ok bool, err error) {
	id := keyOf(tag).id()
	err = d.call(ctx, Call{Action: "find", Tag: tag, Name: d.name(id)}, func() error {
		s, ok = d.server(id)
		return nil
	})
	return s, ok && err == nil, err
}

func (d *Driver) name(id string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, _ := d.server(id)
	return s.Name
}

// List returns all servers, ordered by ID.
func (d *Driver) List(ctx context.Context) (list []provider.Server, err error) {
	err = d.call(ctx, Call{Action: "list"}, func() error {
		for _, r := range d.servers {
			list = append(list, r.server())
		}
		return nil
	})
	sort.Slice(list, func(i, j int) bool { return list[i].ID < list[j].ID })
	return list, err
}
