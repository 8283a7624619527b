package pebblestore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/provisioning-platform/platform/shared/store"
)

// reading runs fn on the newest durable view. An engine that gave up writing still shows it.
func (s *Store) reading(ctx context.Context, fn func(*view) error) error {
	s.open.RLock()
	defer s.open.RUnlock()
	if s.ended {
		return store.ErrUnavailable
	}
	if err := ctx.Err(); err != nil {
		return store.ErrUnavailable.Because(err)
	}
	v := s.current()
	defer v.release()
	if err := fn(v); err != nil {
		return engineFault(err)
	}
	return nil
}

// Get implements store.DB.
func (s *Store) Get(ctx context.Context, k store.Key) (doc store.Doc, err error) {
	if err := store.ValidateKey(s.schema, k); err != nil {
		return store.Doc{}, err
	}
	doc.Key = k
	err = s.reading(ctx, func(v *view) error {
		if s.known.Absent(k) {
			return nil
		}
		value, closer, err := v.snapshot.Get(keyOfDoc(k))
		if errors.Is(err, pebble.ErrNotFound) {
			s.known.Missed(k.Kind)
			return nil
		}
		if err != nil {
			return err
		}
		err = decode(&doc, value)
		return firstError(err, closer.Close())
	})
	return doc, err
}

// decode fills a document from its value.
func decode(doc *store.Doc, value []byte) error {
	known, body, err := splitDoc(value)
	if err != nil {
		return err
	}
	doc.Rev, doc.Index, doc.Body = known.Rev, known.Index, bytes.Clone(body)
	return nil
}

// List implements store.DB.
func (s *Store) List(ctx context.Context, q store.Query) (page store.Page, err error) {
	if err := store.ValidateQuery(s.schema, q); err != nil {
		return store.Page{}, err
	}
	err = s.reading(ctx, func(v *view) error {
		page.Rev = v.number
		if q.Total {
			n, err := s.count(v, store.CounterKey{Kind: q.Kind, Index: q.Index, Value: q.Prefix})
			if err != nil {
				return err
			}
			page.Total = n.N
		}
		for _, c := range q.Counts {
			n, err := s.count(v, c)
			if err != nil {
				return err
			}
			page.Counts = append(page.Counts, n)
		}
		if q.Limit == 0 {
			return nil
		}
		return list(ctx, v, q, &page)
	})
	return page, err
}

// count reads a counter, and the sum of its kind if that has one.
func (s *Store) count(v *view, c store.CounterKey) (n store.Count, err error) {
	err = v.read(keyOfCounter(c), func(value []byte) { n.N = int(number(value)) })
	if kind, _ := s.schema.Kind(c.Kind); kind.Summed && c.Index == "" && err == nil {
		err = v.read(keyOfSum(c.Kind), func(value []byte) { n.Sum = sumOf(value) })
	}
	return n, err
}

// read calls fn with the value of a key, if there is such a key.
func (v *view) read(key []byte, fn func(value []byte)) error {
	value, closer, err := v.snapshot.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	fn(value)
	return closer.Close()
}

// lookEvery is how many rows a list walks over between two looks whether its caller has left.
const lookEvery = 1000

// list walks over the rows of the query. Documents of an index page come from a second iterator,
// which is twice as fast as a Get each.
func list(ctx context.Context, v *view, q store.Query, page *store.Page) (err error) {
	prefix := listPrefix(q)
	from, to := q.Bounds()
	o := &pebble.IterOptions{LowerBound: append(bytes.Clone(prefix), from...), UpperBound: after(prefix)}
	if to != "" {
		o.UpperBound = append(bytes.Clone(prefix), to...)
	}
	if bytes.Compare(o.LowerBound, o.UpperBound) >= 0 {
		return nil
	}
	rows, err := v.snapshot.NewIter(o)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, rows.Close()) }()
	docs := rows
	if q.Index != "" {
		span := key(docKey, q.Kind, "")
		if docs, err = v.snapshot.NewIter(&pebble.IterOptions{LowerBound: span, UpperBound: after(span)}); err != nil {
			return err
		}
		defer func() { err = firstError(err, docs.Close()) }()
	}
	start, step := rows.First, rows.Next
	if q.Reverse {
		start, step = rows.Last, rows.Prev
	}
	for ok, skip := start(), q.Skip; ok; ok = step() {
		if skip > 0 {
			if skip--; skip%lookEvery == 0 && ctx.Err() != nil {
				return store.ErrUnavailable.Because(ctx.Err())
			}
			continue
		}
		if page.More = len(page.Docs) == q.Limit; page.More {
			break
		}
		page.Next = q.Cursor(string(rows.Key()[len(prefix):]))
		k := store.Key{Kind: q.Kind, ID: page.Next.ID}
		if q.Index != "" && (!docs.SeekGE(keyOfDoc(k)) || !bytes.Equal(docs.Key(), keyOfDoc(k))) {
			return firstError(docs.Error(), errValue)
		}
		value, err := docs.ValueAndErr()
		if err != nil {
			return err
		}
		doc := store.Doc{Key: k}
		if err := decode(&doc, value); err != nil {
			return err
		}
		page.Docs = append(page.Docs, doc)
	}
	return nil
}

// readRoom is the most that entries of one read share, in bytes.
const readRoom = 64 << 10

// Read implements store.DB.
func (s *Store) Read(ctx context.Context, stream string, from uint64, limit int) (out store.Entries, err error) {
	if err := store.ValidateRead(stream, limit); err != nil {
		return store.Entries{}, err
	}
	err = s.reading(ctx, func(v *view) (err error) {
		out.First, out.Head = v.lows[stream]+1, v.heads[stream]
		from = max(from, out.First-1)
		if limit == 0 || from >= out.Head {
			return nil
		}
		var near bool
		if out.Entries, near = v.tails[stream].read(from, limit); near {
			return nil
		}
		last := out.Head
		if out.Head-from > uint64(limit) {
			last = from + uint64(limit)
		}
		it, err := v.snapshot.NewIter(&pebble.IterOptions{LowerBound: keyOfEntry(stream, from+1),
			UpperBound: append(keyOfEntry(stream, last), 0)})
		if err != nil {
			return err
		}
		defer func() { err = firstError(err, it.Close()) }()
		out.Entries = make([]store.Entry, 0, last-from)
		var room []byte // all bodies in one piece
		for ok := it.First(); ok; ok = it.Next() {
			body, err := it.ValueAndErr()
			if err != nil {
				return err
			}
			if len(room)+len(body) > cap(room) {
				left := int(last-from) - len(out.Entries)
				room = make([]byte, 0, max(len(body), min(left*len(body), readRoom)))
			}
			start := len(room)
			room = append(room, body...)
			seq := binary.BigEndian.Uint64(it.Key()[len(it.Key())-8:])
			out.Entries = append(out.Entries, store.Entry{Seq: seq, Body: room[start:len(room):len(room)]})
		}
		return nil
	})
	return out, err
}
