package trust

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/shared/authz"
	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/token"
)

// Rhythm of the calls. A long poll is held a second: its start is what freshness counts from.
const (
	pollWait    = time.Second
	callTimeout = 3 * time.Second      // beyond the wait
	pollFloor   = 5 * time.Millisecond // between polls: one that is answered at once, again and again, must not spin
	headsEvery  = time.Second
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
	all.Go(func() { t.loop(ctx, "API tokens", pollFloor, t.pollTokens) })
	all.Go(func() { t.loop(ctx, "last uses", useEvery, t.reportUses) })
	all.Go(func() { t.loop(ctx, "heads", headsEvery, t.pollHeads) })
	all.Go(func() { t.loop(ctx, "expiry", expireEvery, t.expire) })
	all.Wait()
	return nil
}

// loop repeats step with a pause after success, and with growing pauses while it fails. It logs
// when the state turns, not each try.
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
			t.noteUnanswered()
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
		clock.Pause(ctx, rest, nil)
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
	t.heard[feed], t.back[feed] = start, ""
}

// goesBack notes that a feed goes back behind what is known, and returns the fault that says so.
// The control-center counts as silent until the same feed is in order again.
func (t *Trust) goesBack(feed int, format string, args ...any) error {
	f := fault.New(fault.Conflict, "control_center.rolled_back", format, args...)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.back[feed] = f.Message
	return f
}

// pollHeads exchanges heads with the control-center. It is what tells a control-center that was put
// back and then went on from the one that is known, so it is also asked before anything known is
// replaced.
func (t *Trust) pollHeads(ctx context.Context) error {
	t.mu.Lock()
	doubts := t.unanswered
	t.mu.Unlock()
	start := t.Now()
	err := t.Witness(ctx)
	switch {
	case fault.Is(err, fault.Conflict):
		return t.goesBack(heads, "%s", fault.Of(err).Message)
	case err != nil:
		return err
	}
	t.sign(heads, start)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.confirmed = doubts + 1
	return nil
}

// noteUnanswered counts a call that was not answered: the next answer may be another
// control-center's.
func (t *Trust) noteUnanswered() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unanswered++
}

// confirmPeer exchanges heads unless they were exchanged since the last call that was not answered.
func (t *Trust) confirmPeer(ctx context.Context) error {
	t.mu.Lock()
	done := t.confirmed > t.unanswered
	t.mu.Unlock()
	if done {
		return nil
	}
	return t.pollHeads(ctx)
}

// pollRevocations makes one call. Items are in force before they are stored: refusing early is the
// safe side, and what could not be stored is asked for again. In one epoch what is revoked stays
// revoked until it expires, whatever the feed says.
func (t *Trust) pollRevocations(ctx context.Context) error {
	t.mu.Lock()
	after, epoch := t.after, t.epoch
	t.mu.Unlock()
	start := t.Now()
	feed, err := t.Source.Revocations(ctx, after, t.wait(revocations, start))
	if err != nil {
		return err
	}
	if feed.Epoch == epoch && feed.Head < after {
		t.apply(feed.Items)
		return t.goesBack(revocations, "it knows %d revocations and has told %d", feed.Head, after)
	}
	if feed.Epoch != epoch && epoch != "" {
		if feed, err = t.otherEpoch(ctx); err != nil {
			return err
		}
	}
	t.apply(feed.Items)
	if feed.Head != after || feed.Epoch != epoch || len(feed.Items) > 0 {
		if err := t.confirmPeer(ctx); err != nil { // else a place behind the known one's end might be kept
			return err
		}
		if err := t.adoptKeys(ctx, feed.Items); err != nil {
			return err
		}
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

// otherEpoch reads another stream, whose numbers say nothing about the one that is known, from its
// beginning, and forgets what the known one said of accounts, whose versions count anew. What it
// said of sessions, single tokens and keys that are not named again stays: no other stream can mean
// another one by the same id. It is one that the witness knows to follow it.
func (t *Trust) otherEpoch(ctx context.Context) (token.Feed, error) {
	if err := t.pollHeads(ctx); err != nil {
		return token.Feed{}, err
	}
	feed, err := t.Source.Revocations(ctx, 0, 0)
	if err != nil {
		return feed, err
	}
	had := t.revoked.Snapshot()
	feed.Items = append(feed.Items, acrossEpochs(had, feed.Items)...)
	gone := missing(had, feed.Items)
	t.revoked.Restore(feed.Items, feed.Head)
	t.announce()
	return feed, t.forget(ctx, gone)
}

// apply brings revocations into force; what grants something, a set of keys, is left to adoptKeys.
func (t *Trust) apply(items []token.Revocation) {
	news := false
	for _, i := range items {
		if i.Kind != token.AllKeys {
			news = t.revoked.Apply(i) || news
		}
	}
	if news {
		t.announce()
	}
}

// announce wakes whoever waits for a revocation.
func (t *Trust) announce() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.changed)
	t.changed = make(chan struct{})
}

