package client

import (
	"context"
	"log/slog"
	"time"

	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/fault"
)

// Figures of a consumer (contracts/provisioning-api.md section 3, 33 and 34).
const (
	consumerPoll   = 10 * time.Second // a poll waits so long for a message
	ackRetries     = 3                // of an acknowledgement that could not be delivered
	firstAckPause  = time.Second
	firstPollPause = time.Second
	lastPollPause  = time.Minute
)

// Consumer handles the messages of a subscription one after the other, oldest first. It is built as
// a literal.
type Consumer struct {
	From *Directory // name and password are the subscription's
	// Handle handles a message. It sees one again when it was not acknowledged, so it has to bear
	// that. An error gives the message back, and it comes again after Pause.
	Handle func(context.Context, *DirectoryEvent) error
	Pause  time.Duration // after an error of Handle; 0 is 1 s
	Keep   bool          // leaves what is handled unacknowledged, so that it comes again
	Most   int           // messages to handle before Run returns; 0 is no end
	Log    *slog.Logger
}

// Run handles messages until ctx ends or Most are handled, and then returns nil. A message that is
// handled is acknowledged even when ctx has ended meanwhile. A refusal that repeating does not
// mend, such as a wrong password or a subscription that is gone, ends it; other errors are waited
// out.
func (c *Consumer) Run(ctx context.Context) error {
	pause := firstPollPause
	for done := 0; ctx.Err() == nil && (c.Most == 0 || done < c.Most); {
		e, _, err := c.From.Next(ctx, consumerPoll)
		switch kind := fault.KindOf(err); {
		case ctx.Err() != nil:
			return nil
		case err != nil && (kind == fault.Unauthenticated || kind == fault.NotFound || kind == fault.Invalid || kind == fault.Malformed):
			return err
		case err != nil:
			c.Log.Warn("the next message cannot be fetched; it is tried again", "error", err, "pause", pause)
			clock.Pause(ctx, pause, nil)
			pause = min(2*pause, lastPollPause)
			continue
		}
		pause = firstPollPause
		if e == nil {
			continue
		}
		if c.handle(ctx, e) {
			done++
		}
	}
	return nil
}

// handle handles one message and acknowledges it; false when it is given back.
func (c *Consumer) handle(ctx context.Context, e *DirectoryEvent) bool {
	err := c.Handle(ctx, e)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err != nil {
		wait := max(c.Pause, time.Second)
		c.Log.Warn("a message could not be handled; it is given back", "number", e.Sequence, "deliveries", e.Delivered, "error", err,
			"pause", wait)
		if err := c.From.Retry(ctx, e.Sequence, wait); err != nil {
			c.Log.Warn("a message could not be given back; it comes again by itself", "number", e.Sequence, "error", err)
			clock.Pause(ctx, wait, nil)
		}
		return false
	}
	if c.Keep {
		return true
	}
	pause := firstAckPause
	for tries := 0; ; tries++ {
		err := c.From.Acknowledge(ctx, e.Sequence)
		if err == nil || fault.Is(err, fault.NotFound) { // an earlier try has done it
			return true
		}
		if tries == ackRetries {
			c.Log.Warn("a handled message could not be acknowledged; it may come again", "number", e.Sequence, "error", err)
			return true
		}
		clock.Pause(ctx, pause, nil)
		pause *= 2
	}
}
