package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
)

func states() cli.Command {
	return cli.Command{Use: "state", Short: "how far work is, how much there was, and how the service is",
		Commands: []cli.Command{stateProgress(), stateSnapshots(), stateMetrics(), stateHealth(), stateStatistics()}}
}

func stateProgress() cli.Command {
	return remote(cli.Command{
		Use: "progress ID", Short: "how far a batch or a task is", Args: 1, Complete: batchIDs,
		Example: "  orchestrator state progress 01890000-0000-7000-8000-000000000001",
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		p, err := api.Progress(ctx, args[0])
		if err != nil {
			return err
		}
		remaining := "not known yet"
		if p.Remaining != nil {
			remaining = (time.Duration(*p.Remaining) * time.Second).String()
		}
		return o.Print(p, cli.Table{Facts: [][2]string{{"workflow", p.WorkflowID}, {"status", p.Status},
			{"progress", fmt.Sprintf("%.1f%%", p.Progress)}, {"steps", fmt.Sprintf("%d of %d", p.Completed, p.Total)},
			{"current step", p.Step}, {"remaining", remaining}}})
	})
}

func stateSnapshots() cli.Command {
	var p client.Page
	return remote(cli.Command{
		Use: "snapshots ID", Short: "what a batch or a task was after each change, oldest first", Args: 1, Complete: batchIDs,
		Long:    "Of one that has ended the first, the last and those of failures are kept.",
		Example: "  orchestrator state snapshots 01890000-0000-7000-8000-000000000001",
		Flags:   func(f *cli.Flags) { cli.PageFlags(f, &p) },
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		l, err := api.Snapshots(ctx, args[0], p)
		if err != nil {
			return err
		}
		t := cli.Table{Head: []string{"TIME", "STATE", "PROGRESS", "STEP", "COMPLETED", "ERROR"}}
		for _, s := range l.Rows {
			d := s.Details
			t.Rows = append(t.Rows, []string{s.At.Format(time.RFC3339Nano), s.State, fmt.Sprintf("%.1f%%", d.Progress), d.Step,
				fmt.Sprintf("%d/%d", d.Completed, d.Total), d.Error})
		}
		return cli.PrintList(o, l, t)
	})
}

func stateMetrics() cli.Command {
	return remote(cli.Command{
		Use: "metrics", Short: "workflows by status, and the load of the orchestrator's machine",
		Example: "  orchestrator state metrics -o json",
	}, func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
		m, err := api.SystemMetrics(ctx)
		if err != nil {
			return err
		}
		count := func(n int64) string { return strconv.FormatInt(n, 10) }
		return o.Print(m, cli.Table{Facts: [][2]string{{"workflows", count(m.Total)}, {"active", count(m.Active)},
			{"completed", count(m.Completed)}, {"failed", count(m.Failed)}, {"cancelled", count(m.Cancelled)},
			{"processors", fmt.Sprintf("%.1f%%", m.Load.CPU)}, {"memory", fmt.Sprintf("%d MiB", m.Load.Memory)},
			{"disk", fmt.Sprintf("%.1f%%", m.Load.Disk)}}})
	})
}

func stateHealth() cli.Command {
	return remote(cli.Command{
		Use: "health", Short: "how the parts of the orchestrator are", Example: "  orchestrator state health",
	}, func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
		h, err := api.SystemHealth(ctx)
		if err != nil {
			return err
		}
		return o.Print(h, cli.Table{Facts: [][2]string{{"overall", h.Overall}, {"storage", h.Components.Storage},
			{"batch coordinator", h.Components.Coordinator}, {"monitoring", h.Components.Monitoring},
			{"reasons", strings.Join(h.Reasons, ", ")}, {"last check", h.LastCheck.Format(time.RFC3339)}}})
	})
}

func stateStatistics() cli.Command {
	return remote(cli.Command{
		Use: "statistics", Short: "totals since the store was made, and its size", Example: "  orchestrator state statistics",
	}, func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
		s, err := api.Statistics(ctx)
		if err != nil {
			return err
		}
		return o.Print(s, cli.Table{Facts: [][2]string{{"workflows", strconv.FormatInt(s.Total, 10)},
			{"snapshots kept", strconv.FormatInt(s.Snapshots, 10)}, {"storage", s.StorageUsage},
			{"average duration", fmt.Sprintf("%.3f s", s.Average)}}})
	})
}
