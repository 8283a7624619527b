package trust_test

import (
	"crypto/ed25519"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/trust"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// backup is what a copy of a control-center's folder holds.
type backup struct {
	epoch  string
	stream []token.Revocation
	people []token.SubjectState
	source authz.Source
	keys   []token.Key
}

func (c *center) backup() backup {
	c.mu.Lock()
	defer c.mu.Unlock()
	return backup{c.epoch, slices.Clone(c.stream), slices.Clone(c.people), c.source, slices.Clone(c.keys)}
}

func (c *center) putBack(b backup) {
	c.change(func(c *center) {
		c.epoch, c.stream, c.people, c.source, c.keys = b.epoch, slices.Clone(b.stream), slices.Clone(b.people), b.source, b.keys
	})
}

// deny returns src, one version newer, with a rule that forbids servers.
func deny(src authz.Source) authz.Source {
	src.Version++
	src.Policies = append(slices.Clone(src.Policies), authz.Policy{ID: "freeze", Name: "freeze", Enabled: true,
		Rules: []authz.Rule{{Effect: "Deny", Resource: "servers:*", Action: []string{"*"}}}})
	return src
}

// loss is a control-center with a backup of which everything is too old: each kind of revocation, a
// removed key, the policies. Its fifth revocation is in the backup.
type loss struct {
	*center
	t      *testing.T
	db     store.DB
	tr     *trust.Trust
	old    backup
	newest backup
	end    int64
}

func newLoss(t *testing.T) *loss {
	l := &loss{center: newCenter(t), t: t, db: memory(t), end: time.Now().Unix() + 86400}
	l.change(func(c *center) {
		c.keys = append(c.keys, token.NewKey(key("removed").Public().(ed25519.PublicKey), token.Current))
		c.keys[0].State, c.keys[0].RetiredAt = token.Retiring, time.Now().Unix()+1e6
	})
	l.revoke(token.NameKeys(token.Publish(l.keys)))
	l.say(user("a", 1, "admin"))
	l.say(user("b", 1, "viewer"))
	for range 5 {
		l.revoke(token.RevokeSession("before", l.end))
	}
	l.tr = start(t, l.db, l.center)
	settle(2 * time.Second)
	l.old = l.backup()
	for _, r := range []token.Revocation{
		token.RevokeSession("s", l.end), token.RevokeSubject("u", 5, l.end), token.RevokeToken("j", l.end),
		{Kind: token.ByProvider, Value: "idp", At: time.Now().Unix(), Exp: l.end},
		{Kind: token.ByAll, At: time.Now().Unix() - 500, Exp: l.end},
	} {
		l.revoke(r)
	}
	l.say(user("a", 2, "viewer"))
	l.say(token.SubjectState{Sub: "b", Version: 2, Deleted: true})
	l.change(func(c *center) { c.source, c.keys = deny(c.source), c.keys[:1] })
	l.revoke(token.RevokeKey(token.KeyID(key("removed").Public().(ed25519.PublicKey))))
	l.revoke(token.NameKeys(token.Publish(l.keys)))
	settle(2 * time.Second)
	l.newest = l.backup()
	return l
}

// check says what lives on.
func (l *loss) check(when string, tr *trust.Trust) {
	l.t.Helper()
	now := time.Now().Unix()
	for what, c := range map[string]token.Claims{
		"a session": {SessionID: "s"}, "a user's old version": {Subject: "u", AuthVersion: 4}, "a token": {ID: "j"},
		"an identity provider": {Provider: "idp", IssuedAt: now - 300}, "everybody": {IssuedAt: now - 900},
		"a session before": {SessionID: "before"},
	} {
		c.Expires = l.end
		if c.IssuedAt == 0 {
			c.IssuedAt = now
		}
		if tr.Alive(c) == nil {
			l.t.Errorf("%s: the revocation of %s is forgotten", when, what)
		}
	}
	for _, name := range []string{"removed", "forged"} {
		if _, err := tr.Authenticate(l.t.Context(), sign(l.t, name)); err == nil {
			l.t.Errorf("%s: a token of a key that is %s is accepted", when, name)
		}
	}
	if _, err := tr.Authenticate(l.t.Context(), sign(l.t, "k")); err != nil {
		l.t.Errorf("%s: reading stopped: %v", when, err)
	}
	expect(l.t, tr, user("a", 2, "viewer"))
	expect(l.t, tr, token.SubjectState{Sub: "b", Version: 2, Deleted: true})
	q := authz.Request{Subject: authz.Subject{ID: "u1", Roles: []string{"operator"}}, Action: "create",
		Resource: authz.Resource{Type: "servers"}}
	if d := tr.Decide(q); d.Allowed {
		l.t.Errorf("%s: an older policy set is in force: %+v", when, d)
	}
}

func (l *loss) refuses(when string, tr *trust.Trust) {
	l.t.Helper()
	if err := tr.AllowChanges(); fault.CodeOf(err) != "control_center.rolled_back" || !fault.Is(err, fault.Unavailable) {
		l.t.Errorf("%s: changes are answered with %v", when, err)
	}
}

// TestFollow_aControlCenterThatWasPutBackRevivesNothing is the feed alone: no witness has noticed
// yet.
func TestFollow_aControlCenterThatWasPutBackRevivesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoss(t)
		l.check("before", l.tr)
		l.putBack(l.old)
		settle(1500 * time.Millisecond)
		l.check("put back", l.tr)
		l.refuses("put back", l.tr)
		settle(2 * time.Minute)
		l.check("two minutes later", l.tr)
		again := start(t, l.db, l.center)
		settle(2 * time.Second)
		l.check("after a restart", again)
		l.refuses("after a restart", again)

		l.revoke(token.RevokeSession("here", l.end)) // what the old one revokes counts all the same
		settle(2 * time.Second)
		if again.Alive(token.Claims{SessionID: "here", Expires: l.end}) == nil {
			t.Error("a new revocation is not heard")
		}
		l.putBack(l.newest)
		settle(2 * time.Second)
		l.check("the newest put back", again)
		if err := again.AllowChanges(); err != nil {
			t.Errorf("the newest put back: %v", err)
		}
	})
}

