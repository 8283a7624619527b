package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/secret"
	"github.com/provisioning-platform/platform/shared/watch"
	"github.com/provisioning-platform/platform/tests/rig"
)

// demo is one run. Steps are methods in the order of the story.
type demo struct {
	bin, dir string
	started  time.Time
	rig      *rig.Rig
	step     int

	checkpoint string
	receiver   receiver
	batch      client.BatchRun
	servers    []server
}

// server is a machine that the batch made, as the batch's results describe it.
type server struct {
	Name string   `json:"name"`
	SSH  []string `json:"ssh"` // argument vector of the system's ssh, without the remote command
}

func (d *demo) run(ctx context.Context) error {
	for _, step := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"start both services on a fresh folder", d.start},
		{"sign in with password and TOTP", d.signIn},
		{"take a checkpoint", d.takeCheckpoint},
		{"name a receiver of webhooks", d.nameReceiver},
		{"submit the reference's batch, watch it live, kill the orchestrator half way", d.submitAndKill},
		{"verify the webhook that came", d.verifyWebhook},
		{"use the servers over SSH", d.useServers},
		{"roll back to the checkpoint", d.rollBack},
		{"verify both audit logs", d.verify},
	} {
		d.step++
		fmt.Printf("\n%d. %s\n", d.step, step.title)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
	}
	fmt.Printf("\nDone in %.1f s: %d operations ran as planned although the orchestrator was killed, %d servers were made, used over "+
		"SSH and removed, a signed webhook told of it, both logs verify.\n",
		time.Since(d.started).Seconds(), len(d.batch.Operations), len(d.servers))
	return nil
}

func (d *demo) start(ctx context.Context) error {
	o, err := rig.Sample(filepath.Dir(d.bin), d.bin, d.dir)
	if err != nil {
		return err
	}
	if d.rig, err = rig.Prepare(ctx, o); err != nil {
		return err
	}
	if err := d.rig.StartServices(ctx); err != nil {
		return err
	}
	fmt.Printf("   control-center  %s\n   orchestrator    %s\n", d.rig.ControlCenter.Address, d.rig.Orchestrator.Address)
	return nil
}

func (d *demo) signIn(ctx context.Context) error {
	password := filepath.Join(d.dir, "password")
	if err := os.WriteFile(password, []byte(d.rig.Admin.Password), 0o600); err != nil {
		return err
	}
	code, err := rig.TOTP(d.rig.Admin.TOTPSecret, time.Now().Unix()/30)
	if err != nil {
		return err
	}
	_, err = d.verb(ctx, "control-center", "auth", "login", "--server", d.rig.ControlCenter.Address,
		"--username", d.rig.Admin.Username, "--password-file", password, "--mfa-code", code)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(d.dir, "config", "provisioning-platform", "credentials.json"))
	if err != nil {
		return err
	}
	var saved struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(raw, &saved); err != nil {
		return err
	}
	d.rig.Token = secret.New(saved.Token)
	fmt.Printf("   signed in as %s\n", d.rig.Admin.Username)
	return nil
}

func (d *demo) takeCheckpoint(ctx context.Context) error {
	out, err := d.verb(ctx, "orchestrator", "checkpoint", "create", "before_the_demo", "--description", "an empty fleet")
	d.checkpoint = strings.TrimSpace(string(out))
	fmt.Printf("   checkpoint %s\n", d.checkpoint)
	return err
}

