package trust

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/token"
)

// Rhythm of the calls. A long poll is held a second: its start is what freshness counts from.
const (
	pollWait    = time.Second
	callTimeout = 3 * time.Second      // beyond the wait
	pollFloor   = 5 * time.Millisecond // between polls: one that is answered at once, again and again, must not spin
	expireEvery = time.Minute
	minBackOff  = 100 * time.Millisecond
	maxBackOff  = time.Second // well below Staleness, so that being heard again takes no longer
)

// Run follows the control-center until ctx ends. It never fails for its absence.
func (t *Trust) Run(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { t.loop(ctx, "revocations", pollFloor, t.pollRevocations) })
	all.Go(func() { t.loop(ctx, "policies", pollFloor, t.pollPolicies) })
	all.Go(func() { t.loop(ctx, "subjects", pollFloor, t.pollSubjects) })
	all.Go(func() { t.loop(ctx, "expiry", expireEvery, t.expire) })
	all.Wait()
	return nil
}

// loop repeats step with a pause after success, and with growing pauses while it fails. It logs when
// the state turns, not each try.
func (t *Trust) loop(ctx context.Context, what string, pause time.Duration, step func(context.Context) error) {
	wait, failing := minBackOff, false
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, pollWait+callTimeout)
		err := step(call)
		cancel()
		rest := pause
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if !failing {
				t.Log.WarnContext(ctx, "control-center: cannot follow", slog.String("what", what), slog.Any("error", err))
			}
			failing = true
			rest = wait/2 + rand.N(wait)/2
			wait = min(2*wait, maxBackOff)
		case failing:
			t.Log.InfoContext(ctx, "control-center: following again", slog.String("what", what))
			failing, wait = false, minBackOff
		}
		if rest > 0 {
			timer := time.NewTimer(rest)
			select {
			case <-ctx.Done():
				timer.Stop()
			case <-timer.C:
			}
		}
	}
}

// wait returns how long the next call may be held: not at all when the last answer is too old.
func (t *Trust) wait(feed int, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.heard[feed]) > Staleness {
		return 0
	}
	return pollWait
}

// sign notes that a call which began at start was answered: what it followed was up to date then.
func (t *Trust) sign(feed int, start time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.heard[feed] = start
}

// pollRevocations makes one call. Items are in force before they are stored: refusing early is the safe
// side, and what could not be stored is asked for again.
func (t *Trust) pollRevocations(ctx context.Context) error {
	t.mu.Lock()
	after, epoch := t.after, t.epoch
	t.mu.Unlock()
	start := t.Now()
	feed, err := t.Source.Revocations(ctx, after, t.wait(revocations, start))
	if err != nil {
		return err
	}
	if feed.Epoch != epoch && after > 0 && !feed.Reset {
		// Another stream, whose numbers say nothing about the one we know: read it from its beginning.
		if feed, err = t.Source.Revocations(ctx, 0, 0); err != nil {
			return err
		}
		feed.Reset = true
	}
	news := false
	var keys []token.JWK // the newest set that is named
	if feed.Reset {
		news = len(feed.Items) > 0
		gone := missing(t.revoked.Snapshot(), feed.Items)
		t.revoked.Restore(feed.Items, feed.Head)
		if err := t.forget(ctx, gone); err != nil {
			return err
		}
	}
	for _, i := range feed.Items {
		news = t.revoked.Apply(i) || news
		if i.Kind == token.AllKeys {
			keys = i.Keys
		}
	}
	if news {
		t.announce()
	}
	if keys != nil {
		if err := t.adoptKeys(ctx, token.JWKS{Keys: keys}); err != nil {
			return err
		}
	}
	if feed.Head != after || feed.Epoch != epoch || len(feed.Items) > 0 {
		if err := t.keep(ctx, feed); err != nil {
			return err
		}
	}
	t.mu.Lock()
	t.after, t.epoch = feed.Head, feed.Epoch
	t.mu.Unlock()
	t.sign(revocations, start)
	return nil
}

// announce wakes whoever waits for a revocation.
func (t *Trust) announce() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.changed)
	t.changed = make(chan struct{})
}

// pollPolicies makes one call and, when there is a new set, compiles, stores and uses it.
func (t *Trust) pollPolicies(ctx context.Context) error {
	t.mu.Lock()
	version := t.policy
	t.mu.Unlock()
	start := t.Now()
	feed, err := t.Source.Policies(ctx, version, t.wait(policySet, start))
	if err != nil {
		return err
	}
	if feed.Source != nil && feed.Source.Version != version {
		if err := t.adopt(ctx, *feed.Source); err != nil {
			return err
		}
	}
	t.sign(policySet, start)
	return nil
}

// adopt compiles src and puts it in force, then stores it. A broken policy is left out and reported.
func (t *Trust) adopt(ctx context.Context, src authz.Source) error {
	set, broken, err := authz.Load(t.authority.Set(), src)
	if err != nil {
		return fault.Wrap("compile policies", err)
	}
	t.report(ctx, broken)
	t.authority.Swap(set)
	if err := t.keepPolicies(ctx, src, broken); err != nil {
		return err // in force, but asked for again until it is stored
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.policy = src.Version
	return nil
}

func (t *Trust) report(ctx context.Context, broken []authz.Quarantined) {
	for _, b := range broken {
		t.Log.ErrorContext(ctx, "policy left out, it is broken", slog.String("policy", b.ID), slog.Any("error", b.Fault))
	}
}

// adoptKeys puts a set of keys in force, wakes who waits for a key of it, and stores it.
func (t *Trust) adoptKeys(ctx context.Context, set token.JWKS) error {
	keys, err := set.Parse()
	if err != nil {
		return err
	}
	if err := t.keys.Replace(keys); err != nil {
		return err
	}
	t.mu.Lock()
	close(t.rekeyed)
	t.rekeyed = make(chan struct{})
	t.mu.Unlock()
	return t.keepKeys(ctx, set)
}

// expire forgets revocations of tokens that are dead anyway.
func (t *Trust) expire(ctx context.Context) error {
	return t.forget(ctx, t.revoked.Expire(t.Now().Unix()))
}

// missing returns the items of had that are not in have.
func missing(had, have []token.Revocation) []token.Revocation {
	keys := map[string]bool{}
	for _, i := range have {
		keys[i.Key()] = true
	}
	var gone []token.Revocation
	for _, i := range had {
		if !keys[i.Key()] {
			gone = append(gone, i)
		}
	}
	return gone
}
