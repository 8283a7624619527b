package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/provisioning-platform/platform/tests/rig"
)

// configuration has a provider that takes no time, one that takes 1 ms, and as much at once as the
// jobs ask for.
const configuration = `log_level = "warn"
[limits]
tasks = 1024
steps = 1024
[metrics]
public = true
[providers.noop]
driver = "simulated"
[providers.slow]
driver = "simulated"
latency = "1ms"
`

// services are the figures that need both binaries.
func (b *bench) services() []part {
	names := []string{"http_get_tasks", "http_post_checkpoint"}
	for _, j := range jobs() {
		names = append(names, j.figures()...)
	}
	return []part{{names, b.withServices}, {directoryFigures(), b.directory}}
}

// withServices starts an installation and measures what needs one.
func (b *bench) withServices(ctx context.Context) (err error) {
	config := filepath.Join(b.dir, "orchestrator.toml")
	if err := os.WriteFile(config, []byte(configuration), 0o600); err != nil {
		return err
	}
	r, err := rig.Start(ctx, rig.Options{Bin: b.bin, Dir: b.dir, OrchestratorConfig: config})
	if err != nil {
		return err
	}
	defer func() {
		if e := r.Close(); err == nil {
			err = e
		}
	}()
	if b.wanted([]string{"http_get_tasks", "http_post_checkpoint"}) {
		if err := b.http(ctx, r); err != nil {
			return err
		}
	}
	for _, j := range jobs() {
		if !b.wanted(j.figures()) {
			continue
		}
		if err := b.job(ctx, r, j); err != nil {
			return fmt.Errorf("dag_%s: %w", j.name, err)
		}
	}
	return nil
}
