package dag

import (
	"testing"
	"time"
)

func TestDelay_neverFallsWhenOnlyTheInitialOneIsGiven(t *testing.T) {
	t.Parallel()
	p := Policy{InitialDelay: 600_000}.Or(DefaultPolicy())
	for n := 1; n < 5; n++ {
		if d := delay(p, "k", n, 0); d < 5*time.Minute || d > 10*time.Minute {
			t.Errorf("try %d waits %s", n, d)
		}
	}
}
