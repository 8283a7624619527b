package trust

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// keepEnded is how long an API token is remembered after it has expired: as long as the
// control-center lists it, and can revoke it for the sake of batches that it submitted.
const keepEnded = 31 * 24 * time.Hour

// useEvery is how often the last uses of API tokens are reported to the control-center.
const useEvery = time.Minute

// maxUses is how many last uses one call reports.
const maxUses = 1000

// knownToken is an API token as it is kept, with the epoch of the stream that named it.
type knownToken struct {
	Epoch string              `json:"epoch"`
	Token token.APITokenState `json:"token"`
}

const tokenPlaceID = "tokens"

// tokenPlaces has how far the stream of API tokens is stored.
var (
	tokenPlaces = store.Table[streamPlace]{Kind: "trust", ID: func(streamPlace) string { return tokenPlaceID }}
	knownTokens = store.Table[knownToken]{Kind: "trust_token", ID: func(k knownToken) string { return k.Token.ID },
		Index: func(k knownToken) []store.IndexKey {
			return []store.IndexKey{{Name: "ends", Value: fmt.Sprintf("%012d", k.Token.Expires)}, {Name: "hash", Value: k.Token.Hash}}
		}}
)

// Classes returns what retention removes of this package: API tokens that expired 31 days ago.
func Classes(db store.DB) []retention.Class {
	return []retention.Class{retention.Rows(db, "api_tokens", store.Query{Kind: knownTokens.Kind, Index: "ends"},
		retention.KeepRule{MaxAge: keepEnded}, func(d store.Doc) time.Time {
			for _, x := range d.Index {
				if x.Name == "ends" {
					if at, err := strconv.ParseInt(x.Value, 10, 64); err == nil {
						return time.Unix(at, 0)
					}
				}
			}
			return time.Time{}
		})}
}

// APIToken returns what the control-center said last of the API token with that id; false when it
// never named it, or when retention has removed it.
func (t *Trust) APIToken(ctx context.Context, tokenID string) (token.APITokenState, bool, error) {
	row, err := knownTokens.Get(ctx, t.DB, tokenID)
	return row.Value.Token, row.Rev != 0, err
}

// authenticateAPI returns the claims of who presents an API token. One that is not known may have
// been made a moment ago, so it waits for the next news, for keyPatience at most.
func (t *Trust) authenticateAPI(ctx context.Context, raw string) (token.Claims, error) {
	hash, err := token.HashAPI(raw)
	if err != nil {
		return token.Claims{}, err
	}
	patience := time.After(keyPatience)
	for {
		t.mu.Lock()
		retold := t.retold
		t.mu.Unlock()
		rows, _, err := knownTokens.List(ctx, t.DB, store.Query{Index: "hash", Prefix: hash, Exact: true, Limit: 1})
		if err != nil {
			return token.Claims{}, err
		}
		if len(rows) > 0 {
			return t.claimsOf(ctx, rows[0].Value.Token)
		}
		select {
		case <-retold:
		case <-patience:
			return token.Claims{}, token.RefuseAPI("api_token.unknown")
		case <-ctx.Done():
			return token.Claims{}, token.RefuseAPI("api_token.unknown")
		}
	}
}

