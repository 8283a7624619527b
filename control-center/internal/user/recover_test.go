package user_test

import (
	"slices"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/controltest"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/token"
)

// TestRecovery_whoLostRightsSinceComesBackDisabled compares each account with what the orchestrator
// knows.
func TestRecovery_whoLostRightsSinceComesBackDisabled(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	known := map[string]token.SubjectState{"younger": {Sub: "younger", Enabled: true, Version: 1}}
	want := map[string]bool{}
	for name, change := range map[string]func(*token.SubjectState){
		"same": func(*token.SubjectState) {}, "off": func(s *token.SubjectState) { s.Enabled = false },
		"gone":    func(s *token.SubjectState) { s.Deleted = true },
		"demoted": func(s *token.SubjectState) { s.Roles = []string{"viewer"} }, "newer": func(s *token.SubjectState) { s.Version += 7 },
		"unknown": nil, "root": func(*token.SubjectState) {},
	} {
		roles := []string{"operator"}
		if name == "root" {
			roles = []string{user.Admin}
		}
		u := r.Account(t, name, roles...)
		want[u.ID] = name == "same" || name == "root"
		if change != nil {
			s := u.Subject()
			change(&s)
			known[u.ID] = s
		}
	}
	if _, err := (user.Recovery{Known: map[string]token.SubjectState{}, Now: time.Now()}).Run(t.Context(),
		r.DB); fault.CodeOf(err) != "recover.no_admin" {
		t.Errorf("nobody could enable the others: %v", err)
	}
	if _, err := (user.Recovery{Known: known, Admin: "same", Now: time.Now()}).Run(t.Context(),
		r.DB); fault.CodeOf(err) != "recover.admin" {
		t.Errorf("no administrator: %v", err)
	}
	done, err := user.Recovery{Known: known, Admin: "root", Now: time.Now()}.Run(t.Context(), r.DB)
	if err != nil || len(done.Lost) != 1 || done.Lost[0] != "younger" {
		t.Fatalf("%+v %v", done, err)
	}
	events := r.Events(t)
	for id, enabled := range want {
		if !slices.Contains(events, "user.recovered "+id) || slices.Contains(events, "user.disabled "+id) == enabled {
			t.Errorf("the events %q do not tell what became of %s, enabled %v", events, id, enabled)
		}
		u, err := r.Users.Get(t.Context(), id)
		if err != nil || u.Enabled != enabled || u.AV <= known[id].Version || u.Floor != u.AV {
			t.Errorf("%s: enabled %v, version %d with floor %d above %d, %v", u.Username, u.Enabled, u.AV, u.Floor, known[id].Version, err)
		}
	}
}