// TestFollow_aControlCenterThatWentOnFromABackupIsNotBelieved counts further than the known one, so
// only its log tells.
func TestFollow_aControlCenterThatWentOnFromABackupIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoss(t)
		fork := func() {
			l.putBack(l.old)
			for i := range 50 {
				l.revoke(token.RevokeSession("other", l.end))
				l.say(user("a", int64(2+i), "admin"))
			}
			l.revoke(token.NameKeys(token.Publish(append(slices.Clone(l.newest.keys),
				token.NewKey(key("forged").Public().(ed25519.PublicKey), token.Current)))))
			l.change(func(c *center) { c.source.Version, c.forked = 40, true })
		}
		l.change(func(c *center) { c.down = true })
		settle(2 * time.Second)
		fork()
		l.change(func(c *center) { c.down = false })
		settle(2 * time.Second)
		l.check("put back", l.tr)
		l.refuses("put back", l.tr)
		again := start(t, l.db, l.center)
		settle(2 * time.Second)
		l.check("after a restart", again)
		l.refuses("after a restart", again)
		l.change(func(c *center) { c.epoch = "e2" }) // it says that it is another one
		settle(2 * time.Second)
		l.check("another epoch", again)
		l.refuses("another epoch", again)

		l.putBack(l.newest)
		l.change(func(c *center) { c.forked = false })
		settle(3 * time.Second)
		if err := again.AllowChanges(); err != nil {
			t.Errorf("its numbers were kept, so the true one seems to go back: %v", err)
		}
	})
}

// TestFollow_aSilentWitnessRefusesChanges has feeds that answer and heads that do not.
func TestFollow_aSilentWitnessRefusesChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCenter(t)
		tr := start(t, memory(t), c)
		settle(2 * time.Second)
		if err := tr.AllowChanges(); err != nil {
			t.Fatal(err)
		}
		c.change(func(c *center) { c.forked = true })
		settle(1500 * time.Millisecond)
		if err := tr.AllowChanges(); fault.CodeOf(err) != "control_center.rolled_back" {
			t.Errorf("%v", err)
		}
	})
}

// TestPutBack_anOrchestratorThatKnowsItWasPutBackDoesNotBlameTheControlCenter starts on a store
// that takes no commit while the control-center has news that would have to be kept. Changes were
// refused with "retry when it is back", which never helps.
func TestPutBack_anOrchestratorThatKnowsItWasPutBackDoesNotBlameTheControlCenter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, db := newCenter(t), feed.NewHub(memory(t))
		start(t, db, c)
		settle(time.Second)
		own := fault.New(fault.Unavailable, "audit.rolled_back", "the audit log was put back")
		db.Refuse(own)
		c.revoke(token.RevokeSession("s9", time.Now().Unix()+900))
		tr := start(t, db, c)
		settle(trust.Staleness + time.Second)
		if err := tr.AllowChanges(); fault.CodeOf(err) != own.Code {
			t.Errorf("changes are refused with %v", err)
		}
		db.Refuse(nil)
		settle(2 * time.Second)
		if err := tr.AllowChanges(); err != nil {
			t.Errorf("the store takes commits again: %v", err)
		}
	})
}
