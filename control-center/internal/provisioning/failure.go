package provisioning

import (
	"sync"
	"time"
)

// Figures of the pause after wrong passwords.
const (
	freeFailures = 10  // wrong passwords of a name before its first pause
	freeAddress  = 100 // wrong passwords from an address before its first pause; many consumers may share it
	firstPause   = time.Second
	longestPause = 30 * time.Second
	forgetAfter  = 10 * time.Minute // since the last one
	maxFailures  = 10_000           // names and addresses that are remembered
	maxUsual     = 200_000          // names with an address that are remembered; then the memory begins anew
)

// failures counts wrong passwords by name and by address, in memory, and says how long each has to
// wait.
type failures struct {
	mu sync.Mutex
	of map[key]*failure
}

type failure struct {
	n    int
	last time.Time
}

// key is what failures are counted for: a name or an address, and how many are free of a pause.
type key struct {
	text string
	free int
}

// pause is how long after its last wrong password a key has to wait.
func (f *failure) pause(free int) time.Duration {
	if f.n < free {
		return 0
	}
	return min(longestPause, firstPause<<min(f.n-free, 10))
}

// wait returns how long the one of keys that waits longest still has to wait; 0 when none has to.
func (f *failures) wait(now time.Time, keys ...key) (left time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range keys {
		if one := f.of[k]; one != nil {
			left = max(left, one.last.Add(one.pause(k.free)).Sub(now))
		}
	}
	return left
}

// add counts a wrong password for a name, and for the address it came from while the name is free
// of a pause: one client in a loop keeps no other one of its address out.
func (f *failures) add(now time.Time, name, address key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil || len(f.of) > maxFailures {
		f.of = map[key]*failure{}
	}
	for _, k := range []key{name, address} {
		one := f.of[k]
		if one == nil || now.Sub(one.last) > forgetAfter {
			one = &failure{}
			f.of[k] = one
		}
		if one.n, one.last = one.n+1, now; k == name && one.n > name.free {
			return
		}
	}
}

// usual remembers from which addresses which names had their right password.
type usual struct {
	mu sync.Mutex
	of map[string]struct{}
}

func (u *usual) has(pair string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, ok := u.of[pair]
	return ok
}

func (u *usual) add(pair string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.of == nil || len(u.of) >= maxUsual {
		u.of = map[string]struct{}{}
	}
	u.of[pair] = struct{}{}
}
