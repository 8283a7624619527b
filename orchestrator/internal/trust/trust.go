package trust

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// Staleness is how old the last word of the control-center may be when something is changed (decision 5).
const Staleness = 5 * time.Second

// refetchEvery bounds key fetches that strangers can cause with unknown key ids.
const refetchEvery = 30 * time.Second

// Source is the control-center as this package needs it. The three followed calls answer at once when there
// is something after the given place, else after wait with what they have; each answer, also an empty one,
// is a sign of life.
type Source interface {
	Revocations(ctx context.Context, after uint64, wait time.Duration) (token.Feed, error)
	Policies(ctx context.Context, after uint64, wait time.Duration) (authz.Feed, error)
	Subjects(ctx context.Context, after uint64, wait time.Duration) (token.Subjects, error)
	Keys(ctx context.Context) (token.JWKS, error)
}

// Trust is the component. Its fields are set in one literal; call Load once before anything else, then Run.
type Trust struct {
	DB     store.DB
	Source Source
	Issuer string // the deployment's issuer, from the credential
	Now    func() time.Time
	Log    *slog.Logger

	verifier  token.Verifier
	keys      token.KeySet
	revoked   token.Revocations
	authority authz.Authority

	mu       sync.Mutex
	epoch    string              // under mu: of the revocation stream
	after    uint64              // under mu: the place in it that is stored
	policy   uint64              // under mu: version of the policy set that is stored; 0: none
	people   subjectPlace        // under mu: how far the subject stream is stored
	heard    [followed]time.Time // under mu: start of the last answered call
	fetched  time.Time           // under mu: last fetch that a stranger's key id caused
	changed  chan struct{}       // under mu: closed by the next revocation
	fetching sync.Mutex          // one key fetch at a time
}

// What is followed.
const (
	revocations = iota
	policySet
	subjects
	followed
)

// Status is what health shows.
type Status struct {
	Ready       bool      // has ever received keys and policies
	Fresh       bool      // heard within Staleness
	Heard       time.Time // when the oldest of the feeds was last known to be up to date; zero: not since the start
	Policy      uint64    // version of the policy set in force
	Revocations uint64    // place in the revocation stream
	Keys        int
}

// Status returns the present state.
func (t *Trust) Status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Status{Heard: t.oldest(), Revocations: t.after, Keys: t.keys.Len()}
	s.Fresh = t.fresh(t.Now())
	if set := t.authority.Set(); set != nil {
		s.Policy = set.Version()
		s.Ready = s.Keys > 0
	}
	return s
}

// Ready says whether keys and policies were ever received: from then on tokens can be judged, with or
// without the control-center.
func (t *Trust) Ready() bool { return t.keys.Len() > 0 && t.authority.Set() != nil }

// Fresh says whether revocations, policies and subjects are known to be at most Staleness old at now.
func (t *Trust) Fresh(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fresh(now)
}

func (t *Trust) fresh(now time.Time) bool {
	heard := t.oldest()
	return !heard.IsZero() && now.Sub(heard) <= Staleness
}

func (t *Trust) oldest() time.Time {
	return slices.MinFunc(t.heard[:], time.Time.Compare)
}

// AllowChanges returns the fault with which a change is refused while the control-center is silent.
func (t *Trust) AllowChanges() error {
	if t.Fresh(t.Now()) {
		return nil
	}
	return fault.New(fault.Unavailable, "control_center.unreachable",
		"the control-center has not been heard for %v, so nothing may be changed; reading goes on; retry when it is back", Staleness).After(Staleness)
}

// Authenticate returns the claims of a good access token. An unknown key id may cause one look at the
// control-center's keys, at most one in 30 s whoever asks.
func (t *Trust) Authenticate(ctx context.Context, raw string) (token.Claims, error) {
	if t.keys.Len() == 0 {
		return token.Claims{}, fault.New(fault.Unavailable, "control_center.never_heard",
			"no keys were received from the control-center yet; start it and retry").After(time.Second)
	}
	c, err := t.verifier.Verify(raw, t.Now())
	if fault.CodeOf(err) != "token.unknown_key" || !t.mayRefetch() {
		return c, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if t.fetchKeys(ctx) != nil {
		return c, err
	}
	return t.verifier.Verify(raw, t.Now())
}

func (t *Trust) mayRefetch() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.Now()
	if !t.fetched.IsZero() && now.Sub(t.fetched) < refetchEvery {
		return false
	}
	t.fetched = now
	return true
}

// Decide answers from the policy set in force; without one it denies.
func (t *Trust) Decide(q authz.Request) authz.Decision { return t.authority.Decide(q) }

// Policies returns the policy set in force, nil when there is none yet.
func (t *Trust) Policies() *authz.Set { return t.authority.Set() }

// Check says why a token with these claims is good no longer, "" when it is: for what lives longer than a
// request.
func (t *Trust) Check(c token.Claims) string {
	if t.Now().Unix() > c.Expires {
		return "the token has expired"
	}
	return t.revoked.Check(c)
}

// Revoked returns a channel that is closed by the next revocation. Take it, Check, then wait: so none is
// missed.
func (t *Trust) Revoked() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}
