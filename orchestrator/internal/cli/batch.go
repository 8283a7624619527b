package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/watch"
)

func batches() cli.Command {
	return cli.Command{Use: "batch", Short: "many operations with dependencies between them",
		Commands: []cli.Command{batchSubmit(), batchList(), batchShow(), batchWatch(), batchCancel(), batchAdopt()}}
}

func batchSubmit() cli.Command {
	var follow bool
	var limit time.Duration
	return remote(cli.Command{
		Use: "submit FILE", Changes: true, Short: "submit a batch from a JSON file (- for standard input)", Args: 1,
		Long: "Without --watch it returns as soon as the batch is stored. With --watch it follows the batch over the WebSocket, also " +
			"over a restart of the\n" +
			"orchestrator, and ends with 0 when it completed, 8 when it failed, 9 when it was cancelled, 7 when --timeout passed first. " +
			"Interrupting it leaves\n" +
			"the batch running.",
		Example: "  orchestrator batch submit batch.json --watch",
		Flags: func(f *cli.Flags) {
			f.BoolVar(&follow, "watch", false, "follow the batch to its end")
			patience(f, &limit)
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		definition, err := readDefinition(o, args[0])
		if err != nil {
			return err
		}
		return begin(ctx, o, api, follow, limit, func() (client.BatchRun, error) {
			b, err := api.SubmitBatch(ctx, definition, "")
			return b, cli.Located(args[0], definition, err)
		})
	})
}

// begin submits a batch and follows it if that is asked for.
func begin(ctx context.Context, o *cli.IO, api *client.Client, follow bool, limit time.Duration,
	submit func() (client.BatchRun, error)) error {
	var events *watch.Conn
	if follow { // before the submission, so that nothing is missed
		var err error
		if events, err = dial(ctx, api, work()); err != nil {
			return err
		}
		defer func() { _ = events.Close() }()
	}
	b, err := submit()
	if err != nil {
		return err
	}
	if !follow {
		o.Note("submitted; follow it with: orchestrator batch watch %s", b.BatchID)
		return o.Print(b, batchTable([]client.BatchRun{b}))
	}
	return followBatch(ctx, o, api, events, b, limit)
}

// patience declares how long a verb follows a batch.
func patience(f *cli.Flags, into *time.Duration) {
	f.DurationVar(into, "timeout", 0, "stop following after this long, for example 10m; the batch goes on (default: never)")
}

// readDefinition reads the file and says early what is not JSON; everything else is the service's
// to judge.
func readDefinition(o *cli.IO, path string) (json.RawMessage, error) {
	var raw []byte
	var err error
	if path == "-" {
		raw, err = io.ReadAll(o.In)
	} else {
		raw, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, cli.Exit(cli.ExitUsage, fmt.Errorf("the batch cannot be read: %w", err))
	}
	raw = config.WithoutMark(raw)
	return raw, cli.CheckJSON(path, raw)
}

func batchWatch() cli.Command {
	var limit time.Duration
	return remote(cli.Command{
		Use: "watch NAME|ID", Short: "follow a batch to its end", Args: 1, Complete: batchIDs,
		Flags:   func(f *cli.Flags) { patience(f, &limit) },
		Example: "  orchestrator batch watch 01890000-0000-7000-8000-000000000001 --timeout 10m",
	},
		func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
			id, err := batchID(ctx, api, args[0])
			if err != nil {
				return err
			}
			events, err := dial(ctx, api, only(work(), "batch_ids", id))
			if err != nil {
				return err
			}
			defer func() { _ = events.Close() }()
			b, err := api.Batch(ctx, id)
			if err != nil {
				return err
			}
			return followBatch(ctx, o, api, events, b, limit)
		})
}

// followBatch shows events until the batch has ended, prints its last view and returns how it
// ended. The socket is the only source while it runs; one request at the end fetches the results.
func followBatch(ctx context.Context, o *cli.IO, api *client.Client, events *watch.Conn, b client.BatchRun, limit time.Duration) error {
	if err := follow(ctx, o, events, newDisplay(o, b), limit, "orchestrator batch watch "+b.BatchID); err != nil {
		return err
	}
	end, err := api.Batch(ctx, b.BatchID)
	if err != nil {
		return err
	}
	if err := o.Print(end, batchView(end)); err != nil {
		return err
	}
	why := ""
	if end.Status == "Failed" {
		why = firstError(end)
	}
	return howItEnded("batch "+end.BatchID, end.Status, why)
}

