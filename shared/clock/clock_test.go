package clock

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPause_endsWithItsTimeItsWakeOrItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		woken := make(chan struct{})
		close(woken)
		ending, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, c := range []struct {
			ctx  context.Context
			d    time.Duration
			wake <-chan struct{}
			took time.Duration
			want bool
		}{
			{ending, time.Minute, nil, time.Second, false}, {ending, 0, woken, 0, false}, {ending, time.Minute, woken, 0, false},
			{t.Context(), time.Minute, nil, time.Minute, true}, {t.Context(), time.Minute, woken, 0, true}, {t.Context(), 0, nil, 0, true},
		} {
			began := time.Now()
			if got := Pause(c.ctx, c.d, c.wake); got != c.want || time.Since(began) != c.took {
				t.Errorf("%+v: %v after %s", c, got, time.Since(began))
			}
		}
	})
}
