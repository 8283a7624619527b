package hook_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/apitoken"
	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/controltest"
	"github.com/provisioning-platform/platform/control-center/internal/hook"
	"github.com/provisioning-platform/platform/control-center/internal/serviceaccount"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/id"
	"github.com/provisioning-platform/platform/shared/obs"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/webhook"
)

// TestEventNames_areThoseOfTheStreamWithoutTheWebhooksOwn: a webhook that heard of itself would
// make work for itself for ever.
func TestEventNames_areThoseOfTheStreamWithoutTheWebhooksOwn(t *testing.T) {
	t.Parallel()
	names := hook.Events{}.EventNames()
	for _, want := range []string{"user.created", "user.disabled", "session.revoked", "policy.changed", "login.failed", "key.rotated"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if !slices.IsSorted(names) || slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "webhook.") }) {
		t.Error(names)
	}
}

// TestConfig_rendersAndAsksTheOwnersRightsOfNow: what happens to accounts arrives with who did it;
// what the owner may not read any more, or never, is not sent.
func TestConfig_rendersAndAsksTheOwnersRightsOfNow(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	admin, operator, gone := r.Account(t, "root", "admin"), r.Account(t, "olga", "operator"), r.Account(t, "gone", "admin")
	c := hook.Config(r.DB, makers(r), r.Policies.Authority, r.Clock.Now)
	for owner, want := range map[string]string{
		admin.ID: "", operator.ID: "may no longer read identity-webhooks: no rule allows it any more", id.New(): "was deleted",
	} {
		why, err := c.Allowed(t.Context(), webhook.Maker{ID: owner}, webhook.Message{Event: "user.created"})
		if err != nil || (want == "") != (why == "") || !strings.Contains(why, want) {
			t.Errorf("%q %v, want %q", why, err, want)
		}
	}
	off := false
	if err := r.Users.Update(t.Context(), gone.ID, user.Change{Enabled: &off}, controltest.Root); err != nil {
		t.Fatal(err)
	}
	why, err := c.Allowed(t.Context(), webhook.Maker{ID: gone.ID}, webhook.Message{Event: "key.rotated"})
	if !strings.Contains(why, "was disabled") {
		t.Errorf("%q %v", why, err)
	}
	events := stream(t, r)
	m, ok := c.Render([]byte(events[len(events)-1]))
	var data struct {
		Actor    struct{ ID string }
		ObjectID string `json:"object_id"`
		Username string
	}
	if err := json.Unmarshal(m.Data, &data); !ok || err != nil || m.Event != "user.disabled" || data.ObjectID != gone.ID ||
		data.Username != "gone" || m.At.IsZero() {
		t.Errorf("%+v %s %v", m, m.Data, err)
	}
	for _, none := range []string{`{"event_type":"webhook.paused","timestamp":"2026-01-02T03:04:05.000006Z"}`, "garbage",
		`{"event_type":"user.created","timestamp":"yesterday"}`} {
		if m, ok := c.Render([]byte(none)); ok {
			t.Errorf("%s means %+v", none, m)
		}
	}
}