func firstError(b client.BatchRun) string {
	for _, op := range b.Operations {
		if op.Status == "Failed" && op.Error != "" {
			return op.ID + ": " + op.Error
		}
	}
	return "see: orchestrator batch show " + b.BatchID
}

func batchList() cli.Command {
	var p client.Page
	var status string
	return remote(cli.Command{
		Use: "list", Short: "list batches, newest first", Values: map[string][]string{"status": statuses},
		Example: "  orchestrator batch list --status running",
		Flags: func(f *cli.Flags) {
			f.StringVar(&status, "status", "", "running, completed, failed or cancelled")
			cli.PageFlags(f, &p)
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
		l, err := api.Batches(ctx, status, p)
		if err != nil {
			return err
		}
		return cli.PrintList(o, l, batchTable(l.Rows))
	})
}

func batchShow() cli.Command {
	return remote(cli.Command{
		Use: "show NAME|ID", Short: "show a batch and its operations", Args: 1, Complete: batchIDs,
		Example: "  orchestrator batch show 01890000-0000-7000-8000-000000000001",
	},
		func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
			b, err := namedBatch(ctx, api, args[0])
			if err != nil {
				return err
			}
			return o.Print(b, batchView(b))
		})
}

func batchCancel() cli.Command {
	return remote(cli.Command{
		Use: "cancel NAME|ID", Changes: true, Short: "stop a batch; what is done stays done", Args: 1, Complete: batchIDs,
		Example: "  orchestrator batch cancel 01890000-0000-7000-8000-000000000001",
	},
		func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
			id, err := batchID(ctx, api, args[0])
			if err != nil {
				return err
			}
			if err := api.CancelBatch(ctx, id); err != nil {
				return err
			}
			return o.Done(cli.Result{ID: id, Result: "cancelled"},
				"cancelled %s; to undo what it did: orchestrator rollback execute --batch %s", id, id)
		})
}

func batchAdopt() cli.Command {
	var follow bool
	var limit time.Duration
	return remote(cli.Command{
		Use: "adopt ID", Changes: true, Short: "go on with what a batch left undone because its submitter lost the right to it", Args: 1,
		Complete: batchIDs,
		Long: "The operations that ended for that reason become a new batch of your own, once; what they depend on and is completed " +
			"counts as done. The old\n" +
			"batch stays as it ended.",
		Example: "  orchestrator batch adopt 01890000-0000-7000-8000-000000000001 --watch",
		Flags: func(f *cli.Flags) {
			f.BoolVar(&follow, "watch", false, "follow the new batch to its end")
			patience(f, &limit)
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		return begin(ctx, o, api, follow, limit, func() (client.BatchRun, error) { return api.AdoptBatch(ctx, args[0], "") })
	})
}

// namedBatch returns the batch that text names, as batchID finds it.
func namedBatch(ctx context.Context, api *client.Client, text string) (client.BatchRun, error) {
	id, err := batchID(ctx, api, text)
	if err != nil {
		return client.BatchRun{}, err
	}
	return api.Batch(ctx, id)
}

func batchTable(rows []client.BatchRun) cli.Table {
	t := cli.Table{Head: []string{"ID", "NAME", "STATUS", "OPERATIONS", "CREATED"}}
	for _, b := range rows {
		done, undone, created := 0, 0, ""
		for _, op := range b.Operations {
			if op.Status == "Completed" {
				done++
			}
			if op.RolledBackAt != nil {
				undone++
			}
		}
		count := fmt.Sprintf("%d/%d", done, len(b.Operations))
		if undone > 0 {
			count += fmt.Sprintf(", %d undone", undone)
		}
		if b.CreatedAt != nil {
			created = b.CreatedAt.Format(time.RFC3339)
		}
		t.Rows = append(t.Rows, []string{b.BatchID, b.Name, b.Status, count, created})
	}
	return t
}

// batchView shows a batch and its operations.
func batchView(b client.BatchRun) cli.Table {
	created := ""
	if b.CreatedAt != nil {
		created = b.CreatedAt.Format(time.RFC3339)
	}
	t := cli.Table{Facts: [][2]string{{"batch", b.BatchID}, {"name", b.Name}, {"status", b.Status}, {"created", created}},
		Head: []string{"OPERATION", "STATUS", "PROGRESS", "TASK", "NOTE"}}
	for _, op := range b.Operations {
		note := op.Error
		if op.RolledBackAt != nil {
			note = "rolled back at " + op.RolledBackAt.Format(time.RFC3339)
		}
		t.Rows = append(t.Rows, []string{op.ID, op.Status, fmt.Sprintf("%.0f%%", op.Progress), op.TaskID, note})
	}
	return t
}
