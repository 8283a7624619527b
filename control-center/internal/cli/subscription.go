package cli

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
)

func subscriptions() cli.Command {
	return cli.Command{Use: "subscription", Short: "who gets which directory events, and the queues", Commands: []cli.Command{
		subscriptionCreate(), subscriptionList(), subscriptionShow(), subscriptionUpdate(), subscriptionDelete(), subscriptionWatch(),
		subscriptionRewind()}}
}

// queueFlags are the flags of create and update that say how a queue delivers.
type queueFlags struct {
	set        *cli.Flags
	options    client.QueueOptions
	redelivery time.Duration
}

func (q *queueFlags) declare(f *cli.Flags) {
	q.set = f
	f.IntVar(&q.options.MaxInFlight, "max-in-flight", 0, "messages in flight at once, those about one object in order (default 1)")
	f.DurationVar(&q.redelivery, "redelivery", 0, "time after which a message that is not acknowledged comes again (default 1s)")
	f.IntVar(&q.options.MaxDeliveries, "max-deliveries", 0, "deliveries after which a message is a dead letter; 0: never")
	f.BoolVar(&q.options.Strict, "strict", false, "refuse to acknowledge what was not delivered")
}

// over returns have with the options that were given in the place of its own; nil when none was.
func (q *queueFlags) over(have client.QueueOptions) *client.QueueOptions {
	given := false
	take := func(flag string, set func()) {
		if q.set.Changed(flag) {
			given = true
			set()
		}
	}
	take("max-in-flight", func() { have.MaxInFlight = q.options.MaxInFlight })
	take("redelivery", func() { have.RedeliveryMS = int(q.redelivery.Milliseconds()) })
	take("max-deliveries", func() { have.MaxDeliveries = q.options.MaxDeliveries })
	take("strict", func() { have.Strict = q.options.Strict })
	if !given {
		return nil
	}
	return &have
}

const topicHelp = "deliver this topic: REALM:TOPIC, such as udm:users/user, or with * at the end all that begin so; may be repeated"

func subscriptionCreate() cli.Command {
	var topics []string
	var passwordFile string
	var prefill bool
	var q queueFlags
	var c choiceFlags
	return onDirectory(cli.Command{
		Use: "create NAME", Changes: true, Short: "create a subscription, whose consumer gets all matching messages from now on", Args: 1,
		Example: "  control-center subscription create mail --topic control-center:users/user --prefill --consumer-password-file " +
			"mail-password " +
			"--password-file provisioning-admin",
		Long: "The consumer signs in with the name of the subscription and the password in --consumer-password-file. The same one once " +
			"more " +
			"changes nothing.",
		Flags: func(f *cli.Flags) {
			f.StringArrayVar(&topics, "topic", nil, topicHelp)
			f.BoolVar(&prefill, "prefill", false, "deliver all objects that exist first")
			f.StringVar(&passwordFile, "consumer-password-file", "", "file with the password of its consumer; asked for when left out")
			q.declare(f)
			c.declare(f)
		},
	}, asAdmin, func(ctx context.Context, o *cli.IO, d *client.Directory, args []string) error {
		wanted, err := topicsOf(topics)
		if err != nil {
			return err
		}
		filter, err := c.filter()
		if err != nil {
			return err
		}
		if wanted == nil {
			return cli.Usage("say with --topic what is delivered, such as --topic udm:users/user")
		}
		password, err := o.Password("password of the consumer: ", passwordFile, "--consumer-password-file")
		if err != nil {
			return err
		}
		if err := d.Subscribe(ctx, client.NewSubscription{Name: args[0], Topics: wanted, RequestPrefill: prefill,
			Password: password.Reveal(), Options: q.over(client.QueueOptions{}), Filter: filter, Redact: c.left()}); err != nil {
			return err
		}
		return o.Done(cli.Result{Name: args[0], Result: "subscribed"}, "%s gets these messages; its consumer signs in as %s", args[0],
			args[0])
	})
}

func topicText(all []client.RealmTopic) string {
	words := make([]string, len(all))
	for i, t := range all {
		words[i] = t.Realm + ":" + t.Topic
	}
	return join(words)
}

func subscriptionList() cli.Command {
	return onDirectory(cli.Command{
		Use: "list", Short: "list all subscriptions", Example: "  control-center subscription list --password-file provisioning-admin",
	}, asAdmin, func(ctx context.Context, o *cli.IO, d *client.Directory, _ []string) error {
		all, err := d.Subscriptions(ctx)
		if err != nil {
			return err
		}
		t := cli.Table{Head: []string{"NAME", "TOPICS", "PREFILL"}}
		for _, s := range all {
			t.Rows = append(t.Rows, []string{s.Name, topicText(s.Topics), prefillText(s)})
		}
		return o.Print(all, t)
	})
}

