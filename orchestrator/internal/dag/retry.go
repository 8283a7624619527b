package dag

import (
	"hash/fnv"
	"strconv"
	"time"
)

// retryable says whether an attempt that ended with class c may be made again.
func retryable(c Class, p Policy) bool {
	switch c {
	case Transient, Throttled, Quota, Stopped:
		return true // Stopped without a Stop of ours: the executor was shut down
	case TimedOut:
		return p.RetryTimeouts
	}
	return false
}

// delay returns how long to wait after n failed tries: the initial delay times 2^(n-1), at most the
// maximum or, if it is longer, the initial delay. The upper half of that is jitter, so that delays
// grow and callers spread. The jitter is a hash of key, so the same state always gives the same
// delay. delay is at least what the provider asked for, up to an hour.
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
