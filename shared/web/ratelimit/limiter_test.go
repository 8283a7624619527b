package ratelimit

import (
	"strconv"
	"testing"
	"time"
)

func TestLimiter_staysBoundedAndSurvivesClocks(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	l := New(Default(), func() time.Time { return now })
	for i := range maxBuckets + 10 {
		l.Take(General, strconv.Itoa(i))
	}
	if len(l.buckets) > maxBuckets {
		t.Errorf("%d buckets", len(l.buckets))
	}
	for range 200 {
		l.Take(Batch, "a")
	}
	now = now.Add(-time.Hour) // the clock goes back: nobody is locked out for longer than a window
	if v := l.Take(Batch, "a"); !v.OK || v.Wait > window {
		t.Errorf("after a step back: %+v", v)
	}
	now = now.Add(2 * time.Hour)
	l.Take(General, "x")
	if len(l.buckets) != 1 {
		t.Errorf("%d buckets after a quiet hour", len(l.buckets))
	}
}
