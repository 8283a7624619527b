package auditlog

import (
	"context"

	"github.com/provisioning-platform/platform/shared/audit"
	"github.com/provisioning-platform/platform/shared/canonical"
	"github.com/provisioning-platform/platform/shared/fault"
	"github.com/provisioning-platform/platform/shared/store"
)

// folded is a row that Add is about to store.
type folded struct {
	row    Row
	phase  audit.Phase // phase of the entry that gave the row its id
	joined bool        // the row has both its intent and its outcome
}

// Add adds entries of the log called origin in one commit; first is the leaf index of the first
// one. An entry that cannot be read becomes a row that says so, so that the index never stops at
// one.
//
// Most entries are new, so Add first stores them as new ones without a read. Only when the commit
// is a conflict it reads which of them the index has.
func (x *Index) Add(ctx context.Context, origin string, first uint64, entries [][]byte) error {
	rows := fold(origin, first, entries)
	buf, _ := x.buffers.Get().(*canonical.Writer)
	if buf == nil {
		buf = new(canonical.Writer)
	}
	defer x.buffers.Put(buf) // Commit copies what it is given.
	fresh, err := x.inserts(ctx, rows, buf)
	if err != nil {
		return err
	}
	if fresh != nil {
		receipt, err := x.DB.Commit(ctx, store.Batch{Writes: fresh})
		if err == nil {
			x.remember(rows, receipt.Rev)
		}
		if !fault.Is(err, fault.Conflict) {
			return err
		}
	}
	x.forget()
	return x.merge(ctx, rows)
}

// maxPending is how many intents x.pending holds at most.
const maxPending = 4096

// remember keeps the intents of stored rows, which have the revision rev, until their outcomes
// come. A commit that uses one demands the revision, so a wrong one does no harm.
func (x *Index) remember(rows []folded, rev uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, t := range rows {
		switch {
		case t.phase == audit.Outcome:
			delete(x.pending, operation{t.row.Origin, t.row.OpID})
		case t.phase == audit.Intent && !t.joined:
			if x.pending == nil || len(x.pending) >= maxPending {
				x.pending = map[operation]store.Row[Row]{}
			}
			x.pending[operation{t.row.Origin, t.row.OpID}] = store.Row[Row]{Value: t.row, Rev: rev}
		}
	}
}

// forget drops all remembered intents.
func (x *Index) forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.pending = nil
}

// opOf returns the value of the index "op", which links an intent with its outcome.
func opOf(r Row) string { return cut(r.Origin + " " + r.OpID) }

// fold returns the rows of entries. An outcome completes the row of an intent among the entries
// before it.
func fold(origin string, first uint64, entries [][]byte) []folded {
	rows := make([]folded, 0, len(entries))
	intents := make(map[string]int, len(entries)) // by operation id
	var r Row
	for i, body := range entries {
		var phase audit.Phase
		r, phase = rowOf(origin, first+uint64(i), body, &r)
		switch at, ok := intents[r.OpID]; {
		case phase == audit.Outcome && ok:
			rows[at].row, rows[at].joined = complete(rows[at].row, r), true
			continue
		case phase == audit.Intent:
			intents[r.OpID] = len(rows)
		}
		r.LeafHash = audit.LeafHash(body)
		rows = append(rows, folded{row: r, phase: phase})
	}
	return rows
}

// complete returns the row of an intent with what its outcome says.
func complete(intent, outcome Row) Row {
	at := outcome.Index
	intent.Outcome, intent.Result = &at, outcome.Result
	if string(outcome.Details) != "{}" {
		intent.Details = outcome.Details
	}
	return intent
}

// inserts returns writes that demand that the index has none of the rows, but for the intents that
// outcomes complete. The documents stand in buf. It returns nil when two rows have one id.
func (x *Index) inserts(ctx context.Context, rows []folded, buf *canonical.Writer) ([]store.Write, error) {
	buf.Reset()
	writes, seen := make([]store.Write, 0, len(rows)), make(map[string]bool, len(rows))
	for _, t := range rows {
		r, expect := t.row, store.Absent()
		if t.phase == audit.Outcome {
			x.mu.Lock()
			intent, ok := x.pending[operation{r.Origin, r.OpID}]
			x.mu.Unlock()
			if !ok {
				var err error
				if intent, err = x.intent(ctx, r); err != nil {
					return nil, err
				}
			}
			if intent.Rev != 0 {
				r, expect = complete(intent.Value, r), store.At(intent.Rev)
			}
		}
		if seen[r.ID] {
			return nil, nil
		}
		seen[r.ID] = true
		w, err := r.write(buf, expect)
		if err != nil {
			return nil, err
		}
		writes = append(writes, w)
	}
	return writes, nil
}

// merge stores rows of which the index may have some.
func (x *Index) merge(ctx context.Context, rows []folded) error {
	_, err := store.Update(ctx, x.DB, func(tx *store.Tx) error {
		for _, t := range rows {
			r := t.row
			if t.phase == audit.Outcome {
				intent, err := x.intent(ctx, r)
				if err != nil {
					return err
				}
				if intent.Rev != 0 {
					r = complete(intent.Value, r)
				}
			}
			old, err := Table.Load(tx, r.ID)
			if err != nil {
				return err
			}
			if old.Rev != 0 && old.Value.Origin != r.Origin {
				return fault.New(fault.Conflict, "audit.foreign_row", "an entry of %s carries the id of an entry of %s", r.Origin,
					old.Value.Origin)
			}
			if t.phase == audit.Intent && !t.joined && old.Rev != 0 && old.Value.Outcome != nil {
				r = old.Value // The index has its outcome.
			}
			if err := Table.Save(tx, r); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// intent returns the row of the intent whose outcome r is; its revision is 0 when the index has
// none.
func (x *Index) intent(ctx context.Context, r Row) (store.Row[Row], error) {
	found, _, err := Table.List(ctx, x.DB, store.Query{Index: "op", Prefix: opOf(r), Exact: true, Limit: 1})
	if err != nil || len(found) == 0 {
		return store.Row[Row]{}, err
	}
	return found[0], nil
}
