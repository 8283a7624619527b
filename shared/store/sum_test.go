package store_test

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/provisioning-platform/platform/shared/store"
)

// TestSum_isArithmeticModulo2To256 compares with big integers.
func TestSum_isArithmeticModulo2To256(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
	modulus := new(big.Int).Lsh(big.NewInt(1), 256)
	number := func(s store.Sum) *big.Int { return new(big.Int).SetBytes(s[:]) }
	var total store.Sum
	want := new(big.Int)
	for range 1000 {
		var s store.Sum
		_, _ = random.Read(s[:])
		if s[0]%2 == 0 {
			total, want = total.Plus(s), want.Add(want, number(s))
		} else {
			total, want = total.Minus(s), want.Sub(want, number(s))
		}
		if want.Mod(want, modulus); number(total).Cmp(want) != 0 {
			t.Fatalf("%s, want %x", total, want)
		}
		if back, err := store.ParseSum(total.String()); err != nil || back != total {
			t.Fatalf("%s is read as %s, %v", total, back, err)
		}
	}
	for _, bad := range []string{"00", "zz", total.String() + "00"} {
		if s, err := store.ParseSum(bad); err == nil {
			t.Errorf("%q is read as %s", bad, s)
		}
	}
}
