package subscription

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"sync"
)

// maxChecked is how many verified passwords are remembered; then the memory begins anew.
const maxChecked = 200_000 // more than the subscriptions that an installation has; about 10 MB

// passwordCache remembers which passwords were verified against which hashes, as a digest under a
// key of this process, so that a consumer in a loop costs one Argon2id a start. A changed password
// has another hash, so nothing has to be forgotten.
type passwordCache struct {
	mu   sync.Mutex
	key  []byte
	good map[[sha256.Size]byte]struct{}
}

// mark returns what is remembered of a password that fits a hash.
func (c *passwordCache) mark(password, hash string) (m [sha256.Size]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.key == nil {
		c.key = make([]byte, sha256.Size)
		_, _ = rand.Read(c.key)
	}
	h := hmac.New(sha256.New, c.key)
	h.Write([]byte(hash + "\x00" + password))
	return [sha256.Size]byte(h.Sum(nil))
}

func (c *passwordCache) has(m [sha256.Size]byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.good[m]
	return ok
}

func (c *passwordCache) add(m [sha256.Size]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.good == nil || len(c.good) >= maxChecked {
		c.good = map[[sha256.Size]byte]struct{}{}
	}
	c.good[m] = struct{}{}
}

// Known says whether this pair was verified before: Authenticate would say so without a hash.
func (s *Subscriptions) Known(ctx context.Context, name, password string) bool {
	sub, err := s.find(ctx, name)
	return err == nil && s.checked.has(s.checked.mark(password, sub.PasswordHash))
}

// Authenticate says whether the subscription exists and has that password. An unknown name takes
// the time of a wrong password. The check waits for one of a few slots: the fault is user.ErrBusy
// when too many wait.
func (s *Subscriptions) Authenticate(ctx context.Context, name, password string) (bool, error) {
	sub, err := s.find(ctx, name)
	if err != nil && err != error(ErrUnknown) {
		return false, err
	}
	ok, _, err := s.Hasher.Verify(ctx, password, sub.PasswordHash)
	if ok {
		s.checked.add(s.checked.mark(password, sub.PasswordHash))
	}
	return ok, err
}
