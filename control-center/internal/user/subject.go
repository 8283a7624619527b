package user

import (
	"context"
	"encoding/json"
	"time"

	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// SubjectStream is the stream of what accounts may be taken for (decision 39). An entry stands in
// the commit of the change that it tells of.
const SubjectStream = "subjects"

// longestPoll bounds how long Follow waits, whatever was asked for. It is below the peer's patience
// (decision 5: 5 s), so that an answer without items doubles as the heartbeat.
const longestPoll = 2 * time.Second

// Subject returns what another service may know of the account.
func (u User) Subject() token.Subject {
	return token.Subject{Enabled: u.Enabled, Kind: token.SubjectUser, Roles: append([]string{}, u.Roles...), Sub: u.ID, Version: u.AV}
}

// Load reads an account inside a transaction; revision 0 when there is none.
func Load(tx *store.Tx, userID string) (store.Row[User], error) {
	if !id.Valid(userID) {
		return store.Row[User]{}, nil
	}
	return table.Load(tx, userID)
}

// Save puts an account that exists, and tells the subject stream when it says something new.
// Accounts are written through Insert, Save and Delete only, so the stream misses none of them.
func Save(tx *store.Tx, u User) error {
	before, err := table.Load(tx, u.ID)
	if err != nil {
		return err
	}
	if s := u.Subject(); !s.Same(before.Value.Subject()) {
		if err := announce(tx, s); err != nil {
			return err
		}
	}
	return table.Save(tx, u)
}

func announce(tx *store.Tx, s token.Subject) error {
	body, err := canonical.Make(s)
	if err != nil {
		return err
	}
	tx.Append(SubjectStream, body)
	return nil
}

// Follow answers a long poll of the subject stream. A place beyond the end is answered at once with
// the end alone: whoever asks knows more than this store does, or speaks of another epoch.
func (us *Users) Follow(ctx context.Context, after uint64, wait time.Duration) (token.Subjects, error) {
	page, err := us.DB.Poll(ctx, SubjectStream, after, store.MaxPage, min(wait, longestPoll))
	f := token.Subjects{Epoch: us.Epoch, Head: page.Head, Items: []token.Subject{}, Last: page.Head}
	for _, e := range page.Entries {
		var s token.Subject
		if err := json.Unmarshal(e.Body, &s); err != nil {
			return f, err
		}
		s.Seq = e.Seq
		f.Items, f.Head = append(f.Items, s), e.Seq
	}
	return f, err
}