// claimsOf returns the claims of who presents a known API token now. The revocation stream may be
// ahead of the others: what it revoked is refused, and an owner whose new roles are on their way is
// waited for by the client.
func (t *Trust) claimsOf(ctx context.Context, known token.APITokenState) (token.Claims, error) {
	owner, named, err := t.Subject(ctx, known.Sub)
	if err != nil {
		return token.Claims{}, err
	}
	if !named {
		return token.Claims{}, errOwner
	}
	now := t.Now().Unix()
	c, err := known.Claims(owner, now)
	if err != nil {
		return c, err
	}
	newest := c
	newest.AuthVersion = math.MaxInt64
	switch {
	case t.revoked.Check(newest) != "":
		return token.Claims{}, token.RefuseAPI("api_token.revoked")
	case t.revoked.Check(c) != "":
		return token.Claims{}, errOwner
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.uses == nil {
		t.uses = map[string]int64{}
	}
	t.uses[c.ID] = now
	return c, nil
}

// errOwner is the answer while the owner of an API token is changing.
var errOwner = fault.New(fault.Unavailable, "control_center.catching_up",
	"the owner of this API token was changed a moment ago, and what it may do now is on its way; retry shortly").After(time.Second)

// pollTokens makes one call and stores what is new.
func (t *Trust) pollTokens(ctx context.Context) error {
	return poll(ctx, t, stream[token.APITokenState]{
		feed: apiTokens, noun: "API tokens", place: &t.tokensAt, keep: t.keepTokens, sweep: t.sweepTokens,
		ask: func(ctx context.Context, after uint64, wait time.Duration) (answer[token.APITokenState], error) {
			a, err := t.Source.APITokens(ctx, after, wait)
			return answer[token.APITokenState]{epoch: a.Epoch, head: a.Head, last: a.Last, items: a.Items}, err
		},
	})
}

// keepTokens stores items, and the place behind them, in one commit. It is the cursor of a follower
// and no act of its own: the control-center's log holds who made and revoked what.
func (t *Trust) keepTokens(ctx context.Context, items []token.APITokenState, next streamPlace) error {
	t.mu.Lock()
	same := len(items) == 0 && t.tokensAt == next
	t.mu.Unlock()
	if same {
		return nil
	}
	ends := map[string]int64{}
	_, err := store.Update(ctx, t.DB, func(tx *store.Tx) error {
		for _, i := range items {
			old, err := knownTokens.Load(tx, i.ID)
			if err != nil {
				return err
			}
			if old.Rev != 0 && i.Expires < old.Value.Token.Expires {
				ends[i.ID] = i.Expires
			}
			if err := knownTokens.Save(tx, knownToken{Epoch: next.Epoch, Token: i}); err != nil {
				return err
			}
		}
		return tokenPlaces.Save(tx, next)
	})
	if err != nil {
		return fault.Wrap("store API tokens", err)
	}
	t.rights.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tokensAt = next
	for tokenID, at := range ends {
		if t.ends == nil {
			t.ends = map[string]int64{}
		}
		t.ends[tokenID] = at
	}
	close(t.retold)
	t.retold = make(chan struct{})
	return nil
}

// sweepTokens ends the reading of a new epoch: an API token that its whole stream did not name is
// none any more.
func (t *Trust) sweepTokens(ctx context.Context, next streamPlace) error {
	next.Whole = true
	var gone []token.APITokenState
	for r, err := range knownTokens.All(ctx, t.DB, store.Query{}) {
		if err != nil {
			return fault.Wrap("store API tokens", err)
		}
		if k := r.Value; k.Epoch != next.Epoch {
			k.Token.Revoked = true
			gone = append(gone, k.Token)
		}
	}
	for some := range slices.Chunk(gone, store.MaxPage) {
		if err := t.keepTokens(ctx, some, streamPlace{Epoch: next.Epoch, Head: next.Head}); err != nil {
			return err
		}
	}
	return t.keepTokens(ctx, nil, next)
}

// overBefore says whether a rotation has shortened the life of an API token, which is over by now.
func (t *Trust) overBefore(c token.Claims, now int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, shortened := t.ends[c.ID]
	return shortened && now >= at
}

// forgetEnds drops shortened lives that no claims outlive any more: a day after their end every
// socket of them is closed.
func (t *Trust) forgetEnds(now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for tokenID, at := range t.ends {
		if at+token.ForgetAfter < now {
			delete(t.ends, tokenID)
		}
	}
}

// reportUses tells the control-center which API tokens were used last and when. What it does not
// hear is told the next time.
func (t *Trust) reportUses(ctx context.Context) error {
	t.mu.Lock()
	noted := t.uses
	t.uses = nil
	t.mu.Unlock()
	uses := make([]token.APIUse, 0, len(noted))
	for tokenID, at := range noted {
		uses = append(uses, token.APIUse{At: at, ID: tokenID})
	}
	for some := range slices.Chunk(uses, maxUses) {
		if err := t.Source.ReportUses(ctx, some); err != nil {
			t.mu.Lock()
			defer t.mu.Unlock()
			for _, u := range uses {
				if t.uses == nil {
					t.uses = map[string]int64{}
				}
				t.uses[u.ID] = max(t.uses[u.ID], u.At)
			}
			return err
		}
	}
	return nil
}
