package feed

import (
	"context"
	"fmt"
	"time"

	"github.com/provisioning-platform/platform/shared/store"
)

// DeadLetter says that a follower will never be handed a part of its stream: the entries From to
// To were trimmed before it came to them.
type DeadLetter struct {
	At       time.Time `json:"at"` // of the last time that it was extended
	Follower string    `json:"follower"`
	From     uint64    `json:"from"`
	ID       string    `json:"id"`
	Stream   string    `json:"stream"`
	To       uint64    `json:"to"`
}

// DeadLetters is the table of dead letters: by follower and then by From.
var DeadLetters = store.Table[DeadLetter]{Kind: "dead_letter", ID: func(l DeadLetter) string { return l.ID }}

// MoveOn returns the writes that move a follower's cursor, which stands before through, up to it,
// and the dead letter that names what it loses: a fresh one, or the one before, extended, when
// the follower has handled nothing since.
func MoveOn(ctx context.Context, db store.DB, cursor store.Row[Cursor], through uint64, now time.Time) (writes []store.Write,
	letter DeadLetter, fresh bool, err error) {
	c := cursor.Value
	last, _, err := DeadLetters.List(ctx, db, store.Query{Prefix: c.Name + "/", Reverse: true, Limit: 1})
	if err != nil {
		return nil, DeadLetter{}, false, err
	}
	expect := store.Absent()
	letter, fresh = DeadLetter{Follower: c.Name, From: c.Seq + 1, ID: fmt.Sprintf("%s/%020d", c.Name, c.Seq+1), Stream: c.Stream}, true
	if len(last) > 0 && last[0].Value.To == c.Seq {
		letter, expect, fresh = last[0].Value, store.At(last[0].Rev), false
	}
	letter.At, letter.To, c.Seq = now.UTC(), through, through
	own, err := DeadLetters.Write(letter, expect)
	if err != nil {
		return nil, letter, false, err
	}
	moved, err := Cursors.Write(c, store.At(cursor.Rev))
	return []store.Write{own, moved}, letter, fresh, err
}
