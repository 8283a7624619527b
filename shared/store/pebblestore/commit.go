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
	maxRoom       = 1 << 20 // bytes of a room that is used again
)

// request is a batch on its way to the committer, which answers exactly once.
type request struct {
	batch  store.Batch
	room   *[]byte // all bodies and entries of batch; back to Store.rooms when it is written
	size   int
	answer chan store.Verdict // room for one
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
	r := &request{answer: make(chan store.Verdict, 1)}
	r.batch, r.room = s.copied(b)
	r.size = len(*r.room)
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

// copied copies a batch, all bytes into one piece: the caller may go on when ctx ends, while the
// committer still reads.
func (s *Store) copied(b store.Batch) (store.Batch, *[]byte) {
	size := 0
	for i := range b.Writes {
		size += len(b.Writes[i].Body)
	}
	for i := range b.Appends {
		size += len(b.Appends[i].Body)
	}
	used, _ := s.rooms.Get().(*[]byte)
	if used == nil {
		used = new([]byte)
	}
	room := slices.Grow((*used)[:0], size)
	keep := func(body []byte) []byte {
		start := len(room)
		room = append(room, body...)
		return room[start:len(room):len(room)]
	}
	out := store.Batch{Writes: slices.Clone(b.Writes), Appends: slices.Clone(b.Appends)}
	for i := range out.Writes {
		w := &out.Writes[i]
		w.Body, w.Index = keep(w.Body), slices.Clone(w.Index)
	}
	for i := range out.Appends {
		out.Appends[i].Body = keep(out.Appends[i].Body)
	}
	*used = room
	return out, used
}

// run is the committer.
func (s *Store) run() {
	defer close(s.stopped)
	defer func() {
		if r := recover(); r != nil {
			s.fail(fmt.Errorf("%v\n%s", r, debug.Stack()))
		}
	}()
	group := make([]*request, 0, maxGroup)
	for {
		select {
		case r := <-s.requests:
			group = s.drain(append(group[:0], r))
			s.commit(group)
			for _, r := range group {
				if cap(*r.room) <= maxRoom {
					s.rooms.Put(r.room)
				}
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
func (s *Store) drain(group []*request) []*request {
	size := group[0].size
	for len(group) < maxGroup && size < maxGroupBytes {
		select {
		case r := <-s.requests:
			group = append(group, r)
			size += r.size
		default:
			return group
		}
	}
	return group
}

// commit judges a group, writes what it does, syncs, shows it to readers and answers.
func (s *Store) commit(group []*request) {
	batches := make([]store.Batch, len(group))
	for i, r := range group {
		batches[i] = r.batch
	}
	heads := s.view.Load().heads
	j, err := store.Judge(s.schema, store.Ground{Number: s.number, Heads: heads, Lookup: s.known}, batches)
	if err == nil && j.Number != s.number {
		if err = s.write(j); err == nil {
			s.remember(j.Finals)
			s.show(heads, j)
		}
	}
	for i, r := range group {
		if err != nil {
			r.answer <- store.Verdict{Err: err}
		} else {
			r.answer <- j.Verdicts[i]
		}
	}
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// rowBytes is about what a document or entry takes in a batch besides its body.
const rowBytes = 256

// write commits a judgement durably. When the sync fails the engine calls Fatalf, which ends the store.
func (s *Store) write(j store.Judgement) error {
	size := 0
	for i := range j.Finals {
		size += len(j.Finals[i].Body) + rowBytes
	}
	for i := range j.Appends {
		size += len(j.Appends[i].Body) + rowBytes
	}
	b := s.db.NewBatchWithSize(size)
	defer func() { _ = b.Close() }()
	if err := s.writeDocs(b, j.Finals); err != nil {
		return engineFault(err)
	}
	for _, p := range j.Appends {
		s.keyRoom = appendEntryKey(s.keyRoom[:0], p.Stream, p.Seq)
		if err := b.Set(s.keyRoom, p.Body, nil); err != nil {
			return engineFault(err)
		}
	}
	for c, n := range j.Counts {
		if err := s.addCount(b, c, n); err != nil {
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

// writeDocs writes the difference that a group makes to documents and their index rows. Rows that are neighbours in the
// engine are written one after the other, which spares it searches: kind by kind the documents, then index by index the
// rows that go and those that come, each in the order of first touch, which is mostly that of the ids.
func (s *Store) writeDocs(b *pebble.Batch, finals []store.Final) error {
	for _, kind := range s.schema.Kinds {
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
					if err := b.Delete(s.keyRoom, nil); err != nil {
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

// addCount adds n to a counter; one that comes to nothing is removed.
func (s *Store) addCount(b *pebble.Batch, c store.Counter, n int64) error {
	k := keyOfCounter(c)
	old, err := s.value(k)
	if err != nil {
		return err
	}
	sum := int64(number(old)) + n
	if sum == 0 {
		err = b.Delete(k, nil)
	} else {
		err = b.Set(k, binary.BigEndian.AppendUint64(nil, uint64(sum)), nil)
	}
	if err != nil {
		return engineFault(err)
	}
	return nil
}

// show replaces the view of the readers after a sync.
func (s *Store) show(heads map[string]uint64, j store.Judgement) {
	if len(j.Heads) > 0 {
		heads = maps.Clone(heads)
		maps.Copy(heads, j.Heads)
	}
	s.number = j.Number
	old := s.view.Swap(newView(s.db.NewSnapshot(), heads))
	old.release()
}
