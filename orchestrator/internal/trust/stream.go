package trust

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
)

// streamPlace is how far a stream of the control-center is stored. Until Whole, the stored items
// that this epoch has not named yet are what an earlier epoch said of them.
type streamPlace struct {
	Epoch string `json:"epoch"`
	Head  uint64 `json:"head"`
	Whole bool   `json:"whole"` // the stream of this epoch was read to its end
}

// answer is what the control-center returns of a stream.
type answer[T any] struct {
	epoch string
	head  uint64 // place behind items
	last  uint64 // end of the stream
	items []T
}

// stream is a stream of what the control-center knows of accounts or of API tokens, as poll reads
// it.
type stream[T any] struct {
	feed  int          // subjects or apiTokens: whose sign of life an answer is
	noun  string       // of the items, in a refusal
	place *streamPlace // how far it is stored; under Trust.mu
	ask   func(ctx context.Context, after uint64, wait time.Duration) (answer[T], error)
	// keep stores items and the place behind them in one commit.
	keep func(ctx context.Context, items []T, next streamPlace) error
	// sweep ends the reading of a new epoch: it takes the rights of every item that the epoch did
	// not name.
	sweep func(ctx context.Context, next streamPlace) error
}

var errEpoch = fault.New(fault.Unavailable, "control_center.epoch",
	"the control-center changed its epoch between two answers; it is asked again")

// poll makes one call for a stream and stores what is new. A stream of another epoch has numbers
// that say nothing about the stored ones, so poll reads it from its beginning, once the witness
// knows that it follows the stored one.
func poll[T any](ctx context.Context, t *Trust, s stream[T]) error {
	t.mu.Lock()
	at := *s.place
	t.mu.Unlock()
	start := t.Now()
	told, err := s.ask(ctx, at.Head, t.wait(s.feed, start))
	switch {
	case err != nil:
		return err
	case told.epoch != at.Epoch:
		if at.Epoch != "" {
			if err := t.pollHeads(ctx); err != nil {
				return err
			}
		}
		at = streamPlace{Epoch: told.epoch}
		if told, err = s.ask(ctx, 0, 0); err != nil {
			return err
		}
	case told.last < at.Head:
		return t.goesBack(s.feed, "it knows %d changes of "+s.noun+" and has told %d", told.last, at.Head)
	}
	if told.epoch != at.Epoch {
		return errEpoch
	}
	next := streamPlace{Epoch: told.epoch, Head: told.head, Whole: at.Whole}
	if next != at {
		if err := t.confirmPeer(ctx); err != nil {
			return err
		}
	}
	if err := s.keep(ctx, told.items, next); err != nil {
		return err
	}
	if told.head < told.last { // not up to date: the next call goes on, and only then it is a sign of life
		return nil
	}
	if !next.Whole {
		if err := s.sweep(ctx, next); err != nil {
			return err
		}
	}
	t.sign(s.feed, start)
	return nil
}
