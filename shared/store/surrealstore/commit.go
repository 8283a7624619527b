package surrealstore

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/surrealdb/surrealdb.go/pkg/models"

	"github.com/provisioning-platform/platform/shared/store"
)

const (
	maxGroup     = 50               // batches of one call: 100 give 15 % more and double the latency
	maxLost      = 3                // calls of one group whose reply is lost and that are made again
	maxCallBytes = 1 << 20          // bytes of one call, unless a single batch is larger
	groupTimeout = 20 * time.Second // for all calls of one group, settling included
)

// pendingCommit is a commit on its way through the committer.
type pendingCommit struct {
	batch  store.Batch // bodies of writes are native values already
	size   int
	answer chan store.CommitResult // buffered
}

// Commit implements store.DB.
func (s *Store) Commit(ctx context.Context, b store.Batch) (store.Receipt, error) {
	if err := store.Validate(s.schema, b); err != nil {
		return store.Receipt{}, err
	}
	if err := ctx.Err(); err != nil {
		return store.Receipt{}, store.ErrUnavailable.Because(err)
	}
	w, err := s.newPending(b)
	if err != nil {
		return store.Receipt{}, s.away("encode", err)
	}
	select {
	case s.queue <- w:
	case <-ctx.Done():
		return store.Receipt{}, store.ErrUnavailable.Because(ctx.Err())
	case <-s.ctx.Done():
		return store.Receipt{}, store.ErrUnavailable.Because(errClosed)
	}
	select {
	case v := <-w.answer:
		return v.Receipt, v.Err
	case <-ctx.Done():
		return store.Receipt{}, store.ErrUnavailable.Because(ctx.Err())
	}
}

// newPending copies the batch in the form in which it is sent; the caller pays for the encoding.
func (s *Store) newPending(b store.Batch) (*pendingCommit, error) {
	w := &pendingCommit{answer: make(chan store.CommitResult, 1), batch: store.Batch{Trims: slices.Clone(b.Trims)}}
	writes := slices.Clone(b.Writes)
	s.schema.Digest(writes)
	for _, write := range writes {
		if write.Action == store.Put {
			body, err := native(write.Body)
			if err != nil {
				return nil, err
			}
			write.Body = body
			write.Index = append([]store.IndexKey(nil), write.Index...)
		}
		w.batch.Writes = append(w.batch.Writes, write)
		w.size += len(write.Body) + len(write.Key.ID)
	}
	for _, a := range b.Appends {
		w.batch.Appends = append(w.batch.Appends, store.Append{Stream: a.Stream, Body: bytes.Clone(a.Body)})
		w.size += len(a.Body)
	}
	return w, nil
}

// commitAll is the committer: it takes what waits, writes it in one call, and answers.
func (s *Store) commitAll() {
	var held *pendingCommit // did not fit into the last group
	for {
		group, next := s.gather(held)
		if group == nil {
			return
		}
		held = next
		ctx, cancel := context.WithTimeout(s.ctx, groupTimeout)
		verdicts, err := s.commitGroup(ctx, group)
		cancel()
		for i, w := range group {
			if err != nil {
				w.answer <- store.CommitResult{Err: s.away("commit", err)}
			} else {
				w.answer <- verdicts[i]
			}
		}
	}
}

// gather waits for a first batch and takes all that wait with it, within the limits of a call. It
// returns no group when the store is closed.
func (s *Store) gather(first *pendingCommit) (group []*pendingCommit, held *pendingCommit) {
	if first == nil {
		select {
		case first = <-s.queue:
		case <-s.ctx.Done():
			return nil, nil
		}
	}
	group = append(group, first)
	for size := first.size; len(group) < maxGroup; {
		select {
		case w := <-s.queue:
			if size += w.size; size > maxCallBytes {
				return group, w
			}
			group = append(group, w)
		default:
			return group, nil
		}
	}
	return group, nil
}

