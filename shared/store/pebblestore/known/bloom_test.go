package known

import (
	"fmt"
	"hash/maphash"
	"testing"
)

func TestBloom_hasWhatWasAddedAndLittleElse(t *testing.T) {
	t.Parallel()
	f := &bloom{seed: maphash.MakeSeed()}
	const ids = 100_000
	for i := range ids {
		f.add(fmt.Sprint("server/", i))
	}
	passed := 0
	for i := range ids {
		if !f.has(fmt.Sprint("server/", i)) {
			t.Fatalf("%d is not there", i)
		}
		if f.has(fmt.Sprint("other/", i)) {
			passed++
		}
	}
	if passed > ids/1000 {
		t.Errorf("%d of %d ids that are not there pass", passed, ids)
	}
}
