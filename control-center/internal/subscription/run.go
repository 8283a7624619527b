package subscription

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/store"
)

// Figures of Run.
const (
	tidyEvery = 15 * time.Second
	tidyRows  = 100 // queues that are looked at at once, the farthest behind first
	tidyMost  = 20  // such looks a round: 2,000 queues, so 100,000 idle ones take 13 minutes
)

// Run removes what is left of deleted subscriptions, moves queues whose subscriptions want nothing
// of what was published, so that they hold back no retention, and measures the queues. It ends with
// ctx and then returns nil.
func (s *Subscriptions) Run(ctx context.Context) error {
	for {
		if err := s.clean(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("what is left of deleted prefills is not removed; it is tried again", "error", err, "pause", tidyEvery)
		}
		if err := s.moveIdle(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("idle queues are not moved on; it is tried again", "error", err, "pause", tidyEvery)
		}
		if err := s.measure(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("the queues are not measured; it is tried again", "error", err, "pause", tidyEvery)
		}
		if !clock.Pause(ctx, tidyEvery, nil) {
			return nil
		}
	}
}

// moveIdle moves the places of the farthest queues in which nothing waits up to what is routed. It
// goes on while all that it sees are moved: then nothing but idle queues holds back retention.
func (s *Subscriptions) moveIdle(ctx context.Context) error {
	for range tidyMost {
		if moved, err := s.moveFarthest(ctx); err != nil || moved < tidyRows {
			return err
		}
	}
	return nil
}

// moveFarthest moves those of the tidyRows farthest queues in which nothing waits, and returns how
// many they were.
func (s *Subscriptions) moveFarthest(ctx context.Context) (moved int, err error) {
	rows, _, err := queues.List(ctx, s.DB, store.Query{Index: "cursor", Limit: tidyRows})
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		err := s.onQueue(ctx, row.Value.Name, func(_ *flight, sub *Subscription, row store.Row[Queue]) error {
			through := s.routed.Load()
			items, err := s.upcoming(ctx, sub, &row.Value, 1)
			if err != nil || len(items) > 0 || row.Value.Cursor >= through {
				return err
			}
			row.Value.Cursor = through
			moved++
			return s.save(ctx, row)
		})
		if err != nil && err != error(ErrUnknown) {
			return moved, err
		}
	}
	return moved, nil
}
