package webhook

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter bounds what a receiver may ask for (reliability-bar E09).
const maxRetryAfter = 24 * time.Hour

// DefaultSchedule returns the pauses between the attempts of a delivery (Standard Webhooks 1.0): 10
// attempts in 75 h 35 min 5 s.
func DefaultSchedule() []time.Duration {
	return []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour,
		24 * time.Hour,
	}
}

// pauseAfter returns how long to wait after the attempt that was the n-th, from 1, and false when
// it was the last. The pause is spread by 20 % to either side, so that what failed together does
// not come back together; what the receiver asked for is the least.
func pauseAfter(schedule []time.Duration, n int, asked time.Duration) (time.Duration, bool) {
	if n > len(schedule) {
		return 0, false
	}
	d := schedule[n-1]
	if spread := d / 5; spread > 0 {
		d += rand.N(2*spread+1) - spread
	}
	return max(d, min(asked, maxRetryAfter)), true
}

// retryAfter returns what the header Retry-After asks for, in seconds or as a date; 0 when it asks
// for nothing.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}
