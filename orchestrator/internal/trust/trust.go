package trust

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
	"github.com/provisioning-platform/platform/shared/token"
)

// Staleness is how old the last word of the control-center may be when something is changed
// (decision 5).
const Staleness = 5 * time.Second

// firstAnswer is how long a start waits to hear the control-center, without which changes are
// refused (decision 5).
const firstAnswer = 500 * time.Millisecond

// keyPatience is how long a token of an unknown key waits for that key: a key that takes over at
// once is on its way here when the first token it signed arrives.
const keyPatience = 100 * time.Millisecond

// Source is the control-center as this package needs it. The four followed calls answer at once
// when there is something after the given place, else after wait with what they have; each answer,
// also an empty one, is a sign of life.
type Source interface {
	Revocations(ctx context.Context, after uint64, wait time.Duration) (token.Feed, error)
	Policies(ctx context.Context, after uint64, wait time.Duration) (authz.Feed, error)
	Subjects(ctx context.Context, after uint64, wait time.Duration) (token.Subjects, error)
	APITokens(ctx context.Context, after uint64, wait time.Duration) (token.APITokenStates, error)
	ReportUses(ctx context.Context, uses []token.APIUse) error
}

// Trust is the component. Its fields are set in one literal; call Load once before anything else,
// then Run.
type Trust struct {
	DB     store.DB
	Source Source
	// exchanges heads of the audit logs: an error means that the control-center was not heard, or
	// that its log goes back
	Witness func(context.Context) error
	Issuer  string // the deployment's issuer, from the credential
	Now     func() time.Time
	Log     *slog.Logger

	verifier  token.Verifier
	keys      token.KeySet
	revoked   token.Revocations
	authority authz.Authority

	mu         sync.Mutex
	epoch      string              // under mu: of the revocation stream
	after      uint64              // under mu: the place in it that is stored
	policy     uint64              // under mu: version of the policy set that is stored; 0: none
	subjectsAt streamPlace         // under mu: how far the subject stream is stored
	tokensAt   streamPlace         // under mu: how far the stream of API tokens is stored
	heard      [followed]time.Time // under mu: start of the last answered call
	rules      string              // under mu: epoch of the policy set that is stored
	back       [followed]string    // under mu: how what it told last goes back behind what is known; empty when it does not
	unanswered int                 // under mu: how often a call was not answered, after which another control-center may answer
	confirmed  int                 // under mu: unanswered when heads were last exchanged, one more; 0: not since the start
	changed    chan struct{}       // under mu: closed by the next revocation
	rekeyed    chan struct{}       // under mu: closed by the next set of keys
	retold     chan struct{}       // under mu: closed by the next news of API tokens
	uses       map[string]int64    // under mu: Unix second of the last use of an API token, not reported yet
	ends       map[string]int64    // under mu: Unix second at which an API token ends earlier than claims may say

	loaded time.Time     // set by Load: when this process started
	rights atomic.Uint64 // changes of policies, subjects and API tokens
}

// What is followed.
const (
	revocations = iota
	policySet
	subjects
	apiTokens
	heads // of the control-center's audit log: whether it is the one that was heard before
	followed
)

// Heard returns when the stream that was heard least lately was known to be up to date; zero when
// one was not heard since the start. Health shows it.
func (t *Trust) Heard() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.oldest()
}

// Ready says whether keys and policies were ever received: from then on tokens can be judged, with
// or without the control-center.
func (t *Trust) Ready() bool { return t.keys.Len() > 0 && t.authority.Set() != nil }

