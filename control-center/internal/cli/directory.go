package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/cli"
	"github.com/provisioning-platform/platform/shared/client"
	"github.com/provisioning-platform/platform/shared/fault"
)

// The users of the Provisioning API that the verbs ask as when --user does not say otherwise.
const (
	asAdmin     = "admin"
	asPublisher = "udm"
	asItself    = "" // the subscription that the first argument names
)

// onDirectory returns a verb that runs with a client of the Provisioning API, which asks as that
// user. It is given the client and the arguments.
func onDirectory(c cli.Command, as string, run func(ctx context.Context, o *cli.IO, d *client.Directory, args []string) error) cli.Command {
	t := cli.DirectoryTarget{Target: cli.Target{Default: "http://127.0.0.1:7777", Env: "CONTROL_CENTER_PROVISIONING_SERVER"}}
	flags, key := c.Flags, ""
	c.Flags = func(f *cli.Flags) {
		if as == asItself {
			t.Declare(f, "the name of the subscription")
		} else {
			t.Declare(f, as)
		}
		if c.Changes {
			f.StringVar(&key, "idempotency-key", "", "repeat this safely: within a day the same key gives the first answer again")
		}
		if flags != nil {
			flags(f)
		}
	}
	c.Run = func(ctx context.Context, o *cli.IO, args []string) error {
		user := as
		if user == asItself {
			user = args[0]
		}
		d, err := t.Client(o, user)
		if err != nil {
			return err
		}
		d.Key = key
		return run(ctx, o, d, args)
	}
	return c
}

func events() cli.Command {
	return cli.Command{Use: "event", Short: "publish directory events", Commands: []cli.Command{eventPublish()}}
}

func eventPublish() cli.Command {
	return onDirectory(cli.Command{
		Use: "publish FILE", Changes: true, Short: "publish the messages in a file of JSON; - reads standard input", Args: 1,
		Example: "  control-center event publish event.json --password-file provisioning-publisher",
		Long: "The file holds a message, several one after the other, or a list of them, at most " + strconv.Itoa(client.MaxBatch) +
			". They are published in this order, all or none.",
	}, asPublisher, func(ctx context.Context, o *cli.IO, d *client.Directory, args []string) error {
		all, err := readEvents(o, args[0])
		if err != nil {
			return err
		}
		if len(all) == 1 {
			err = d.Publish(ctx, all[0])
		} else {
			err = d.PublishAll(ctx, all)
		}
		if err != nil {
			return err
		}
		return o.Done(cli.Result{Name: args[0], Result: "published"}, "published %d messages", len(all))
	})
}

// readEvents reads 1 to client.MaxBatch messages from a file; from standard input for "-".
func readEvents(o *cli.IO, path string) (all []client.DirectoryEvent, err error) {
	in := o.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, cli.Usage("%s", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	for d := json.NewDecoder(in); ; {
		var value json.RawMessage
		if err := d.Decode(&value); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, cli.Usage("%s is no JSON: %s", path, err)
		}
		some := make([]client.DirectoryEvent, 1)
		var into any = &some[0]
		if value[0] == '[' {
			into = &some
		}
		if err := json.Unmarshal(value, into); err != nil {
			return nil, cli.Usage("%s holds something else than messages: %s", path, err)
		}
		all = append(all, some...)
	}
	if n := len(all); n == 0 || n > client.MaxBatch {
		return nil, cli.Usage("%s holds %d messages; 1 to %d can be published at once", path, n, client.MaxBatch)
	}
	return all, nil
}

func deadLetters() cli.Command {
	return cli.Command{Use: "dead-letter", Short: "messages that a subscription could not handle",
		Commands: []cli.Command{deadLetterList(), deadLetterShow(), deadLetterRequeue(), deadLetterDrop()}}
}

// numbered returns the sequence number in the second argument of a verb.
func numbered(args []string) (uint64, error) {
	n, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil || n == 0 {
		return 0, cli.Usage("%q is no sequence number; dead-letter list shows them", args[1])
	}
	return n, nil
}

func deadLetterTable(all ...client.EventDeadLetter) cli.Table {
	t := cli.Table{Head: []string{"NUMBER", "TOPIC", "SINCE", "REASON", "MESSAGE"}}
	for _, l := range all {
		t.Rows = append(t.Rows, []string{strconv.FormatUint(l.Sequence, 10), l.Topic, l.At.Format(time.RFC3339), l.Reason,
			string(l.Message)})
	}
	return t
}

