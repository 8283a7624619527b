package cli

import (
	"context"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
)

func tasks() cli.Command {
	return cli.Command{Use: "task", Short: "units of work that are queued and run",
		Commands: []cli.Command{taskList(), taskShow(), taskWatch(), taskCancel()}}
}

func taskList() cli.Command {
	var p client.Page
	var status string
	return remote(cli.Command{
		Use: "list", Short: "list tasks, newest first", Values: map[string][]string{"status": statuses},
		Example: "  orchestrator task list --status failed -o json",
		Flags: func(f *cli.Flags) {
			f.StringVar(&status, "status", "", "pending, running, completed, failed or cancelled")
			cli.PageFlags(f, &p)
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
		l, err := api.Tasks(ctx, status, p)
		if err != nil {
			return err
		}
		t := taskTable(l.Rows)
		for _, row := range t.Rows { // the first line of a result says how it went; task show has the rest
			last := len(row) - 1
			row[last], _, _ = strings.Cut(row[last], "\n")
		}
		return cli.PrintList(o, l, t)
	})
}

func taskShow() cli.Command {
	return remote(cli.Command{
		Use: "show ID", Short: "show one task", Args: 1, Complete: taskIDs,
		Example: "  orchestrator task show 01890000-0000-7000-8000-000000000001",
	},
		func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
			t, err := api.Task(ctx, args[0])
			if err != nil {
				return err
			}
			return o.Print(t, taskView(t))
		})
}

func taskWatch() cli.Command {
	var limit time.Duration
	return remote(cli.Command{
		Use: "watch ID", Short: "follow a task to its end", Args: 1, Complete: taskIDs, Flags: func(f *cli.Flags) { patience(f, &limit) },
		Long:    "Ends with 0 when the task completed, 8 when it failed, 9 when it was cancelled, 7 when --timeout passed first.",
		Example: "  orchestrator task watch 01890000-0000-7000-8000-000000000001 --timeout 10m",
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		events, err := dial(ctx, api, only(work(), "task_ids", args[0]))
		if err != nil {
			return err
		}
		defer func() { _ = events.Close() }()
		return followTask(ctx, o, api, events, args[0], limit)
	})
}

func taskCancel() cli.Command {
	return remote(cli.Command{
		Use: "cancel ID", Changes: true, Short: "cancel a task that has not ended", Args: 1, Complete: taskIDs,
		Long:    "Of a batch it ends this operation and those that depend on it; the others go on and nothing is undone.",
		Example: "  orchestrator task cancel 01890000-0000-7000-8000-000000000001",
	},
		func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
			if err := api.CancelTask(ctx, args[0]); err != nil {
				return err
			}
			return o.Done(cli.Result{ID: args[0], Result: "cancelled"}, "cancelled %s", args[0])
		})
}

// taskView shows one task.
func taskView(t client.Task) cli.Table {
	time := func(at *time.Time) string {
		if at == nil {
			return ""
		}
		return at.Format(rfc3339)
	}
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	return cli.Table{Facts: [][2]string{{"task", t.ID}, {"name", t.Name}, {"status", t.Status}, {"command", t.Command},
		{"dependencies", strings.Join(t.Dependencies, " ")},
		{"created", time(&t.CreatedAt)}, {"started", time(t.StartedAt)}, {"completed", time(t.CompletedAt)},
		{"rolled back", time(t.RolledBackAt)},
		{"output", text(t.Output)}, {"error", text(t.Error)}}}
}

// rfc3339 is how times stand in tables.
const rfc3339 = time.RFC3339

func taskTable(rows []client.Task) cli.Table {
	t := cli.Table{Head: []string{"ID", "NAME", "STATUS", "CREATED", "TOOK", "RESULT"}}
	for _, r := range rows {
		took, result := "", ""
		if r.StartedAt != nil && r.CompletedAt != nil {
			took = r.CompletedAt.Sub(*r.StartedAt).Round(10 * time.Millisecond).String()
		}
		switch {
		case r.Error != nil:
			result = *r.Error
		case r.Output != nil:
			result = *r.Output
		}
		t.Rows = append(t.Rows, []string{r.ID, r.Name, r.Status, r.CreatedAt.Format(time.RFC3339), took, result})
	}
	return t
}
