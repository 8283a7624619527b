package retention

import (
	"context"
	"sort"
	"time"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
)

// Stream returns the class of a stream's entries. at reads the time of one; an entry without a
// time counts as old.
//
// A follower that has not handled what would go holds it back, if the rule has no age. With one,
// the follower is behind by more than that: it is moved on, with a dead letter and an audit entry
// that name what it lost.
func Stream(db store.DB, stream string, rule KeepRule, at func(body []byte) (time.Time, bool)) Class {
	s := streamClass{db: db, stream: stream, rule: rule, at: at}
	return Class{Name: stream, Next: s.next, Kept: s.kept}
}

type streamClass struct {
	db     store.DB
	stream string
	rule   KeepRule
	at     func(body []byte) (time.Time, bool)
}

func (s streamClass) kept(ctx context.Context) (Kept, error) {
	page, err := s.db.Read(ctx, s.stream, 0, 1)
	k := Kept{Rows: int(page.Head + 1 - page.First)}
	if err == nil && len(page.Entries) > 0 {
		k.Oldest, _ = s.at(page.Entries[0].Body)
	}
	return k, err
}

func (s streamClass) next(ctx context.Context, now time.Time) (Step, error) {
	page, err := s.db.Read(ctx, s.stream, store.Latest, 0)
	if err != nil {
		return Step{}, err
	}
	through, err := s.through(ctx, page, now)
	if err != nil || through < page.First {
		return Step{}, err
	}
	var b store.Batch
	if through, err = s.followers(ctx, &b, through, now); err != nil || through < page.First {
		return Step{}, err
	}
	b.Trims = []store.Trim{{Stream: s.stream, Through: through}}
	return Step{Batch: b, Pruned: map[string]int64{s.stream: int64(through + 1 - page.First)}}, nil
}

// through returns the last sequence that the rule lets go; one below the first when that is none.
// Entries stand in the order of their times, or nearly so, which is good enough to search by
// halves.
func (s streamClass) through(ctx context.Context, page store.Entries, now time.Time) (uint64, error) {
	excess := s.rule.Excess(int(page.Head + 1 - page.First))
	var failed error
	young := func(i int) bool {
		if failed != nil {
			return true
		}
		one, err := s.db.Read(ctx, s.stream, page.First+uint64(i)-1, 1)
		if failed = err; err != nil || len(one.Entries) == 0 {
			return true
		}
		at, ok := s.at(one.Entries[0].Body)
		return ok && !s.rule.Over(at, now)
	}
	if excess == 0 || young(0) { // as nearly always: one look
		return page.First - 1, failed
	}
	n := sort.Search(excess, young)
	return page.First + uint64(n) - 1, failed
}

// followers returns how far the stream may be trimmed for the sake of its followers, and adds to
// the batch what moves those on that are too far behind.
func (s streamClass) followers(ctx context.Context, b *store.Batch, through uint64, now time.Time) (uint64, error) {
	var behind []store.Row[feed.Cursor]
	for row, err := range feed.Cursors.All(ctx, s.db, store.Query{}) {
		switch {
		case err != nil:
			return 0, err
		case row.Value.Stream != s.stream || row.Value.Seq >= through:
		case s.rule.MaxAge == 0:
			through = row.Value.Seq
		default:
			behind = append(behind, row)
		}
	}
	for _, row := range behind {
		writes, letter, fresh, err := feed.MoveOn(ctx, s.db, row, through, now)
		if err != nil {
			return 0, err
		}
		b.Writes = append(b.Writes, writes...)
		if !fresh {
			continue
		}
		body, err := audit.EntryDraft{
			Action: "retention.move_on", Resource: "followers/" + letter.Follower,
			Details: map[string]any{"from": letter.From, "stream": letter.Stream, "to": letter.To},
		}.Entry(ctx, now).Encode()
		if err != nil {
			return 0, err
		}
		b.Appends = append(b.Appends, store.Append{Stream: audit.Stream, Body: body})
	}
	return through, nil
}