func prefillText(s client.Subscription) string {
	if !s.RequestPrefill {
		return "none"
	}
	return s.Status
}

// subscriptionState is a subscription with its queue, as show prints it.
type subscriptionState struct {
	client.Subscription
	Queue client.QueueState `json:"queue"`
}

func subscriptionShow() cli.Command {
	return onDirectory(cli.Command{
		Use: "show NAME", Short: "show a subscription and what waits for it", Args: 1,
		Example: "  control-center subscription show mail --password-file provisioning-admin\n" +
			"  control-center subscription show mail --user mail --password-file mail-password",
	}, asAdmin, func(ctx context.Context, o *cli.IO, d *client.Directory, args []string) (err error) {
		var s subscriptionState
		if d.Username == args[0] { // only a subscription may read itself, and only the administrator the list
			s.Subscription, err = d.Subscription(ctx)
		} else {
			all, failed := d.Subscriptions(ctx)
			at := slices.IndexFunc(all, func(s client.Subscription) bool { return s.Name == args[0] })
			switch err = failed; {
			case err != nil:
			case at < 0:
				err = errNoSubscription(args[0])
			default:
				s.Subscription = all[at]
			}
		}
		if err != nil {
			return err
		}
		if s.Queue, err = d.Queue(ctx, args[0]); err != nil {
			return err
		}
		oldest := ""
		if s.Queue.Oldest != nil {
			oldest = s.Queue.Oldest.Format(time.RFC3339)
		}
		return o.Print(s, cli.Table{Facts: [][2]string{{"name", s.Name}, {"topics", topicText(s.Topics)},
			{"prefill", prefillText(s.Subscription)},
			{"waiting", strconv.FormatUint(s.Queue.Waiting, 10)}, {"oldest", oldest}, {"dead letters", strconv.Itoa(s.Queue.Letters)},
			{"options", optionText(s.Queue.Options)}, {"filter", filterText(s.Queue.Filter)}, {"left out", join(s.Queue.Redact)}}})
	})
}

// optionText says how a queue delivers; empty when it does as the original.
func optionText(q client.QueueOptions) string {
	var said []string
	if q.MaxInFlight > 1 {
		said = append(said, strconv.Itoa(q.MaxInFlight)+" in flight")
	}
	if q.RedeliveryMS > 0 {
		said = append(said, "redelivery after "+(time.Duration(q.RedeliveryMS)*time.Millisecond).String())
	}
	if q.MaxDeliveries > 0 {
		said = append(said, "dead after "+strconv.Itoa(q.MaxDeliveries)+" deliveries")
	}
	if q.Strict {
		said = append(said, "strict")
	}
	return strings.Join(said, ", ")
}

func subscriptionUpdate() cli.Command {
	var topics []string
	var passwordFile string
	var q queueFlags
	var c choiceFlags
	return onDirectory(cli.Command{
		Use: "update NAME", Changes: true, Short: "change a subscription and keep its queue; what is not given stays as it is", Args: 1,
		Example: "  control-center subscription update mail --consumer-password-file mail-new --password-file provisioning-admin\n" +
			"  control-center subscription update mail --topic 'udm:users/*' --max-deliveries 10 --password-file provisioning-admin",
		Long: "What waits is delivered; other topics count for what is published from now on.",
		Flags: func(f *cli.Flags) {
			f.StringArrayVar(&topics, "topic", nil, topicHelp+"; all topics from now on")
			f.StringVar(&passwordFile, "consumer-password-file", "", "file with the new password of its consumer")
			q.declare(f)
			c.declare(f)
		},
	}, asAdmin, func(ctx context.Context, o *cli.IO, d *client.Directory, args []string) (err error) {
		e := client.SubscriptionEdit{Redact: c.left()}
		if e.Filter, err = c.filter(); err != nil {
			return err
		}
		if e.Topics, err = topicsOf(topics); err != nil {
			return err
		}
		if passwordFile != "" {
			password, err := cli.SecretFile(passwordFile)
			if err != nil {
				return err
			}
			text := password.Reveal()
			e.Password = &text
		}
		if q.over(client.QueueOptions{}) != nil {
			have, err := d.Queue(ctx, args[0])
			if err != nil {
				return err
			}
			e.Options = q.over(have.Options)
		}
		if e.Topics == nil && e.Password == nil && e.Options == nil && e.Filter == nil && e.Redact == nil {
			return cli.Usage("give at least one of --topic, --consumer-password-file, --max-in-flight, --redelivery, --max-deliveries, " +
				"--strict, --filter, --redact")
		}
		if err := d.UpdateSubscription(ctx, args[0], e); err != nil {
			return err
		}
		return o.Done(cli.Result{Name: args[0], Result: "updated"}, "updated %s; its queue stays", args[0])
	})
}

