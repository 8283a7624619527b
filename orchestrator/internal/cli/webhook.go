package cli

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/secret"
)

func webhooks() cli.Command {
	return cli.Command{Use: "webhook", Short: "send events to a URL, signed", Commands: []cli.Command{
		webhookCreate(), webhookList(), webhookShow(), webhookUpdate(), webhookPause(), webhookResume(), webhookRotate(), webhookDelete(),
		webhookTest(), webhookDeliveries(), webhookDelivery(), webhookRedeliver(),
	}}
}

// webhookIDs proposes ids for the shell.
var webhookIDs = proposed(func(ctx context.Context, api *client.Client, p client.Page) ([]string, error) {
	l, err := api.Webhooks(ctx, p)
	var ids []string
	for _, w := range l.Rows {
		ids = append(ids, w.ID+"\t"+w.URL)
	}
	return ids, err
})

// secretFrom reads the secret in a file; none when no file is named.
func secretFrom(path string) (secret.Text, error) {
	if path == "" {
		return secret.Text{}, nil
	}
	return cli.SecretFile(path)
}

// showSecret prints a secret that nothing shows again.
func showSecret(o *cli.IO, s client.WebhookSecret) error {
	o.Note("keep the secret: nothing shows it again")
	return o.Print(map[string]string{"id": s.ID, "secret": s.Secret.Reveal()},
		cli.Table{Head: []string{"ID", "SECRET"}, Rows: [][]string{{s.ID, s.Secret.Reveal()}}})
}

