package cli

import (
	"context"
	"sync"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/feed"
	"github.com/provisioning-platform/platform/shared/store/driver"
)

// StoppedCommand returns c as a verb that changes the store of a stopped service: it has the flags
// that say where the store is, and run gets the store, and a context that names who runs the
// program as the actor of what is recorded. A store that a service has open is a Conflict.
func (p Program[C]) StoppedCommand(c Command, run func(ctx context.Context, o *IO, db *feed.Hub) error) Command {
	s, flags := p.Setup, c.Flags
	c.Flags = func(f *Flags) {
		s.Declare(f)
		if flags != nil {
			flags(f)
		}
	}
	c.Run = func(ctx context.Context, o *IO, _ []string) error {
		place, err := p.AuditLog(o, &s)
		if err != nil {
			return err
		}
		if err := served(place); err != nil {
			return err
		}
		db, closed, err := openStopped(ctx, place.Store)
		if err != nil {
			return err
		}
		defer closed()
		return run(byOperator(ctx), o, db)
	}
	return c
}

// openStopped opens the store of a stopped service to write it, and holds its lease until closed.
func openStopped(ctx context.Context, o driver.Options) (*feed.Hub, func(), error) {
	if o.InMemory() {
		return nil, nil, fault.New(fault.Invalid, "store.memory", "a store in memory ends with its process; a change of it would be lost")
	}
	db, err := driver.Open(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	leased, end := context.WithCancel(ctx)
	var renewed sync.WaitGroup
	renewed.Go(func() { _ = driver.Lease(db)(leased) }) // who loses it loses the next commit, and says so
	return feed.NewHub(db), func() {
		end()
		renewed.Wait()
		_ = db.Close()
	}, nil
}
