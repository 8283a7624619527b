package pebblestore

import (
	"context"
	"encoding/binary"
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
	maxParcel     = 1 << 20 // bytes of a batchBuffer that is used again
	maxBatch      = 4 << 20 // the same of the engine's batch
	maxSpent      = 8192    // documents and entries of a judgement that is used again
)

// pendingCommit is a batch on its way to the committer, which answers exactly once.
type pendingCommit struct {
	parcel *batchBuffer            // back to Store.parcels when it is written
	answer chan store.CommitResult // room for one
}

// batchBuffer holds a copy of a batch, all its bodies in one piece that is used again. Entries are
// in another that is not: the tail of their stream keeps it.
type batchBuffer struct {
	bytes []byte
	batch store.Batch
	size  int // of bodies and entries
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
	r := &pendingCommit{parcel: s.copied(b), answer: make(chan store.CommitResult, 1)}
	select {
	case s.requests <- r:
	case <-ctx.Done():
		return store.Receipt{}, store.ErrUnavailable.Because(ctx.Err())
	case <-s.closing:
		return store.Receipt{}, store.ErrUnavailable
	case <-s.dead:
		return store.Receipt{}, s.gaveUp()
	}
	select {
	case v := <-r.answer:
		return v.Receipt, v.Err
	case <-ctx.Done():
		return store.Receipt{}, store.ErrUnavailable.Because(ctx.Err())
	case <-s.dead:
		return store.Receipt{}, s.gaveUp()
	case <-s.stopped:
	}
	select {
	case v := <-r.answer: // it was in the last group
		return v.Receipt, v.Err
	case <-s.dead:
		return store.Receipt{}, s.gaveUp()
	default:
		return store.Receipt{}, store.ErrUnavailable
	}
}

// copied copies a batch: the caller may go on when ctx ends, while the committer still reads. Index
// keys are copied apart, for they are remembered.
func (s *Store) copied(b store.Batch) *batchBuffer {
	p, _ := s.parcels.Get().(*batchBuffer)
	if p == nil {
		p = new(batchBuffer)
	}
	bodies, entries := 0, 0
	for i := range b.Writes {
		bodies += len(b.Writes[i].Body)
	}
	for i := range b.Appends {
		entries += len(b.Appends[i].Body)
	}
	p.bytes, p.size = slices.Grow(p.bytes[:0], bodies), bodies+entries
	own := &p.batch
	own.Writes, own.Appends = append(own.Writes[:0], b.Writes...), append(own.Appends[:0], b.Appends...)
	own.Trims = append(own.Trims[:0], b.Trims...)
	for i := range own.Writes {
		w := &own.Writes[i]
		w.Index = slices.Clone(w.Index)
		p.bytes, w.Body = kept(p.bytes, w.Body)
	}
	s.schema.Digest(own.Writes)
	lasting := make([]byte, 0, entries)
	for i := range own.Appends {
		a := &own.Appends[i]
		lasting, a.Body = kept(lasting, a.Body)
	}
	return p
}

// kept appends body to room, which has space for it, and returns the copy.
func kept(room, body []byte) (all, own []byte) {
	start := len(room)
	room = append(room, body...)
	return room, room[start:len(room):len(room)]
}

// leave gives a batchBuffer back for the next batch.
func (s *Store) leave(p *batchBuffer) {
	if cap(p.bytes) > maxParcel {
		return
	}
	clear(p.batch.Writes) // what they point to is not held
	clear(p.batch.Appends)
	s.parcels.Put(p)
}

// run is the committer.
func (s *Store) run() {
	defer close(s.stopped)
	defer func() {
		if r := recover(); r != nil {
			s.fail(fmt.Errorf("%v\n%s", r, debug.Stack()))
		}
	}()
	group := make([]*pendingCommit, 0, maxGroup)
	for {
		select {
		case r := <-s.requests:
			s.known.Fill()
			group = s.drain(append(group[:0], r))
			s.commit(group)
			for _, r := range group {
				s.leave(r.parcel)
			}
			clear(group)
		case <-s.closing:
			return
		}
		select {
		case <-s.dead:
			return
		default:
		}
	}
}

// drain takes everything that waits, as far as one group goes.
func (s *Store) drain(group []*pendingCommit) []*pendingCommit {
	size := group[0].parcel.size
	for len(group) < maxGroup && size < maxGroupBytes {
		select {
		case r := <-s.requests:
			group = append(group, r)
			size += r.parcel.size
		default:
			return group
		}
	}
	return group
}

