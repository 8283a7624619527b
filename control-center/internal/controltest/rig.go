// Package controltest builds a control-center without HTTP for tests: a store in memory, an
// initialised data folder and a clock that the test moves. It owns no behaviour of the product.
//
// The one rule: everything a test needs to be different is a field of Rig, changed before its first
// use.
package controltest

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what authenticators use
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/apitoken"
	"github.com/provisioning-platform/platform/control-center/internal/bootstrap"
	"github.com/provisioning-platform/platform/control-center/internal/change"
	"github.com/provisioning-platform/platform/control-center/internal/keys"
	"github.com/provisioning-platform/platform/control-center/internal/mfa"
	"github.com/provisioning-platform/platform/control-center/internal/policy"
	"github.com/provisioning-platform/platform/control-center/internal/revocation"
	"github.com/provisioning-platform/platform/control-center/internal/serviceaccount"
	"github.com/provisioning-platform/platform/control-center/internal/session"
	"github.com/provisioning-platform/platform/control-center/internal/tokens"
	"github.com/provisioning-platform/platform/control-center/internal/user"
	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/instance"
	"github.com/provisioning-platform/platform/shared/retention"
	"github.com/provisioning-platform/platform/shared/seal"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/store/memstore"
	"github.com/provisioning-platform/platform/shared/token"
	"github.com/provisioning-platform/platform/shared/webhook"
)

// Password is the password of every account the rig makes.
const Password = "violet harbour nineteen"

// Root is a caller who may do everything.
var Root = user.Caller{ID: "x", Roles: []string{user.Admin}}

// Clock is a clock that stands until it is moved.
type Clock struct {
	mu  sync.Mutex
	now time.Time // under mu
}

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add moves the clock.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Rig is the inside of a control-center: its packages, wired as in app.
type Rig struct {
	Dir      string
	Clock    *Clock
	Admin    bootstrap.InitResult
	File     bootstrap.File
	DB       *feed.Hub
	Sealer   *seal.Sealer
	Revoked  *revocation.Log
	Changes  *change.Committer
	Ring     *keys.Ring
	Policies *policy.Policies
	Users    *user.Users
	Factors  *mfa.Factors
	Machines *serviceaccount.Roster
	Tokens   *apitoken.Registry
	Sessions *session.Sessions
	Verify   *token.Verifier // as the service verifies requests
}

// Schema returns the kinds of the packages below this one.
func Schema() store.Schema {
	var kinds []store.Kind
	for _, k := range [][]store.Kind{apitoken.Kinds(), serviceaccount.Kinds(),
		user.Kinds(), mfa.Kinds(), session.Kinds(), keys.Kinds(), policy.Kinds(),
		tokens.Kinds(), revocation.Kinds(), bootstrap.Kinds(), feed.Kinds(), retention.Kinds(), webhook.Kinds()} {
		kinds = append(kinds, k...)
	}
	return store.Schema{Service: "control_center", Kinds: kinds}
}

// New initialises a folder, imports it into a store in memory and builds everything over it.
func New(t testing.TB) *Rig {
	t.Helper()
	return Over(t, memstore.New(Schema()))
}

