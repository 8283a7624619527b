package cli

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/bootstrap"
	"github.com/provisioning-platform/platform/shared/cli"
)

// credential returns the noun of the orchestrator's credential; its verb needs no running service.
func credential() cli.Command {
	var dir, peerURL string
	return cli.Command{Use: "credential", Short: "the file by which the orchestrator proves itself", Commands: []cli.Command{{
		Use: "renew", Short: "give the orchestrator's credential a fresh certificate for the service-to-service port",
		Long: "An orchestrator renews its certificate by itself. This is for a credential that has none yet, for another address of the " +
			"port, and for an orchestrator that was off for longer than a year. The service may run; hand the file over as after init, " +
			"then start the orchestrator again.",
		Example: "  control-center credential renew --data ./data\n  control-center credential renew --data ./data --peer-url " +
			"https://10.0.0.5:9443",
		Flags: func(f *cli.Flags) {
			f.StringVar(&dir, "data", "", "data folder of the control-center")
			f.StringVar(&peerURL, "peer-url", "", "where the orchestrator reaches the port; as before when absent, else "+
				bootstrap.DefaultPeerURL)
		},
		Run: func(_ context.Context, o *cli.IO, _ []string) error {
			if dir == "" {
				return cli.Usage("the data folder is missing: give --data DIR")
			}
			r, err := bootstrap.RenewCredential(dir, peerURL, time.Now())
			if err != nil {
				return err
			}
			return o.Print(r, cli.Table{Rows: [][]string{{"orchestrator_credential", r.OrchestratorCredential}, {"peer_url", r.PeerURL}}})
		},
	}}}
}
