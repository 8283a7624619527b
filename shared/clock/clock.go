// Package clock has the one way to wait: Pause. It owns no other notion of time; what the time is
// comes from whoever asks.
package clock

import (
	"context"
	"time"
)

// Pause waits until d is over or wake is closed; a nil wake never is. It returns true then, and
// false as soon as ctx has ended.
func Pause(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	if ctx.Err() != nil {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-timer.C:
	}
	return true
}
