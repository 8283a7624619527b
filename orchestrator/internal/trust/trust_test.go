package trust_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/trust"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/token"
)

const issuer = "provisioning-platform:d1"

func key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// center is a control-center in memory, behind the interface that the network is behind.
type center struct {
	mu     sync.Mutex
	down   bool
	epoch  string
	stream []token.Revocation
	source authz.Source
	recent []authz.Change // those that led to source, one a version
	whole  int            // how often all of source was told
	people []token.SubjectState
	tokens []token.APITokenState
	used   []token.APIUse
	keys   []token.Key
	forked bool // its audit log contradicts what it showed before
	polls  int
}

func newCenter(t *testing.T) *center {
	src, err := authz.Defaults()
	if err != nil {
		t.Fatal(err)
	}
	c := &center{epoch: "e1", source: src, keys: []token.Key{token.NewKey(key("k").Public().(ed25519.PublicKey), token.Current)}}
	c.revoke(token.NameKeys(token.Publish(c.keys)))
	return c
}

func (c *center) change(f func(*center)) { c.mu.Lock(); defer c.mu.Unlock(); f(c) }

func (c *center) revoke(r token.Revocation) {
	c.change(func(c *center) {
		r.Seq = uint64(len(c.stream) + 1)
		c.stream = append(c.stream, r)
	})
}

