package apitoken_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/apitoken"
	"github.com/provisioning-platform/platform/control-center/internal/controltest"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/token"
)

func anybody(*store.Tx) error { return nil }

var reads = authz.Scope{{Action: []string{"read"}, Resource: "batches:*"}}

// mint makes a token of u that lives for a day, in a session with a second factor or without.
func mint(t *testing.T, r *controltest.Rig, u user.User, mfa bool) (apitoken.Token, string) {
	t.Helper()
	made, text, err := r.Tokens.Create(t.Context(), apitoken.Draft{Name: "build", Owner: u.ID, Username: u.Username, Maker: u.ID, MFA: mfa,
		Scope: reads, Expires: r.Clock.Now().Add(24 * time.Hour)}, anybody)
	if err != nil {
		t.Fatal(err)
	}
	return made, text
}

// code returns why a token is refused, "" when it is not.
func code(t *testing.T, r *controltest.Rig, text string) string {
	t.Helper()
	_, err := r.Tokens.Authenticate(t.Context(), text)
	if err == nil {
		return ""
	}
	if !fault.Is(err, fault.Unauthenticated) {
		t.Fatal(err)
	}
	return fault.CodeOf(err)
}

func TestAuthenticate_isTheOwnerOfNowWithoutASecondFactor(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	dana := r.Account(t, "dana", "operator")
	made, text := mint(t, r, dana, true)
	c, err := r.Tokens.Authenticate(t.Context(), text)
	if err != nil || c.Subject != dana.ID || c.ID != made.ID || c.Username != "dana" || c.Roles[0] != "operator" || c.MFA() ||
		c.Kind != token.API || len(c.Bounds()) != 1 {
		t.Fatalf("%+v, %v", c, err)
	}
	if err := r.Users.Update(t.Context(), dana.ID, user.Change{Roles: []string{"viewer"}}, controltest.Root); err != nil {
		t.Fatal(err)
	}
	if c, err := r.Tokens.Authenticate(t.Context(), text); err != nil || c.Roles[0] != "viewer" {
		t.Errorf("after the owner was demoted the token has the roles %v, %v", c.Roles, err)
	}
	r.Clock.Add(24 * time.Hour)
	if got := code(t, r, text); got != "api_token.expired" {
		t.Errorf("a token that has expired: %q", got)
	}
}

func TestAuthenticate_whatNobodyWasGiven(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	_, text := mint(t, r, r.Account(t, "dana"), false)
	stranger, _ := token.NewAPI("dana")
	last := "x"
	if strings.HasSuffix(text, last) {
		last = "y"
	}
	for bad, want := range map[string]string{
		stranger:                  "api_token.unknown",
		text[:len(text)-1] + last: "api_token.malformed",
		text + " ":                "api_token.malformed",
		"pps_" + text[4:]:         "api_token.malformed",
		strings.ToLower(text):     "api_token.malformed",
		"ppt_":                    "api_token.malformed",
	} {
		if got := code(t, r, bad); got != want {
			t.Errorf("%.8s…: %q, want %q", bad, got, want)
		}
	}
}

