package trust

import (
	"context"
	"slices"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// known is a subject as it is kept, with the epoch of the stream that named it.
type known struct {
	Epoch   string             `json:"epoch"`
	Subject token.SubjectState `json:"subject"`
}

const subjectPlaceID = "subjects"

var (
	subjectPlaces = store.Table[streamPlace]{Kind: "trust", ID: func(streamPlace) string { return subjectPlaceID }}
	knowns        = store.Table[known]{Kind: "trust_subject", ID: func(k known) string { return k.Subject.Sub }}
)

// Subject returns what the account sub may be taken for, as the control-center said last; false
// when it was never named. A deleted account stays, marked as such.
func (t *Trust) Subject(ctx context.Context, sub string) (token.SubjectState, bool, error) {
	row, err := knowns.Get(ctx, t.DB, sub)
	return row.Value.Subject, row.Rev != 0, err
}

// Subjects calls each with every account that was ever named, in the order of their ids, at the
// highest version that the subject stream or a revocation has named. db may be that of a stopped
// orchestrator.
func Subjects(ctx context.Context, db store.DB, each func(token.SubjectState) error) error {
	for r, err := range knowns.All(ctx, db, store.Query{}) {
		if err != nil {
			return err
		}
		s := r.Value.Subject
		revoked, err := items.Get(ctx, db, token.RevokeSubject(s.Sub, 0, 0).Key())
		if err != nil {
			return err
		}
		s.Version = max(s.Version, revoked.Value.AV)
		if err := each(s); err != nil {
			return err
		}
	}
	return nil
}

// pollSubjects makes one call and stores what is new.
func (t *Trust) pollSubjects(ctx context.Context) error {
	return poll(ctx, t, stream[token.SubjectState]{
		feed: subjects, noun: "accounts", place: &t.subjectsAt, keep: t.keepSubjects, sweep: t.sweepSubjects,
		ask: func(ctx context.Context, after uint64, wait time.Duration) (answer[token.SubjectState], error) {
			a, err := t.Source.Subjects(ctx, after, wait)
			return answer[token.SubjectState]{epoch: a.Epoch, head: a.Head, last: a.Last, items: a.Items}, err
		},
	})
}

// keepSubjects stores what is new in items, and the place behind them, in one commit. It is the
// cursor of a follower and no act of its own: the control-center's log holds who changed what.
func (t *Trust) keepSubjects(ctx context.Context, items []token.SubjectState, next streamPlace) error {
	t.mu.Lock()
	same := len(items) == 0 && t.subjectsAt == next
	t.mu.Unlock()
	if same {
		return nil
	}
	_, err := store.Update(ctx, t.DB, func(tx *store.Tx) error {
		for _, i := range items {
			old, err := knowns.Load(tx, i.Sub)
			if err != nil {
				return err
			}
			if old.Rev != 0 && old.Value.Epoch == next.Epoch && old.Value.Subject.Version > i.Version {
				continue // within an epoch, nothing older replaces what is known
			}
			if err := knowns.Save(tx, known{Epoch: next.Epoch, Subject: i}); err != nil {
				return err
			}
		}
		return subjectPlaces.Save(tx, next)
	})
	if err != nil {
		return fault.Wrap("store subjects", err)
	}
	t.rights.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subjectsAt = next
	return nil
}

// sweepSubjects ends the reading of a new epoch: an account that its whole stream did not name is
// no account any more.
func (t *Trust) sweepSubjects(ctx context.Context, next streamPlace) error {
	next.Whole = true
	var gone []known
	for r, err := range knowns.All(ctx, t.DB, store.Query{}) {
		if err != nil {
			return fault.Wrap("store subjects", err)
		}
		if s := r.Value.Subject; r.Value.Epoch != next.Epoch {
			s.Deleted, s.Enabled = true, false
			gone = append(gone, known{Epoch: next.Epoch, Subject: s})
		}
	}
	for some := range slices.Chunk(gone, store.MaxPage) {
		if _, err := store.Update(ctx, t.DB, func(tx *store.Tx) error {
			for _, k := range some {
				if err := knowns.Save(tx, k); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return fault.Wrap("store subjects", err)
		}
	}
	return t.keepSubjects(ctx, nil, next)
}
