package trust

import (
	"context"
	"slices"
	"strings"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// Kinds returns the kinds of documents of this package.
func Kinds() []store.Kind {
	return []store.Kind{{Name: "trust"}, {Name: "trust_part"}, {Name: "trust_policy"}, {Name: "trust_revocation"}, {Name: "trust_subject"},
		{Name: knownTokens.Kind, Indexes: []string{"ends", "hash"}}}
}

// batchItems is how many revocations one commit stores.
const batchItems = 1000

// place is where the revocation stream was read to; keySet and policies say what is in force. One
// kind, told apart by id.
type place struct {
	Epoch string `json:"epoch"`
	Head  uint64 `json:"head"`
}

type keySet struct {
	Keys []token.JWK `json:"keys"`
}

var (
	places  = store.Table[place]{Kind: "trust", ID: func(place) string { return "place" }}
	keySets = store.Table[keySet]{Kind: "trust", ID: func(keySet) string { return "keys" }}
	items   = store.Table[token.Revocation]{Kind: "trust_revocation", ID: token.Revocation.Key}
)

// Load reads what was stored before, so that the orchestrator can start alone.
func (t *Trust) Load(ctx context.Context) error {
	t.verifier.Issuer, t.verifier.Audience = t.Issuer, token.Orchestrator
	t.verifier.Keys, t.verifier.Revoked = &t.keys, t.revoked.Check
	t.changed, t.rekeyed, t.retold, t.loaded = make(chan struct{}), make(chan struct{}), make(chan struct{}), t.Now()
	p, err := places.Get(ctx, t.DB, "place")
	if err != nil {
		return fault.Wrap("load revocations", err)
	}
	var all []token.Revocation
	for r, err := range items.All(ctx, t.DB, store.Query{}) {
		if err != nil {
			return fault.Wrap("load revocations", err)
		}
		all = append(all, r.Value)
	}
	t.revoked.Restore(all, p.Value.Head)
	t.after, t.epoch = p.Value.Head, p.Value.Epoch
	subjectsAt, err := subjectPlaces.Get(ctx, t.DB, subjectPlaceID)
	if err != nil {
		return fault.Wrap("load subjects", err)
	}
	t.subjectsAt = subjectsAt.Value
	tokensAt, err := tokenPlaces.Get(ctx, t.DB, tokenPlaceID)
	if err != nil {
		return fault.Wrap("load API tokens", err)
	}
	t.tokensAt = tokensAt.Value
	if err := t.loadKeys(ctx); err != nil {
		return fault.Wrap("load keys", err)
	}
	return fault.Wrap("load policies", t.loadPolicies(ctx))
}

func (t *Trust) loadKeys(ctx context.Context) error {
	row, err := keySets.Get(ctx, t.DB, "keys")
	if err != nil || row.Rev == 0 {
		return err
	}
	keys, err := token.JWKS(row.Value).Parse()
	if err != nil {
		return err
	}
	return t.keys.Replace(keys)
}

// auditContext names the orchestrator as the actor of what is done here.
func auditContext(ctx context.Context) context.Context {
	return audit.WithContext(ctx, &audit.Context{Origin: token.Orchestrator,
		Actor: audit.Actor{Sub: token.ServiceSubject(token.Orchestrator)}})
}

// keepKeys stores set when it differs from what is stored.
func (t *Trust) keepKeys(ctx context.Context, set token.JWKS) error {
	old, err := keySets.Get(ctx, t.DB, "keys")
	if err != nil || old.Rev != 0 && slices.Equal(old.Value.Keys, set.Keys) {
		return fault.Wrap("store keys", err)
	}
	ids := make([]string, 0, len(set.Keys))
	for _, k := range set.Keys {
		ids = append(ids, k.Kid)
	}
	act := &audit.EntryDraft{Action: "key.adopt", Resource: "keys", Details: map[string]any{"kids": strings.Join(ids, ",")}}
	_, err = audit.Update(auditContext(ctx), t.DB, act, func(tx *store.Tx) error {
		return keySets.Save(tx, keySet(set))
	})
	return fault.Wrap("store keys", err)
}

// keep stores the items of a feed and then the place, in as many commits as needed. It is the
// cursor of a follower and no act of its own: the control-center's log holds who revoked what.
func (t *Trust) keep(ctx context.Context, feed token.Feed) error {
	chunks := slices.Collect(slices.Chunk(feed.Items, batchItems))
	for n := 0; n < max(1, len(chunks)); n++ {
		_, err := store.Update(ctx, t.DB, func(tx *store.Tx) error {
			if n < len(chunks) {
				for _, i := range chunks[n] {
					if err := items.Save(tx, i); err != nil {
						return err
					}
				}
			}
			if n+1 < len(chunks) {
				return nil
			}
			return places.Save(tx, place{Epoch: feed.Epoch, Head: feed.Head})
		})
		if err != nil {
			return fault.Wrap("store revocations", err)
		}
	}
	return nil
}

// forget deletes stored items.
func (t *Trust) forget(ctx context.Context, gone []token.Revocation) error {
	for chunk := range slices.Chunk(gone, batchItems) {
		_, err := store.Update(ctx, t.DB, func(tx *store.Tx) error {
			for _, i := range chunk {
				items.Remove(tx, i.Key())
			}
			return nil
		})
		if err != nil {
			return fault.Wrap("forget revocations", err)
		}
	}
	return nil
}
