package trust

import (
	"time"

	"github.com/provisioning-platform/platform/shared/obs"
)

// Meter registers how old what is known of the control-center may be, under names that begin with
// prefix. Each age is at most Staleness while changes are taken.
func (t *Trust) Meter(r *obs.Registry, prefix string) {
	for _, f := range []struct {
		name, help string
		feed       int
	}{
		{"_revocation_lag_seconds", "Seconds since all revocations were last known here, or since the start when they were not yet.",
			revocations},
		{"_policy_lag_seconds", "Seconds since the newest policies were last known here, or since the start when they were not yet.",
			policySet},
		{"_subject_lag_seconds", "Seconds since the roles of all users were last known here, or since the start when they were not yet.",
			subjects},
		{"_api_token_lag_seconds", "Seconds since all API tokens were last known here, or since the start when they were not yet.",
			apiTokens},
	} {
		r.GaugeFunc(prefix+f.name, f.help, func() float64 { return t.age(f.feed).Seconds() })
	}
}

// age returns how long ago a feed was last known to be up to date.
func (t *Trust) age(feed int) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	since := t.heard[feed]
	if since.IsZero() {
		since = t.loaded
	}
	return max(0, t.Now().Sub(since))
}
