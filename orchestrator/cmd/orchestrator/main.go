// Command orchestrator runs provisioning work: batches, checkpoints, rollback and live events.
package main

import (
	"context"
	"os"

	"github.com/provisioning-platform/platform/orchestrator/internal/app"
	"github.com/provisioning-platform/platform/shared/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), app.Root(), cli.System(), os.Args[1:]))
}
