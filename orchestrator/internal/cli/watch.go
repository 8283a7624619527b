package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/event"
	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/watch"
)

// watching are the flags of watch: what of the events is shown, and from where on.
type watching struct {
	events, types, infras, batches, tasks []string
	since                                 uint64
	epoch                                 string
	limit                                 time.Duration
	flags                                 *cli.Flags
}

func watchEvents() cli.Command {
	var w watching
	return remote(cli.Command{
		Use: "watch", Short: "show events as they happen",
		Long: "Shows a line an event until it is interrupted, with -o jsonl as the service sends them. The flags that choose take several" +
			" values;\nan event is shown that fits each of them, but either of --batch and --task. With --since nothing is missed " +
			"that is still kept.\n--timeout ends with 7.",
		Example: "  orchestrator watch --infra production --event-type TaskStatusChanged\n" +
			"  orchestrator watch --batch 01890000-0000-7000-8000-000000000001 --since 0 -o jsonl",
		Values:   map[string][]string{"events": event.Categories(), "event-type": event.Types()},
		Proposed: map[string]func(context.Context, *cli.IO) []string{"batch": batchIDs, "task": taskIDs},
		Flags: func(f *cli.Flags) {
			w.flags = f
			f.StringSliceVar(&w.events, "events", nil, "categories: "+strings.Join(event.Categories(), ", "))
			f.StringSliceVar(&w.types, "event-type", nil, "types, for example TaskStatusChanged")
			f.StringSliceVar(&w.infras, "infra", nil, "infras that the work is on")
			f.StringSliceVar(&w.batches, "batch", nil, "ids of batches")
			f.StringSliceVar(&w.tasks, "task", nil, "ids of tasks and workflows")
			f.Uint64Var(&w.since, "since", 0, "sequence of the last event you have; without it only what comes from now on is shown")
			f.StringVar(&w.epoch, "epoch", "", "epoch of that event, so that those of another store are not taken for what follows it")
			f.DurationVar(&w.limit, "timeout", 0, "stop after this long, for example 10m (default: never)")
		},
	}, w.run)
}

// query returns the query of /ws.
func (w *watching) query() url.Values {
	q := url.Values{}
	for name, words := range map[string][]string{
		"events": w.events, "event_types": w.types, "infra": w.infras, "batch_ids": w.batches, "task_ids": w.tasks,
	} {
		if len(words) > 0 {
			q.Set(name, strings.Join(words, ","))
		}
	}
	if w.flags.Changed("since") {
		q.Set("since", strconv.FormatUint(w.since, 10))
	}
	if w.epoch != "" {
		q.Set("epoch", w.epoch)
	}
	return q
}

func (w *watching) run(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
	events, err := dial(ctx, api, w.query())
	if err != nil {
		return err
	}
	defer func() { _ = events.Close() }()
	asked, ignore := signal.NotifyContext(ctx, os.Interrupt) // so that Ctrl-C can say how to go on
	defer ignore()
	if w.limit > 0 {
		var stop context.CancelFunc
		asked, stop = context.WithTimeout(asked, w.limit)
		defer stop()
	}
	var last watch.Event
	for {
		e, err := events.Next(asked)
		switch {
		case asked.Err() == nil && err != nil:
			return err
		case err != nil:
			if last.Sequence > 0 {
				o.Note("go on behind the last event with: --since %d --epoch %s", last.Sequence, last.Epoch)
			}
			if errors.Is(asked.Err(), context.DeadlineExceeded) {
				return cli.Exit(cli.ExitTimeout, fmt.Errorf("stopped after %s", w.limit))
			}
			return context.Canceled
		}
		if err := showEvent(o, e); err != nil {
			return err
		}
		last = e
	}
}

// showEvent writes an event: a line for a person, else the event as it came.
func showEvent(o *cli.IO, e watch.Event) error {
	if o.Format != "table" {
		return o.Print(e, cli.Table{})
	}
	var data struct {
		Status     string `json:"status"`
		Task       string `json:"task_id"`
		Batch      string `json:"batch_id"`
		Rollback   string `json:"rollback_id"`
		Checkpoint string `json:"checkpoint_id"`
		Webhook    string `json:"webhook_id"`
		Operation  string `json:"operation_id"`
		Name       string `json:"name"`
		Step       string `json:"current_step"`
		Error      string `json:"error"`
	}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return fmt.Errorf("event %d is not readable: %w", e.Sequence, err)
	}
	line := fmt.Sprintf("%s  %-22s %-10s", e.Timestamp.Format(rfc3339), e.Type, data.Status)
	for _, of := range [][2]string{{"batch", data.Batch}, {"operation", data.Operation}, {"task", data.Task}, {"rollback", data.Rollback},
		{"checkpoint", data.Checkpoint}, {"webhook", data.Webhook}} {
		if of[1] != "" {
			line += "  " + of[0] + " " + of[1]
		}
	}
	if what := cmp.Or(data.Step, data.Name); what != "" {
		line += "  " + what
	}
	_, err := fmt.Fprintln(o.Out, cli.Printable(strings.Join(strings.Split(line+because(data.Error), "\n"), " ")))
	return err
}
