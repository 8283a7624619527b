package subscription

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/directory"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
)

// className names the messages in metrics and in the audit entries of retention.
const className = "directory_events"

// pruneSlice is how many messages one commit removes at most.
const pruneSlice = 500

// Class returns what retention removes of the messages: those over the rule that every queue has
// behind it. A message that some subscription wants is never removed.
func (s *Subscriptions) Class(rule retention.KeepRule) retention.Class {
	kept := func(ctx context.Context) (retention.Kept, error) {
		page, err := s.DB.Read(ctx, directory.Stream, 0, 1)
		k := retention.Kept{Rows: int(page.Head + 1 - page.First)}
		if err == nil && len(page.Entries) > 0 {
			h, _, err := directory.DecodeHeader(page.Entries[0].Body)
			if err != nil {
				return k, err
			}
			k.Oldest = h.At
		}
		return k, err
	}
	next := func(ctx context.Context, now time.Time) (retention.Step, error) { return s.prune(ctx, rule, now) }
	return retention.Class{Name: className, Next: next, Kept: kept}
}

// prune returns the removal of the oldest messages that rule lets go.
func (s *Subscriptions) prune(ctx context.Context, rule retention.KeepRule, now time.Time) (retention.Step, error) {
	page, err := s.DB.Read(ctx, directory.Stream, 0, pruneSlice)
	if err != nil {
		return retention.Step{}, err
	}
	excess := rule.Excess(int(page.Head + 1 - page.First))
	if excess == 0 || len(page.Entries) == 0 {
		return retention.Step{}, nil
	}
	through, err := s.handled(ctx)
	if err != nil {
		return retention.Step{}, err
	}
	var b store.Batch
	gone := func(k store.Key) {
		b.Writes = append(b.Writes, store.Write{Key: k, Expect: store.Any(), Action: store.Delete})
	}
	last, n := uint64(0), int64(0)
	for _, e := range page.Entries[:min(excess, len(page.Entries))] {
		h, _, err := directory.DecodeHeader(e.Body)
		if err != nil {
			return retention.Step{}, err
		}
		if e.Seq > through || !rule.Over(h.At, now) || len(b.Writes)+1+h.Parts > store.MaxWrites {
			break
		}
		gone(routedMessages.Key(numberID(e.Seq)))
		for i := range h.Parts {
			gone(directory.Parts.Key(directory.PartID(h.Large, i)))
		}
		last, n = e.Seq, n+1
	}
	if n == 0 {
		return retention.Step{}, nil
	}
	b.Trims = []store.Trim{{Stream: directory.Stream, Through: last}}
	return retention.Step{Batch: b, Pruned: map[string]int64{className: n}}, nil
}

// handled returns the number up to which every queue has its messages behind it.
func (s *Subscriptions) handled(ctx context.Context) (uint64, error) {
	router, err := feed.Cursors.Get(ctx, s.DB, routerName)
	if err != nil {
		return 0, err
	}
	slowest, _, err := queues.List(ctx, s.DB, store.Query{Index: "cursor", Limit: 1})
	if err != nil || len(slowest) == 0 {
		return router.Value.Seq, err
	}
	return min(router.Value.Seq, slowest[0].Value.Cursor), nil
}
