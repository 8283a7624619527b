package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// compare holds the entries against the heads and the stored hashes, the strongest proof first.
func (c *check) compare() {
	n := c.report.Entries
	c.proofs = slices.DeleteFunc(c.proofs, func(p headProof) bool {
		if p.Size < c.Base.Size {
			c.report.Notes = append(c.report.Notes, fmt.Sprintf("%s is of size %d: what it was made over was archived", p.from, p.Size))
		}
		return p.Size < c.Base.Size
	})
	if c.Dir != "" {
		if h, err := openStored(filepath.Join(c.Dir, "hashes")); err == nil {
			c.index = h
			defer h.close()
		} else if !errors.Is(err, os.ErrNotExist) {
			c.report.Notes = append(c.report.Notes, "the stored hashes cannot be read: "+err.Error())
		}
	}
	for _, p := range c.proofs {
		if p.Size > n {
			c.found(Truncated, &n, "%d entries are stored, %s was made over %d; the first missing one has index %d", n, p.from, p.Size, n)
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
			c.locate(p, good)
		}
	}
	c.report.Signed = good
	if c.report.Verdict == "" && c.index != nil {
		c.compareIndex(n)
	}
	if len(c.proofs) == 0 && n > 0 {
		c.found(NoHead, nil, "%d entries are stored and no signed tree head; a running service signs within a second", n)
	}
}

// locate names the first entry that differs from what the head p was made over.
func (c *check) locate(p headProof, good int64) {
	if good > p.Size { // a newer head fits these entries, so they were signed again
		c.found(Rewritten, nil, "the entries fit a head of size %d, but not %s of size %d: history was signed anew", good, p.from, p.Size)
		return
	}
	if c.index != nil {
		if root, err := tlog.TreeHash(p.Size, c.index); err == nil && root == p.Root {
			for i := c.Base.Size; i < p.Size; i++ {
				if h, err := c.index.ReadHashes([]int64{tlog.StoredHashIndex(0, i)}); err == nil && h[0] != c.leaf(i) {
					c.named(i, h[0])
					return
				}
			}
		}
	}
	at := good
	if own := c.ownAt(p); own {
		c.found(Rewritten, &at, "the entries fit the service's own head and not %s: history before index %d was signed anew", p.from, p.Size)
		return
	}
	c.found(Flipped, &at, "an entry from index %d to %d is not what was signed (the stored hashes do not help to name it)", good, p.Size-1)
}

// ownAt says whether the service's own head of the same size as p fits, which p does not.
func (c *check) ownAt(p headProof) bool {
	for _, q := range c.proofs {
		if !q.foreign && q.Size == p.Size && c.roots[q.Size] == q.Root {
			return true
		}
	}
	return false
}

// leaf returns the hash of the entry at index i as it was found.
func (c *check) leaf(i int64) tlog.Hash { return c.leaves[i-c.Base.Size] }

// named reports the entry at index i, whose leaf should be want.
func (c *check) named(i int64, want tlog.Hash) {
	for j, leaf := range c.leaves {
		if leaf == want {
			c.found(Reordered, &i, "at index %d stands another entry; the one that was signed there stands at index %d", i, c.Base.Size+int64(j))
			return
		}
	}
	if c.report.Entries > i+1 {
		if next, err := c.index.ReadHashes([]int64{tlog.StoredHashIndex(0, i+1)}); err == nil && next[0] == c.leaf(i) {
			c.found(Truncated, &i, "the entry with index %d was removed", i)
			return
		}
	}
	c.found(Flipped, &i, "the entry with index %d is not the one that was signed", i)
}

// compareIndex compares the entries with the stored hashes, which reach as far as the service has read:
// also over entries that were never signed. Alone, the hashes prove nothing against what is signed.
func (c *check) compareIndex(n int64) {
	hashed := c.index.leaves()
	if hashed > n {
		c.found(Truncated, &n, "%d entries are stored, %d were hashed; the first missing one has index %d", n, hashed, n)
		return
	}
	for i := c.Base.Size; i < hashed; i++ {
		h, err := c.index.ReadHashes([]int64{tlog.StoredHashIndex(0, i)})
		if err != nil || h[0] == c.leaf(i) {
			continue
		}
		if i < c.report.Signed {
			c.report.Notes = append(c.report.Notes, fmt.Sprintf("the stored hash of entry %d is damaged (it is derived: the service computes it again)", i))
			return
		}
		c.found(Flipped, &i, "the entry with index %d, not signed yet, is not the one that was hashed", i)
		return
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
		c.found(Replayed, nil, "DIR/audit/treehead is of size %d, a newer head of size %d is known", c.own, newest)
		return
	}
	if span := c.times[1].Sub(c.times[0]); span > staleTail {
		c.found(Replayed, nil, "%d entries over %s stand behind the head of size %d; a running service would have signed them", c.report.UnsignedTail, span.Round(time.Second), c.own)
	}
}

// openStored opens stored hashes for reading only.
func openStored(path string) (*hashes, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &hashes{file: f, count: st.Size() / tlog.HashSize}, nil
}
