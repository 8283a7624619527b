package body

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/provisioning-platform/platform/shared/fault"
)

// TestGate_oneLargeBodyACaller is decision 57: bodies at work have a weight, one of each caller is
// let in at a time, and who finds no room is told when to come again.
func TestGate_oneLargeBodyACaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := NewAdmission()
		enter := func(caller string, size int64) func() {
			t.Helper()
			leave, err := g.Enter(t.Context(), caller, size)
			if err != nil {
				t.Fatalf("%s, %d: %v", caller, size, err)
			}
			return leave
		}
		refused := func(caller string, size int64) {
			t.Helper()
			began := time.Now()
			_, err := g.Enter(t.Context(), caller, size)
			if f := fault.Of(err); f == nil || f.Kind != fault.Unavailable || f.RetryAfter == 0 || time.Since(began) != admissionWait {
				t.Errorf("%s, %d: %v after %s", caller, size, err, time.Since(began))
			}
		}
		a := enter("alice", 8<<20)
		refused("alice", SmallBody+1)
		b := enter("bob", 8<<20)
		refused("carol", 8<<20)
		enter("carol", SmallBody)() // small ones do not wait for large ones
		enter("", SmallBody)()
		for range strangerRoom >> 20 {
			defer enter("", 1<<20)()
		}
		refused("", 1<<20) // strangers take nobody's room but their own
		done := make(chan error)
		go func() {
			leave, err := g.Enter(t.Context(), "alice", 8<<20)
			if err == nil {
				leave()
			}
			done <- err
		}()
		synctest.Wait()
		a()
		if err := <-done; err != nil {
			t.Errorf("after the first has left: %v", err)
		}
		b()
		enter("carol", 1<<40)() // more than all the room is all the room
		if len(g.turns) != 0 {
			t.Errorf("%d callers are remembered", len(g.turns))
		}
	})
}