// commitGroup judges the group and has the engine confirm and apply it, as often as others are
// faster.
func (s *Store) commitGroup(ctx context.Context, group []*pendingCommit) ([]store.CommitResult, error) {
	g := &s.ground
	batches := make([]store.Batch, len(group))
	for i, w := range group {
		batches[i] = w.batch
	}
	lost := 0
	fresh := false // all that the judge stands on was read in this round
	for attempt := 0; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.prepare(ctx, batches, fresh); err != nil {
			return nil, err
		}
		var asked []store.Key
		j, err := store.Judge(s.schema, store.Baseline{Number: g.number, Heads: g.heads, Lows: g.lows,
			Lookup: func(k store.Key) (store.Known, error) {
				asked = append(asked, k)
				return g.docs[k], nil
			}}, batches)
		if err != nil {
			return nil, err
		}
		if j.Number == g.number { // nobody won, so no call confirms what was assumed
			if fresh {
				return j.Results, nil
			}
			fresh = true
			continue
		}
		won, err := s.apply(ctx, asked, &j)
		switch {
		case err == nil && won:
			g.advance(&j)
			return j.Results, nil
		case err == nil: // others wrote; the reply told the head, the documents are read again
			fresh = true
		case isRetryable(err):
		case errors.As(err, &undone{}) && lost < maxLost:
			lost++
		default:
			g.forget()
			return nil, err
		}
		jitter(ctx, attempt)
	}
}

// callRecord is one guarded query as it is sent.
type callRecord struct {
	id   models.RecordID
	vars map[string]any
}

// apply sends the judgement. It says whether it was applied; if not, the ground has the head that
// was found. An error that is not retryable leaves the outcome unknown.
func (s *Store) apply(ctx context.Context, asked []store.Key, j *store.Judgement) (bool, error) {
	c := s.newCall(asked, j)
	results, err := s.link.query(ctx, s.texts.commit, c.vars)
	if err != nil {
		var away notSent
		if isRetryable(err) || errors.As(err, &away) {
			return false, err
		}
		return s.settle(ctx, c.id, err)
	}
	var reply reply
	if err := decodeOf(results, mapType, &reply); err != nil {
		return s.settle(ctx, c.id, err)
	}
	if !reply.OK && s.overtaken(reply.Head.E) {
		return false, errLost
	}
	if !reply.OK {
		err = s.ground.moved(reply.Head)
	}
	return reply.OK, err
}

// reply is what the guarded query answers.
type reply struct {
	OK   bool `json:"ok"`
	Head head `json:"head"`
}

// The types of results, as CBOR's first byte has them.
const (
	arrayType = 4 << 5
	mapType   = 5 << 5
)

// decodeOf decodes the only result of a type. Whether BEGIN and COMMIT have a result depends on the
// server, but none of these types.
func decodeOf(results []cbor.RawMessage, kind byte, into any) error {
	for _, raw := range results {
		if len(raw) > 0 && raw[0]&0xe0 == kind {
			return decode(raw, into)
		}
	}
	return errors.New("a reply without a result")
}

// newCall turns a judgement into the variables of the guarded query.
func (s *Store) newCall(asked []store.Key, j *store.Judgement) callRecord {
	ids, want := make([]models.RecordID, len(asked)), make([]uint64, len(asked))
	for i, k := range asked {
		ids[i], want[i] = s.record(k), s.ground.docs[k].Rev
	}
	fresh, old, gone := []any{}, []any{}, []models.RecordID{}
	for _, f := range j.Finals {
		if f.Now.Rev == 0 {
			gone = append(gone, s.record(f.Key))
			continue
		}
		r := fields(f.Key, f.Now.Index)
		r["id"], r["rev"], r["body"] = s.record(f.Key), f.Now.Rev, cbor.RawMessage(f.Body)
		if kind, _ := s.schema.Kind(f.Key.Kind); kind.Summed {
			r["d"] = f.Now.Digest.String()
		}
		if f.Was.Rev == 0 {
			fresh = append(fresh, r)
		} else {
			old = append(old, r)
		}
	}
	entries := make([]any, len(j.Appends))
	for i, p := range j.Appends {
		entries[i] = map[string]any{"id": []any{p.Stream, p.Seq}, "b": string(p.Body)}
	}
	counts := make([]any, 0, len(j.Counts))
	for c, d := range j.Counts {
		counts = append(counts, map[string]any{"id": s.counter(c), "d": d})
	}
	id := newCallID(s.texts.callTable)
	return callRecord{id, map[string]any{
		"n0": s.ground.number, "e0": s.ground.epoch, "n1": j.Number, "ids": ids, "want": want, "new": fresh, "old": old, "gone": gone,
		"entries": entries, "counts": counts, "call": id,
		"head": s.ground.headAfter(j),
	}}
}
