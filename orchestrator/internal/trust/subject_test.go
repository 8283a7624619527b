package trust_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/orchestrator/internal/trust"
	"github.com/provisioning-platform/platform/shared/token"
)

func user(sub string, version int64, roles ...string) token.SubjectState {
	return token.SubjectState{Enabled: true, Roles: roles, Sub: sub, Version: version}
}

// expect holds what tr knows of an account to what it should know.
func expect(t *testing.T, tr *trust.Trust, want token.SubjectState) {
	t.Helper()
	got, ok, err := tr.Subject(t.Context(), want.Sub)
	want.Kind, want.Seq, got.Seq = token.SubjectUser, 0, 0
	if err != nil || !ok || !got.Same(want) {
		t.Errorf("known %v %v, want %+v, have %+v", ok, err, want, got)
	}
}

func TestSubjects_areFollowedInPagesAndKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, db := newCenter(t), memory(t)
		for _, s := range []token.SubjectState{user("a", 1, "operator"), user("b", 1, "viewer"), user("c", 1, "admin"), user("b", 2),
			{Sub: "c", Version: 2, Deleted: true}} {
			c.say(s)
		}
		tr := start(t, db, c)
		settle(time.Second)
		before := tr.RightsChanged()
		settle(5 * time.Second)
		if tr.RightsChanged() != before {
			t.Error("runs are asked again though nothing changed")
		}
		c.say(user("a", 3, "viewer"))
		settle(100 * time.Millisecond)
		if tr.RightsChanged() == before {
			t.Error("nobody is told to ask again after an account changed")
		}
		before = tr.RightsChanged()
		c.change(func(c *center) { c.source.Version++ })
		settle(100 * time.Millisecond)
		if tr.RightsChanged() == before {
			t.Error("nobody is told to ask again after the policies changed")
		}
		c.change(func(c *center) { c.down = true })
		for _, x := range []*trust.Trust{tr, start(t, db, c)} { // and after a restart alone
			expect(t, x, user("a", 3, "viewer"))
			expect(t, x, user("b", 2))
			expect(t, x, token.SubjectState{Sub: "c", Version: 2, Deleted: true})
			if _, known, err := x.Subject(t.Context(), "nobody"); known || err != nil {
				t.Error(known, err)
			}
		}
		var listed []string
		if err := trust.Subjects(t.Context(), db,
			func(s token.SubjectState) error { listed = append(listed, s.Sub); return nil }); err != nil ||
			!slices.Equal(listed, []string{"a", "b", "c"}) {
			t.Error(listed, err)
		}
	})
}

// TestSubjects_aStreamThatGoesBackTakesNothingBack is a control-center whose folder was put back:
// it counts as silent.
func TestSubjects_aStreamThatGoesBackTakesNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, db := newCenter(t), memory(t)
		c.say(user("a", 1, "admin"))
		c.say(token.SubjectState{Sub: "a", Version: 2, Deleted: true})
		tr := start(t, db, c)
		settle(time.Second)
		c.change(func(c *center) { c.people = c.people[:1] })
		settle(trust.Staleness + 2*time.Second)
		expect(t, tr, token.SubjectState{Sub: "a", Version: 2, Deleted: true})
		if tr.AllowChanges() == nil {
			t.Error("changes are allowed by a control-center that has forgotten what it said")
		}
		c.say(user("a", 1, "admin")) // as long as before, and older in content
		settle(2 * time.Second)
		expect(t, tr, token.SubjectState{Sub: "a", Version: 2, Deleted: true})
	})
}

func TestSubjects_whomANewEpochDoesNotNameIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, db := newCenter(t), memory(t)
		for _, s := range []token.SubjectState{user("a", 7, "admin"), user("b", 2, "operator"), user("d", 1)} {
			c.say(s)
		}
		tr := start(t, db, c)
		settle(time.Second)
		c.change(func(c *center) { c.epoch, c.people = "e2", nil })
		for _, s := range []token.SubjectState{user("a", 1, "viewer"), user("x", 1), user("y", 1), user("z", 1)} {
			c.say(s)
		}
		settle(1500 * time.Millisecond)
		for _, x := range []*trust.Trust{tr, start(t, db, c)} {
			expect(t, x, user("a", 1, "viewer"))
			expect(t, x, user("z", 1))
			expect(t, x, token.SubjectState{Sub: "b", Version: 2, Roles: []string{"operator"}, Deleted: true})
			expect(t, x, token.SubjectState{Sub: "d", Version: 1, Deleted: true})
		}
	})
}
