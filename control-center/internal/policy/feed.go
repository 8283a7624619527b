package policy

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/shared/authz"
)

// longestPoll bounds how long Feed waits, whatever was asked for; below the peer's patience
// (decision 5).
const longestPoll = 2 * time.Second

// maxRecent is how many changes are remembered for those who follow. Who is farther behind gets
// everything.
const maxRecent = 256

// feed is what followers are told.
type feed struct {
	mu      sync.Mutex
	version uint64         // under mu: of what is in force
	recent  []authz.Change // under mu: those that led there, one a version
	news    chan struct{}  // under mu: closed by the next change; nil when nobody waits
}

// announce tells followers what is in force: after one change, or, without one, anew. The store's
// own wake-up comes too early: what is committed is in force a moment later.
func (ps *Policies) announce(version uint64, c *authz.Change) {
	f := &ps.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version = version
	if c == nil {
		f.recent = nil
	} else {
		f.recent = append(f.recent[max(0, len(f.recent)-maxRecent+1):len(f.recent):len(f.recent)], *c)
	}
	if f.news != nil {
		close(f.news)
		f.news = nil
	}
}

// since returns what leads from a version to the one in force, whether the recent changes tell
// that, and a channel that is closed by the next change.
func (f *feed) since(version uint64) (changes []authz.Change, now uint64, known bool, news <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.news == nil {
		f.news = make(chan struct{})
	}
	behind := f.version - version
	if known = version <= f.version && behind <= uint64(len(f.recent)); known {
		changes = slices.Clone(f.recent[len(f.recent)-int(behind):])
	}
	return changes, f.version, known, f.news
}

// Feed answers a long poll: what changed since the version the caller has, everything when that is
// not known any more, or nothing after wait.
func (ps *Policies) Feed(ctx context.Context, version uint64, wait time.Duration) authz.Feed {
	timeout := time.NewTimer(min(wait, longestPoll))
	defer timeout.Stop()
	for {
		changes, now, known, news := ps.feed.since(version)
		switch {
		case !known:
			src := ps.Authority.Set().Source()
			return authz.Feed{Epoch: ps.Epoch, Source: &src, Version: src.Version}
		case len(changes) > 0:
			return authz.Feed{Epoch: ps.Epoch, Changes: changes, Version: now}
		}
		select {
		case <-news:
		case <-timeout.C:
			return authz.Feed{Epoch: ps.Epoch, Version: version}
		case <-ctx.Done():
			return authz.Feed{Epoch: ps.Epoch, Version: version}
		}
	}
}
