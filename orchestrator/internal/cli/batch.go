package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/config"
	"github.com/provisioning-platform/platform/shared/watch"
)

func batches() cli.Command {
	return cli.Command{Use: "batch", Short: "many operations with dependencies between them",
		Commands: []cli.Command{batchSubmit(), batchList(), batchShow(), batchWatch(), batchCancel()}}
}

func batchSubmit() cli.Command {
	var follow bool
	var limit time.Duration
	var idempotency string
	return remote(cli.Command{
		Use: "submit FILE", Short: "submit a batch from a JSON file (- for standard input)", Args: 1,
		Long: "Without --watch it returns as soon as the batch is stored. With --watch it follows the batch over the WebSocket, also over a restart of the\n" +
			"orchestrator, and ends with 0 when it completed, 8 when it failed, 9 when it was cancelled, 7 when --timeout passed first. Interrupting it leaves\n" +
			"the batch running.",
		Example: "  orchestrator batch submit batch.json --watch",
		Flags: func(f *cli.Flags) {
			f.BoolVar(&follow, "watch", false, "follow the batch to its end")
			patience(f, &limit)
			key(f, &idempotency)
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		definition, err := readDefinition(o, args[0])
		if err != nil {
			return err
		}
		var events *watch.Conn
		if follow { // before the submission, so that nothing is missed
			if events, err = dial(ctx, api); err != nil {
				return err
			}
			defer func() { _ = events.Close() }()
		}
		b, err := api.SubmitBatch(ctx, definition, idempotency)
		if err != nil {
			return err
		}
		if !follow {
			o.Note("submitted; follow it with: orchestrator batch watch %s", b.BatchID)
			return o.Print(b, batchTable([]client.Batch{b}))
		}
		return followBatch(ctx, o, api, events, b, limit)
	})
}

// patience declares how long a verb follows a batch.
func patience(f *cli.Flags, into *time.Duration) {
	f.DurationVar(into, "timeout", 0, "stop following after this long, for example 10m; the batch goes on (default: never)")
}

// readDefinition reads the file and says early what is not JSON; everything else is the service's to judge.
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
	var probe any
	if err := json.Unmarshal(raw, &probe); err != nil {
		return nil, cli.Usage("%s is not JSON: %s", path, err)
	}
	return raw, nil
}

func dial(ctx context.Context, api *client.Client) (*watch.Conn, error) {
	return watch.Dial(ctx, strings.TrimRight(api.Base, "/")+"/ws?events=batch,task,progress", api.Token.Reveal(), 0, "")
}

func batchWatch() cli.Command {
	var limit time.Duration
	return remote(cli.Command{Use: "watch ID", Short: "follow a batch to its end", Args: 1, Flags: func(f *cli.Flags) { patience(f, &limit) }},
		func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
			events, err := dial(ctx, api)
			if err != nil {
				return err
			}
			defer func() { _ = events.Close() }()
			b, err := api.Batch(ctx, args[0])
			if err != nil {
				return err
			}
			return followBatch(ctx, o, api, events, b, limit)
		})
}

// followBatch shows events until the batch has ended, prints its last view and returns how it ended. The
// socket is the only source while it runs; one request at the end fetches the results. A limit of 0 is none.
func followBatch(ctx context.Context, o *cli.IO, api *client.Client, events *watch.Conn, b client.Batch, limit time.Duration) error {
	var over <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		over = timer.C
	}
	ctx, ignore := signal.NotifyContext(ctx, os.Interrupt) // so that Ctrl-C can say that the batch goes on
	defer ignore()
	show := newDisplay(o, b)
	clock := time.NewTicker(time.Second) // the seconds go on while nothing happens
	defer clock.Stop()
	following, stop := context.WithCancel(ctx)
	defer stop()
	arrived := listen(following, events)
	for !show.ended() {
		select {
		case <-ctx.Done():
			o.Note("\nthe batch goes on; follow it again with: orchestrator batch watch %s", b.BatchID)
			return context.Canceled
		case <-over:
			return cli.Exit(cli.ExitTimeout, fmt.Errorf("batch %s has not ended within %s; it goes on, follow it again with: orchestrator batch watch %s", b.BatchID, limit, b.BatchID))
		case <-clock.C:
			show.draw()
		case a := <-arrived:
			if a.err != nil && ctx.Err() == nil {
				return a.err
			}
			if a.err == nil {
				show.event(a.event)
			}
		}
	}
	show.close()
	end, err := api.Batch(ctx, b.BatchID)
	if err != nil {
		return err
	}
	if err := o.Print(end, operationTable(end)); err != nil {
		return err
	}
	switch end.Status {
	case "Completed":
		return nil
	case "Cancelled":
		return cli.Exit(cli.ExitRunCancelled, fmt.Errorf("batch %s was cancelled", end.BatchID))
	}
	return cli.Exit(cli.ExitRunFailed, fmt.Errorf("batch %s is %s: %s", end.BatchID, strings.ToLower(end.Status), firstError(end)))
}

// arrival is what the socket gave: an event, or why there will be none.
type arrival struct {
	event watch.Event
	err   error
}

// listen reads events until the first error, which it hands on too, or until nobody wants them.
func listen(ctx context.Context, events *watch.Conn) <-chan arrival {
	arrived := make(chan arrival)
	go func() {
		for {
			e, err := events.Next(ctx)
			select {
			case arrived <- arrival{e, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return arrived
}

func firstError(b client.Batch) string {
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
		Use: "list", Short: "list batches, newest first",
		Flags: func(f *cli.Flags) {
			f.StringVar(&status, "status", "", "running, completed, failed or cancelled")
			cli.PageFlags(f, &p)
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
		l, err := api.Batches(ctx, status, p)
		if err != nil {
			return err
		}
		o.More(len(l.Rows), l.Extent)
		return o.Print(l.Rows, batchTable(l.Rows))
	})
}

func batchShow() cli.Command {
	return remote(cli.Command{Use: "show ID", Short: "show a batch and its operations", Args: 1},
		func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
			b, err := api.Batch(ctx, args[0])
			if err != nil {
				return err
			}
			return o.Print(b, operationTable(b))
		})
}

func batchCancel() cli.Command {
	return remote(cli.Command{Use: "cancel ID", Short: "stop a batch; what is done stays done", Args: 1},
		func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
			if err := api.CancelBatch(ctx, args[0]); err != nil {
				return err
			}
			o.Note("cancelled %s; to undo what it did: orchestrator rollback execute --operation %s/OPERATION", args[0], args[0])
			return nil
		})
}

func batchTable(rows []client.Batch) cli.Table {
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

func operationTable(b client.Batch) cli.Table {
	t := cli.Table{Head: []string{"OPERATION", "STATUS", "PROGRESS", "TASK", "NOTE"}}
	for _, op := range b.Operations {
		note := op.Error
		if op.RolledBackAt != nil {
			note = "rolled back at " + op.RolledBackAt.Format(time.RFC3339)
		}
		t.Rows = append(t.Rows, []string{op.ID, op.Status, fmt.Sprintf("%.0f%%", op.Progress), op.TaskID, note})
	}
	return t
}
