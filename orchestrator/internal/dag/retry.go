package dag

import (
	"hash/fnv"
	"strconv"
	"time"
)

// retryable says whether an attempt that ended so is worth another.
func retryable(c Class, p Policy) bool {
	switch c {
	case Transient, Throttled, Quota, Stopped:
		return true // Stopped by nobody of ours: the executor was shut down under it
	case TimedOut:
		return p.RetryTimeouts
	}
	return false
}

// delay returns how long to wait after n failed tries: initial x 2^(n-1), at most the maximum
// unless the initial is longer, of which the upper half is jitter, so that delays grow and callers
// spread. The jitter is a hash of key, so the same state always gives the same time. What the
// provider asked for is honoured, up to an hour.
func delay(p Policy, key string, n int, asked time.Duration) time.Duration {
	d := millis(p.InitialDelay)
	most := max(d, millis(p.MaxDelay))
	for range min(n-1, 30) {
		d = min(2*d, most)
	}
	h := fnv.New64a()
	h.Write([]byte(key + "#" + strconv.Itoa(n)))
	if half := d / 2; half > 0 {
		d = half + time.Duration(h.Sum64()%uint64(half))
	}
	return max(d, min(asked, time.Hour)).Round(time.Millisecond)
}