// pollPolicies makes one call and, when there is a new set, compiles, stores and uses it. In one
// epoch sets only become newer.
func (t *Trust) pollPolicies(ctx context.Context) error {
	t.mu.Lock()
	version, epoch := t.policy, t.rules
	t.mu.Unlock()
	start := t.Now()
	feed, err := t.Source.Policies(ctx, version, t.wait(policySet, start))
	if err != nil {
		return err
	}
	if len(feed.Changes) > 0 && (feed.Epoch != epoch || feed.Version <= version) {
		// What it tells does not lead on from what is known here: read everything.
		if feed, err = t.Source.Policies(ctx, 0, 0); err != nil {
			return err
		}
	}
	switch {
	case len(feed.Changes) > 0:
		if err := t.pollHeads(ctx); err != nil {
			return err
		}
		if err := t.change(ctx, feed); err != nil {
			return err
		}
	case feed.Source != nil && (feed.Source.Version != version || feed.Epoch != epoch):
		if feed.Source.Version < version && (feed.Epoch == epoch || epoch == "") {
			return t.goesBack(policySet, "its policies have version %d, and it has told version %d", feed.Source.Version, version)
		}
		if err := t.pollHeads(ctx); err != nil {
			return err
		}
		if err := t.adopt(ctx, feed); err != nil {
			return err
		}
	}
	t.sign(policySet, start)
	return nil
}

// adopt compiles the set of feed and puts it in force, then stores it. A broken policy is left out
// and reported.
func (t *Trust) adopt(ctx context.Context, feed authz.Feed) error {
	set, broken, err := authz.Load(t.authority.Set(), *feed.Source)
	if err != nil {
		return fault.Wrap("compile policies", err)
	}
	t.report(ctx, broken)
	t.authority.Swap(set)
	t.rights.Add(1)
	return t.keepPolicies(ctx, feed, broken)
}

// change is adopt for a feed that tells what changed since the set in force, at the cost of what
// changed.
func (t *Trust) change(ctx context.Context, feed authz.Feed) error {
	broken, err := t.authority.Set().Apply(feed.Version, feed.Changes...)
	if err != nil {
		return fault.Wrap("compile policies", err)
	}
	t.rights.Add(1)
	t.report(ctx, broken)
	return t.keepPolicies(ctx, feed, broken)
}

func (t *Trust) report(ctx context.Context, broken []authz.Quarantined) {
	for _, b := range broken {
		t.Log.ErrorContext(ctx, "policy left out, it is broken", slog.String("policy", b.ID), slog.Any("error", b.Fault))
	}
}

// adoptKeys puts the newest set of keys that items name, if any, in force, wakes who waits for a
// key of it, and stores it.
func (t *Trust) adoptKeys(ctx context.Context, items []token.Revocation) error {
	var set token.JWKS
	for _, i := range items {
		if i.Kind == token.AllKeys {
			t.revoked.Apply(i)
			set.Keys = i.Keys
		}
	}
	if set.Keys == nil {
		return nil
	}
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
	t.forgetEnds(t.Now().Unix())
	return t.forget(ctx, t.revoked.Expire(t.Now().Unix()))
}

// acrossEpochs returns the items of had that hold in every epoch, without their places, which count
// in theirs.
func acrossEpochs(had, have []token.Revocation) []token.Revocation {
	named := map[string]bool{}
	for _, i := range have {
		named[i.Key()] = true
		for _, k := range i.Keys {
			named[token.RevokeKey(k.Kid).Key()] = true
		}
	}
	var keep []token.Revocation
	for _, i := range had {
		if (i.Kind == token.BySession || i.Kind == token.ByToken || i.Kind == token.ByKey) && !named[i.Key()] {
			i.Seq = 0
			keep = append(keep, i)
		}
	}
	return keep
}

// missing returns the items of had that are not in have.
func missing(had, have []token.Revocation) []token.Revocation {
	keys := map[string]bool{}
	for _, i := range have {
		keys[i.Key()] = true
	}
	return slices.DeleteFunc(slices.Clone(had), func(i token.Revocation) bool { return keys[i.Key()] })
}
