package store

import "slices"

// Known is what the judge has to know of a document: its revision (0 = there is none), its index
// keys, and the digest of its body when its kind is summed.
type Known struct {
	Rev    uint64
	Index  []IndexKey
	Digest Sum
}

// Baseline is the state of a store before a group of batches.
type Baseline struct {
	Number uint64            // the last commit number
	Heads  map[string]uint64 // the last sequence of every stream; a missing one is empty
	Lows   map[string]uint64 // the last trimmed sequence of every stream; a missing one was never trimmed
	// Lookup returns what is known of a document. It is called once a distinct key, in the order of
	// the batches, checks included, and must answer for the state at Number. A driver whose lookups
	// are dear may guess, remember what it answered, and have the engine confirm all of it together
	// with Number and Heads in the call that applies the Judgement.
	Lookup func(Key) (Known, error)
	// Reuse is an earlier judgement that nobody reads any more; its memory is used again.
	Reuse Judgement
}

// CommitResult is the answer to one batch: a receipt, or ErrConflict.
type CommitResult struct {
	Receipt Receipt
	Err     error
}

// Final is the state in which a group leaves one document that it changed. Now.Rev is 0 when it is
// gone; Body is set otherwise. Was is what Lookup said.
type Final struct {
	Key  Key
	Was  Known
	Now  Known
	Body []byte
}

// SequencedEntry is an entry with its place in its stream.
type SequencedEntry struct {
	Stream string
	Seq    uint64
	Body   []byte
}

// Judgement is what a group of batches does to a store. All of it is written in one physical
// commit, or none.
type Judgement struct {
	Results []CommitResult       // one a batch, in their order
	Number  uint64               // the last commit number afterwards; unchanged when every batch is refused
	Finals  []Final              // one a changed document, in the order of first touch
	Appends []SequencedEntry     // in the order of their sequences within a stream
	Heads   map[string]uint64    // new heads of the streams that were appended to
	Lows    map[string]uint64    // last trimmed sequences of the streams that lose entries, Appends among them or not
	Counts  map[CounterKey]int64 // what to add to counters; no zeros
	Sums    map[string]Sum       // what to add to the sums of kinds; no zeros
	found   map[Key]int          // place in docs
	docs    []judged
}

// judged is a document as the group has left it so far.
type judged struct {
	Final
	touched bool
}

// Judge decides a group of batches in arrival order, each against the state that the earlier ones
// leave: two batches of one group on one document behave exactly as in two groups. A refused batch
// takes no commit number and no sequence and changes nothing. But for the memory of Reuse it is a
// pure function, shared by all drivers; the batches must have passed Validate. The only error is
// one of Lookup.
func Judge(schema Schema, g Baseline, batches []Batch) (Judgement, error) {
	j := g.Reuse.emptied()
	j.Number = g.Number
	writes, appends := 0, 0
	for i := range batches {
		writes, appends = writes+len(batches[i].Writes), appends+len(batches[i].Appends)
	}
	if j.found == nil {
		j.Heads, j.Lows, j.Counts, j.found = map[string]uint64{}, map[string]uint64{}, map[CounterKey]int64{}, make(map[Key]int, writes)
		j.Sums = map[string]Sum{}
	}
	j.Results = slices.Grow(j.Results, len(batches))[:len(batches)]
	j.Appends, j.docs = slices.Grow(j.Appends, appends), slices.Grow(j.docs, writes)
	places := make([]int, 0, 16)
	for i := range batches {
		b := &batches[i]
		places = places[:0]
		met := true
		for k := range b.Writes {
			w := &b.Writes[k]
			at, err := j.find(&g, w.Key)
			if err != nil {
				return Judgement{}, err
			}
			places = append(places, at)
			met = met && w.Expect.met(j.docs[at].Now.Rev)
		}
		if !met {
			j.Results[i] = CommitResult{Err: ErrConflict}
			continue
		}
		j.Number++
		j.Results[i] = CommitResult{Receipt: Receipt{Rev: j.Number, Seqs: j.place(&g, b.Appends)}}
		j.trim(&g, b.Trims)
		for k, at := range places {
			j.docs[at].apply(&b.Writes[k], j.Number)
		}
	}
	j.Finals = slices.Grow(j.Finals, len(j.docs))
	for i := range j.docs {
		if d := &j.docs[i]; d.touched && (d.Was.Rev != 0 || d.Now.Rev != 0) {
			j.Finals = append(j.Finals, d.Final)
			j.count(schema, &d.Final)
		}
	}
	return j, nil
}

