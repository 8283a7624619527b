package store

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"

	"github.com/provisioning-platform/platform/shared/clock"
	"github.com/provisioning-platform/platform/shared/fault"
)

// updateAttempts bounds how often Update re-runs its function on conflict.
const updateAttempts = 32

// Tx collects what one optimistic transaction reads and writes. It is used by one goroutine, inside
// the function given to Update.
type Tx struct {
	ctx    context.Context
	db     DB
	rerun  bool // an earlier run met a conflict
	read   map[Key]Doc
	writes map[Key]Write
	order  []Key
	batch  []Append
	trims  []Trim
	failed error // what Create found, which returns no error
}

// Get returns the document as this transaction sees it: its own write if there is one, else what is
// stored. Update commits only if what was read has not changed.
func (tx *Tx) Get(key Key) (Doc, error) {
	if w, ok := tx.writes[key]; ok && w.Action != Check {
		if w.Action == Delete {
			return Doc{Key: key}, nil
		}
		return Doc{Key: key, Rev: max(tx.read[key].Rev, 1), Index: w.Index, Body: w.Body}, nil
	}
	if d, ok := tx.read[key]; ok {
		return d, nil
	}
	d, err := tx.db.Get(tx.ctx, key)
	if err != nil {
		return Doc{}, err
	}
	tx.read[key] = d
	return d, nil
}

// Put stores body under key when the transaction commits. It replaces whatever is there unless the
// transaction has read the key.
func (tx *Tx) Put(key Key, index []IndexKey, body []byte) {
	tx.write(Write{Key: key, Action: Put, Index: index, Body: body})
}

// Create stores body under key and demands that there is no such document: the way to claim
// something unique. When there is one, Update ends with ErrConflict.
func (tx *Tx) Create(key Key, index []IndexKey, body []byte) {
	tx.create(Write{Key: key, Action: Put, Index: index, Body: body})
}

func (tx *Tx) create(own Write) {
	key := own.Key
	if w, ok := tx.writes[key]; ok {
		if w.Action == Put {
			tx.failed = ErrConflict
		}
	} else if d, ok := tx.read[key]; ok {
		if d.Exists() {
			tx.failed = ErrConflict
		}
	} else if !tx.rerun {
		tx.read[key] = Doc{Key: key} // the commit finds out
	} else if d, err := tx.Get(key); err != nil {
		tx.failed = err
	} else if d.Exists() { // this is what the conflict was about: do not run into it again
		tx.failed = ErrConflict
	}
	tx.write(own)
}

// Add adds a write as it is, with the expectation that it has, when the transaction commits. When
// what is stored does not meet it, Update ends with ErrConflict.
func (tx *Tx) Add(w Write) {
	if rev, demanded := w.Expect.Wants(); demanded {
		tx.read[w.Key] = Doc{Key: w.Key, Rev: rev}
		if tx.rerun { // if this is what the conflict was about, do not run into it again
			d, err := tx.db.Get(tx.ctx, w.Key)
			if err == nil && d.Rev != rev {
				err = ErrConflict
			}
			tx.failed = cmp.Or(tx.failed, err)
		}
	}
	tx.write(w)
}

// Delete removes the document when the transaction commits.
func (tx *Tx) Delete(key Key) { tx.write(Write{Key: key, Action: Delete}) }

// Append adds an entry to a stream when the transaction commits.
func (tx *Tx) Append(stream string, body []byte) {
	tx.batch = append(tx.batch, Append{Stream: stream, Body: body})
}

// Trim removes the entries of a stream up to and including a sequence when the transaction commits.
func (tx *Tx) Trim(stream string, through uint64) {
	tx.trims = append(tx.trims, Trim{Stream: stream, Through: through})
}

// Context returns the context of the transaction.
func (tx *Tx) Context() context.Context { return tx.ctx }

func (tx *Tx) write(w Write) {
	if _, ok := tx.writes[w.Key]; !ok {
		tx.order = append(tx.order, w.Key)
	}
	tx.writes[w.Key] = w
}

// seal turns what was read and written into one batch.
func (tx *Tx) seal() Batch {
	b := Batch{Appends: tx.batch, Trims: tx.trims}
	for _, k := range tx.order {
		w := tx.writes[k]
		w.Expect = Any()
		if d, ok := tx.read[k]; ok {
			w.Expect = At(d.Rev)
		}
		b.Writes = append(b.Writes, w)
	}
	for k, d := range tx.read {
		if _, ok := tx.writes[k]; !ok {
			b.Writes = append(b.Writes, Write{Key: k, Expect: At(d.Rev), Action: Check})
		}
	}
	return b
}

// Update runs fn on a fresh transaction and commits what it wrote, together with the demand that
// everything it read is unchanged. On conflict it runs fn again, so fn must have no effect of its
// own. It returns fn's error as it is; a transaction that wrote nothing commits nothing. When
// conflicts do not end it returns ErrConflict; an unknown outcome is Unavailable and not retried.
func Update(ctx context.Context, db DB, fn func(*Tx) error) (Receipt, error) {
	for attempt := 0; ; attempt++ {
		tx := &Tx{ctx: ctx, db: db, rerun: attempt > 0, read: map[Key]Doc{}, writes: map[Key]Write{}}
		if err := fn(tx); err != nil {
			return Receipt{}, err
		}
		if tx.failed != nil {
			return Receipt{}, tx.failed
		}
		if len(tx.writes) == 0 && len(tx.batch) == 0 && len(tx.trims) == 0 {
			return Receipt{}, nil
		}
		r, err := db.Commit(ctx, tx.seal())
		if err == nil || !fault.Is(err, fault.Conflict) || attempt+1 >= updateAttempts {
			return r, err
		}
		if attempt > 2 { // many writers want one document: spread them
			if !clock.Pause(ctx, rand.N(time.Duration(attempt)*time.Millisecond), nil) {
				return Receipt{}, ErrUnavailable.Because(ctx.Err())
			}
		}
	}
}
