package surrealstore

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"time"

	"github.com/surrealdb/surrealdb.go/pkg/models"

	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/instance"
)

const (
	leaseTime  = 10 * time.Second // a holder that showed no sign of life for so long may be replaced
	leaseRenew = 3 * time.Second  // between two signs of life
	leaseLook  = time.Second      // between two looks of a standby
)

// Owner makes a store the only writer of its database (decision 43). Without one a store takes no
// lease and may only be read, or written beside others as the tests do.
type Owner struct {
	instance.Identity
	Standby bool // wait for the lease instead of refusing
}

// lease is the record that says who writes. Beat is another text with each sign of life: how long
// it stays the same is measured by the monotonic clock of whoever looks, so clocks are never
// compared.
type lease struct {
	instance.Identity
	Epoch uint64    `json:"epoch"`
	Beat  string    `json:"beat"`
	Since time.Time `json:"since"`
	Free  bool      `json:"free"` // given back by an orderly end
}

// errHeld names the holder of a lease that is not ours.
func errHeld(l lease) error {
	return fault.New(fault.Conflict, "store.held",
		"the database is written by another instance: host %s, pid %d, since %s. Two writers would undo each other's work. Stop that "+
			"one; or start this one with --standby, and it takes over %s after the other's last sign of life",
		l.Host, l.PID, l.Since.UTC().Format(time.RFC3339), leaseTime)
}

// errLost ends a store whose lease somebody else took.
var errLost = fault.New(fault.Unavailable, "store.lease_lost",
	"another instance has taken over the database; this one writes nothing any more and ends")

// acquire takes the lease. It is taken at once when nobody has it, when it was given back, and from
// a process of the same data folder and boot that runs no more (a restart after kill -9).
func (s *Store) acquire(ctx context.Context, owner Owner) error {
	var seen lease
	var since time.Time // when the beat of seen was first met; monotonic
	for {
		now, err := s.readLease(ctx)
		if err != nil {
			return s.away("read the lease", err)
		}
		if now.Epoch != seen.Epoch || now.Beat != seen.Beat {
			seen, since = now, time.Now()
		}
		ours := now.Identity == owner.Identity || now.Instance == owner.Instance && now.Gone()
		expired := owner.Standby && time.Since(since) >= leaseTime
		if now.Epoch == 0 || now.Free || ours || expired {
			taken, err := s.take(ctx, owner, now)
			if err != nil && !isRetryable(err) {
				return s.away("take the lease", err)
			}
			if taken {
				return nil
			}
			continue
		}
		if !owner.Standby {
			return errHeld(now)
		}
		if !clock.Pause(ctx, leaseLook, nil) {
			return ctx.Err()
		}
	}
}

func (s *Store) readLease(ctx context.Context) (l lease, err error) {
	results, err := s.link.query(ctx, s.texts.lease, nil)
	if err != nil {
		return l, err
	}
	var text string
	if err := decode(results[len(results)-1], &text); err != nil || text == "" {
		return l, err
	}
	return l, json.Unmarshal([]byte(text), &l)
}

// take makes owner the holder, unless the lease is not any more as was was read. It raises the
// epoch, which every commit compares: the former holder loses its next one.
func (s *Store) take(ctx context.Context, owner Owner, was lease) (bool, error) {
	mine := lease{Identity: owner.Identity, Epoch: was.Epoch + 1, Beat: rand.Text(), Since: time.Now().UTC()}
	taken, err := s.changeLease(ctx, was, mine)
	if taken {
		s.held = mine
		if was.Epoch > 0 && !was.Free {
			s.log.Warn("took over the database", "from_host", was.Host, "from_pid", was.PID, "epoch", mine.Epoch)
		}
	}
	return taken, err
}

// changeLease replaces the record was by next; false when somebody else was faster.
func (s *Store) changeLease(ctx context.Context, was, next lease) (bool, error) {
	text, err := json.Marshal(next)
	if err != nil {
		return false, err
	}
	results, err := s.link.query(ctx, s.texts.take, map[string]any{
		"was": was.Epoch, "beat": was.Beat, "epoch": next.Epoch, "next": next.Beat, "text": string(text),
		"lease": models.NewRecordID(s.texts.headTable, "lease"),
	})
	if err != nil {
		return false, err
	}
	var reply struct {
		OK bool `json:"ok"`
	}
	err = decodeOf(results, mapType, &reply)
	return reply.OK, err
}

// Run shows signs of life until ctx ends, and then gives the lease back; it returns an error when
// somebody else has taken it. A store without an owner has nothing to show.
func (s *Store) Run(ctx context.Context) error {
	if s.epoch == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(leaseRenew)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.giveBack()
			return nil
		case <-s.lost:
			return errLost
		case <-tick.C:
		}
		next := s.held
		next.Beat = rand.Text()
		if kept, _ := s.changeLease(ctx, s.held, next); kept {
			s.held = next
		} else if ours, err := s.reread(ctx); err == nil && !ours {
			return errLost
		}
	}
}

// reread reads the lease after a renewal that failed, or whose outcome is unknown, and says whether
// it is still this store's. A renewal whose answer was lost may have changed the beat, at once or
// seconds later; the epoch alone, which each take-over raises, says whose the lease is.
func (s *Store) reread(ctx context.Context) (ours bool, err error) {
	now, err := s.readLease(ctx)
	if err != nil {
		return false, err
	}
	if ours = now.Epoch == s.held.Epoch; ours {
		s.held = now
	}
	return ours, nil
}

// giveBack lets the next instance begin at once. An end that cannot say so costs that one the lease
// time.
func (s *Store) giveBack() {
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
	defer cancel()
	for range 2 { // the second after the beat was read again
		next := s.held
		next.Free, next.Beat = true, rand.Text()
		free, err := s.changeLease(ctx, s.held, next)
		if free {
			return
		}
		if err != nil {
			s.log.Debug("the lease was not given back", "cause", err.Error())
		}
		if ours, err := s.reread(ctx); err != nil || !ours {
			return
		}
	}
}

// overtaken says whether a head shows that somebody else took the lease, and ends this store's
// writing.
func (s *Store) overtaken(epoch uint64) bool {
	if s.epoch == 0 || epoch == s.epoch {
		return false
	}
	s.loseOnce.Do(func() { close(s.lost) })
	return true
}
