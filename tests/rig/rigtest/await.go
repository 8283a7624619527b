package rigtest

import (
	"testing"
	"time"
)

// Await polls until ok says yes, at most for the given time; a test that is still waiting then
// fails with what it waited for. It works in cleanups too.
func Await(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("after %s still not: %s", within, what)
		}
	}
}