// emptied returns an empty judgement in the memory of j.
func (j Judgement) emptied() Judgement {
	clear(j.Heads)
	clear(j.Lows)
	clear(j.Counts)
	clear(j.Sums)
	clear(j.found)
	clear(j.Results)
	clear(j.Appends)
	clear(j.Finals)
	clear(j.docs)
	j.Results, j.Appends, j.Finals, j.docs = j.Results[:0], j.Appends[:0], j.Finals[:0], j.docs[:0]
	return j
}

// find returns the place of the document in docs, looking it up on first sight.
func (j *Judgement) find(g *Baseline, k Key) (int, error) {
	if at, ok := j.found[k]; ok {
		return at, nil
	}
	known, err := g.Lookup(k)
	if err != nil {
		return 0, err
	}
	j.docs = append(j.docs, judged{Final: Final{Key: k, Was: known, Now: known}})
	j.found[k] = len(j.docs) - 1
	return len(j.docs) - 1, nil
}

func (d *judged) apply(w *Write, number uint64) {
	switch w.Action {
	case Put:
		d.Now, d.Body, d.touched = Known{Rev: number, Index: w.Index, Digest: w.digest}, w.Body, true
	case Delete:
		d.Now, d.Body, d.touched = Known{}, nil, true
	}
}

// place gives the entries of an accepted batch their sequences.
func (j *Judgement) place(g *Baseline, appends []Append) []uint64 {
	if len(appends) == 0 {
		return nil
	}
	seqs := make([]uint64, len(appends))
	for i, a := range appends {
		head := j.head(g, a.Stream)
		seqs[i] = head + 1
		j.Heads[a.Stream] = head + 1
		j.Appends = append(j.Appends, SequencedEntry{Stream: a.Stream, Seq: head + 1, Body: a.Body})
	}
	return seqs
}

// head returns the last sequence of a stream as the group has left it so far.
func (j *Judgement) head(g *Baseline, stream string) uint64 {
	if head, ok := j.Heads[stream]; ok {
		return head
	}
	return g.Heads[stream]
}

// trim moves the low ends of streams up to what an accepted batch trims, at most to their heads.
func (j *Judgement) trim(g *Baseline, trims []Trim) {
	for _, t := range trims {
		if through := min(t.Through, j.head(g, t.Stream)); through > max(g.Lows[t.Stream], j.Lows[t.Stream]) {
			j.Lows[t.Stream] = through
		}
	}
}

// count adds what one document does to the counters and the sum of its kind.
func (j *Judgement) count(schema Schema, f *Final) {
	kind, _ := schema.Kind(f.Key.Kind)
	if kind.Summed && f.Was.Digest != f.Now.Digest {
		if sum := j.Sums[kind.Name].Plus(f.Now.Digest).Minus(f.Was.Digest); sum != (Sum{}) {
			j.Sums[kind.Name] = sum
		} else {
			delete(j.Sums, kind.Name)
		}
	}
	switch was, now := f.Was.Rev != 0, f.Now.Rev != 0; {
	case now && !was:
		j.add(CounterKey{Kind: kind.Name}, 1)
	case was && !now:
		j.add(CounterKey{Kind: kind.Name}, -1)
	}
	for _, name := range kind.Counted {
		was, had := valueOf(f.Was.Index, name)
		now, has := valueOf(f.Now.Index, name)
		if had == has && was == now {
			continue
		}
		if had {
			j.add(CounterKey{kind.Name, name, was}, -1)
		}
		if has {
			j.add(CounterKey{kind.Name, name, now}, 1)
		}
	}
}

func (j *Judgement) add(c CounterKey, n int64) {
	if j.Counts[c] += n; j.Counts[c] == 0 {
		delete(j.Counts, c)
	}
}

func valueOf(index []IndexKey, name string) (string, bool) {
	for _, x := range index {
		if x.Name == name {
			return x.Value, true
		}
	}
	return "", false
}
