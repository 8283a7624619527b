package token

import (
	"crypto/sha256"
	"sync"
)

// cacheSize is how many tokens a generation of the cache holds. A token takes about 1 KiB.
const cacheSize = 4096

// cache remembers what was verified, by the digest of the whole text, so that a second request with
// the same token costs no signature check. It holds only what never changes for a text; time, key
// and revocation are looked at each time. Two generations bound the memory without bookkeeping per
// entry.
type cache struct {
	mu         sync.Mutex
	young, old map[[sha256.Size]byte]verified
}

type verified struct {
	claims Claims
	key    Key
}

func (c *cache) get(sum [sha256.Size]byte) (Claims, Key, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.young[sum]
	if !ok {
		if v, ok = c.old[sum]; ok {
			c.add(sum, v)
		}
	}
	return v.claims, v.key, ok
}

func (c *cache) put(sum [sha256.Size]byte, claims Claims, key Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(sum, verified{claims, key})
}

func (c *cache) add(sum [sha256.Size]byte, v verified) {
	if c.young == nil || len(c.young) >= cacheSize {
		c.old, c.young = c.young, make(map[[sha256.Size]byte]verified)
	}
	c.young[sum] = v
}
