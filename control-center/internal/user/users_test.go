package user_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/provisioning-platform/platform/control-center/internal/controltest"
	"github.com/provisioning-platform/platform/control-center/internal/session"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

func TestCreate_refusesWhatIsWrongAllAtOnce(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	_, err := r.Users.Create(context.Background(),
		user.Draft{Username: "two words", Email: "nowhere", Password: "short", Roles: []string{"king"}}, controltest.Root)
	f := fault.Of(err)
	if f == nil || f.Kind != fault.Invalid || len(f.Fields) != 4 {
		t.Fatalf("%v", err)
	}
	good := user.Draft{Username: "dana", Email: "dana@example.com", Password: controltest.Password, Roles: []string{"viewer"},
		Enabled: true}
	for what, change := range map[string]func(*user.Draft){
		"no name": func(n *user.Draft) { n.Username = "" }, "NUL": func(n *user.Draft) { n.Username = "da\x00na" },
		"newline":        func(n *user.Draft) { n.Username = "dana\n" },
		"service prefix": func(n *user.Draft) { n.Username = "service:orchestrator" },
		"role prefix":    func(n *user.Draft) { n.Username = "r:admin" },
		"full width":     func(n *user.Draft) { n.Username = "ｄａｎａ" }, "zero width": func(n *user.Draft) { n.Username = "da\u200bna" },
		"no roles": func(n *user.Draft) { n.Roles = nil }, "role twice": func(n *user.Draft) { n.Roles = []string{"viewer", "viewer"} },
		"display name": func(n *user.Draft) { n.Email = "Dana <dana@example.com>" }, "no domain": func(n *user.Draft) { n.Email = "dana@" },
	} {
		n := good
		change(&n)
		if _, err := r.Users.Create(context.Background(), n, controltest.Root); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestCreate_namesAndAddressesAreUniqueInEverySpelling(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	r.Account(t, "Straße")
	for _, n := range []user.Draft{
		{Username: "STRASSE", Email: "a@example.com"}, {Username: "straße", Email: "b@example.com"},
		{Username: "other", Email: "STRASSE@example.com"},
		{Username: "Admin", Email: "c@example.com"},
	} {
		n.Password, n.Roles = controltest.Password, []string{"viewer"}
		if _, err := r.Users.Create(ctx, n, controltest.Root); !fault.Is(err, fault.Conflict) {
			t.Errorf("%s %s: %v", n.Username, n.Email, err)
		}
	}
	var made atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			_, err := r.Users.Create(ctx, user.Draft{Username: "racer", Email: "racer@example.com", Password: controltest.Password,
				Roles: []string{"viewer"}}, controltest.Root)
			if err == nil {
				made.Add(1)
			} else if !fault.Is(err, fault.Conflict) {
				t.Errorf("unexpected: %v", err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Fatalf("%d accounts of one name", made.Load())
	}
}

func TestFold_whatShowsAsNothingMakesNoOtherName(t *testing.T) {
	t.Parallel()
	for _, r := range "\u200b\u00ad\ufe0f\U000e0101\u034f\u115f\u1160\u3164\uffa0\u180b\u2065\u17b4\x00" {
		if got := user.Fold("ad" + string(r) + "min"); got != "admin" {
			t.Errorf("with %U: %q", r, got)
		}
	}
	if upper, lower := user.Fold("\u13a0"), user.Fold("\uab70"); upper != lower {
		t.Errorf("one letter of Cherokee in two cases: %q %q", upper, lower)
	}
	r := controltest.New(t)
	for what, n := range map[string]user.Draft{
		"variation selector":               {Username: "admin\ufe0f", Email: "x@example.com"},
		"address with nothing in it":       {Username: "x", Email: "ad\u200bmin@example.com"},
		"filler":                           {Username: "admin\u1160", Email: "x@example.com"},
		"longer when folded than a key is": {Username: strings.Repeat("\u1fb3", 85), Email: "x@example.com"},
		"address longer when folded":       {Username: "x", Email: strings.Repeat("\u1fb3", 80) + "@example.com"},
	} {
		n.Password, n.Roles = controltest.Password, []string{"viewer"}
		if _, err := r.Users.Create(context.Background(), n, controltest.Root); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestUpdate_changesOnlyWhatIsGiven(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	u := r.Account(t, "dana")
	email, bad := "new@example.com", "not an address"
	if err := r.Users.Update(ctx, u.ID, user.Change{Email: &email}, controltest.Root); err != nil {
		t.Fatal(err)
	}
	after, _ := r.Users.Get(ctx, u.ID)
	if after.Email != email || after.AV != u.AV || after.Username != u.Username || !after.Enabled || after.Password != u.Password {
		t.Fatalf("%+v", after)
	}
	if _, err := r.Users.Create(ctx, user.Draft{Username: "other", Email: "dana@example.com", Password: controltest.Password,
		Roles: []string{"viewer"}}, controltest.Root); err != nil {
		t.Fatalf("the old address is not free: %v", err)
	}
	for what, c := range map[string]struct {
		change user.Change
		id     string
		by     user.Caller
		kind   fault.Kind
	}{
		"nothing":         {user.Change{}, u.ID, controltest.Root, fault.Invalid},
		"bad address":     {user.Change{Email: &bad}, u.ID, controltest.Root, fault.Invalid},
		"unknown role":    {user.Change{Roles: []string{"king"}}, u.ID, controltest.Root, fault.Invalid},
		"empty roles":     {user.Change{Roles: []string{}}, u.ID, controltest.Root, fault.Invalid},
		"unknown account": {user.Change{Email: &email}, "01a214f4-773a-7d66-b5f6-c679470cebf7", controltest.Root, fault.NotFound},
		"no id":           {user.Change{Email: &email}, "../dana", controltest.Root, fault.NotFound},
		"own roles": {user.Change{Roles: []string{"admin", "operator"}}, u.ID,
			user.Caller{ID: u.ID, AV: u.AV, Roles: []string{"operator"}}, fault.Denied},
		"roles above own": {user.Change{Roles: []string{"auditor"}}, u.ID, user.Caller{ID: "y", Roles: []string{"operator"}},
			fault.Denied},
		"an admin by none": {user.Change{Email: &email}, r.File.User.ID, user.Caller{ID: "y", Roles: []string{"operator"}}, fault.Denied},
	} {
		if err := r.Users.Update(ctx, c.id, c.change, c.by); !fault.Is(err, c.kind) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestLastAdmin_staysUnderFiftyRemovalsAtOnce is Z06.
func TestLastAdmin_staysUnderFiftyRemovalsAtOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	ids := []string{r.File.User.ID}
	for _, name := range []string{"a1", "a2", "a3", "a4"} {
		ids = append(ids, r.Account(t, name, "admin", "viewer").ID)
	}
	no := false
	removals := []func(id string) error{
		func(id string) error { return r.Users.Update(ctx, id, user.Change{Enabled: &no}, controltest.Root) },
		func(id string) error {
			return r.Users.Update(ctx, id, user.Change{Roles: []string{"viewer"}}, controltest.Root)
		},
		func(id string) error { return r.Users.Delete(ctx, id, controltest.Root, session.Forget(id)) },
	}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			err := removals[i%3](ids[i%len(ids)])
			if err != nil && !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.NotFound) {
				t.Errorf("unexpected: %v", err)
			}
		})
	}
	wg.Wait()
	yes := true
	left, err := r.Users.List(ctx, user.Filter{Role: "admin", Enabled: &yes}, store.Place{Limit: 10})
	if err != nil || len(left.Rows) != 1 || left.Total != 1 {
		t.Fatalf("%d usable administrators left (%d counted): %v", len(left.Rows), left.Total, err)
	}
	if err := r.Users.Delete(ctx, left.Rows[0].Value.ID, controltest.Root, nil); fault.CodeOf(err) != "user.last_admin" {
		t.Fatalf("the last one: %v", err)
	}
}

func TestDelete_freesTheNameAndIsFinal(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	u := r.Account(t, "dana")
	if err := r.Users.Delete(ctx, u.ID, controltest.Root, session.Forget(u.ID)); err != nil {
		t.Fatal(err)
	}
	if err := r.Users.Delete(ctx, u.ID, controltest.Root, nil); !fault.Is(err, fault.NotFound) {
		t.Fatalf("second: %v", err)
	}
	if again := r.Account(t, "dana"); again.ID == u.ID {
		t.Fatal("the id was used again")
	}
}

func TestList_filtersAndCounts(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	v1 := r.Account(t, "v1", "viewer")
	r.Account(t, "v2", "viewer", "operator")
	no := false
	if err := r.Users.Update(ctx, v1.ID, user.Change{Enabled: &no}, controltest.Root); err != nil {
		t.Fatal(err)
	}
	yes := true
	for _, c := range []struct {
		f     user.Filter
		names string
	}{
		{user.Filter{}, "v2 v1 admin"}, {user.Filter{Role: "viewer"}, "v2 v1"}, {user.Filter{Role: "viewer", Enabled: &yes}, "v2"},
		{user.Filter{Enabled: &no}, "v1"}, {user.Filter{Role: "nobody"}, ""}, {user.Filter{Role: "admin", Enabled: &no}, ""},
	} {
		users, err := r.Users.List(ctx, c.f, store.Place{Limit: 50})
		var names []string
		for _, u := range users.Rows {
			names = append(names, u.Value.Username)
		}
		if err != nil || strings.Join(names, " ") != c.names || users.Total != len(names) {
			t.Errorf("%+v: %v, total %d, %v", c.f, names, users.Total, err)
		}
	}
	if users, err := r.Users.List(ctx, user.Filter{}, store.Place{Offset: 1, Limit: 1}); err != nil || len(users.Rows) != 1 ||
		users.Rows[0].Value.Username != "v1" || users.Total != 3 {
		t.Errorf("second page: %v %v", users, err)
	}
}

func TestList_newestFirstWhateverTheFilterAndStableWhileAccountsAreAdded(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := controltest.New(t)
	no := false
	var all []string
	add := func(name string, enabled bool) {
		u := r.Account(t, name, "viewer")
		if !enabled {
			if err := r.Users.Update(ctx, u.ID, user.Change{Enabled: &no}, controltest.Root); err != nil {
				t.Fatal(err)
			}
		}
		all = append([]string{u.ID}, all...)
	}
	for i, name := range []string{"v0", "v1", "v2", "v3", "v4", "v5", "v6"} {
		add(name, i%3 != 0)
	}
	want := slices.Clone(all)
	for _, f := range []user.Filter{{}, {Role: "viewer"}} {
		var got []string
		p := store.Place{Before: want[0], Limit: 2}
		for n := 0; ; n++ {
			users, err := r.Users.List(ctx, f, p)
			if err != nil || f.Role != "" && users.Total < len(want) {
				t.Fatalf("%+v from %+v: total %d %v", f, p, users.Total, err)
			}
			for _, u := range users.Rows {
				if u.Value.Username != "admin" {
					got = append(got, u.Value.ID)
				}
			}
			if p.After = users.Next; p.After == "" {
				break
			}
			add(fmt.Sprintf("later%d%s", n, f.Role), n%2 == 0)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v:\n%v, not\n%v", f, got, want)
		}
	}
	if users, err := r.Users.List(ctx, user.Filter{Role: "viewer"}, store.Place{Offset: math.MaxInt, Limit: 50}); err != nil ||
		len(users.Rows) != 0 {
		t.Errorf("far behind the end: %v %v", users, err)
	}
}
