package user

import (
	"context"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/revocation"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// SubjectStream is the name of the stream that tells the orchestrator the state, roles and version
// of each account and service account (decision 39). An entry stands in the commit of the change
// that it tells of.
const SubjectStream = "subjects"

// Subject returns what the orchestrator is told of the account.
func (u User) Subject() token.SubjectState {
	return token.SubjectState{Enabled: u.Enabled, Kind: token.SubjectUser, Roles: append([]string{}, u.Roles...), Sub: u.ID, Version: u.AV}
}

// Subject returns what the account with that id may be taken for now; the zero value when there is
// none.
func (us *Users) Subject(ctx context.Context, userID string) (token.SubjectState, error) {
	row, err := table.Get(ctx, us.DB, userID)
	if err != nil || row.Rev == 0 {
		return token.SubjectState{}, err
	}
	return row.Value.Subject(), nil
}

// Load reads an account inside a transaction. The revision is 0 when there is none.
func Load(tx *store.Tx, userID string) (store.Row[User], error) {
	if !id.Valid(userID) {
		return store.Row[User]{}, nil
	}
	return table.Load(tx, userID)
}

// Find reads an account inside a transaction, or returns ErrNotFound.
func Find(tx *store.Tx, userID string) (User, error) {
	row, err := Load(tx, userID)
	if err == nil && row.Rev == 0 {
		err = ErrNotFound
	}
	return row.Value, err
}

// Save stores an account that exists, appends to SubjectStream when its Subject is another one, and
// publishes a directory event when its Object is. Only Insert, Save and Delete write accounts, so
// that neither stream misses a change.
func Save(tx *store.Tx, u User) error {
	before, err := table.Load(tx, u.ID)
	if err != nil {
		return err
	}
	if s := u.Subject(); !s.Same(before.Value.Subject()) {
		if err := Announce(tx, s); err != nil {
			return err
		}
	}
	if err := publish(tx, before.Value, u, u.UpdatedAt); err != nil {
		return err
	}
	return table.Save(tx, u)
}

// Announce appends s to SubjectStream. Package serviceaccount tells of service accounts by it.
func Announce(tx *store.Tx, s token.SubjectState) error {
	body, err := canonical.Make(s)
	if err != nil {
		return err
	}
	tx.Append(SubjectStream, body)
	return nil
}

// Follow answers a long poll of SubjectStream: the entries above after, at once when there are
// some, else when one comes or wait is over. An after beyond the end is answered at once with the
// end alone: the follower knows more than this store, or follows another epoch.
func (us *Users) Follow(ctx context.Context, after uint64, wait time.Duration) (token.Subjects, error) {
	page, err := us.DB.Poll(ctx, SubjectStream, after, store.MaxPage, min(wait, revocation.LongestPoll))
	if err != nil {
		return token.Subjects{}, err
	}
	items, head, err := feed.Items(page, func(s *token.SubjectState, seq uint64) { s.Seq = seq })
	return token.Subjects{Epoch: us.Epoch, Head: head, Items: items, Last: page.Head}, err
}
