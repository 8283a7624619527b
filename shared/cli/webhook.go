package cli

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/secret"
)

// WebhookVerbs is the noun webhook of a program, the same for both services.
type WebhookVerbs struct {
	Program string // its name, for the examples
	Target  Target
	Events  [2]string // that a webhook may ask for, for the examples
}

// Command returns the noun with its verbs.
func (w WebhookVerbs) Command() Command {
	return Command{Use: "webhook", Short: "send events to a URL, signed", Commands: []Command{
		w.create(), w.list(), w.show(), w.update(), w.pause(), w.resume(), w.rotate(), w.delete(), w.test(), w.deliveries(), w.delivery(),
		w.redeliver(),
	}}
}

// remote returns a verb that runs with a signed-in client and proposes webhooks for its argument.
// PROGRAM in its example stands for the name of the program.
func (w WebhookVerbs) remote(c Command, run func(ctx context.Context, o *IO, api *client.Client, args []string) error) Command {
	c.Example = strings.ReplaceAll(c.Example, "PROGRAM", w.Program)
	if c.Args > 0 && c.Complete == nil {
		c.Complete = w.Target.Propose(func(ctx context.Context, api *client.Client, p client.Page) (ids []string, err error) {
			l, err := api.Webhooks(ctx, p)
			for _, w := range l.Rows {
				ids = append(ids, w.ID+"\t"+w.URL)
			}
			return ids, err
		})
	}
	return w.Target.Remote(c, run)
}

// secretFrom reads the secret in a file; none when no file is named.
func secretFrom(path string) (secret.Text, error) {
	if path == "" {
		return secret.Text{}, nil
	}
	return SecretFile(path)
}

// showSecret prints a secret that nothing shows again.
func showSecret(o *IO, s client.WebhookSecret) error {
	o.Note("keep the secret: nothing shows it again")
	return o.Print(map[string]string{"id": s.ID, "secret": s.Secret.Reveal()},
		Table{Head: []string{"ID", "SECRET"}, Rows: [][]string{{s.ID, s.Secret.Reveal()}}})
}