// submitAndKill runs the batch through the command line, which follows it over the WebSocket; as
// soon as the first operation is done the orchestrator is killed and started again, and the same
// command line follows to the end.
func (d *demo) submitAndKill(ctx context.Context) error {
	batch := filepath.Join(filepath.Dir(d.bin), "deploy", "sample", "batches", "multi_cloud_deployment.json")
	cmd := d.command(ctx, "orchestrator", "batch", "submit", batch, "--watch")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	events, err := watch.Dial(ctx, d.rig.Orchestrator.Address+"/ws?events=batch", d.rig.Token.Reveal(), 0, "", nil)
	if err != nil {
		return err
	}
	defer func() { _ = events.Close() }()
	if err := cmd.Start(); err != nil {
		return err
	}
	down, killErr := d.killWhenHalfDone(ctx, events)
	if err := errors.Join(killErr, cmd.Wait()); err != nil {
		return fmt.Errorf("the batch did not complete: %w", err)
	}
	// Said only now: on a terminal the live block above would be drawn over it.
	fmt.Printf("\n   half way the orchestrator was killed with SIGKILL; started again, it was ready after %.2f s and went on\n",
		down.Seconds())
	list, err := d.api().Batches(ctx, "", client.Page{Limit: 1})
	if err != nil || len(list.Rows) != 1 {
		return fmt.Errorf("the batch is not listed: %w", err)
	}
	if d.batch, err = d.api().Batch(ctx, list.Rows[0].BatchID); err != nil {
		return err
	}
	for _, o := range d.batch.Operations {
		if o.Status != "Completed" {
			return fmt.Errorf("operation %s is %s: %s", o.ID, o.Status, o.Error)
		}
		var results struct {
			Servers []server `json:"servers"`
		}
		if err := json.Unmarshal(o.Results, &results); err != nil {
			return err
		}
		d.servers = append(d.servers, results.Servers...)
	}
	return nil
}

// killWhenHalfDone waits until the first operation is done and the next one runs, kills the
// orchestrator and starts it again. It returns how long nobody was there.
func (d *demo) killWhenHalfDone(ctx context.Context, events *watch.Conn) (down time.Duration, err error) {
	completed := false
	for {
		e, err := events.Next(ctx)
		if err != nil {
			return 0, err
		}
		if e.Type != "OperationStatusChanged" {
			continue
		}
		if e.Metadata["status"] == "completed" {
			completed = true
		} else if completed && e.Metadata["status"] == "running" {
			break
		}
	}
	if err := d.rig.Orchestrator.Kill(); err != nil {
		return 0, err
	}
	died := time.Now()
	err = d.rig.Orchestrator.Start(ctx)
	return time.Since(died), err
}

// useServers proves that the servers are real: the system's ssh runs a command on each.
func (d *demo) useServers(ctx context.Context) error {
	if len(d.servers) == 0 {
		return errors.New("the batch's results name no server")
	}
	for _, s := range d.servers {
		args := append(append([]string(nil), s.SSH[1:]...), "ls", "etc")
		out, err := exec.CommandContext(ctx, s.SSH[0], args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ssh to %s: %w: %s", s.Name, err, out)
		}
		fmt.Printf("   ssh %s ls etc  →  %s\n", s.Name, strings.Join(strings.Fields(string(out)), " "))
	}
	return nil
}

func (d *demo) rollBack(ctx context.Context) error {
	out, err := d.verb(ctx, "orchestrator", "rollback", "execute", "--checkpoint", d.checkpoint, "--yes", "-o", "json")
	if err != nil {
		return err
	}
	var r client.Rollback
	if err := json.Unmarshal(out, &r); err != nil {
		return err
	}
	fmt.Printf("   %d operations undone in %.2f s, %d failed\n", r.OperationsExecuted, r.Duration, r.OperationsFailed)
	left, err := serversBelow(d.dir)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("servers are still running: %v", left)
	}
	fmt.Println("   no server process is left")
	return nil
}

func (d *demo) verify(ctx context.Context) error {
	if err := d.rig.Close(); err != nil {
		return err
	}
	for _, binary := range []string{"control-center", "orchestrator"} {
		out, err := d.verb(ctx, binary, "audit", "verify", "--data", filepath.Join(d.dir, binary))
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(out)) {
			fmt.Print("   " + line)
		}
	}
	return nil
}

func (d *demo) api() *client.Client { return d.rig.Orch(d.rig.Token) }

// command returns a verb of a binary with the demo's addresses and sign-in.
func (d *demo) command(ctx context.Context, binary string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, binary), args...)
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+filepath.Join(d.dir, "config"),
		"ORCHESTRATOR_SERVER="+d.rig.Orchestrator.Address, "CONTROL_CENTER_SERVER="+d.rig.ControlCenter.Address)
	return cmd
}

// verb runs a verb and returns its standard output.
func (d *demo) verb(ctx context.Context, binary string, args ...string) ([]byte, error) {
	cmd := d.command(ctx, binary, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s %s: %w: %s", binary, strings.Join(args, " "), err, errs.String())
	}
	return out, nil
}

func (d *demo) close() error {
	d.receiver.close()
	if d.rig == nil {
		return nil
	}
	return d.rig.Close()
}