// TestConfig_aMachineIsAnAccountAndItsTokenEndsTheWebhook: a webhook of a service account was
// paused because its maker "was deleted", and one of a token that was revoked went on.
func TestConfig_aMachineIsAnAccountAndItsTokenEndsTheWebhook(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	c := hook.Config(r.DB, makers(r), r.Policies.Authority, r.Clock.Now)
	person := r.Account(t, "root", "admin")
	machine, err := r.Machines.Create(t.Context(), serviceaccount.Draft{Name: "ci", Owner: person.ID, Roles: []string{"admin"}},
		controltest.Root)
	if err != nil {
		t.Fatal(err)
	}
	issue := func() webhook.Maker {
		made, _, err := r.Tokens.Create(t.Context(), apitoken.Draft{Name: "build", Owner: machine.ID, Username: machine.Username(),
			Scope: authz.Scope{{Action: []string{"*"}, Resource: "*:*"}}, Expires: r.Clock.Now().Add(time.Hour)},
			func(*store.Tx) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		return webhook.Maker{ID: machine.ID, Token: made.ID}
	}
	check := func(when string, m webhook.Maker, want string) {
		t.Helper()
		why, err := c.Allowed(t.Context(), m, webhook.Message{Event: "user.created"})
		if err != nil || (want == "") != (why == "") || !strings.Contains(why, want) {
			t.Errorf("%s: %q %v, want %q", when, why, err, want)
		}
	}
	first, second := issue(), issue()
	check("with a good token", first, "")
	if err := r.Tokens.Revoke(t.Context(), first.Token); err != nil {
		t.Fatal(err)
	}
	check("with a revoked one", first, "is revoked")
	check("with one that is not listed", webhook.Maker{ID: machine.ID, Token: id.New()}, "is over")
	r.Clock.Add(2 * time.Hour)
	check("with one that has expired", second, "is expired")
	off := false
	if err := r.Machines.Update(t.Context(), machine.ID, serviceaccount.Patch{Enabled: &off}, controltest.Root); err != nil {
		t.Fatal(err)
	}
	check("disabled", webhook.Maker{ID: machine.ID}, "was disabled")
	if got := c.Reads("user.created"); !slices.Equal(got, []string{"identity-webhooks", "users"}) {
		t.Errorf("who is sent user.created must read %v", got)
	}
}

// TestHalt_leavesOneEventAndOneAuditEntryOfTheService: an owner who lost his role is sent nothing
// more, and the stream and the log say so once.
func TestHalt_leavesOneEventAndOneAuditEntryOfTheService(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	owner := r.Account(t, "root", "admin")
	came := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		came <- string(b)
	}))
	t.Cleanup(receiver.Close)
	c := hook.Config(r.DB, makers(r), r.Policies.Authority, time.Now)
	c.Sealer, c.Log, c.Events = r.Sealer, obs.Discard(), hook.Events{}.EventNames()
	c.Guard = webhook.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	hooks := webhook.New(c)
	e, secret, err := hooks.Create(t.Context(), id.New(), webhook.Maker{ID: owner.ID},
		webhook.Input{URL: &receiver.URL, Events: []string{"user.created"}})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = hooks.Run(audit.WithContext(t.Context(), &audit.Context{Actor: audit.Actor{Sub: "service:control-center"}}))
	}()
	r.Account(t, "dana")
	if body := <-came; webhook.VerifyBody([]string{secret.Reveal()}, []byte(body)) != nil || !strings.Contains(body, `"username":"dana"`) {
		t.Errorf("%s", body)
	}
	r.Policies.Authority.Swap(compiled(t, authz.Source{}))
	r.Account(t, "olga")
	for now := e; now.Condition != webhook.Paused; clock.Pause(t.Context(), 5*time.Millisecond, nil) {
		if now, err = hooks.Get(t.Context(), e.ID); err != nil {
			t.Fatal(err)
		}
	}
	told := 0
	for _, text := range stream(t, r) {
		if strings.Contains(text, `"webhook.paused"`) && strings.Contains(text, e.ID) && strings.Contains(text, `"id":"service:control-center"`) {
			told++
		}
		if strings.Contains(text, secret.Reveal()) || strings.Contains(text, receiver.URL) {
			t.Errorf("the event holds a secret or an address: %s", text)
		}
	}
	if told != 1 || len(came) != 0 {
		t.Errorf("%d events, and %d were sent", told, len(came))
	}
}

func makers(r *controltest.Rig) hook.Makers {
	return hook.Makers{People: r.Users, Machines: r.Machines, Tokens: r.Tokens}
}

// stream returns the entries of the stream of events.
func stream(t *testing.T, r *controltest.Rig) (texts []string) {
	t.Helper()
	page, err := r.DB.Read(t.Context(), change.Stream, 0, store.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Entries {
		texts = append(texts, string(e.Body))
	}
	return texts
}

func compiled(t *testing.T, src authz.Source) *authz.Set {
	t.Helper()
	set, _, err := authz.Load(nil, src)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