// Serves returns why no request can be judged yet (decision 3): an Unavailable fault before keys
// and policies were ever received, and for firstAnswer after Load unless the control-center was
// heard.
func (t *Trust) Serves() error {
	if !t.Ready() {
		return fault.New(fault.Unavailable, "orchestrator.not_ready", "waiting for the control-center's keys and policies")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := t.Now(); now.Sub(t.loaded) < firstAnswer && !t.fresh(now) {
		return fault.New(fault.Unavailable, "orchestrator.not_ready", "waiting for the control-center's first answer since the start")
	}
	return nil
}

// fresh says whether all that is followed is known to be at most Staleness old at now, and none of
// it goes back. Called with mu held.
func (t *Trust) fresh(now time.Time) bool {
	heard := t.oldest()
	return !heard.IsZero() && now.Sub(heard) <= Staleness && t.rolledBack() == ""
}

// oldest returns when the feed that was heard least lately was up to date. Called with mu held.
func (t *Trust) oldest() time.Time {
	return slices.MinFunc(t.heard[:], time.Time.Compare)
}

// rolledBack says how the control-center contradicts what it told before, "" when it does not.
// Called with mu held.
func (t *Trust) rolledBack() string {
	for _, why := range t.back {
		if why != "" {
			return why
		}
	}
	return ""
}

// AllowChanges returns the fault with which a change is refused while the control-center is silent.
// One that is known to be rolled back counts as silent: what it revoked since it does not know any
// more. A store that takes no commit makes every feed with news count as silent, for it cannot be
// kept; then the fault says what the store says.
func (t *Trust) AllowChanges() error {
	t.mu.Lock()
	fresh, back := t.fresh(t.Now()), t.rolledBack()
	t.mu.Unlock()
	switch {
	case fresh:
		return nil
	case t.refused() != nil:
		return t.refused()
	case back != "":
		return fault.New(fault.Unavailable, "control_center.rolled_back",
			"the control-center was rolled back: %s. Nothing may be changed; reading goes on. Put its newest data folder back, or "+
				"recover it with `control-center audit recover`", back).After(Staleness)
	}
	return fault.New(fault.Unavailable, "control_center.unreachable",
		"the control-center has not been heard for %v, so nothing may be changed; reading goes on; retry when it is back",
		Staleness).After(Staleness)
}

// refused returns why the store takes no commit, for example since its audit log was put back.
func (t *Trust) refused() error {
	if db, ok := t.DB.(interface{ Refusal() error }); ok {
		return db.Refusal()
	}
	return nil
}

// Authenticate returns the claims of a good access token or API token. The keys come with the
// revocation stream and nothing is asked for an unknown one, so whoever makes up key ids takes
// nothing from anybody.
func (t *Trust) Authenticate(ctx context.Context, raw string) (token.Claims, error) {
	if t.keys.Len() == 0 {
		return token.Claims{}, fault.New(fault.Unavailable, "control_center.never_heard",
			"no keys were received from the control-center yet; start it and retry").After(time.Second)
	}
	if token.IsAPI(raw) {
		return t.authenticateAPI(ctx, raw)
	}
	c, err := t.verifier.Verify(raw, t.Now())
	if fault.CodeOf(err) == "token.unknown_key" {
		return t.awaitKey(ctx, raw)
	}
	return c, err
}

// awaitKey verifies a token of an unknown key until its key comes, for keyPatience at most.
func (t *Trust) awaitKey(ctx context.Context, raw string) (token.Claims, error) {
	patience := time.After(keyPatience)
	for {
		t.mu.Lock()
		rekeyed := t.rekeyed
		t.mu.Unlock()
		c, err := t.verifier.Verify(raw, t.Now())
		if fault.CodeOf(err) != "token.unknown_key" {
			return c, err
		}
		select {
		case <-rekeyed:
		case <-patience:
			return c, err
		case <-ctx.Done():
			return c, err
		}
	}
}

// Decide answers from the policy set in force; without one it denies.
func (t *Trust) Decide(q authz.Request) authz.Decision { return t.authority.Decide(q) }

// RightsChanged returns a number that rises after each change of what somebody may do: of policies
// or subjects, or the end of an API token.
func (t *Trust) RightsChanged() uint64 { return t.rights.Load() }

// Policies returns the policy set in force, nil when there is none yet.
func (t *Trust) Policies() *authz.Set { return t.authority.Set() }

// Alive returns the fault token.revoked when a token with these claims is good no longer, which a
// socket asks, because it lives longer than a request.
func (t *Trust) Alive(c token.Claims) error {
	why := t.revoked.Check(c)
	if now := t.Now().Unix(); now > c.Expires || t.overBefore(c, now) {
		why = "the token has expired"
	}
	if why == "" {
		return nil
	}
	return fault.New(fault.Unauthenticated, "token.revoked", "this session is over: %s", why)
}

// Revoked returns a channel that is closed by the next revocation. Take it, ask Alive, then wait:
// so none is missed.
func (t *Trust) Revoked() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}
