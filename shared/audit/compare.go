package audit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// storedHashes reads the hashes in DIR/audit beside the entries.
type storedHashes struct {
	*hashes
	in   *bufio.Reader // where the next hash is read; nil behind the last one
	bad  int64         // index of the first entry whose leaf hash differs from the stored one; -1 when there is none
	want tlog.Hash     // the stored leaf hash there
	have tlog.Hash     // the leaf hash of the entry there
}

// openStored opens the stored hashes of a folder that has some.
func (c *check) openStored() error {
	if c.Dir == "" {
		return nil
	}
	f, err := os.Open(filepath.Join(c.Dir, "hashes"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		c.report.Notes = append(c.report.Notes, "the stored hashes cannot be read: "+err.Error())
		return nil
	}
	st, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if _, err := f.Seek(tlog.StoredHashCount(c.Base.Size)*tlog.HashSize, io.SeekStart); err != nil {
		return errors.Join(err, f.Close())
	}
	c.stored = &storedHashes{hashes: &hashes{file: f, count: st.Size() / tlog.HashSize}, in: bufio.NewReaderSize(f, 64<<10), bad: -1}
	return nil
}

func (s *storedHashes) close() {
	if s != nil {
		_ = s.hashes.close()
	}
}

// compare reads the hashes that the entry at index i completed, its leaf first, and remembers the
// first leaf that differs.
func (s *storedHashes) compare(i int64, computed []tlog.Hash) {
	if s == nil || s.in == nil || s.bad >= 0 {
		return
	}
	var leaf tlog.Hash
	_, err := io.ReadFull(s.in, leaf[:])
	if err == nil {
		_, err = s.in.Discard((len(computed) - 1) * tlog.HashSize)
	}
	switch {
	case err != nil: // the service has not come further
		s.in = nil
	case leaf != computed[0]:
		s.bad, s.want, s.have = i, leaf, computed[0]
	}
}

// compare holds the entries against the heads and the stored hashes, the strongest proof first.
func (c *check) compare(ctx context.Context) {
	n := c.report.Entries
	c.proofs = slices.DeleteFunc(c.proofs, func(p headProof) bool {
		if p.Size < c.Base.Size {
			c.report.Notes = append(c.report.Notes, fmt.Sprintf("%s is of size %d: what it was made over was archived", p.from, p.Size))
		}
		return p.Size < c.Base.Size
	})
	newest := int64(0)
	for _, p := range c.proofs {
		newest = max(newest, p.Size)
		switch {
		case p.Size > n && c.Export != nil:
			c.found(foundIncomplete, &n, "the export ends after %d entries, %s was made over %d", n, p.from, p.Size)
		case p.Size > n:
			c.found(foundTruncated, &n, "%d entries are stored, %s was made over %d; the first missing one has index %d", n, p.from,
				p.Size, n)
		}
	}
	good := int64(0)
	for _, p := range c.proofs {
		if p.Size <= n && c.roots[p.Size] == p.Root {
			good = max(good, p.Size)
		}
	}
	for _, p := range c.proofs {
		if p.Size <= n && c.roots[p.Size] != p.Root {
			c.locate(ctx, p, good)
		}
	}
	c.report.Signed = good
	if c.report.Verdict == "" && c.stored != nil {
		c.compareStored(n)
	}
	switch {
	case good > 0 && c.Export != nil && n > newest:
		c.found(foundUnsigned, &newest, "the export holds %d entries that no head covers; `audit export` writes signed ones only", n-newest)
	case len(c.proofs) == 0 && n > 0:
		c.found(foundNoHead, nil, "%d entries are there and no signed tree head; a running service signs within a second", n)
	case good == 0:
		c.found(foundNothing, nil, "there are no entries and no signed tree head, so there is nothing that could be intact")
	}
}

// locate names the first entry that differs from what the head p was made over.
func (c *check) locate(ctx context.Context, p headProof, good int64) {
	if good > p.Size { // a newer head fits these entries, so they were signed again
		c.found(foundRewritten, nil, "the entries fit a head of size %d, but not %s of size %d: history was signed anew", good, p.from,
			p.Size)
		return
	}
	if c.stored != nil && c.stored.bad >= 0 && c.stored.bad < p.Size {
		if root, err := tlog.TreeHash(p.Size, c.stored); err == nil && root == p.Root {
			c.named(ctx)
			return
		}
	}
	at := good
	if slices.ContainsFunc(c.proofs, func(q headProof) bool { return !q.foreign && q.Size == p.Size && c.roots[q.Size] == q.Root }) {
		c.found(foundRewritten, &at, "the entries fit the service's own head and not %s: history before index %d was signed anew", p.from,
			p.Size)
		return
	}
	c.found(foundFlipped, &at, "an entry from index %d to %d is not what was signed (the stored hashes do not help to name it)", good,
		p.Size-1)
}

// named reports the first entry that is not the one whose hash is stored.
func (c *check) named(ctx context.Context) {
	i := c.stored.bad
	if j := c.find(ctx, c.stored.want); j >= 0 {
		c.found(foundReordered, &i, "at index %d stands another entry; the one that was signed there stands at index %d", i, j)
		return
	}
	if next, err := c.stored.ReadHashes([]int64{tlog.StoredHashIndex(0, i+1)}); err == nil && next[0] == c.stored.have {
		c.found(foundTruncated, &i, "the entry with index %d was removed", i)
		return
	}
	c.found(foundFlipped, &i, "the entry with index %d is not the one that was signed", i)
}

// find reads the entries once more and returns the index of the one with that leaf hash, -1 when
// there is none.
func (c *check) find(ctx context.Context, leaf tlog.Hash) int64 {
	for at := c.Base.Size; ; {
		page, err := c.Read(ctx, Stream, uint64(at), tileWidth)
		if err != nil || len(page.Entries) == 0 {
			return -1
		}
		for _, e := range page.Entries {
			if tlog.RecordHash(e.Body) == leaf {
				return at
			}
			at++
		}
	}
}

// compareStored compares the entries with the stored hashes, which reach as far as the service has
// read: also over entries that were never signed. Alone, the hashes prove nothing against what is
// signed.
func (c *check) compareStored(n int64) {
	i := c.stored.bad
	switch hashed := c.stored.leaves(); {
	case hashed > n:
		c.found(foundTruncated, &n, "%d entries are stored, %d were hashed; the first missing one has index %d", n, hashed, n)
	case i >= 0 && i < c.report.Signed:
		c.report.Notes = append(c.report.Notes,
			fmt.Sprintf("the stored hash of entry %d is damaged (it is derived: the service computes it again)", i))
	case i >= 0:
		c.found(foundFlipped, &i, "the entry with index %d, not signed yet, is not the one that was hashed", i)
	}
}

// tail looks at what stands behind the newest head.
func (c *check) tail() {
	newest := int64(0)
	for _, p := range c.proofs {
		newest = max(newest, p.Size)
	}
	c.report.UnsignedTail = c.report.Entries - newest
	if c.Dir != "" && c.own < newest {
		c.found(foundReplayed, nil, "DIR/audit/treehead is of size %d, a newer head of size %d is known", c.own, newest)
		return
	}
	if span := c.times[1].Sub(c.times[0]); span > staleTail {
		c.found(foundReplayed, nil, "%d entries over %s stand behind the head of size %d; a running service would have signed them",
			c.report.UnsignedTail, span.Round(time.Second), c.own)
	}
}