// poll answers when ready says so, else after wait.
func (c *center) poll(ctx context.Context, wait time.Duration, ready func() bool) error {
	c.change(func(c *center) { c.polls++ })
	for end := time.Now().Add(wait); ; {
		c.mu.Lock()
		down, yes := c.down, ready()
		c.mu.Unlock()
		switch {
		case down:
			return errors.New("connection refused")
		case yes || !time.Now().Before(end):
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (c *center) Revocations(ctx context.Context, after uint64, wait time.Duration) (token.Feed, error) {
	if err := c.poll(ctx, wait, func() bool { return uint64(len(c.stream)) != after }); err != nil {
		return token.Feed{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	head := uint64(len(c.stream))
	if head < after {
		after = 0
	}
	return token.Feed{Epoch: c.epoch, Head: head, Items: append([]token.Revocation(nil), c.stream[after:]...), Reset: after == 0}, nil
}

func (c *center) Heads(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.down:
		return errors.New("connection refused")
	case c.forked:
		return fault.New(fault.Conflict, "audit.inconsistent", "two histories")
	}
	return nil
}

func (c *center) Policies(ctx context.Context, after uint64, wait time.Duration) (authz.Feed, error) {
	if err := c.poll(ctx, wait, func() bool { return c.source.Version != after }); err != nil {
		return authz.Feed{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f := authz.Feed{Epoch: c.epoch, Version: c.source.Version}
	switch behind := int(f.Version - after); {
	case behind == 0:
	case after > 0 && behind > 0 && behind <= len(c.recent):
		f.Changes = c.recent[len(c.recent)-behind:]
	default:
		src := c.source
		f.Source = &src
		c.whole++
	}
	return f, nil
}

// say adds to the subject stream.
func (c *center) say(s token.SubjectState) {
	c.change(func(c *center) {
		s.Kind, s.Seq = token.SubjectUser, uint64(len(c.people)+1)
		c.people = append(c.people, s)
	})
}

// Subjects answers with pages of two.
func (c *center) Subjects(ctx context.Context, after uint64, wait time.Duration) (token.Subjects, error) {
	if err := c.poll(ctx, wait, func() bool { return uint64(len(c.people)) != after }); err != nil {
		return token.Subjects{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	last := uint64(len(c.people))
	from := min(after, last)
	head := min(from+2, last)
	return token.Subjects{Epoch: c.epoch, Head: head, Items: append([]token.SubjectState(nil), c.people[from:head]...), Last: last}, nil
}

// hand adds to the stream of API tokens.
func (c *center) hand(s token.APITokenState) {
	c.change(func(c *center) {
		s.Seq = uint64(len(c.tokens) + 1)
		c.tokens = append(c.tokens, s)
	})
}

func (c *center) APITokens(ctx context.Context, after uint64, wait time.Duration) (token.APITokenStates, error) {
	if err := c.poll(ctx, wait, func() bool { return uint64(len(c.tokens)) != after }); err != nil {
		return token.APITokenStates{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	last := uint64(len(c.tokens))
	return token.APITokenStates{Epoch: c.epoch, Head: last, Items: append([]token.APITokenState(nil), c.tokens[min(after, last):]...),
		Last: last}, nil
}

func (c *center) ReportUses(_ context.Context, uses []token.APIUse) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return errors.New("connection refused")
	}
	c.used = append(c.used, uses...)
	return nil
}

func (c *center) asked() int { c.mu.Lock(); defer c.mu.Unlock(); return c.polls }

func sign(t *testing.T, name string) string {
	s := time.Now().Unix()
	raw, err := token.Sign(token.Claims{Issuer: issuer, Subject: "u1", Audience: []string{token.Orchestrator}, ID: "j1", SessionID: "s1",
		IssuedAt: s, NotBefore: s, Expires: s + 900, AuthTime: s, ACR: "aal1", AMR: []string{"pwd"}, Roles: []string{"operator"},
		AuthVersion: 1},
		key(name), token.Access)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// start loads a Trust over db and runs it until the test ends.
func start(t *testing.T, db store.DB, c *center) *trust.Trust {
	tr := &trust.Trust{DB: db, Source: c, Witness: c.Heads, Issuer: issuer, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	if err := tr.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- tr.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return tr
}

func memory(t *testing.T) store.DB {
	return memstore.New(store.Schema{Service: "orchestrator", Kinds: trust.Kinds()})
}

func settle(d time.Duration) { <-time.After(d); synctest.Wait() }

func TestRun_becomesReadyThenFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCenter(t)
		tr := start(t, memory(t), c)
		if tr.Ready() || fault.CodeOf(tr.AllowChanges()) != "control_center.unreachable" {
			t.Fatal("ready before anything was heard")
		}
		settle(2 * time.Second)
		if s := tr.Status(); !s.Ready || !s.Fresh || tr.AllowChanges() != nil || s.Policy != 1 {
			t.Fatalf("%+v", s)
		}
		raw := sign(t, "k")
		claims, err := tr.Authenticate(t.Context(), raw)
		if err != nil {
			t.Fatal(err)
		}
		woken := tr.Revoked()
		c.revoke(token.RevokeSession("s1", time.Now().Unix()+900))
		settle(100 * time.Millisecond)
		select {
		case <-woken:
		default:
			t.Error("sockets were not told")
		}
		if _, err := tr.Authenticate(t.Context(), raw); fault.CodeOf(err) != "token.revoked" || tr.Alive(claims) == nil {
			t.Error("a revoked token is accepted:", err)
		}
		q := authz.Request{Subject: authz.Subject{ID: "u1", Roles: []string{"operator"}}, Action: "create",
			Resource: authz.Resource{Type: "servers"}}
		if !tr.Decide(q).Allowed {
			t.Error("an operator may create servers")
		}
		c.change(func(c *center) {
			c.source.Version = 2
			c.source.Policies = append(c.source.Policies, authz.Policy{ID: "freeze", Name: "freeze", Enabled: true,
				Rules: []authz.Rule{{Effect: "Deny", Resource: "servers:*", Action: []string{"*"}}}})
		})
		settle(100 * time.Millisecond)
		if d := tr.Decide(q); d.Allowed || d.Version != 2 || d.Rule != "policy:freeze#0" {
			t.Errorf("%+v", d)
		}
	})
}

// TestServes_aStartWaitsHalfASecondForTheFirstAnswerAndNoLonger: with what is stored reads go on
// alone, and whoever asks for a change right after a start is not refused for nothing.
func TestServes_aStartWaitsHalfASecondForTheFirstAnswerAndNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, db := newCenter(t), memory(t)
		tr := start(t, db, c)
		if err := tr.Serves(); fault.CodeOf(err) != "orchestrator.not_ready" {
			t.Errorf("before keys and policies: %v", err)
		}
		settle(time.Second)
		if err := tr.Serves(); err != nil {
			t.Error(err)
		}
		c.change(func(c *center) { c.down = true })
		again := start(t, db, c)
		settle(499 * time.Millisecond)
		if err := again.Serves(); fault.CodeOf(err) != "orchestrator.not_ready" {
			t.Errorf("half a second has not passed: %v", err)
		}
		settle(2 * time.Millisecond)
		if err := again.Serves(); err != nil {
			t.Errorf("it has: %v", err)
		}
	})
}

// TestPartition_refusesChangesAndKeepsReading is A25 and decision 5, including the restart in that
// state.
func TestPartition_refusesChangesAndKeepsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, db := newCenter(t), memory(t)
		c.revoke(token.RevokeSession("s9", time.Now().Unix()+900))
		tr := start(t, db, c)
		settle(2 * time.Second)
		c.change(func(c *center) { c.down = true })
		settle(3 * time.Second)
		if tr.AllowChanges() != nil {
			t.Error("changes are refused too early")
		}
		settle(2100 * time.Millisecond)
		err := tr.AllowChanges()
		if fault.CodeOf(err) != "control_center.unreachable" || fault.KindOf(err) != fault.Unavailable || fault.Of(err).RetryAfter == 0 {
			t.Errorf("%v", err)
		}
		if _, err := tr.Authenticate(t.Context(), sign(t, "k")); err != nil {
			t.Error("reading stopped:", err)
		}

		again := start(t, db, c) // alone, from what is stored
		if s := again.Status(); !s.Ready || s.Fresh || s.Policy != 1 || s.Revocations != 2 {
			t.Errorf("after a restart alone: %+v", s)
		}
		if again.Alive(token.Claims{SessionID: "s9", Expires: time.Now().Unix() + 9}) == nil {
			t.Error("a restart forgot a revocation")
		}
		c.change(func(c *center) { c.down = false })
		settle(1200 * time.Millisecond)
		if again.AllowChanges() != nil || tr.AllowChanges() != nil {
			t.Error("changes do not go on when the control-center is back")
		}
	})
}

// TestAuthenticate_madeUpKeyIDsTakeNothingFromPeople is A12: a flood of unknown key ids asks
// nothing of the control-center, and a key that takes over at once is good at once, though the
// flood goes on.
func TestAuthenticate_madeUpKeyIDsTakeNothingFromPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCenter(t)
		tr := start(t, memory(t), c)
		settle(time.Second)
		flood, stop := context.WithCancel(t.Context())
		var strangers sync.WaitGroup
		defer strangers.Wait()
		defer stop()
		for range 100 {
			strangers.Go(func() {
				for flood.Err() == nil {
					if _, err := tr.Authenticate(flood, sign(t, "stranger")); fault.CodeOf(err) != "token.unknown_key" {
						t.Error(err)
					}
				}
			})
		}
		settle(time.Second)
		asked := c.asked()
		settle(time.Second)
		if n := c.asked() - asked; n > 4 { // two feeds, each held for a second
			t.Errorf("%d questions in a second", n)
		}
		for _, successor := range []string{"new", "newer"} {
			removed := token.KeyID(c.keys[0].Public)
			raw := sign(t, successor)
			c.change(func(c *center) {
				c.keys = []token.Key{token.NewKey(key(successor).Public().(ed25519.PublicKey), token.Current)}
			})
			early := make(chan error)
			go func() { // before the stream has told of the key
				_, err := tr.Authenticate(t.Context(), raw)
				early <- err
			}()
			synctest.Wait()
			c.revoke(token.RevokeKey(removed))
			c.revoke(token.NameKeys(token.Publish(c.keys)))
			if err := <-early; err != nil {
				t.Errorf("a token of the key that took over is refused: %v", err)
			}
			if _, err := tr.Authenticate(t.Context(), raw); err != nil {
				t.Error(err)
			}
		}
		if _, err := tr.Authenticate(t.Context(), sign(t, "k")); err == nil || tr.Status().Keys != 1 {
			t.Error("a removed key lives on")
		}
	})
}

func TestRun_anotherEpochIsReadFromItsBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, db := newCenter(t), memory(t)
		for _, sid := range []string{"a", "b", "c"} {
			c.revoke(token.RevokeSession(sid, 0))
		}
		c.revoke(token.RevokeSubject("u", 5, 0))
		tr := start(t, db, c)
		settle(time.Second)
		c.change(func(c *center) {
			c.epoch = "e2"
			c.stream = []token.Revocation{{Kind: token.BySession, Value: "d", Seq: 1}}
		})
		settle(1500 * time.Millisecond)
		for _, x := range []*trust.Trust{tr, start(t, db, c)} {
			for _, sid := range []string{"a", "d"} { // of the epoch before, too: no other can mean another session by that id
				if x.Alive(token.Claims{SessionID: sid, Expires: 1 << 40}) == nil {
					t.Errorf("the revocation of %s is forgotten", sid)
				}
			}
			if why := x.Alive(token.Claims{Subject: "u", AuthVersion: 1, Expires: 1 << 40}); why != nil {
				t.Errorf("versions of the epoch before count on: %s", why)
			}
		}
	})
}

func TestAdopt_aBrokenPolicyIsLeftOutAndRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, db := newCenter(t), memory(t)
		c.source.Policies = append(c.source.Policies, authz.Policy{ID: "bad", Name: "bad", Enabled: true,
			Rules: []authz.Rule{{Effect: "Allow", Resource: "*:*", Action: []string{"*"}, Condition: "eval('x')"}}})
		tr := start(t, db, c)
		settle(2 * time.Second)
		if !tr.Ready() {
			t.Fatal("one bad policy stops everything")
		}
		log, err := db.Read(t.Context(), audit.Stream, 0, 10)
		if err != nil || len(log.Entries) != 2 {
			t.Fatal(err, len(log.Entries))
		}
	})
}
