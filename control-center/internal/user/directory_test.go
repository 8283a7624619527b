package user_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/control-center/internal/controltest"
	"github.com/provisioning-platform/platform/control-center/internal/directory"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/store"
)

// TestEvents_eachChangeOfAnAccountIsOne: what changes how an account looks is exactly one directory
// event with the account before and after and no secret. A sign-in, a password, a refused change
// and one that was undone with its commit are none.
func TestEvents_eachChangeOfAnAccountIsOne(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	r := controltest.New(t)
	const secret = "another rather long passphrase 8"
	seen := 0
	published := func() (bodies []string) {
		t.Helper()
		page, err := r.DB.Read(ctx, directory.Stream, 0, store.MaxPage)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries[seen:] {
			m, err := directory.Load(ctx, r.DB, e.Body)
			if err != nil || m.Realm != "control-center" || m.Topic != "users/user" || m.To != "" {
				t.Errorf("%+v, %v", m, err)
			}
			for _, word := range []string{secret, controltest.Password, "argon", "hash", "password", "totp"} {
				if strings.Contains(strings.ToLower(string(m.Body)+string(e.Body)), strings.ToLower(word)) {
					t.Errorf("%s holds %q", m.Body, word)
				}
			}
			bodies = append(bodies, string(m.Body))
		}
		seen = len(page.Entries)
		return bodies
	}
	published()
	on, off, email, password := true, false, "new@example.com", secret
	id := ""
	update := func(c user.Change) func() error {
		return func() error { return r.Users.Update(ctx, id, c, controltest.Root) }
	}
	undone := errors.New("undone")
	for _, c := range []struct {
		what     string
		act      func() error
		old, new string // what each side says; both empty: there is no event
		refused  bool
	}{
		{"create", func() error {
			u, err := r.Users.Create(ctx, user.Draft{Username: "dana", Email: "dana@example.com", Password: controltest.Password,
				Roles: []string{"viewer"}, Enabled: true}, controltest.Root)
			id = u.ID
			return err
		}, "{}", `"email":"dana@example.com"`, false},
		{"create once more", func() error {
			_, err := r.Users.Create(ctx, user.Draft{Username: "dana", Email: "x@example.com", Password: controltest.Password,
				Roles: []string{"viewer"}}, controltest.Root)
			return err
		}, "", "", true},
		{"sign in", func() error { r.SignIn(t, "dana"); return nil }, "", "", false},
		{"update", update(user.Change{Email: &email}), `"email":"dana@example.com"`, `"email":"new@example.com"`, false},
		{"the same again", update(user.Change{Email: &email}), "", "", false},
		{"password", update(user.Change{Password: &password}), "", "", false},
		{"role", update(user.Change{Roles: []string{"developer"}}), `"roles":["viewer"]`, `"roles":["developer"]`, false},
		{"disable", update(user.Change{Enabled: &off}), `"enabled":true`, `"enabled":false`, false},
		{"enable", update(user.Change{Enabled: &on, Password: &password}), `"enabled":false`, `"enabled":true`, false},
		{"a delete whose commit fails", func() error {
			return r.Users.Delete(ctx, id, controltest.Root, func(*store.Tx) error { return undone })
		}, "", "", true},
		{"delete", func() error {
			return r.Users.Delete(ctx, id, controltest.Root, func(*store.Tx) error { return nil })
		}, `"email":"new@example.com"`, "{}", false},
	} {
		if err := c.act(); (err != nil) != c.refused {
			t.Fatalf("%s: %v", c.what, err)
		}
		bodies := published()
		if c.old == "" && c.new == "" {
			if len(bodies) != 0 {
				t.Errorf("%s is told: %s", c.what, bodies)
			}
			continue
		}
		var sides struct{ Old, New json.RawMessage }
		if len(bodies) != 1 || json.Unmarshal([]byte(bodies[0]), &sides) != nil || !strings.Contains(string(sides.Old), c.old) ||
			!strings.Contains(string(sides.New), c.new) {
			t.Errorf("%s: %s, want one event from %s to %s", c.what, bodies, c.old, c.new)
		}
	}
}
