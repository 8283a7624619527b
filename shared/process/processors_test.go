package process

import (
	"runtime"
	"testing"
)

// Not parallel: the setting belongs to the whole process.
func TestAddProcessor_oneMoreUnlessTheOperatorSays(t *testing.T) {
	was := runtime.GOMAXPROCS(0) // by -cpu or the environment
	t.Cleanup(func() { runtime.GOMAXPROCS(was) })
	t.Setenv("GOMAXPROCS", "")
	runtime.SetDefaultGOMAXPROCS()
	before := runtime.GOMAXPROCS(0)
	stop := addProcessor()
	if got := runtime.GOMAXPROCS(0); got != before+1 {
		t.Errorf("%d, want %d", got, before+1)
	}
	stop()
	if got := runtime.GOMAXPROCS(0); got != before {
		t.Errorf("%d is left behind, it was %d", got, before)
	}
	t.Setenv("GOMAXPROCS", "1")
	addProcessor()()
	if got := runtime.GOMAXPROCS(0); got != before {
		t.Errorf("%d against the operator's setting", got)
	}
}