func (w WebhookVerbs) create() Command {
	var in client.WebhookInput
	var description, file string
	return w.remote(Command{
		Use: "create URL", Changes: true, Short: "send events to a URL from now on, and print the secret that verifies them", Args: 1,
		Example: "  PROGRAM webhook create https://receiver.example/hook --event " + w.Events[0] + " --event " + w.Events[1],
		Flags: func(f *Flags) {
			f.StringSliceVar(&in.Events, "event", nil, "send this event; may be repeated")
			f.StringVar(&description, "description", "", "what it is for")
			f.StringVar(&file, "secret-file", "", "file with the secret; without it the service makes one")
		},
	}, func(ctx context.Context, o *IO, api *client.Client, args []string) (err error) {
		if len(in.Events) == 0 {
			return Usage("say with --event what is to be sent, such as --event %s", w.Events[0])
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

func (w WebhookVerbs) list() Command {
	var p client.Page
	return w.remote(Command{
		Use: "list", Short: "list webhooks, newest first", Example: "  PROGRAM webhook list",
		Flags: func(f *Flags) { PageFlags(f, &p) },
	}, func(ctx context.Context, o *IO, api *client.Client, _ []string) error {
		l, err := api.Webhooks(ctx, p)
		if err != nil {
			return err
		}
		return PrintList(o, l, webhookTable(l.Rows))
	})
}

func webhookTable(rows []client.Webhook) Table {
	t := Table{Head: []string{"ID", "URL", "EVENTS", "STATUS", "REASON", "OWNER", "DESCRIPTION"}}
	for _, w := range rows {
		t.Rows = append(t.Rows, []string{w.ID, w.URL, strings.Join(w.Events, ","), w.Status, w.Reason, w.Owner, w.Description})
	}
	return t
}

func (w WebhookVerbs) show() Command {
	return w.remote(Command{
		Use: "show ID", Short: "show one webhook and what it will never be sent", Args: 1,
		Example: "  PROGRAM webhook show 0199…",
	}, func(ctx context.Context, o *IO, api *client.Client, args []string) error {
		hook, err := api.Webhook(ctx, args[0])
		if err != nil {
			return err
		}
		for _, l := range hook.Lost {
			o.Note("events %d to %d were pruned on %s before they came to it", l.From, l.To, l.At.Format(time.RFC3339))
		}
		return o.Print(hook, webhookTable([]client.Webhook{hook}))
	})
}

func (w WebhookVerbs) update() Command {
	var in client.WebhookInput
	var address, description string
	return w.remote(Command{
		Use: "update ID", Changes: true, Short: "change a webhook's URL, events or description; it belongs to you then", Args: 1,
		Example: "  PROGRAM webhook update 0199… --event " + w.Events[0],
		Flags: func(f *Flags) {
			f.StringVar(&address, "url", "", "send to this URL")
			f.StringSliceVar(&in.Events, "event", nil, "send these events and no others; may be repeated")
			f.StringVar(&description, "description", "", "what it is for")
		},
	}, func(ctx context.Context, o *IO, api *client.Client, args []string) error {
		if address != "" {
			in.URL = &address
		}
		if description != "" {
			in.Description = &description
		}
		if in.URL == nil && in.Description == nil && len(in.Events) == 0 {
			return Usage("give --url, --event or --description")
		}
		hook, err := api.UpdateWebhook(ctx, args[0], in)
		if err != nil {
			return err
		}
		return o.Print(hook, webhookTable([]client.Webhook{hook}))
	})
}

func (w WebhookVerbs) pause() Command {
	var reason string
	return w.remote(Command{
		Use: "pause ID", Changes: true, Short: "stop sending; what happens meanwhile waits", Args: 1,
		Example: "  PROGRAM webhook pause 0199… --reason 'the receiver moves'",
		Flags:   func(f *Flags) { f.StringVar(&reason, "reason", "", "why, for those who look at it later") },
	}, func(ctx context.Context, o *IO, api *client.Client, args []string) error {
		if err := api.PauseWebhook(ctx, args[0], reason); err != nil {
			return err
		}
		return o.Done(Result{ID: args[0], Result: "paused"}, "webhook %s is paused", args[0])
	})
}

func (w WebhookVerbs) resume() Command {
	return w.remote(Command{
		Use: "resume ID", Changes: true, Short: "go on sending where it was paused", Args: 1,
		Example: "  PROGRAM webhook resume 0199…",
	}, func(ctx context.Context, o *IO, api *client.Client, args []string) error {
		if err := api.ResumeWebhook(ctx, args[0]); err != nil {
			return err
		}
		return o.Done(Result{ID: args[0], Result: "resumed"}, "webhook %s is sent to again", args[0])
	})
}

func (w WebhookVerbs) rotate() Command {
	var file string
	return w.remote(Command{
		Use: "rotate ID", Changes: true, Short: "make a new secret and print it; the one before stays valid for 24 hours", Args: 1,
		Example: "  PROGRAM webhook rotate 0199…",
		Flags: func(f *Flags) {
			f.StringVar(&file, "secret-file", "", "file with the secret; without it the service makes one")
		},
	}, func(ctx context.Context, o *IO, api *client.Client, args []string) error {
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

func (w WebhookVerbs) delete() Command {
	var yes bool
	return w.remote(Command{
		Use: "delete ID", Changes: true, Short: "delete a webhook with its deliveries", Args: 1,
		Example: "  PROGRAM webhook delete 0199…",
		Long:    "Says where it sends to and asks before it is deleted. --yes does not ask; without a terminal it is needed.",
		Flags:   func(f *Flags) { f.BoolVar(&yes, "yes", false, "do not ask") },
	}, func(ctx context.Context, o *IO, api *client.Client, args []string) error {
		hook, err := api.Webhook(ctx, args[0])
		if err != nil {
			return err
		}
		o.Note("this deletes the webhook to %s with what it was not sent yet", hook.URL)
		if err := o.Confirm("go on? [yes/no] ", "yes", yes); err != nil {
			return err
		}
		if err := api.DeleteWebhook(ctx, args[0]); err != nil {
			return err
		}
		return o.Done(Result{ID: args[0], Result: "deleted"}, "webhook %s is deleted", args[0])
	})
}

func (w WebhookVerbs) test() Command {
	return w.remote(Command{
		Use: "test ID", Changes: true, Short: "send the event webhook.test", Args: 1,
		Example: "  PROGRAM webhook test 0199…",
	}, func(ctx context.Context, o *IO, api *client.Client, args []string) error {
		d, err := api.TestWebhook(ctx, args[0])
		if err != nil {
			return err
		}
		o.Note("see what came of it: %s webhook delivery %s %s", w.Program, args[0], d.ID)
		return o.Print(d, deliveryTable([]client.Delivery{d}))
	})
}

func (w WebhookVerbs) deliveries() Command {
	var p client.Page
	var status string
	return w.remote(Command{
		Use: "deliveries ID", Short: "list the deliveries of a webhook, newest first", Args: 1,
		Example: "  PROGRAM webhook deliveries 0199… --status dead",
		Flags: func(f *Flags) {
			PageFlags(f, &p)
			f.StringVar(&status, "status", "", "only pending, delivered or dead ones")
		},
		Values: map[string][]string{"status": {"pending", "delivered", "dead"}},
	}, func(ctx context.Context, o *IO, api *client.Client, args []string) error {
		l, err := api.Deliveries(ctx, args[0], status, p)
		if err != nil {
			return err
		}
		return PrintList(o, l, deliveryTable(l.Rows))
	})
}

func deliveryTable(rows []client.Delivery) Table {
	t := Table{Head: []string{"ID", "EVENT", "SEQUENCE", "STATUS", "TRIES", "LAST ANSWER", "NEXT TRY", "CAUSE"}}
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

func (w WebhookVerbs) delivery() Command {
	return w.remote(Command{
		Use: "delivery ID DELIVERY", Short: "show one delivery with its attempts and what is sent", Args: 2,
		Example: "  PROGRAM webhook delivery 0199… 5f1c…",
	}, func(ctx context.Context, o *IO, api *client.Client, args []string) error {
		d, err := api.Delivery(ctx, args[0], args[1])
		if err != nil {
			return err
		}
		o.Note("sent: %s", d.Payload)
		return o.Print(d, deliveryTable([]client.Delivery{d}))
	})
}

func (w WebhookVerbs) redeliver() Command {
	var delivery string
	var from, to uint64
	var dead bool
	return w.remote(Command{
		Use: "redeliver ID", Changes: true, Short: "send one delivery, or a range of events, again", Args: 1,
		Long: "The id of a delivery stays the same. A range has at most 1000 sequences and may begin before the webhook was made; " +
			"events that it was never\n" +
			"sent are sent too.",
		Example: "  PROGRAM webhook redeliver 0199… --delivery 5f1c…\n  PROGRAM webhook redeliver 0199… --from 100 --to 250 " +
			"--dead",
		Flags: func(f *Flags) {
			f.StringVar(&delivery, "delivery", "", "send this one")
			f.Uint64Var(&from, "from", 0, "sequence of the first event")
			f.Uint64Var(&to, "to", 0, "sequence of the last event")
			f.BoolVar(&dead, "dead", false, "of a range: only what was given up")
		},
	}, func(ctx context.Context, o *IO, api *client.Client, args []string) error {
		if (delivery == "") == (from == 0 || to == 0) {
			return Usage("give --delivery, or --from and --to")
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
		return o.Done(Result{ID: args[0], Result: "queued"}, "%d deliveries will be sent", r.Queued)
	})
}
