package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/provisioning-platform/platform/tests/rig"
)

// The addresses of the reference (contracts/platform.md I1).
const (
	controlCenterListen = "localhost:9080"
	orchestratorListen  = "localhost:9090"
	controlCenterTLS    = "localhost:9444"
	orchestratorTLS     = "localhost:9445"
	directoryListen     = "127.0.0.1:7777" // the Provisioning API of the control-center
	peerListen          = "127.0.0.1:9443"
)

// keepServing runs both services on a persistent folder until the context ends. The first start
// initialises the folder; what init printed is kept beside it, readable by the owner only, so that
// the steps can be printed again.
func keepServing(ctx context.Context, bin, dir string) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	o, err := rig.Sample(filepath.Dir(bin), bin, dir)
	if err != nil {
		return err
	}
	o.TLS, o.Peer, o.Directory = true, peerListen, directoryListen
	r, err := openOrPrepare(ctx, o, filepath.Join(dir, "first-login.json"))
	if err != nil {
		return err
	}
	if err := errors.Join(serveUntil(ctx, r), r.Close()); err != nil {
		return err
	}
	servers, err := serversBelow(dir)
	if len(servers) > 0 {
		fmt.Printf("servers that batches made keep running (%d) and are found again by the next make run; a rollback removes them\n",
			len(servers))
	}
	return err
}

// serveUntil starts both services and returns when the context ends or one of them has ended by
// itself, which the Close of the rig reports.
func serveUntil(ctx context.Context, r *rig.Rig) error {
	r.ControlCenter.ListenTLS, r.Orchestrator.ListenTLS = controlCenterTLS, orchestratorTLS
	if err := r.ControlCenter.StartOn(ctx, controlCenterListen); err != nil {
		return err
	}
	if err := r.Connect(ctx); err != nil {
		return err
	}
	if err := r.Orchestrator.StartOn(ctx, orchestratorListen); err != nil {
		return err
	}
	firstSteps(r)
	select {
	case <-ctx.Done():
	case <-r.ControlCenter.Done():
	case <-r.Orchestrator.Done():
	}
	fmt.Println("\nstopping …")
	return nil
}

// openOrPrepare returns the installation in the folder, initialised at the first call.
func openOrPrepare(ctx context.Context, o rig.Options, file string) (*rig.Rig, error) {
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		r, err := rig.Prepare(ctx, o)
		if err != nil {
			return nil, err
		}
		raw, err := json.MarshalIndent(r.Admin, "", "  ")
		if err != nil {
			return nil, err
		}
		return r, os.WriteFile(file, raw, 0o600)
	}
	if err != nil {
		return nil, err
	}
	var admin rig.Bootstrap
	if err := json.Unmarshal(raw, &admin); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", file, err)
	}
	return rig.Open(o, admin)
}

// firstSteps prints what a person does next.
func firstSteps(r *rig.Rig) {
	fmt.Printf(`
control-center  %s     API description: %s/docs
orchestrator    %s     API description: %s/docs

With TLS:       https://%s (control-center), https://%s (orchestrator)
                curl --cacert %s https://%s/health

Provisioning API %s     API description: %s/docs
                user admin makes subscriptions, password in %s
                user udm publishes, password in %s
                (realm control-center: the accounts of this installation)

First login:
  user name   %s
  password    %s
  TOTP        %s
              (add it to an authenticator, or: oathtool --totp -b SECRET)
              %s

  bin/control-center auth login --username %s
  bin/orchestrator batch submit deploy/sample/batches/multi_cloud_deployment.json --watch

Data and logs are in %s; what stands above is in first-login.json there. Ctrl-C stops both services.
`, r.ControlCenter.Address, r.ControlCenter.Address, r.Orchestrator.Address, r.Orchestrator.Address,
		controlCenterTLS, orchestratorTLS, r.Authority(), orchestratorTLS,
		r.ControlCenter.Directory, r.ControlCenter.Directory, r.DirectoryPassword("admin"), r.DirectoryPassword("publisher"),
		r.Admin.Username, r.Admin.Password, r.Admin.TOTPSecret, r.Admin.TOTPURI, r.Admin.Username, r.Dir)
}
