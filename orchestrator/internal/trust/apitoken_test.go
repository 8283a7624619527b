package trust_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/trust"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/token"
)

// machine returns an API token of u1 that lives for an hour, and its text.
func machine(id string) (token.APITokenState, string) {
	text, hash := token.NewAPI("dana")
	now := time.Now().Unix()
	return token.APITokenState{Created: now, Expires: now + 3600, Hash: hash, ID: id, Sub: "u1", Username: "dana",
		Scope: authz.Scope{{Action: []string{"read"}, Resource: "tasks:*"}}}, text
}

// said returns why a token is refused, "" when it is not.
func said(t *testing.T, tr *trust.Trust, text string) string {
	t.Helper()
	if _, err := tr.Authenticate(t.Context(), text); err != nil {
		return fault.CodeOf(err)
	}
	return ""
}

func TestAPITokens_areFollowedKeptAndRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, db := newCenter(t), memory(t)
		c.say(token.SubjectState{Sub: "u1", Version: 1, Enabled: true, Roles: []string{"operator"}})
		tr := start(t, db, c)
		settle(time.Second)
		made, text := machine("t1")
		if got := said(t, tr, text); got != "api_token.unknown" {
			t.Errorf("before it was told: %q", got)
		}
		c.hand(made)
		if got := said(t, tr, text); got != "" {
			t.Errorf("used the moment after it was made: %q", got)
		}
		claims, err := tr.Authenticate(t.Context(), text)
		if err != nil || claims.Subject != "u1" || claims.Kind != token.API || claims.MFA() || len(claims.Bounds()) != 1 ||
			claims.Roles[0] != "operator" {
			t.Fatalf("%+v, %v", claims, err)
		}
		before := tr.RightsChanged()
		made.Revoked = true
		c.hand(made)
		c.revoke(token.RevokeToken("t1", time.Now().Unix()+86400))
		settle(100 * time.Millisecond)
		if got := said(t, tr, text); got != "api_token.revoked" || tr.Alive(claims) == nil || tr.RightsChanged() == before {
			t.Errorf("after its revocation: %q, a socket lives on: %v", got, tr.Alive(claims) == nil)
		}
		c.change(func(c *center) { c.down = true })
		if got := said(t, start(t, db, c), text); got != "api_token.revoked" {
			t.Errorf("after a restart without the control-center: %q", got)
		}
	})
}

// TestAPITokens_theOwnerIsThatOfNow: a revocation that is faster than the owner's new roles is no
// reason to tell a job that its token is worth nothing.
func TestAPITokens_theOwnerIsThatOfNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCenter(t)
		c.say(token.SubjectState{Sub: "u1", Version: 1, Enabled: true, Roles: []string{"operator"}})
		made, text := machine("t1")
		c.hand(made)
		tr := start(t, memory(t), c)
		settle(time.Second)
		c.revoke(token.RevokeSubject("u1", 2, time.Now().Unix()+86400))
		settle(100 * time.Millisecond)
		if got := said(t, tr, text); got != "control_center.catching_up" {
			t.Errorf("while the new roles are on their way: %q", got)
		}
		c.say(token.SubjectState{Sub: "u1", Version: 2, Enabled: true, Roles: []string{"viewer"}})
		settle(100 * time.Millisecond)
		if claims, err := tr.Authenticate(t.Context(), text); err != nil || claims.Roles[0] != "viewer" {
			t.Errorf("the owner was demoted: %+v, %v", claims, err)
		}
		c.say(token.SubjectState{Sub: "u1", Version: 3, Roles: []string{"viewer"}})
		settle(100 * time.Millisecond)
		if got := said(t, tr, text); got != "api_token.owner" {
			t.Errorf("the owner was disabled: %q", got)
		}
	})
}

