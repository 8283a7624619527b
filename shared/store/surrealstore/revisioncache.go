package surrealstore

import (
	"context"
	"maps"

	"github.com/surrealdb/surrealdb.go/pkg/models"

	"github.com/provisioning-platform/platform/shared/store"
)

// maxRemembered bounds the documents whose revisions the committer remembers.
const maxRemembered = 1 << 16

// head is the record of the service's head: the format of the database, the last commit number, by
// stream the last sequence and the last trimmed one, and by kind the sum in hexadecimal digits.
type head struct {
	E uint64            `json:"e"` // epoch of the lease; raised when another instance takes over
	F string            `json:"f"`
	H map[string]string `json:"h"`
	L map[string]uint64 `json:"l"`
	N uint64            `json:"n"`
	S map[string]uint64 `json:"s"`
}

// revisionCache is what the committer believes of the database. It may be wrong, because others
// write too: the guarded query confirms head and revisions, or nothing is applied.
type revisionCache struct {
	known  bool // the head was read
	number uint64
	epoch  uint64 // of the lease, as the head has it
	heads  map[string]uint64
	lows   map[string]uint64    // last trimmed sequences
	sums   map[string]store.Sum // of kinds
	docs   map[store.Key]store.Known
}

func newRevisionCache() revisionCache {
	return revisionCache{heads: map[string]uint64{}, lows: map[string]uint64{}, sums: map[string]store.Sum{},
		docs: map[store.Key]store.Known{}}
}

// forget drops all beliefs: the outcome of a call is unknown.
func (g *revisionCache) forget() { *g = newRevisionCache() }

// moved takes over the head that the engine reported. What was remembered of documents may be old.
func (g *revisionCache) moved(h head) error {
	sums := make(map[string]store.Sum, len(h.H))
	for kind, text := range h.H {
		sum, err := store.ParseSum(text)
		if err != nil {
			return err
		}
		sums[kind] = sum
	}
	if h.N != g.number {
		clear(g.docs)
	}
	g.known, g.number, g.epoch, g.heads, g.lows, g.sums = true, h.N, h.E, h.S, h.L, sums
	if h.S == nil {
		g.heads = map[string]uint64{}
	}
	if h.L == nil {
		g.lows = map[string]uint64{}
	}
	return nil
}

// advance takes over what a judgement left.
func (g *revisionCache) advance(j *store.Judgement) {
	g.number = j.Number
	maps.Copy(g.heads, j.Heads)
	maps.Copy(g.lows, j.Lows)
	for kind, more := range j.Sums {
		g.sums[kind] = g.sums[kind].Plus(more)
	}
	if len(g.docs) > maxRemembered {
		clear(g.docs)
	}
	for _, f := range j.Finals {
		g.docs[f.Key] = f.Now
	}
}

// headAfter returns the head as the judgement leaves it.
func (g *revisionCache) headAfter(j *store.Judgement) head {
	h := head{E: g.epoch, F: store.Format, H: make(map[string]string, len(g.sums)), N: j.Number, S: maps.Clone(g.heads),
		L: maps.Clone(g.lows)}
	maps.Copy(h.S, j.Heads)
	maps.Copy(h.L, j.Lows)
	for kind, sum := range g.sums {
		h.H[kind] = sum.String()
	}
	for kind, more := range j.Sums {
		h.H[kind] = g.sums[kind].Plus(more).String()
	}
	return h
}

// prepare makes sure that something is believed of every document of the batches. What the first
// write demands is believed without a look, unless its counted index keys or its digest are needed;
// with fresh, all is read.
func (s *Store) prepare(ctx context.Context, batches []store.Batch, fresh bool) error {
	g := &s.ground
	if !g.known {
		h, err := s.readHead(ctx)
		if err == nil && s.overtaken(h.E) {
			err = errLost
		}
		if err == nil {
			err = g.moved(h)
		}
		if err != nil {
			return err
		}
	}
	var ids []models.RecordID
	var keys []store.Key
	seen := map[store.Key]bool{}
	for _, b := range batches {
		for _, w := range b.Writes {
			if seen[w.Key] {
				continue
			}
			seen[w.Key] = true
			if !fresh {
				if _, ok := g.docs[w.Key]; ok {
					continue
				}
				kind, _ := s.schema.Kind(w.Key.Kind)
				if rev, demanded := w.Expect.Wants(); demanded && (rev == 0 || len(kind.Counted) == 0 && !kind.Summed) {
					g.docs[w.Key] = store.Known{Rev: rev}
					continue
				}
			}
			ids, keys = append(ids, s.record(w.Key)), append(keys, w.Key)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	results, err := s.link.query(ctx, textKnown, map[string]any{"ids": ids})
	if err != nil {
		g.forget()
		return err
	}
	var rows []*struct {
		Rev uint64            `json:"rev"`
		Ix  map[string]string `json:"ix"`
		D   string            `json:"d"`
	}
	if err := decode(results[0], &rows); err != nil {
		g.forget()
		return err
	}
	for i, r := range rows {
		g.docs[keys[i]] = store.Known{}
		if r != nil {
			kind, _ := s.schema.Kind(keys[i].Kind)
			digest, err := store.ParseSum(r.D)
			if err != nil {
				g.forget()
				return err
			}
			g.docs[keys[i]] = store.Known{Rev: r.Rev, Index: unjoin(kind, r.Ix), Digest: digest}
		}
	}
	return nil
}

// readHead reads the head record.
func (s *Store) readHead(ctx context.Context) (h head, err error) {
	results, err := s.link.query(ctx, s.texts.head, nil)
	if err != nil {
		return h, err
	}
	return h, decode(results[len(results)-1], &h)
}
