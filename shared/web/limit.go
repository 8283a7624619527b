package web

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/shared/config"
)

// RateLimits are requests per minute (contracts/platform.md 1.9). Not Enabled, nothing is counted
// and no header is sent.
type RateLimits struct {
	Enabled        bool `toml:"enabled"`
	Authentication int  `toml:"authentication"` // sign-in routes, by IP
	General        int  `toml:"general"`        // by user; also failed authentication, by IP
	Batch          int  `toml:"batch"`          // by user
}

// DefaultRateLimits returns the contract's limits, switched on.
func DefaultRateLimits() RateLimits {
	return RateLimits{Enabled: true, Authentication: 5, General: 100, Batch: 10}
}

// Check notes limits below 1: they would refuse everybody. `enabled = false` switches limits off.
func (l RateLimits) Check(problems *config.Problems) {
	problems.AtLeast("rate_limits.authentication", l.Authentication, 1)
	problems.AtLeast("rate_limits.general", l.General, 1)
	problems.AtLeast("rate_limits.batch", l.Batch, 1)
}

const (
	limitWindow = time.Minute
	maxBuckets  = 1 << 16 // keys remembered; beyond, an arbitrary one is forgotten
)

// limiter counts requests in fixed windows that begin with the first request of a key (decision
// 23).
type limiter struct {
	cfg    RateLimits
	now    func() time.Time
	labels [groupAddress + 1]*labels

	mu      sync.Mutex
	buckets map[bucketKey]*bucket // guarded by mu
	swept   time.Time             // guarded by mu
}

type bucketKey struct {
	group group
	who   string
}

type group uint8

const (
	groupAuthentication group = iota
	groupGeneral
	groupBatch
	groupAddress // open routes and failed authentication
)

func (g group) String() string {
	return [...]string{"authentication", "general", "batch", "address"}[g]
}

type bucket struct {
	began time.Time
	used  int
}

// rateStatus is what the headers of an answer say.
type rateStatus struct {
	labels    *labels
	ok        bool
	limit     int
	remaining int
	reset     time.Time
	wait      time.Duration
}

func newLimiter(cfg RateLimits, now func() time.Time) *limiter {
	l := &limiter{cfg: cfg, now: now, buckets: map[bucketKey]*bucket{}, swept: now()}
	for g := range l.labels {
		l.labels[g] = labelsOf(group(g), l.size(group(g)))
	}
	return l
}

func (l *limiter) size(g group) int {
	switch g {
	case groupAuthentication:
		return l.cfg.Authentication
	case groupBatch:
		return l.cfg.Batch
	}
	return l.cfg.General
}

// take counts one request.
func (l *limiter) take(g group, who string) rateStatus {
	now, limit := l.now(), l.size(g)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	key := bucketKey{g, who}
	b := l.buckets[key]
	if b == nil || now.Sub(b.began) >= limitWindow || now.Before(b.began) {
		if b == nil {
			b = l.add(key)
		}
		b.began, b.used = now, 0
	}
	v := rateStatus{labels: l.labels[g], limit: limit, reset: b.began.Add(limitWindow), ok: b.used < limit}
	if v.ok {
		b.used++
	}
	v.remaining, v.wait = max(0, limit-b.used), v.reset.Sub(now)
	return v
}

// add makes a bucket; with too many of them an arbitrary one goes. Called with mu held.
func (l *limiter) add(key bucketKey) *bucket {
	if len(l.buckets) >= maxBuckets {
		for k := range l.buckets {
			delete(l.buckets, k)
			break
		}
	}
	b := &bucket{}
	l.buckets[key] = b
	return b
}

// sweep forgets windows that are over, once a window. Called with mu held.
func (l *limiter) sweep(now time.Time) {
	if now.Sub(l.swept) < limitWindow {
		return
	}
	l.swept = now
	for k, b := range l.buckets {
		if now.Sub(b.began) >= limitWindow {
			delete(l.buckets, k)
		}
	}
}

// show sets the headers of both families.
func (v rateStatus) show(h http.Header) {
	var small [24]byte
	reset := string(strconv.AppendInt(small[:0], ceilUnix(v.reset), 10))
	remaining := strconv.Itoa(v.remaining) // below 100 without an allocation
	one := &[3]string{remaining, reset, v.labels.prefix + remaining + ";t=" + seconds(v.wait)}
	h["X-Ratelimit-Limit"] = v.labels.limit
	h["X-Ratelimit-Remaining"] = one[0:1:1]
	h["X-Ratelimit-Reset"] = one[1:2:2]
	h["Ratelimit-Policy"] = v.labels.policy
	h["Ratelimit"] = one[2:3:3]
}

// labels are the parts of the headers that are the same for every answer of a group.
type labels struct {
	limit, policy []string
	prefix        string
}

func labelsOf(g group, limit int) *labels {
	n := strconv.Itoa(limit)
	return &labels{limit: []string{n}, policy: []string{`"` + g.String() + `";q=` + n + ";w=60"}, prefix: `"` + g.String() + `";r=`}
}

func ceilUnix(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}
