package user

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/naming"
)

// Cost is the work of one new password hash (Argon2id).
type Cost struct {
	Memory uint32 // KiB
	Time   uint32 // passes
}

// Standard returns the cost of every hash outside tests: 19 MiB and two passes (A45).
func Standard() Cost { return Cost{Memory: 19 * 1024, Time: 2} }

// The bounds of a stored hash, and of the queue of hashes.
const (
	argonLanes   = 1
	maxMemory    = 128 * 1024
	maxTime      = 10
	maxLanes     = 4
	maxPassword  = 1024 // bytes in normal form; a longer one is refused before it is hashed
	hashSlots    = 2
	hashQueue    = 50
	hashSaltSize = 16
	hashKeySize  = 32
)

// ErrBusy is the answer when 50 hashes wait already.
var ErrBusy = fault.New(fault.Throttled, "auth.busy", "too many sign-ins at the same moment; retry in a second").After(time.Second)

// Hasher hashes and verifies passwords with Argon2id. Two hashes run at once and 50 wait, because
// one takes about 50 ms of a core and 19 MiB, and many at once would stop the service.
type Hasher struct {
	slots chan struct{} // one element a running hash
	queue chan struct{} // one element a running or waiting hash
	cost  Cost
	dummy string // hash of a random text, for Verify without a stored one
}

// NewHasher returns a Hasher whose new hashes have that cost.
func NewHasher(cost Cost) *Hasher {
	h := &Hasher{
		cost:  cost,
		slots: make(chan struct{}, min(hashSlots, max(1, runtime.GOMAXPROCS(0)))),
		queue: make(chan struct{}, hashSlots+hashQueue),
	}
	h.dummy = derive([]byte(rand.Text()), cost)
	return h
}

// Hash returns the hash of password as a PHC string, with a salt of its own.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	var phc string
	err := h.run(ctx, password, func(normal []byte) { phc = derive(normal, h.cost) })
	return phc, err
}

// Verify says whether phc is a hash of password. An empty phc, that of an unknown user, is never
// one and takes the same time. weak says that phc cost less than a new hash, so that it should be
// replaced.
func (h *Hasher) Verify(ctx context.Context, password, phc string) (ok, weak bool, err error) {
	stored := phc
	if stored == "" {
		stored = h.dummy
	}
	p, perr := parsePHC(stored)
	if perr != nil {
		return false, false, perr
	}
	err = h.run(ctx, password, func(normal []byte) {
		key := argon2.IDKey(normal, p.salt, p.time, p.memory, p.lanes, uint32(len(p.key)))
		ok = subtle.ConstantTimeCompare(key, p.key) == 1 && phc != ""
	})
	return ok, p.memory < h.cost.Memory || p.time < h.cost.Time, err
}

// run waits for a slot and calls fn with password in normal form NFC, in which the same text typed
// on two systems has the same bytes.
func (h *Hasher) run(ctx context.Context, password string, fn func(normal []byte)) error {
	normal := []byte(naming.NFC(password))
	if len(normal) > maxPassword {
		return fault.New(fault.Invalid, "auth.password_too_long", "a password has at most %d bytes", maxPassword)
	}
	select {
	case h.queue <- struct{}{}:
		defer func() { <-h.queue }()
	default:
		return ErrBusy
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return ErrBusy.Because(ctx.Err())
	}
	fn(normal)
	return nil
}

// derive returns a new hash of normal as a PHC string.
func derive(normal []byte, c Cost) string {
	salt := make([]byte, hashSaltSize)
	_, _ = rand.Read(salt)
	key := argon2.IDKey(normal, salt, c.Time, c.Memory, argonLanes, hashKeySize)
	e := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.Memory, c.Time, argonLanes, e.EncodeToString(salt),
		e.EncodeToString(key))
}

// phc is a stored hash with its parameters.
type phc struct {
	memory, time uint32
	lanes        uint8
	salt, key    []byte
}

// parsePHC reads a stored hash and refuses parameters beyond the bounds above, for they would cost
// too much.
func parsePHC(s string) (phc, error) {
	bad := errors.New("stored password hash is not Argon2id in PHC form or its parameters are out of bounds")
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return phc{}, bad
	}
	var p phc
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.lanes); err != nil {
		return phc{}, bad
	}
	if fmt.Sprintf("m=%d,t=%d,p=%d", p.memory, p.time, p.lanes) != parts[3] ||
		p.memory < 8*uint32(p.lanes) || p.memory > maxMemory || p.time < 1 || p.time > maxTime || p.lanes < 1 || p.lanes > maxLanes {
		return phc{}, bad
	}
	var err1, err2 error
	p.salt, err1 = base64.RawStdEncoding.DecodeString(parts[4])
	p.key, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(p.salt) < 8 || len(p.salt) > 64 || len(p.key) < 16 || len(p.key) > 64 {
		return phc{}, bad
	}
	return p, nil
}
