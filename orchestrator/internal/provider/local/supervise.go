package local

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/orchestrator/internal/provider"
)

// Times of the supervision.
const (
	lookEvery    = time.Second
	startTimeout = 20 * time.Second
	retryFirst   = time.Second
	retryMost    = time.Minute
)

// Run starts the servers that have no process, now and whenever one dies, until ctx ends. The
// servers outlive it.
func (d *Driver) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		ids, err := d.ids()
		if err != nil {
			d.config.Log.Error("local servers cannot be listed", "error", err)
		}
		for _, id := range ids {
			if ctx.Err() == nil {
				d.look(ctx, id)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look sees to one server.
func (d *Driver) look(ctx context.Context, id string) {
	e := d.lock(id)
	gone := false
	defer func() { d.unlock(id, e, gone) }()
	if e.process.alive() || time.Now().Before(e.retry) {
		return
	}
	who, ok, err := d.folder(id).identity()
	if gone = !ok; gone {
		if err != nil {
			d.config.Log.Warn("a local server cannot be read", "server", id, "error", err)
			e.retry = time.Now().Add(retryMost)
		}
		return
	}
	if _, err := d.ensure(ctx, d.folder(id), who, e); err != nil {
		d.config.Log.Warn("a local server does not start", "server", id, "name", who.Name, "error", err)
		e.retry = time.Now().Add(min(retryFirst<<min(e.failed, 10), retryMost))
		e.failed++
		return
	}
	e.failed = 0
}

// ensure returns the process of the server: the one that runs (adopted when another orchestrator
// started it), or a new one. The caller holds the entry.
func (d *Driver) ensure(ctx context.Context, f folder, who serverIdentity, e *entry) (process, error) {
	if e.process.alive() {
		return e.process, nil
	}
	p, err := f.process()
	if err != nil {
		d.config.Log.Warn("a local server's process record is damaged and is made anew", "server", who.ID, "error", err)
	}
	if p.Server == who.ID && p.serves(f) {
		e.process = p
		return p, nil
	}
	if p.PID != 0 {
		end(f, process{}) // what the dead process may have left running
	}
	if p, err = d.start(ctx, f, who); err != nil {
		return process{}, err
	}
	e.process = p
	return p, nil
}

// start starts the server's process in a session of its own, with nothing of our environment and
// descriptors, and waits until it says over a pipe where it listens.
func (d *Driver) start(ctx context.Context, f folder, who serverIdentity) (process, error) {
	out, err := os.OpenFile(f.at("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return process{}, failed("start server "+who.Name, err)
	}
	defer out.Close()
	ready, tell, err := os.Pipe()
	if err != nil {
		return process{}, failed("start server "+who.Name, err)
	}
	defer ready.Close()
	cmd := exec.Command(d.config.Command[0], append(append([]string(nil), d.config.Command[1:]...), string(f))...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + searchPath, "LANG=C.UTF-8", "HOME=" + f.at("root"), "GOMAXPROCS=2", "GOMEMLIMIT=64MiB", marker + "=" +
		string(f)}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = []*os.File{tell} // descriptor 3
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	inheritNothing()
	err = cmd.Start()
	tell.Close()
	if err != nil {
		return process{}, failed("start server "+who.Name, err)
	}
	go cmd.Wait() // so that it does not stay as a zombie; its end is noticed by looking
	ready.SetReadDeadline(time.Now().Add(startTimeout))
	stop := context.AfterFunc(ctx, func() { ready.SetReadDeadline(time.Now()) })
	defer stop()
	var p process
	line, err := bufio.NewReader(ready).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &p)
	}
	if err == nil {
		return p, nil
	}
	if ctx.Err() != nil {
		return process{}, ctx.Err()
	}
	// It ended at once when another process, started by an orchestrator that was killed since,
	// serves the folder.
	if waitFor(time.Second, func() bool { p, err = f.process(); return err == nil && p.serves(f) }) {
		return p, nil
	}
	return process{}, provider.Errorf(dag.Transient,
		"the process of server %s did not start; the orchestrator's log says where its own log is", who.Name).
		Because(fmt.Errorf("no answer: %v; the server's log is %s", err, f.at("log")))
}
