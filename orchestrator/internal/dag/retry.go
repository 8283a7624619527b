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

// Policy bounds the tries of a node. Durations are whole milliseconds, and 0 means the default.
// Fields stand in the order of their JSON names, as in every type of this package that is stored.
type Policy struct {
	AttemptTimeout int64 `json:"attempt_timeout_ms,omitempty"` // of one try
	Grace          int64 `json:"grace_ms,omitempty"`           // how long a stopped try may take to end
	InitialDelay   int64 `json:"initial_delay_ms,omitempty"`   // before the second try; doubles with each further one
	MaxAttempts    int   `json:"max_attempts,omitempty"`
	MaxDelay       int64 `json:"max_delay_ms,omitempty"`
	RetryTimeouts  bool  `json:"retry_timeouts,omitempty"` // a try that timed out is made again
	Timeout        int64 `json:"timeout_ms,omitempty"`     // of the whole operation with all its tries; default none
}

// DefaultPolicy returns what holds where neither the node nor the definition says otherwise.
func DefaultPolicy() Policy {
	return Policy{AttemptTimeout: 30 * 60_000, Grace: 10_000, InitialDelay: 5_000, MaxAttempts: 3, MaxDelay: 300_000}
}

// Or returns p with the fields of d where p has none.
func (p Policy) Or(d Policy) Policy {
	if p.AttemptTimeout == 0 {
		p.AttemptTimeout = d.AttemptTimeout
	}
	if p.Grace == 0 {
		p.Grace = d.Grace
	}
	if p.InitialDelay == 0 {
		p.InitialDelay = d.InitialDelay
	}
	if p.MaxAttempts == 0 {
		p.MaxAttempts = d.MaxAttempts
	}
	if p.MaxDelay == 0 {
		p.MaxDelay = d.MaxDelay
	}
	p.RetryTimeouts = p.RetryTimeouts || d.RetryTimeouts
	if p.Timeout == 0 {
		p.Timeout = d.Timeout
	}
	return p
}

func millis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// scheduleRetry has a step wait before its next attempt of that kind.
func (r *Run) scheduleRetry(i, k int32, kind AttemptKind, res Result) {
	t := &r.Tasks[i]
	p := &t.Steps[k]
	tries := p.Tries
	if kind == Find {
		tries = p.Finds
	}
	p.Kind = kind
	p.RetryAt, p.Wait, p.retryDue = r.startTimer(i, delay(r.policies[i], t.ID+p.Step.Name, tries, res.RetryAfter))
	if p.State == Running {
		r.setStep(p, Retrying)
	}
}
