// Command control-center says who may do what: accounts, tokens, policies and the audit log.
package main

import (
	"context"
	"os"

	"github.com/provisioning-platform/platform/control-center/internal/app"
	"github.com/provisioning-platform/platform/shared/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), app.Root(), cli.System(), os.Args[1:]))
}