func webhookCreate() cli.Command {
	var in client.WebhookInput
	var description, file string
	return remote(cli.Command{
		Use: "create URL", Changes: true, Short: "send events to a URL from now on, and print the secret that verifies them", Args: 1,
		Example: "  orchestrator webhook create https://receiver.example/hook --event task.failed --event batch.completed",
		Flags: func(f *cli.Flags) {
			f.StringSliceVar(&in.Events, "event", nil, "send this event; may be repeated")
			f.StringVar(&description, "description", "", "what it is for")
			f.StringVar(&file, "secret-file", "", "file with the secret; without it the service makes one")
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) (err error) {
		if len(in.Events) == 0 {
			return cli.Usage("say with --event what is to be sent, such as --event task.failed")
		}
		if in.Secret, err = secretFrom(file); err != nil {
			return err
		}
		in.URL, in.Description = &args[0], &description
		s, err := api.CreateWebhook(ctx, in, "")
		if err != nil {
			return err
		}
		return showSecret(o, s)
	})
}

func webhookList() cli.Command {
	var p client.Page
	return remote(cli.Command{
		Use: "list", Short: "list webhooks, newest first", Example: "  orchestrator webhook list",
		Flags: func(f *cli.Flags) { cli.PageFlags(f, &p) },
	}, func(ctx context.Context, o *cli.IO, api *client.Client, _ []string) error {
		l, err := api.Webhooks(ctx, p)
		if err != nil {
			return err
		}
		return cli.PrintList(o, l, webhookTable(l.Rows))
	})
}

func webhookTable(rows []client.Webhook) cli.Table {
	t := cli.Table{Head: []string{"ID", "URL", "EVENTS", "STATUS", "REASON", "OWNER", "DESCRIPTION"}}
	for _, w := range rows {
		t.Rows = append(t.Rows, []string{w.ID, w.URL, strings.Join(w.Events, ","), w.Status, w.Reason, w.Owner, w.Description})
	}
	return t
}

func webhookShow() cli.Command {
	return remote(cli.Command{
		Use: "show ID", Short: "show one webhook and what it will never be sent", Args: 1, Complete: webhookIDs,
		Example: "  orchestrator webhook show 0199…",
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		w, err := api.Webhook(ctx, args[0])
		if err != nil {
			return err
		}
		for _, l := range w.Lost {
			o.Note("events %d to %d were pruned on %s before they came to it", l.From, l.To, l.At.Format(time.RFC3339))
		}
		return o.Print(w, webhookTable([]client.Webhook{w}))
	})
}

func webhookUpdate() cli.Command {
	var in client.WebhookInput
	var address, description string
	return remote(cli.Command{
		Use: "update ID", Changes: true, Short: "change a webhook's URL, events or description; it belongs to you then", Args: 1,
		Complete: webhookIDs,
		Example:  "  orchestrator webhook update 0199… --event task.failed",
		Flags: func(f *cli.Flags) {
			f.StringVar(&address, "url", "", "send to this URL")
			f.StringSliceVar(&in.Events, "event", nil, "send these events and no others; may be repeated")
			f.StringVar(&description, "description", "", "what it is for")
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		if address != "" {
			in.URL = &address
		}
		if description != "" {
			in.Description = &description
		}
		if in.URL == nil && in.Description == nil && len(in.Events) == 0 {
			return cli.Usage("give --url, --event or --description")
		}
		w, err := api.UpdateWebhook(ctx, args[0], in)
		if err != nil {
			return err
		}
		return o.Print(w, webhookTable([]client.Webhook{w}))
	})
}

func webhookPause() cli.Command {
	var reason string
	return remote(cli.Command{
		Use: "pause ID", Changes: true, Short: "stop sending; what happens meanwhile waits", Args: 1, Complete: webhookIDs,
		Example: "  orchestrator webhook pause 0199… --reason 'the receiver moves'",
		Flags:   func(f *cli.Flags) { f.StringVar(&reason, "reason", "", "why, for those who look at it later") },
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		if err := api.PauseWebhook(ctx, args[0], reason); err != nil {
			return err
		}
		return o.Done(cli.Result{ID: args[0], Result: "paused"}, "webhook %s is paused", args[0])
	})
}

func webhookResume() cli.Command {
	return remote(cli.Command{
		Use: "resume ID", Changes: true, Short: "go on sending where it was paused", Args: 1, Complete: webhookIDs,
		Example: "  orchestrator webhook resume 0199…",
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		if err := api.ResumeWebhook(ctx, args[0]); err != nil {
			return err
		}
		return o.Done(cli.Result{ID: args[0], Result: "resumed"}, "webhook %s is sent to again", args[0])
	})
}

func webhookRotate() cli.Command {
	var file string
	return remote(cli.Command{
		Use: "rotate ID", Changes: true, Short: "make a new secret and print it; the one before stays valid for 24 hours", Args: 1,
		Complete: webhookIDs,
		Example:  "  orchestrator webhook rotate 0199…",
		Flags: func(f *cli.Flags) {
			f.StringVar(&file, "secret-file", "", "file with the secret; without it the service makes one")
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		given, err := secretFrom(file)
		if err != nil {
			return err
		}
		s, err := api.RotateWebhook(ctx, args[0], given)
		if err != nil {
			return err
		}
		return showSecret(o, s)
	})
}

func webhookDelete() cli.Command {
	var yes bool
	return remote(cli.Command{
		Use: "delete ID", Changes: true, Short: "delete a webhook with its deliveries", Args: 1, Complete: webhookIDs,
		Example: "  orchestrator webhook delete 0199…",
		Long:    "Says where it sends to and asks before it is deleted. --yes does not ask; without a terminal it is needed.",
		Flags:   func(f *cli.Flags) { f.BoolVar(&yes, "yes", false, "do not ask") },
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		w, err := api.Webhook(ctx, args[0])
		if err != nil {
			return err
		}
		o.Note("this deletes the webhook to %s with what it was not sent yet", w.URL)
		if err := o.Confirm("go on? [yes/no] ", "yes", yes); err != nil {
			return err
		}
		if err := api.DeleteWebhook(ctx, args[0]); err != nil {
			return err
		}
		return o.Done(cli.Result{ID: args[0], Result: "deleted"}, "webhook %s is deleted", args[0])
	})
}

func webhookTest() cli.Command {
	return remote(cli.Command{
		Use: "test ID", Changes: true, Short: "send the event webhook.test", Args: 1, Complete: webhookIDs,
		Example: "  orchestrator webhook test 0199…",
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		d, err := api.TestWebhook(ctx, args[0])
		if err != nil {
			return err
		}
		o.Note("see what came of it: orchestrator webhook delivery %s %s", args[0], d.ID)
		return o.Print(d, deliveryTable([]client.Delivery{d}))
	})
}

func webhookDeliveries() cli.Command {
	var p client.Page
	var status string
	return remote(cli.Command{
		Use: "deliveries ID", Short: "list the deliveries of a webhook, newest first", Args: 1, Complete: webhookIDs,
		Example: "  orchestrator webhook deliveries 0199… --status dead",
		Flags: func(f *cli.Flags) {
			cli.PageFlags(f, &p)
			f.StringVar(&status, "status", "", "only pending, delivered or dead ones")
		},
		Values: map[string][]string{"status": {"pending", "delivered", "dead"}},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		l, err := api.Deliveries(ctx, args[0], status, p)
		if err != nil {
			return err
		}
		return cli.PrintList(o, l, deliveryTable(l.Rows))
	})
}

func deliveryTable(rows []client.Delivery) cli.Table {
	t := cli.Table{Head: []string{"ID", "EVENT", "SEQUENCE", "STATUS", "TRIES", "LAST ANSWER", "NEXT TRY", "CAUSE"}}
	for _, d := range rows {
		last, next := "", ""
		if n := len(d.Attempts); n > 0 {
			if last = d.Attempts[n-1].Error; last == "" {
				last = strconv.Itoa(d.Attempts[n-1].Status)
			}
		}
		if d.NextTry != nil {
			next = d.NextTry.Format(time.RFC3339)
		}
		t.Rows = append(t.Rows, []string{d.ID, d.Event, strconv.FormatUint(d.Sequence, 10), d.Status, strconv.Itoa(d.Tries), last, next,
			d.Cause})
	}
	return t
}

func webhookDelivery() cli.Command {
	return remote(cli.Command{
		Use: "delivery ID DELIVERY", Short: "show one delivery with its attempts and what is sent", Args: 2, Complete: webhookIDs,
		Example: "  orchestrator webhook delivery 0199… 5f1c…",
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		d, err := api.Delivery(ctx, args[0], args[1])
		if err != nil {
			return err
		}
		o.Note("sent: %s", d.Payload)
		return o.Print(d, deliveryTable([]client.Delivery{d}))
	})
}

func webhookRedeliver() cli.Command {
	var delivery string
	var from, to uint64
	var dead bool
	return remote(cli.Command{
		Use: "redeliver ID", Changes: true, Short: "send one delivery, or a range of events, again", Args: 1, Complete: webhookIDs,
		Long: "The id of a delivery stays the same. A range has at most 1000 sequences and may begin before the webhook was made; " +
			"events that it was never\n" +
			"sent are sent too.",
		Example: "  orchestrator webhook redeliver 0199… --delivery 5f1c…\n  orchestrator webhook redeliver 0199… --from 100 --to 250 " +
			"--dead",
		Flags: func(f *cli.Flags) {
			f.StringVar(&delivery, "delivery", "", "send this one")
			f.Uint64Var(&from, "from", 0, "sequence of the first event")
			f.Uint64Var(&to, "to", 0, "sequence of the last event")
			f.BoolVar(&dead, "dead", false, "of a range: only what was given up")
		},
	}, func(ctx context.Context, o *cli.IO, api *client.Client, args []string) error {
		if (delivery == "") == (from == 0 || to == 0) {
			return cli.Usage("give --delivery, or --from and --to")
		}
		if delivery != "" {
			d, err := api.Redeliver(ctx, args[0], delivery)
			if err != nil {
				return err
			}
			return o.Print(d, deliveryTable([]client.Delivery{d}))
		}
		r, err := api.RedeliverRange(ctx, args[0], from, to, dead)
		if err != nil {
			return err
		}
		if r.NotKept > 0 {
			o.Note("%d events of the range are not kept any more", r.NotKept)
		}
		return o.Done(cli.Result{ID: args[0], Result: "queued"}, "%d deliveries will be sent", r.Queued)
	})
}