func subscriptionDelete() cli.Command {
	var yes bool
	return onDirectory(cli.Command{
		Use: "delete NAME", Changes: true, Short: "delete a subscription with its queue", Args: 1,
		Example: "  control-center subscription delete mail --password-file provisioning-admin",
		Flags:   func(f *cli.Flags) { f.BoolVar(&yes, "yes", false, "do not ask") },
	}, asAdmin, func(ctx context.Context, o *cli.IO, d *client.Directory, args []string) error {
		if err := o.Confirm("this deletes the subscription and all messages that wait for it; go on? [yes/no] ", "yes", yes); err != nil {
			return err
		}
		if err := d.Unsubscribe(ctx, args[0]); err != nil {
			return err
		}
		return o.Done(cli.Result{Name: args[0], Result: "deleted"}, "deleted %s", args[0])
	})
}

func subscriptionWatch() cli.Command {
	var keep bool
	var most int
	return onDirectory(cli.Command{
		Use: "watch NAME", Short: "consume messages: a line of JSON each, acknowledged when it is printed", Args: 1,
		Example: "  control-center subscription watch mail --password-file mail-password\n" +
			"  control-center subscription watch mail --keep --count 1 --password-file mail-password",
		Long: "Runs until it is interrupted. With --keep nothing is acknowledged: the oldest message comes again and again, " +
			"and is printed once; each time counts as a delivery.",
		Flags: func(f *cli.Flags) {
			f.BoolVar(&keep, "keep", false, "only look: do not acknowledge")
			f.IntVar(&most, "count", 0, "end after so many messages; 0: never")
		},
	}, asItself, func(ctx context.Context, o *cli.IO, d *client.Directory, args []string) error {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		var failed error
		printed := map[uint64]bool{}
		c := client.Consumer{From: d, Keep: keep, Most: most, Log: slog.New(slog.NewTextHandler(o.Err, nil)),
			Handle: func(_ context.Context, e *client.DirectoryEvent) error {
				if printed[e.Sequence] {
					return nil
				}
				if failed = watched(o, e); failed != nil { // nobody reads any more: the message stays in the queue
					stop()
					return failed
				}
				if keep {
					printed[e.Sequence] = true
				}
				return nil
			}}
		if err := c.Run(ctx); err != nil {
			return err
		}
		return failed
	})
}

// watched prints a message as one line.
func watched(o *cli.IO, e *client.DirectoryEvent) error {
	line := *o
	line.Format = "jsonl"
	return line.Print(e, cli.Table{})
}

func subscriptionRewind() cli.Command {
	var since string
	var from uint64
	return onDirectory(cli.Command{
		Use: "rewind NAME", Changes: true, Short: "deliver messages again that are kept, under new sequence numbers", Args: 1,
		Example: "  control-center subscription rewind mail --since 2026-01-01T00:00:00Z --password-file provisioning-admin",
		Flags: func(f *cli.Flags) {
			f.StringVar(&since, "since", "", "what was published since this time: 2026-01-01T00:00:00Z")
			f.Uint64Var(&from, "from", 0, "or from this number in the log of all messages on")
		},
	}, asAdmin, func(ctx context.Context, o *cli.IO, d *client.Directory, args []string) (err error) {
		if (since == "") == (from == 0) {
			return cli.Usage("say from where: either --since TIME or --from NUMBER")
		}
		if from > 0 {
			err = d.RewindTo(ctx, args[0], from)
		} else {
			at, wrong := time.Parse(time.RFC3339, since)
			if wrong != nil {
				return cli.Usage("--since is a time such as 2026-01-01T00:00:00Z, not %q", since)
			}
			err = d.Rewind(ctx, args[0], at)
		}
		if err != nil {
			return err
		}
		return o.Done(cli.Result{Name: args[0], Result: "rewound"}, "%s gets these messages again", args[0])
	})
}
