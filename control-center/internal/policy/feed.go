package policy

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/control-center/internal/revocation"
	"github.com/provisioning-platform/platform/shared/authz"
)

// maxRecent is how many changes are kept in memory for followers. A follower that is farther behind
// gets all policies.
const maxRecent = 256

// feed holds what followers are told.
type feed struct {
	mu      sync.Mutex
	version uint64         // under mu: of the policies in force
	recent  []authz.Change // under mu: those that led to version, one for each
	news    chan struct{}  // under mu: the next change closes it; nil when nobody waits
}

// announce tells followers which version is in force: after the change c or, when c is nil, after
// all policies were read anew. The wake-up of the store would come too early, because what is
// committed is in force a moment later.
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

// since returns the changes from a version to the one in force, whether the recent ones reach that
// far back, and a channel that the next change closes.
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

// Feed answers a long poll of a follower that has a version of the policies: the changes since
// then, all policies when the recent changes do not reach back to it, or neither when wait is over.
func (ps *Policies) Feed(ctx context.Context, version uint64, wait time.Duration) authz.Feed {
	timeout := time.NewTimer(min(wait, revocation.LongestPoll))
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