// TestRevokeAll_whatTakesTheOwnersRightsAwayEndsHisTokens holds decision 53: tokens end with the
// account, its password, and, unless they were made with a factor, when one comes into use.
func TestRevokeAll_whatTakesTheOwnersRightsAwayEndsHisTokens(t *testing.T) {
	t.Parallel()
	no, password := false, "another harbour twenty"
	for what, c := range map[string]struct {
		do       func(context.Context, *controltest.Rig, user.User) error
		mfaStays bool
		reason   string
	}{
		"disable": {reason: apitoken.ReasonDisabled, do: func(ctx context.Context, r *controltest.Rig, u user.User) error {
			return r.Users.Update(ctx, u.ID, user.Change{Enabled: &no}, controltest.Root)
		}},
		"delete": {reason: apitoken.ReasonDeleted, do: func(ctx context.Context, r *controltest.Rig, u user.User) error {
			return r.Users.Delete(ctx, u.ID, controltest.Root, nil)
		}},
		"password": {reason: apitoken.ReasonPassword, do: func(ctx context.Context, r *controltest.Rig, u user.User) error {
			return r.Users.Update(ctx, u.ID, user.Change{Password: &password}, controltest.Root)
		}},
		"factor": {mfaStays: true, reason: apitoken.ReasonFactor, do: func(ctx context.Context, r *controltest.Rig, u user.User) error {
			_, err := r.Factors.EnrolFor(ctx, u.ID, controltest.Root)
			return err
		}},
	} {
		r := controltest.New(t)
		dana, other := r.Account(t, "dana"), r.Account(t, "erin")
		weak, weakText := mint(t, r, dana, false)
		_, strongText := mint(t, r, dana, true)
		_, otherText := mint(t, r, other, false)
		if err := c.do(t.Context(), r, dana); err != nil {
			t.Fatal(what, err)
		}
		if got := code(t, r, weakText); got != "api_token.revoked" {
			t.Errorf("%s: a token made without a factor: %q", what, got)
		}
		if got := code(t, r, strongText); (got == "") != c.mfaStays {
			t.Errorf("%s: a token made with a factor: %q", what, got)
		}
		if got := code(t, r, otherText); got != "" {
			t.Errorf("%s: another owner's token: %q", what, got)
		}
		if got, err := r.Tokens.Get(t.Context(), weak.ID); err != nil || got.Reason != c.reason ||
			got.State(r.Clock.Now()) != apitoken.Revoked {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
		if r.Revoked.State.Check(token.Claims{ID: weak.ID}) == "" {
			t.Errorf("%s: the revocation stream does not say it", what)
		}
		if !strings.Contains(strings.Join(r.Events(t), "\n"), "token.revoked "+weak.ID) {
			t.Errorf("%s: no event tells of it", what)
		}
	}
}

func TestCreate_fiftyAnOwnerThatAreGood(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	dana := r.Account(t, "dana")
	var first apitoken.Token
	for n := range apitoken.MaxLive {
		made, _ := mint(t, r, dana, false)
		if n == 0 {
			first = made
		}
	}
	again := func() error {
		_, _, err := r.Tokens.Create(t.Context(), apitoken.Draft{Name: "one more", Owner: dana.ID, Username: "dana", Scope: reads,
			Expires: r.Clock.Now().Add(time.Hour)}, anybody)
		return err
	}
	if err := again(); fault.CodeOf(err) != "token.too_many" {
		t.Fatalf("one more than there may be: %v", err)
	}
	if err := r.Tokens.Revoke(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	if err := again(); err != nil {
		t.Errorf("in place of a revoked one: %v", err)
	}
	r.Clock.Add(25 * time.Hour)
	if err := again(); err != nil {
		t.Errorf("in place of expired ones: %v", err)
	}
	if w, err := r.Tokens.List(t.Context(), dana.ID, store.Place{Limit: 3}); err != nil || w.Total != apitoken.MaxLive+2 ||
		w.Rows[0].Value.Name != "one more" {
		t.Errorf("%+v, %v", w, err)
	}
}

func TestCreate_refusesWhatIsTooWideTooLongOrUnknown(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	hour := r.Clock.Now().Add(time.Hour)
	for what, d := range map[string]apitoken.Draft{
		"no scope":          {Expires: hour},
		"an unknown type":   {Expires: hour, Scope: authz.Scope{{Action: []string{"read"}, Resource: "batch:*"}}},
		"an unknown action": {Expires: hour, Scope: authz.Scope{{Action: []string{"submit"}, Resource: "batches:*"}}},
		"no name part":      {Expires: hour, Scope: authz.Scope{{Action: []string{"read"}, Resource: "batches"}}},
		"no expiry":         {Scope: reads},
		"in the past":       {Scope: reads, Expires: r.Clock.Now()},
		"over a year":       {Scope: reads, Expires: r.Clock.Now().Add(366 * 24 * time.Hour)},
	} {
		if _, _, err := r.Tokens.Create(t.Context(), d, anybody); !fault.Is(err, fault.Invalid) || len(fault.Of(err).Fields) == 0 {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestRotate_bothAreGoodForTheOverlapAndNoLonger(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	old, oldText := mint(t, r, r.Account(t, "dana"), false)
	fresh, freshText, err := r.Tokens.Rotate(t.Context(), old.ID, apitoken.Rotation{Overlap: time.Hour}, anybody)
	if err != nil || fresh.Name != old.Name || fresh.Owner != old.Owner || !fresh.Expires.Equal(old.Expires) {
		t.Fatalf("%+v, %v", fresh, err)
	}
	if a, b := code(t, r, oldText), code(t, r, freshText); a != "" || b != "" {
		t.Errorf("in the overlap: %q and %q", a, b)
	}
	if _, _, err := r.Tokens.Rotate(t.Context(), old.ID, apitoken.Rotation{}, anybody); fault.CodeOf(err) != "token.ended" {
		t.Errorf("a second successor: %v", err)
	}
	r.Clock.Add(time.Hour)
	if a, b := code(t, r, oldText), code(t, r, freshText); a != "api_token.expired" || b != "" {
		t.Errorf("after the overlap: %q and %q", a, b)
	}
	_, third, err := r.Tokens.Rotate(t.Context(), fresh.ID, apitoken.Rotation{}, anybody)
	if a, b := code(t, r, freshText), code(t, r, third); err != nil || a != "api_token.revoked" || b != "" {
		t.Errorf("without an overlap: %q and %q, %v", a, b, err)
	}
}

func TestRotate_anOverlapBeyondTheEndOfTheOldOneMakesItNoLonger(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	old, text := mint(t, r, r.Account(t, "dana"), false)
	if _, _, err := r.Tokens.Rotate(t.Context(), old.ID, apitoken.Rotation{Overlap: 48 * time.Hour}, anybody); err != nil {
		t.Fatal(err)
	}
	if after, err := r.Tokens.Get(t.Context(), old.ID); err != nil || !after.Expires.Equal(old.Expires) {
		t.Errorf("it was good until %s and is until %s, %v", old.Expires, after.Expires, err)
	}
	r.Clock.Add(24 * time.Hour)
	if got := code(t, r, text); got != "api_token.expired" {
		t.Errorf("after its end: %q", got)
	}
}

// TestTokens_theStoreHoldsNoToken looks for the text of a token in everything that is stored.
func TestTokens_theStoreHoldsNoToken(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	old, text := mint(t, r, r.Account(t, "dana"), false)
	_, second, err := r.Tokens.Rotate(t.Context(), old.ID, apitoken.Rotation{}, anybody)
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	look := func(where string, body []byte) {
		looked++
		for _, secret := range []string{text, second} {
			if bytes.Contains(body, []byte(secret[4:20])) {
				t.Errorf("%s holds the token", where)
			}
		}
	}
	for _, k := range controltest.Schema().Kinds {
		for d, err := range store.All(t.Context(), r.DB, store.Query{Kind: k.Name}) {
			if err != nil {
				t.Fatal(err)
			}
			look(k.Name+" "+d.Key.ID, d.Body)
		}
	}
	for _, stream := range []string{"audit", "events", "revocations", "subjects", apitoken.Stream} {
		page, err := r.DB.Read(t.Context(), stream, 0, store.MaxPage)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			look(stream, e.Body)
		}
	}
	if looked < 20 {
		t.Errorf("only %d things were looked at", looked)
	}
}

func TestUse_isListedAfterAMinuteAndCostsNoCommitARequest(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	made, text := mint(t, r, r.Account(t, "dana"), false)
	before, err := r.Tokens.Get(t.Context(), made.ID)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := code(t, r, text); got != "" {
			t.Fatal(got)
		}
	}
	if after, err := r.Tokens.Get(t.Context(), made.ID); err != nil || after.LastUsed != nil || before.LastUsed != nil {
		t.Errorf("each request writes: %+v, %v", after, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := r.Tokens.Run(ctx); err != nil { // the last round of a stop
		t.Fatal(err)
	}
	if after, err := r.Tokens.Get(t.Context(), made.ID); err != nil || after.LastUsed == nil ||
		after.LastUsed.Unix() != r.Clock.Now().Unix() {
		t.Errorf("%+v, %v", after, err)
	}
	r.Tokens.Use(token.APIUse{At: 1, ID: made.ID}, token.APIUse{At: 1, ID: "01997b1c-0000-7000-8000-000000000001"})
	if err := r.Tokens.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if after, err := r.Tokens.Get(t.Context(), made.ID); err != nil || after.LastUsed.Unix() == 1 {
		t.Errorf("an older use replaced a newer one: %+v, %v", after, err)
	}
}

// TestUse_thatCouldNotBeStoredIsStoredTheNextTime: a last round whose time is over stores nothing.
func TestUse_thatCouldNotBeStoredIsStoredTheNextTime(t *testing.T) {
	t.Parallel()
	r := controltest.New(t)
	made, text := mint(t, r, r.Account(t, "dana"), false)
	if got := code(t, r, text); got != "" {
		t.Fatal(got)
	}
	good := r.Tokens.DB
	closed := memstore.New(controltest.Schema())
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	for _, db := range []*feed.Hub{feed.NewHub(closed), good} {
		r.Tokens.DB = db
		if err := r.Tokens.Run(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if after, err := r.Tokens.Get(t.Context(), made.ID); err != nil || after.LastUsed == nil {
		t.Errorf("the last use is lost: %+v, %v", after, err)
	}
}