// TestAPITokens_aRotationEndsOpenSocketsOfTheOldOne: claims of a token know its end of before.
func TestAPITokens_aRotationEndsOpenSocketsOfTheOldOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCenter(t)
		c.say(token.SubjectState{Sub: "u1", Version: 1, Enabled: true, Roles: []string{"operator"}})
		made, text := machine("t1")
		c.hand(made)
		tr := start(t, memory(t), c)
		settle(time.Second)
		claims, err := tr.Authenticate(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		made.Expires = time.Now().Unix() + 60
		c.hand(made)
		settle(time.Second)
		if err := tr.Alive(claims); err != nil {
			t.Errorf("in the overlap: %v", err)
		}
		settle(time.Minute)
		if tr.Alive(claims) == nil || said(t, tr, text) != "api_token.expired" {
			t.Error("the old one is good after the overlap")
		}
	})
}

// TestAPITokens_whatABackupDoesNotKnowIsRevoked: a control-center that was put back has lost a
// token that was made since.
func TestAPITokens_whatABackupDoesNotKnowIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCenter(t)
		c.say(token.SubjectState{Sub: "u1", Version: 1, Enabled: true, Roles: []string{"operator"}})
		old, oldText := machine("t1")
		young, youngText := machine("t2")
		c.hand(old)
		c.hand(young)
		tr := start(t, memory(t), c)
		settle(time.Second)
		if a, b := said(t, tr, oldText), said(t, tr, youngText); a != "" || b != "" {
			t.Fatal(a, b)
		}
		c.change(func(c *center) { c.epoch, c.tokens = "e2", c.tokens[:1] })
		settle(3 * time.Second)
		if a, b := said(t, tr, oldText), said(t, tr, youngText); a != "" || b != "api_token.revoked" {
			t.Errorf("one of the backup: %q, one that it has lost: %q", a, b)
		}
	})
}

func TestAPITokens_lastUsesAreReportedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCenter(t)
		c.say(token.SubjectState{Sub: "u1", Version: 1, Enabled: true, Roles: []string{"operator"}})
		made, text := machine("t1")
		c.hand(made)
		tr := start(t, memory(t), c)
		settle(time.Second)
		for range 5 {
			if got := said(t, tr, text); got != "" {
				t.Fatal(got)
			}
		}
		at := time.Now().Unix()
		settle(61 * time.Second)
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.used) != 1 || c.used[0] != (token.APIUse{At: at, ID: "t1"}) {
			t.Errorf("%+v", c.used)
		}
	})
}

// TestAPITokens_aUseThatWasNotHeardIsReportedTheNextTime: a control-center that is down costs no
// last use.
func TestAPITokens_aUseThatWasNotHeardIsReportedTheNextTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCenter(t)
		c.say(token.SubjectState{Sub: "u1", Version: 1, Enabled: true, Roles: []string{"operator"}})
		tr := start(t, memory(t), c)
		made, text := machine("t1")
		c.hand(made)
		settle(time.Second)
		c.change(func(c *center) { c.down = true })
		if got := said(t, tr, text); got != "" {
			t.Fatal(got)
		}
		settle(90 * time.Second)
		c.change(func(c *center) { c.down = false })
		settle(2 * time.Minute)
		c.change(func(c *center) {
			if len(c.used) != 1 || c.used[0].ID != "t1" {
				t.Errorf("reported were %v", c.used)
			}
		})
	})
}

// TestAPITokens_oneWhoseOwnerWasNotToldYetWaits: the stream of API tokens may be ahead of that of
// accounts, and its client comes again.
func TestAPITokens_oneWhoseOwnerWasNotToldYetWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCenter(t)
		tr := start(t, memory(t), c)
		made, text := machine("t1")
		c.hand(made)
		settle(time.Second)
		if got := said(t, tr, text); got != "control_center.catching_up" {
			t.Errorf("before its owner was told: %q", got)
		}
		c.say(token.SubjectState{Sub: "u1", Version: 1, Enabled: true, Roles: []string{"operator"}})
		settle(time.Second)
		if got := said(t, tr, text); got != "" {
			t.Errorf("after its owner was told: %q", got)
		}
	})
}