// Over is New on a given store.
func Over(t testing.TB, db store.DB) *Rig {
	t.Helper()
	ctx := context.Background()
	r := &Rig{Dir: t.TempDir() + "/data", Clock: &Clock{now: time.Unix(1_790_000_010, 0)}, DB: feed.NewHub(db)}
	var err error
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	hasher := user.NewHasher(user.Cost{Memory: 64, Time: 1}) // the real cost would be most of a test's time
	r.Admin, err = bootstrap.Init(ctx, bootstrap.Options{Dir: r.Dir, Hasher: hasher}, r.Clock.Now())
	must(err)
	r.File, err = bootstrap.Load(r.Dir)
	must(err)
	must(bootstrap.Import(ctx, r.DB, r.Dir, r.File, false, r.Clock.Now()))
	r.Sealer, err = seal.Open(instance.Folder(r.Dir).Keys())
	must(err)
	log := slog.New(slog.DiscardHandler)
	r.Revoked = &revocation.Log{DB: r.DB, State: &token.Revocations{}, Epoch: r.File.Deployment}
	r.Changes = &change.Committer{DB: r.DB, Revoked: r.Revoked.State}
	r.Ring = &keys.Ring{Changes: r.Changes, Sealer: r.Sealer, Now: r.Clock.Now, Log: log}
	must(r.Ring.Load(ctx))
	must(r.Ring.Announce(ctx))
	r.Policies = &policy.Policies{Changes: r.Changes, Epoch: r.File.Deployment, Authority: &authz.Authority{}, Now: r.Clock.Now, Log: log}
	must(r.Policies.Load(ctx))
	r.Users = &user.Users{DB: r.DB, Changes: r.Changes, Epoch: r.File.Deployment, Hasher: hasher, Now: r.Clock.Now, HasFactor: mfa.Has}
	r.Factors = &mfa.Factors{Changes: r.Changes, Users: r.Users, Sealer: r.Sealer, Issuer: bootstrap.MFAIssuer, Now: r.Clock.Now}
	r.Machines = &serviceaccount.Roster{DB: r.DB, Changes: r.Changes, Now: r.Clock.Now}
	r.Tokens = &apitoken.Registry{DB: r.DB, Changes: r.Changes, Epoch: r.File.Deployment, MaxTTL: 365 * 24 * time.Hour,
		Owner: serviceaccount.Owner(r.Users, r.Machines), Now: r.Clock.Now}
	dummy, err := mfa.Dummy(r.Sealer)
	must(err)
	issuer := tokens.Issuer(r.File.Deployment)
	r.Verify = &token.Verifier{Issuer: issuer, Audience: token.ControlCenter, Keys: &r.Ring.Public, Revoked: r.Revoked.State.Check}
	r.Sessions = &session.Sessions{
		Changes: r.Changes, Hasher: hasher, Sealer: r.Sealer, Dummy: dummy, Now: r.Clock.Now,
		Mint:     &tokens.Mint{Ring: r.Ring, Issuer: issuer, TTL: 15 * time.Minute},
		Verifier: &token.Verifier{Issuer: issuer, Audience: token.ControlCenter, Keys: &r.Ring.Public},
		Idle:     8 * time.Hour, Absolute: 7 * 24 * time.Hour,
	}
	return r
}

// Code returns the code of a secret at the clock's time, shifted by whole steps. It is computed by
// the book (RFC 4226), not with the product's library.
func (r *Rig) Code(t testing.TB, secret string, steps int) string {
	t.Helper()
	key, err := base32.StdEncoding.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, r.Clock.Now().Unix()/30+int64(steps))
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:at+4])&0x7fffffff%1_000_000)
}

// Account makes an account without a factor.
func (r *Rig) Account(t testing.TB, name string, roles ...string) user.User {
	t.Helper()
	if len(roles) == 0 {
		roles = []string{"operator"}
	}
	u, err := r.Users.Create(context.Background(),
		user.Draft{Username: name, Email: name + "@example.com", Password: Password, Roles: roles, Enabled: true}, Root)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// SignIn signs an account without a factor in.
func (r *Rig) SignIn(t testing.TB, name string) session.Grant {
	t.Helper()
	g, err := r.Sessions.SignIn(context.Background(), session.Credentials{Username: name, Password: Password, IP: "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Events returns the events so far, as "type object".
func (r *Rig) Events(t testing.TB) []string {
	t.Helper()
	page, err := r.DB.Read(context.Background(), change.Stream, 0, store.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	events := make([]string, len(page.Entries))
	for i, e := range page.Entries {
		var event change.Event
		if err := json.Unmarshal(e.Body, &event); err != nil {
			t.Fatal(err)
		}
		events[i] = string(event.Type) + " " + event.ObjectID
	}
	return events
}

// Alive says whether an access token is accepted.
func (r *Rig) Alive(raw string) bool {
	_, err := r.Verify.Verify(raw, r.Clock.Now())
	return err == nil
}
