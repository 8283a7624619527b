// Package ratelimit counts requests in fixed windows of a minute and says, in headers, what is left
// of a window.
//
// It owns the windows and the form of the headers, not who counts in which group: the caller names
// group and key. The one rule a caller must know: a Limiter is one process's memory, so a restart
// begins all windows anew (decision 23).
package ratelimit

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/provisioning-platform/platform/shared/config"
)

// Limits are requests per minute (contracts/platform.md 1.9). When Enabled is false the caller
// counts nothing and sends no header.
type Limits struct {
	Enabled        bool `toml:"enabled"`
	Authentication int  `toml:"authentication"` // sign-in routes, by IP
	General        int  `toml:"general"`        // by user; also failed authentication, by IP
	Batch          int  `toml:"batch"`          // by user
}

// Default returns the contract's limits, switched on.
func Default() Limits {
	return Limits{Enabled: true, Authentication: 5, General: 100, Batch: 10}
}

// Check notes limits below 1: they would refuse everybody. `enabled = false` switches limits off.
func (l Limits) Check(problems *config.Problems) {
	problems.AtLeast("rate_limits.authentication", l.Authentication, 1)
	problems.AtLeast("rate_limits.general", l.General, 1)
	problems.AtLeast("rate_limits.batch", l.Batch, 1)
}

const (
	window     = time.Minute
	maxBuckets = 1 << 16 // keys remembered; beyond, the limiter forgets an arbitrary one
)

// Limiter counts requests in fixed windows that begin with the first request of a key (decision
// 23).
type Limiter struct {
	cfg Limits
	now func() time.Time

	mu      sync.Mutex
	buckets map[bucketKey]*bucket // guarded by mu
	swept   time.Time             // guarded by mu
}

type bucketKey struct {
	group Group
	who   string
}

// Group is a family of buckets that share one limit.
type Group uint8

// The groups of contracts/platform.md 1.9.
const (
	Authentication Group = iota // sign-in routes, by address
	General                     // by user
	Batch                       // by user
	Address                     // open routes and failed authentication, by address
)

// String returns the group's name in the RateLimit headers.
func (g Group) String() string {
	return [...]string{"authentication", "general", "batch", "address"}[g]
}

type bucket struct {
	began time.Time
	used  int
}

// Status is what a bucket said of one request, and what the headers of its answer say.
type Status struct {
	OK        bool          // the request is within the limit and was counted
	Limit     int           // requests in a window
	Remaining int           // requests left in this window
	Reset     time.Time     // when the next window begins
	Wait      time.Duration // until Reset
	group     Group
}

// New returns a limiter without a bucket. It reads the time from now.
func New(cfg Limits, now func() time.Time) *Limiter {
	return &Limiter{cfg: cfg, now: now, buckets: map[bucketKey]*bucket{}, swept: now()}
}

func (l *Limiter) size(g Group) int {
	switch g {
	case Authentication:
		return l.cfg.Authentication
	case Batch:
		return l.cfg.Batch
	}
	return l.cfg.General
}

// Take counts one request of who in its bucket of the group and returns how the bucket stands.
func (l *Limiter) Take(g Group, who string) Status {
	now, limit := l.now(), l.size(g)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	key := bucketKey{g, who}
	b := l.buckets[key]
	if b == nil || now.Sub(b.began) >= window || now.Before(b.began) {
		if b == nil {
			b = l.add(key)
		}
		b.began, b.used = now, 0
	}
	v := Status{group: g, Limit: limit, Reset: b.began.Add(window), OK: b.used < limit}
	if v.OK {
		b.used++
	}
	v.Remaining, v.Wait = max(0, limit-b.used), v.Reset.Sub(now)
	return v
}

// add makes a bucket; with too many of them an arbitrary one goes. Called with mu held.
func (l *Limiter) add(key bucketKey) *bucket {
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

// sweep forgets windows that have ended, once a window. Called with mu held.
func (l *Limiter) sweep(now time.Time) {
	if now.Sub(l.swept) < window {
		return
	}
	l.swept = now
	for k, b := range l.buckets {
		if now.Sub(b.began) >= window {
			delete(l.buckets, k)
		}
	}
}

// Show sets the headers of both families: X-RateLimit-* and RateLimit with its policy.
func (v Status) Show(h http.Header) {
	remaining := strconv.Itoa(v.Remaining)
	h["X-Ratelimit-Limit"] = []string{strconv.Itoa(v.Limit)}
	h["X-Ratelimit-Remaining"] = []string{remaining}
	h["X-Ratelimit-Reset"] = []string{strconv.FormatInt(ceilUnix(v.Reset), 10)}
	h["Ratelimit-Policy"] = []string{`"` + v.group.String() + `";q=` + strconv.Itoa(v.Limit) + ";w=60"}
	h["Ratelimit"] = []string{`"` + v.group.String() + `";r=` + remaining + ";t=" + Seconds(v.Wait)}
}

func ceilUnix(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}

// Seconds returns d in whole seconds, rounded up, at least 1: the value of Retry-After.
func Seconds(d time.Duration) string {
	return strconv.FormatInt(max(1, int64((d+time.Second-1)/time.Second)), 10)
}
