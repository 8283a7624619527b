package apitoken

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/revocation"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// Registry makes, checks, rotates, revokes and lists API tokens. It is built as a literal.
type Registry struct {
	DB      *feed.Hub
	Changes *change.Committer
	Epoch   string        // identity of Stream (bootstrap.Epoch)
	MaxTTL  time.Duration // [tokens] api_max_ttl
	Now     func() time.Time

	// Owner returns what an account or a service account is now; the zero value when there is none.
	Owner func(ctx context.Context, owner string) (token.SubjectState, error)

	mu   sync.Mutex
	used map[string]int64 // under mu: Unix second of the last use by token id, what is not stored yet
}

// now returns the time to the second, which is what tokens carry.
func (ts *Registry) now() time.Time { return ts.Now().UTC().Truncate(time.Second) }

// Authenticate returns the claims of who presents a token. It refuses with token.RefuseAPI.
func (ts *Registry) Authenticate(ctx context.Context, text string) (token.Claims, error) {
	hash, err := token.HashAPI(text)
	if err != nil {
		return token.Claims{}, err
	}
	rows, _, err := table.List(ctx, ts.DB, store.Query{Index: "hash", Prefix: hash, Exact: true, Limit: 1})
	if err != nil {
		return token.Claims{}, err
	}
	if len(rows) == 0 {
		return token.Claims{}, token.RefuseAPI("api_token.unknown")
	}
	t := rows[0].Value
	owner, err := ts.Owner(ctx, t.Owner)
	if err != nil {
		return token.Claims{}, err
	}
	now := ts.Now().Unix()
	c, err := t.told().Claims(owner, now)
	if err == nil {
		ts.Use(token.APIUse{At: now, ID: t.ID})
	}
	return c, err
}

// Get returns a token by its id, or ErrNotFound.
func (ts *Registry) Get(ctx context.Context, tokenID string) (Token, error) {
	if !id.Valid(tokenID) {
		return Token{}, ErrNotFound
	}
	row, err := table.Get(ctx, ts.DB, tokenID)
	if err == nil && row.Rev == 0 {
		err = ErrNotFound
	}
	return row.Value, err
}

// List returns a page of the tokens of an owner, newest first; those that are over stay in it for
// 30 days.
func (ts *Registry) List(ctx context.Context, owner string, p store.Place) (store.Window[Token], error) {
	return table.Window(ctx, ts.DB, p, store.Query{Index: "owner", Prefix: owner, Exact: true})
}

// Follow answers a long poll of Stream: the entries above after, at once when there are some, else
// when one comes or wait is over. An after beyond the end is answered at once with the end alone.
func (ts *Registry) Follow(ctx context.Context, after uint64, wait time.Duration) (token.APITokenStates, error) {
	page, err := ts.DB.Poll(ctx, Stream, after, store.MaxPage, min(wait, revocation.LongestPoll))
	if err != nil {
		return token.APITokenStates{}, err
	}
	items, head, err := feed.Items(page, func(t *token.APITokenState, seq uint64) { t.Seq = seq })
	return token.APITokenStates{Epoch: ts.Epoch, Head: head, Items: items, Last: page.Head}, err
}

// toldAt returns when the token of an entry of Stream was made.
func toldAt(body []byte) (time.Time, bool) {
	var t token.APITokenState
	err := json.Unmarshal(body, &t)
	return time.Unix(t.Created, 0), err == nil
}
