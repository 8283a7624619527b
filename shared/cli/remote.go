package cli

import (
	"context"

	"github.com/provisioning-platform/platform/shared/client"
)

// Remote returns c as a verb that runs with a signed-in client of the target.
func (t Target) Remote(c Command, run func(ctx context.Context, o *IO, api *client.Client, args []string) error) Command {
	flags, key := c.Flags, ""
	c.Flags = func(f *Flags) {
		t.Declare(f)
		if c.Changes {
			f.StringVar(&key, "idempotency-key", "", "repeat this safely: within a day the same key gives the first answer again")
		}
		if flags != nil {
			flags(f)
		}
	}
	c.Run = func(ctx context.Context, o *IO, args []string) error {
		api, err := t.Client(ctx, o)
		if err != nil {
			return err
		}
		api.Key = key
		return run(ctx, o, api, args)
	}
	return c
}

// proposals is how many ids the shell proposes after a tab.
const proposals = 50

// Propose returns a Complete function that asks the service and proposes what found names; nothing
// when the service does not answer.
func (t Target) Propose(found func(ctx context.Context, api *client.Client, p client.Page) ([]string, error)) func(context.Context,
	*IO) []string {
	return func(ctx context.Context, o *IO) []string {
		own := t
		api, err := own.Client(ctx, o)
		if err != nil {
			return nil
		}
		words, err := found(ctx, api, client.Page{Limit: proposals})
		if err != nil {
			return nil
		}
		return words
	}
}

// PrintList prints a page of rows as t shows them, and says on Err how to see those behind it.
func PrintList[T any](o *IO, l client.List[T], t Table) error {
	o.more(len(l.Rows), l.Extent)
	return o.Print(l.Rows, t)
}

func (o *IO) more(shown int, of client.Extent) {
	switch {
	case of.Next == "":
	case of.Exact:
		o.Note("%d of %d shown; the next: --after %s", shown, of.Total, of.Next)
	default:
		o.Note("%d of at least %d shown; the next: --after %s", shown, of.Total, of.Next)
	}
}
