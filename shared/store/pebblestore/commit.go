package pebblestore

import (
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// Bounds of one group: batches, and bytes of their bodies and entries.
const (
	maxGroup      = 1024
	maxGroupBytes = 16 << 20
	maxParcel     = 1 << 20 // bytes of a parcel that is used again
	maxBatch      = 4 << 20 // the same of the engine's batch
	maxSpent      = 8192    // documents and entries of a judgement that is used again
)

// request is a batch on its way to the committer, which answers exactly once.
type request struct {
	parcel *parcel            // back to Store.parcels when it is written
	answer chan store.Verdict // room for one
}

// parcel holds a copy of a batch, all its bodies and entries in one piece.
type parcel struct {
	bytes []byte
	batch store.Batch
}

// Commit implements store.DB. When ctx ends while the batch waits the outcome is unknown.
func (s *Store) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	if err := store.Validate(s.schema, b); err != nil {
		return store.Receipt{}, err
	}
	if s.readOnly {
		return store.Receipt{}, fault.New(fault.Unavailable, "store.read_only", "the store is open for reading only")
	}
	if err := ctx.Err(); err != nil {
		return store.Receipt{}, store.ErrUnavailable.Because(err)
	}
	r := &request{parcel: s.copied(b), answer: make(chan store.Verdict, 1)}
	select {
	case s.requests <- r:
	case <-ctx.Done():
		return store.Receipt{}, store.ErrUnavailable.Because(ctx.Err())
	case <-s.closing:
		return store.Receipt{}, store.ErrUnavailable
	case <-s.dead:
		return store.Receipt{}, store.ErrUnavailable.Because(s.cause)
	}
	select {
	case v := <-r.answer:
		return v.Receipt, v.Err
	case <-ctx.Done():
		return store.Receipt{}, store.ErrUnavailable.Because(ctx.Err())
	case <-s.dead:
		return store.Receipt{}, store.ErrUnavailable.Because(s.cause)
	case <-s.stopped:
	}
	select {
	case v := <-r.answer: // it was in the last group
		return v.Receipt, v.Err
	default:
		return store.Receipt{}, store.ErrUnavailable
	}
}

// copied copies a batch: the caller may go on when ctx ends, while the committer still reads. Index keys are
// copied apart, for they are remembered.
func (s *Store) copied(b store.Batch) *parcel {
	size := 0
	for i := range b.Writes {
		size += len(b.Writes[i].Body)
	}
	for i := range b.Appends {
		size += len(b.Appends[i].Body)
	}
	p, _ := s.parcels.Get().(*parcel)
	if p == nil {
		p = new(parcel)
	}
	p.bytes = slices.Grow(p.bytes[:0], size)
	own := &p.batch
	own.Writes, own.Appends = append(own.Writes[:0], b.Writes...), append(own.Appends[:0], b.Appends...)
	keep := func(body []byte) []byte {
		start := len(p.bytes)
		p.bytes = append(p.bytes, body...)
		return p.bytes[start:len(p.bytes):len(p.bytes)]
	}
	for i := range own.Writes {
		w := &own.Writes[i]
		w.Body, w.Index = keep(w.Body), slices.Clone(w.Index)
	}
	for i := range own.Appends {
		own.Appends[i].Body = keep(own.Appends[i].Body)
	}
	return p
}

// leave gives a parcel back for the next batch.
func (s *Store) leave(p *parcel) {
	if cap(p.bytes) > maxParcel {
		return
	}
	clear(p.batch.Writes) // what they point to is not held
	s.parcels.Put(p)
}

// round is a group on its way through the engine. There are two: while one is being synced, the next one is judged on
// what it wrote, and written behind it.
type round struct {
	group     []*request
	batches   []store.Batch   // of the group
	judgement store.Judgement // of the batches; the next one uses its memory
	batch     *pebble.Batch   // what the group does to the engine
	view      *view           // what readers see after the sync; nil when there is nothing to sync
	err       error           // what everybody in the group is answered instead of a verdict
}

// run is the committer. It writes a group during the sync of the one before only when that group waits already, so that
// a single writer is answered right after its own sync.
func (s *Store) run() {
	defer close(s.stopped)
	defer func() {
		if r := recover(); r != nil {
			s.fail(fmt.Errorf("%v\n%s", r, debug.Stack()))
		}
	}()
	var rounds [2]round
	for i := range rounds {
		rounds[i].batch = s.db.NewBatch(pebble.WithMaxRetainedSizeBytes(maxBatch))
	}
	for i, syncing := 0, false; ; i = 1 - i {
		now, before := &rounds[i], &rounds[1-i]
		taken := s.take(now, !syncing)
		if !taken && !syncing {
			return
		}
		if taken {
			s.write(now)
		}
		if syncing {
			s.finish(before)
		}
		syncing = taken
		select {
		case <-s.dead: // who still waits is told by this, too
			if now.view != nil {
				now.view.release()
			}
			return
		default:
		}
	}
}

// take fills a round with what waits. With wait it waits for a first request; false means that there is none, or that
// the store is being closed.
func (s *Store) take(r *round, wait bool) bool {
	select {
	case <-s.closing:
		return false
	default:
	}
	var first *request
	if wait {
		select {
		case first = <-s.requests:
		case <-s.closing:
			return false
		}
	} else {
		select {
		case first = <-s.requests:
		default:
			return false
		}
	}
	r.group = s.drain(append(r.group[:0], first))
	return true
}

// drain takes everything that waits, as far as one group goes.
func (s *Store) drain(group []*request) []*request {
	size := len(group[0].parcel.bytes)
	for len(group) < maxGroup && size < maxGroupBytes {
		select {
		case r := <-s.requests:
			group = append(group, r)
			size += len(r.parcel.bytes)
		default:
			return group
		}
	}
	return group
}

// write judges a group and gives what it does to the engine.
func (s *Store) write(r *round) {
	for _, q := range r.group {
		r.batches = append(r.batches, q.parcel.batch)
	}
	r.judgement, r.err = store.Judge(s.schema, store.Ground{Number: s.number, Heads: s.heads, Lookup: s.known, Spent: r.judgement}, r.batches)
	if r.err != nil || r.judgement.Number == s.number {
		return
	}
	if r.err = s.apply(r.batch, r.judgement); r.err != nil {
		return
	}
	s.remember(r.judgement.Finals)
	s.number = r.judgement.Number
	if len(r.judgement.Heads) > 0 {
		heads := maps.Clone(s.heads) // readers have the old ones
		maps.Copy(heads, r.judgement.Heads)
		s.heads = heads
	}
	r.view = newView(s.db.NewSnapshot(), s.heads)
}

// finish waits for the sync of a round, shows it to readers and answers. When the sync fails the engine calls Fatalf,
// which ends the store.
func (s *Store) finish(r *round) {
	if r.view != nil {
		if err := r.batch.SyncWait(); err != nil {
			s.fail(err) // what is on disk is not known any more
			r.err = engineFault(err)
			r.view.release()
		} else {
			s.view.Swap(r.view).release()
		}
		r.view = nil
	}
	bytes := 0
	for i, q := range r.group {
		if r.err != nil {
			q.answer <- store.Verdict{Err: r.err}
		} else {
			q.answer <- r.judgement.Verdicts[i]
		}
		bytes += len(q.parcel.bytes)
		s.leave(q.parcel)
	}
	clear(r.group)
	clear(r.batches)
	r.batches = r.batches[:0]
	if j := &r.judgement; cap(j.Appends) > maxSpent || cap(j.Finals) > maxSpent || bytes > maxBatch {
		*j = store.Judgement{} // a rare size
	}
}
