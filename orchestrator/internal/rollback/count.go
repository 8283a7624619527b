package rollback

import (
	"context"

	"github.com/provisioning-platform/platform/orchestrator/internal/run"
	"github.com/provisioning-platform/platform/shared/store"
)

// After counts the operations that stand and ended after a checkpoint: those that a rollback to it
// undoes.
func (s *Checkpoints) After(ctx context.Context, c run.Checkpoint) (int, error) {
	if err := s.Eras.Open(ctx, s.DB); err != nil {
		return 0, err
	}
	return s.between(ctx, c, s.latest())
}

// UntilNext counts the operations that stand and ended after a checkpoint and not after the next
// one: what can be undone with this checkpoint and with no later one. It is 0 for one that is
// record only.
func (s *Checkpoints) UntilNext(ctx context.Context, c run.Checkpoint) (int, error) {
	if c.RecordOnly {
		return 0, nil
	}
	if err := s.Eras.Open(ctx, s.DB); err != nil {
		return 0, err
	}
	next, _, err := run.Checkpoints().List(ctx, s.DB, store.Query{After: store.Cursor{ID: c.ID}, Limit: 1})
	switch {
	case err != nil:
		return 0, err
	case len(next) > 0:
		return s.between(ctx, c, next[0].Value)
	}
	return s.between(ctx, c, s.latest())
}

// latest is a checkpoint behind everything.
func (s *Checkpoints) latest() run.Checkpoint {
	end := s.Eras.end()
	return run.Checkpoint{Cut: store.Latest, EraFrom: end, EraTo: end}
}

// between counts the operations that stand and ended after a checkpoint and not after a later one.
// It reads one counter for each era between them; of an era that one of the cuts may divide it
// reads the leads.
func (s *Checkpoints) between(ctx context.Context, c, later run.Checkpoint) (n int, err error) {
	for era := c.EraFrom; era < later.EraTo; {
		q := store.Query{Kind: run.Effects().Kind}
		for len(q.Counts) < store.MaxPage && era < later.EraTo {
			q.Counts = append(q.Counts, store.CounterKey{Kind: run.Effects().Kind, Index: "stands", Value: run.EraKey(era)})
			era++
		}
		page, err := s.DB.List(ctx, q)
		if err != nil {
			return 0, err
		}
		for i, count := range page.Counts {
			at := era - uint64(len(page.Counts)-i)
			if at >= c.EraTo && at < later.EraFrom || count.N == 0 {
				n += count.N
				continue
			}
			divided, err := s.within(ctx, at, c.Cut, later.Cut)
			if err != nil {
				return 0, err
			}
			n += divided
		}
	}
	return n, nil
}

// within counts the operations of an era that stand since a commit after one cut and not after a
// later one.
func (s *Checkpoints) within(ctx context.Context, era, after, upTo uint64) (n int, err error) {
	for row, err := range run.Effects().All(ctx, s.DB, store.Query{Index: "stands", Prefix: run.EraKey(era), Exact: true}) {
		if err != nil {
			return 0, err
		}
		if lead := run.EffectOf(row); lead.Since > after && lead.Since <= upTo {
			n++
		}
	}
	return n, nil
}
