package id_test

import (
	"strings"
	"testing"

	"github.com/provisioning-platform/platform/shared/id"
)

func TestWithin_isValidAscendsAndStaysInTheFamily(t *testing.T) {
	t.Parallel()
	for _, owner := range []string{id.New(), id.Derived("a"), id.Random()} {
		last := ""
		for _, n := range []int{0, 1, 9, 10, 15, 16, 255, 4096, 1 << 20, id.MaxWithin - 1} {
			got := id.Within(owner, n)
			if !id.Valid(got) || got <= last || !strings.HasPrefix(got, id.Family(owner)) || !strings.HasPrefix(owner, id.Family(owner)) {
				t.Errorf("%d within %s is %s, after %s", n, owner, got, last)
			}
			last = got
		}
		if want := id.Family(owner) + "00000a"; id.Within(owner, 10) != want {
			t.Errorf("10 within %s is %s, want %s", owner, id.Within(owner, 10), want)
		}
	}
}