// commit judges a group, writes what it does, syncs, shows it to readers and answers.
func (s *Store) commit(group []*pendingCommit) {
	s.batches = s.batches[:0]
	bytes := 0
	for _, r := range group {
		s.batches = append(s.batches, r.parcel.batch)
		bytes += r.parcel.size
	}
	shown := s.view.Load() // ours until it is replaced
	j, err := store.Judge(s.schema, store.Baseline{Number: s.number, Heads: shown.heads, Lows: shown.lows, Lookup: s.known.Document,
		Reuse: s.spent}, s.batches)
	if err == nil && j.Number != s.number {
		if err = s.write(j); err == nil {
			s.known.Keep(j.Finals)
			s.waste.note(shown.lows, &j)
			s.show(shown, j)
		}
	}
	for i, r := range group {
		if err != nil {
			r.answer <- store.CommitResult{Err: err}
		} else {
			r.answer <- j.Results[i]
		}
	}
	clear(s.batches)
	clear(s.same)
	if s.spent = j; cap(j.Appends) > maxSpent || cap(j.Finals) > maxSpent || bytes > maxBatch {
		s.spent = store.Judgement{} // a rare size
	}
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// write commits a judgement durably. When the sync fails the engine calls Fatalf, which ends the
// store.
func (s *Store) write(j store.Judgement) error {
	b := s.batch
	b.Reset() // not behind a commit: a failed one may still be in use somewhere in the engine
	if err := s.writeDocs(b, j.Finals); err != nil {
		return engineFault(err)
	}
	for _, p := range j.Appends {
		s.keyRoom = appendEntryKey(s.keyRoom[:0], p.Stream, p.Seq)
		if err := b.Set(s.keyRoom, p.Body, nil); err != nil {
			return engineFault(err)
		}
	}
	for stream, low := range j.Lows { // behind the entries, some of which may go at once
		err := b.DeleteRange(keyOfEntry(stream, 0), keyOfEntry(stream, low+1), nil)
		if err = firstError(err, b.Set(key(lowKey, stream), binary.BigEndian.AppendUint64(nil, low), nil)); err != nil {
			return engineFault(err)
		}
	}
	for c, n := range j.Counts {
		if err := s.addCount(b, c, n); err != nil {
			return err
		}
	}
	for kind, sum := range j.Sums {
		if err := s.addSum(b, kind, sum); err != nil {
			return err
		}
	}
	if err := b.Set(numberKey, binary.BigEndian.AppendUint64(nil, j.Number), nil); err != nil {
		return engineFault(err)
	}
	if err := b.Commit(pebble.Sync); err != nil {
		s.fail(err) // what is on disk is not known any more
		return engineFault(err)
	}
	return nil
}

// writeDocs writes the difference that a group makes to documents and their index rows. Rows that
// are neighbours in the engine are written one after the other, which spares it searches: kind by
// kind the documents, then index by index the rows that go and those that come, each in the order
// of first touch, which is mostly that of the ids.
func (s *Store) writeDocs(b *pebble.Batch, finals []store.Final) error {
	for _, kind := range s.schema.Kinds {
		clear(s.same)
		s.same = s.same[:0]
		for i := range finals {
			if finals[i].Key.Kind == kind.Name {
				s.same = append(s.same, &finals[i])
			}
		}
		if len(s.same) == 0 {
			continue
		}
		for _, f := range s.same {
			if err := s.writeDoc(b, &kind, f); err != nil {
				return err
			}
		}
		for _, name := range kind.Indexes {
			for _, f := range s.same {
				if x, ok := missing(f.Was.Index, f.Now.Index, name); ok {
					s.keyRoom = appendIndexKey(s.keyRoom[:0], kind.Name, x, f.Key.ID)
					// A row is set once before it goes, so both vanish where they meet, mostly
					// before they reach the disk.
					if err := b.SingleDelete(s.keyRoom, nil); err != nil {
						return err
					}
				}
			}
			for _, f := range s.same {
				if x, ok := missing(f.Now.Index, f.Was.Index, name); ok {
					s.keyRoom = appendIndexKey(s.keyRoom[:0], kind.Name, x, f.Key.ID)
					if err := b.Set(s.keyRoom, nil, nil); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// missing returns the key of an index in a document's keys that its other keys do not have.
func missing(keys, others []store.IndexKey, name string) (store.IndexKey, bool) {
	for _, x := range keys {
		if x.Name == name {
			return x, !slices.Contains(others, x)
		}
	}
	return store.IndexKey{}, false
}

func (s *Store) writeDoc(b *pebble.Batch, kind *store.Kind, f *store.Final) error {
	for _, x := range f.Was.Index {
		if slices.Contains(kind.Indexes, x.Name) {
			continue
		}
		s.keyRoom = appendIndexKey(s.keyRoom[:0], kind.Name, x, f.Key.ID)
		if err := b.Delete(s.keyRoom, nil); err != nil { // of an index that is no longer declared
			return err
		}
	}
	s.keyRoom = appendKey(s.keyRoom[:0], docKey, f.Key.Kind, f.Key.ID)
	if f.Now.Rev == 0 {
		return b.Delete(s.keyRoom, nil)
	}
	s.docRoom = appendDoc(s.docRoom[:0], f)
	return b.Set(s.keyRoom, s.docRoom, nil) // copies
}

// show replaces the view of the readers after a sync.
func (s *Store) show(old *view, j store.Judgement) {
	heads, lows, tails := old.heads, old.lows, old.tails
	if len(j.Heads) > 0 {
		heads = maps.Clone(heads)
		maps.Copy(heads, j.Heads)
		tails = keep(tails, j.Appends)
	}
	if len(j.Lows) > 0 {
		lows = maps.Clone(lows)
		maps.Copy(lows, j.Lows)
	}
	s.number = j.Number
	s.view.Store(newView(s.db.NewSnapshot(), j.Number, heads, lows, tails))
	old.release()
}