func deadLetterList() cli.Command {
	var after uint64
	limit := 0
	return onDirectory(cli.Command{
		Use: "list SUBSCRIPTION", Short: "list the dead letters of a subscription, oldest first", Args: 1,
		Example: "  control-center dead-letter list mail --password-file provisioning-admin",
		Flags: func(f *cli.Flags) {
			f.Uint64Var(&after, "after", 0, "go on behind this number")
			f.IntVar(&limit, "limit", 100, "rows at most (1 to 1000)")
		},
	}, asAdmin, func(ctx context.Context, o *cli.IO, d *client.Directory, args []string) error {
		all, err := d.DeadLetters(ctx, args[0], after, limit)
		if err != nil {
			return err
		}
		if len(all) == limit {
			o.Note("there may be more; the next: --after %d", all[len(all)-1].Sequence)
		}
		return o.Print(all, deadLetterTable(all...))
	})
}

func deadLetterShow() cli.Command {
	return onDirectory(cli.Command{
		Use: "show SUBSCRIPTION NUMBER", Short: "show a dead letter with its message", Args: 2,
		Example: "  control-center dead-letter show mail 17 -o json --password-file provisioning-admin",
	}, asAdmin, func(ctx context.Context, o *cli.IO, d *client.Directory, args []string) error {
		n, err := numbered(args)
		if err != nil {
			return err
		}
		l, err := d.DeadLetter(ctx, args[0], n)
		if err != nil {
			return err
		}
		return o.Print(l, deadLetterTable(l))
	})
}

func deadLetterRequeue() cli.Command {
	return onDirectory(cli.Command{
		Use: "requeue SUBSCRIPTION NUMBER", Changes: true, Short: "put a dead letter at the end of its queue", Args: 2,
		Example: "  control-center dead-letter requeue mail 17 --password-file provisioning-admin",
	}, asAdmin, func(ctx context.Context, o *cli.IO, d *client.Directory, args []string) error {
		n, err := numbered(args)
		if err == nil {
			err = d.Requeue(ctx, args[0], n)
		}
		if err != nil {
			return err
		}
		return o.Done(cli.Result{ID: args[1], Name: args[0], Result: "requeued"}, "%s gets message %s again, at the end of its queue",
			args[0], args[1])
	})
}

func deadLetterDrop() cli.Command {
	var yes bool
	return onDirectory(cli.Command{
		Use: "drop SUBSCRIPTION NUMBER", Changes: true, Short: "remove a dead letter for good", Args: 2,
		Example: "  control-center dead-letter drop mail 17 --password-file provisioning-admin",
		Flags:   func(f *cli.Flags) { f.BoolVar(&yes, "yes", false, "do not ask") },
	}, asAdmin, func(ctx context.Context, o *cli.IO, d *client.Directory, args []string) error {
		n, err := numbered(args)
		if err != nil {
			return err
		}
		if err := o.Confirm("this removes the message for good; go on? [yes/no] ", "yes", yes); err != nil {
			return err
		}
		if err := d.DropDeadLetter(ctx, args[0], n); err != nil {
			return err
		}
		return o.Done(cli.Result{ID: args[1], Name: args[0], Result: "dropped"}, "dropped message %s of %s", args[1], args[0])
	})
}

func prefills() cli.Command {
	return cli.Command{Use: "prefill", Short: "the objects that exist, as a subscription gets them first",
		Commands: []cli.Command{prefillRestart()}}
}

func prefillRestart() cli.Command {
	return onDirectory(cli.Command{
		Use: "restart SUBSCRIPTION", Changes: true, Short: "deliver all objects that exist again", Args: 1,
		Example: "  control-center prefill restart mail --password-file provisioning-admin",
	}, asAdmin, func(ctx context.Context, o *cli.IO, d *client.Directory, args []string) error {
		if err := d.RestartPrefill(ctx, args[0]); err != nil {
			return err
		}
		return o.Done(cli.Result{Name: args[0], Result: "restarted"}, "the prefill of %s begins again", args[0])
	})
}

// topicsOf returns the topics that flags name as REALM:TOPIC.
func topicsOf(texts []string) (topics []client.RealmTopic, err error) {
	for _, text := range texts {
		realm, topic, ok := strings.Cut(text, ":")
		if !ok {
			return nil, cli.Usage("--topic is REALM:TOPIC, such as udm:users/user, not %q", text)
		}
		topics = append(topics, client.RealmTopic{Realm: realm, Topic: topic})
	}
	return topics, nil
}

// errNoSubscription is the answer of subscription show to a name that nobody has.
func errNoSubscription(name string) error {
	return fault.New(fault.NotFound, "subscription.unknown", "there is no subscription %q; subscription list shows all", name)
}
