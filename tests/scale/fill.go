package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/tests/rig"
)

// configuration is one provider that does nothing and as much at once as it is asked for.
const configuration = `log_level = "warn"
[limits]
tasks = 1024
steps = 1024
[providers.noop]
driver = "simulated"
`

const (
	perBatch = 2000 // operations of a batch: as many as there may be
	inFlight = 6    // batches at once
)

// installation is one that a job works on.
type installation struct {
	*rig.Rig
	filled bool // by an earlier run
	mark   string
}

// install starts the installation of a job in its folder; done is to be called when it is filled.
func (s *scale) install(ctx context.Context, name string) (*installation, error) {
	dir := filepath.Join(s.dir, name)
	o := rig.Options{Bin: s.bin, Dir: dir, OrchestratorConfig: filepath.Join(dir, "orchestrator.toml"),
		ControlCenterConfig: filepath.Join(dir, "control-center.toml")}
	mark := filepath.Join(dir, "filled.json")
	if raw, err := os.ReadFile(mark); err == nil {
		var admin rig.Bootstrap
		if err := json.Unmarshal(raw, &admin); err != nil {
			return nil, err
		}
		opened, err := rig.Open(o, admin)
		if err != nil {
			return nil, err
		}
		in := &installation{Rig: opened, filled: true, mark: mark}
		return in, in.begin(ctx)
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for path, text := range map[string]string{o.OrchestratorConfig: configuration,
		o.ControlCenterConfig: "log_level = \"warn\"\n[tokens]\naccess_ttl = \"8h\"\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	r, err := rig.Prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	in := &installation{Rig: r, mark: mark}
	return in, in.begin(ctx)
}

// begin starts the services and signs in.
func (in *installation) begin(ctx context.Context) error {
	if err := in.StartServices(ctx); err != nil {
		return err
	}
	session, err := in.Login(ctx)
	if fault.Is(err, fault.Unauthenticated) { // a run before has used this moment's code
		session, err = in.Login(ctx)
	}
	in.Token = session.Token
	return err
}

// done notes that the installation is filled.
func (in *installation) done() error {
	raw, err := json.Marshal(in.Admin)
	if err != nil {
		return err
	}
	return os.WriteFile(in.mark, raw, 0o600)
}

// fill submits tasks, of which so many make a server; the others only look. It returns when all
// have ended.
func (in *installation) fill(ctx context.Context, tasks, servers int) error {
	next := make(chan int)
	failed := make(chan error, inFlight)
	var all sync.WaitGroup
	for range inFlight {
		all.Go(func() {
			for from := range next {
				if err := in.batch(ctx, from, min(perBatch, tasks-from), servers); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	defer all.Wait()
	defer close(next)
	for from := 0; from < tasks; from += perBatch {
		select {
		case next <- from:
		case err := <-failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
		if from%(perBatch*50) == 0 {
			fmt.Fprintf(os.Stderr, "scale: %d tasks submitted\n", from)
		}
	}
	return nil
}

// batch submits operations number from to from+n and waits for their end.
func (in *installation) batch(ctx context.Context, from, n, servers int) error {
	type server struct {
		Name string `json:"name"`
	}
	type operation struct {
		ID        string   `json:"id"`
		Type      string   `json:"type"`
		Provider  string   `json:"provider"`
		Servers   []server `json:"server_configs"`
		CheckMode bool     `json:"check_mode"`
	}
	ops := make([]operation, n)
	for i := range ops {
		name := fmt.Sprintf("s-%07d", from+i)
		ops[i] = operation{ID: name, Type: "server_batch", Provider: "noop", Servers: []server{{name}}, CheckMode: from+i >= servers}
	}
	body, err := json.Marshal(map[string]any{"name": fmt.Sprintf("batch-%d", from/perBatch), "parallel_limit": 500, "operations": ops})
	if err != nil {
		return err
	}
	api := in.Orch(in.Token)
	b, err := api.SubmitBatch(ctx, body, "")
	if err != nil {
		return err
	}
	last := b.Operations[n-1].TaskID
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		// The last task is a cheap thing to ask about; the batch itself is asked when that has
		// ended.
		if t, err := api.Task(ctx, last); err != nil {
			return err
		} else if t.Status == "Completed" {
			if b, err = api.Batch(ctx, b.BatchID); err != nil || b.Status == "Completed" {
				tick.Stop()
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// index puts rows of acts into the audit log's index, as the orchestrator's copier does: one author
// and one action for nearly all, and in the middle one row each of somebody else and of something
// else.
func (in *installation) index(ctx context.Context, rows int) error {
	credential, err := client.ReadCredential(in.Admin.OrchestratorCredential)
	if err != nil {
		return err
	}
	peer := &client.Peer{Base: in.ControlCenter.Address, Credential: credential, Now: time.Now}
	const run = 1000
	began := time.Now().Add(-time.Duration(rows) * time.Second)
	for from := 0; from < rows; from += run {
		c := audit.Copied{First: int64(1<<40 + from)}
		for i := from; i < min(from+run, rows); i++ {
			e := audit.Entry{Action: "server.create", Actor: audit.Actor{Sub: busy, Username: "busy"}, Origin: "orchestrator",
				Phase:    audit.Event,
				Resource: fmt.Sprintf("servers/old-%d", i%50_000), Result: audit.Success, Time: began.Add(time.Duration(i) * time.Second),
				V: 1}
			switch i {
			case rows / 2:
				e.Action = "once.only"
			case rows/2 + 1:
				e.Actor.Sub = rare
			}
			e.ID = id.At(e.Time)
			body, err := e.Encode()
			if err != nil {
				return err
			}
			c.Entries = append(c.Entries, string(body))
		}
		if err := peer.CopyEntries(ctx, &c); err != nil {
			return err
		}
	}
	return nil
}

// The authors of the rows that index makes.
const (
	busy = "01997b1c-0000-7000-8000-00000000b051"
	rare = "01997b1c-0000-7000-8000-0000000000aa"
)
