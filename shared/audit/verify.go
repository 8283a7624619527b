package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/provisioning-platform/platform/shared/store"
)

// staleTail is how far apart the entries behind the newest head may lie: a running service would have
// signed them, or refused changes.
const staleTail = 60 * time.Second

// Verdict is the answer of Verify in one word or two.
type Verdict string

// The verdicts. All but Intact are failures.
const (
	Intact     Verdict = "intact"
	Flipped    Verdict = "altered entry"     // an entry is not what was signed
	Reordered  Verdict = "reordered entries" // an entry stands at another entry's place
	Truncated  Verdict = "truncated"         // entries that were signed or seen are missing
	Replayed   Verdict = "replayed old head" // the head is older than another proof beside it
	Rewritten  Verdict = "rewritten"         // signed anew, against what the witness saw
	BadHead    Verdict = "bad tree head"     // the head's signature or form is wrong
	NoHead     Verdict = "no tree head"      // entries, but nothing signed
	Unreadable Verdict = "unreadable"        // the store cannot give the entries
)

// VerifyOptions say what to verify. Read is a store's (opened read-only) or an export's.
type VerifyOptions struct {
	Read  func(ctx context.Context, stream string, after uint64, limit int) (store.Entries, error)
	Dir   string   // DIR/audit; empty when Heads are given
	Log   Public   // the log's keys
	Peer  Public   // the witness's keys; empty: cosignatures are not checked
	Heads []string // more signed heads of this log, for example out of the other service's DIR/audit/peers
}

// Report is what Verify found.
type Report struct {
	OK           bool     `json:"ok"`
	Verdict      Verdict  `json:"verdict"`
	Text         string   `json:"text"` // for people: what, where, what it means
	Origin       string   `json:"origin"`
	Entries      int64    `json:"entries"`         // entries found
	Signed       int64    `json:"signed_size"`     // entries under the newest good head
	Witnessed    int64    `json:"witnessed_size"`  // entries under the newest cosigned head
	UnsignedTail int64    `json:"unsigned_tail"`   // entries behind the newest head
	Root         string   `json:"root"`            // root hash of all entries found
	Index        *int64   `json:"index,omitempty"` // first damaged place
	Notes        []string `json:"notes,omitempty"` // what is odd and no damage
}

// headProof is one head to compare with, and where it came from.
type headProof struct {
	Head
	from    string
	foreign bool // kept by the other service: it cannot have been changed here
}

// Verify computes the log again from its entries and compares it with every head at hand. It changes
// nothing and asks nobody. An error means that it could not even look (a missing folder, a bad key).
func Verify(ctx context.Context, o VerifyOptions) (Report, error) {
	r := &check{VerifyOptions: o, report: Report{Origin: o.Log.Origin()}, roots: map[int64]tlog.Hash{}}
	if err := o.Log.check(); err != nil {
		return Report{}, err
	}
	if err := r.gather(); err != nil {
		return Report{}, err
	}
	if r.report.Verdict == "" {
		r.read(ctx)
	}
	if r.report.Verdict == "" {
		r.compare()
	}
	if r.report.Verdict == "" {
		r.tail()
	}
	if r.report.Verdict == "" {
		r.found(Intact, nil, "all %d entries are what was signed; unsigned tail: %d entries", r.report.Entries, r.report.UnsignedTail)
		r.report.OK = true
	}
	return r.report, nil
}

// check is one run of Verify.
type check struct {
	VerifyOptions
	report Report
	proofs []headProof
	roots  map[int64]tlog.Hash // roots at the sizes of the proofs, as computed
	leaves []tlog.Hash
	times  [2]time.Time // first and last entry behind the newest own head
	own    int64        // size of the newest own head
	index  *hashes      // stored hashes, to name the place; nil without a folder
}

func (c *check) found(v Verdict, index *int64, format string, args ...any) {
	if c.report.Verdict != "" {
		return
	}
	c.report.Verdict, c.report.Index = v, index
	c.report.Text = string(v) + ": " + fmt.Sprintf(format, args...)
}

// gather collects heads and checks their signatures.
func (c *check) gather() error {
	if c.Dir != "" {
		if _, err := os.Stat(c.Dir); err != nil {
			return err
		}
		for _, name := range []string{"treehead", "witnessed"} {
			data, err := readFile(c.Dir, name)
			if err != nil {
				return err
			}
			if data != nil {
				c.add(string(data), "DIR/audit/"+name, name == "witnessed")
			}
		}
	}
	for i, h := range c.Heads {
		c.add(h, fmt.Sprintf("the head given (number %d)", i+1), true)
	}
	return nil
}

func (c *check) add(signed, from string, foreign bool) {
	var witnesses []Public
	if foreign && c.Peer.Witness != "" {
		witnesses = append(witnesses, c.Peer)
	}
	h, err := OpenHead(signed, c.Log, witnesses...)
	if err != nil {
		c.found(BadHead, nil, "%s cannot be verified with the given keys: %v", from, err)
		return
	}
	c.proofs = append(c.proofs, headProof{Head: h, from: from, foreign: foreign})
	if foreign {
		c.report.Witnessed = max(c.report.Witnessed, h.Size)
	}
	if from == "DIR/audit/treehead" || c.Dir == "" {
		c.own = max(c.own, h.Size)
	}
}

// read computes the tree from the entries.
func (c *check) read(ctx context.Context) {
	sizes := map[int64]bool{}
	for _, p := range c.proofs {
		sizes[p.Size] = true
	}
	var t tree
	var scratch []tlog.Hash
	note := func() {
		if sizes[t.size] {
			c.roots[t.size] = t.root()
		}
	}
	note()
	for {
		page, err := c.Read(ctx, Stream, uint64(t.size), readAtOnce)
		if err != nil {
			at := t.size
			c.found(Unreadable, &at, "the entry with index %d cannot be read: %v", at, err)
			return
		}
		for _, e := range page.Entries {
			if int64(e.Seq) != t.size+1 {
				at := t.size
				c.found(Truncated, &at, "the entry with index %d is missing", at)
				return
			}
			leaf := tlog.RecordHash(e.Body)
			c.leaves = append(c.leaves, leaf)
			scratch = t.add(leaf, scratch[:0])
			note()
			c.clock(t.size, e.Body)
		}
		if len(page.Entries) == 0 {
			break
		}
	}
	c.report.Entries, c.report.Root = t.size, t.root().String()
}

// clock notes the times of the entries behind the newest own head.
func (c *check) clock(size int64, body []byte) {
	if size <= c.own {
		return
	}
	var e struct{ Time time.Time }
	if json.Unmarshal(body, &e) != nil {
		return
	}
	if c.times[0].IsZero() {
		c.times[0] = e.Time
	}
	c.times[1] = e.Time
}

// compare holds the entries against the heads and the stored hashes, the strongest proof first.
func (c *check) compare() {
	n := c.report.Entries
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
			for i := range p.Size {
				if h, err := c.index.ReadHashes([]int64{tlog.StoredHashIndex(0, i)}); err == nil && h[0] != c.leaves[i] {
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

// named reports the entry at index i, whose leaf should be want.
func (c *check) named(i int64, want tlog.Hash) {
	for j, leaf := range c.leaves {
		if leaf == want {
			c.found(Reordered, &i, "at index %d stands another entry; the one that was signed there stands at index %d", i, j)
			return
		}
	}
	if len(c.leaves) > int(i)+1 {
		if next, err := c.index.ReadHashes([]int64{tlog.StoredHashIndex(0, i+1)}); err == nil && next[0] == c.leaves[i] {
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
	for i := range hashed {
		h, err := c.index.ReadHashes([]int64{tlog.StoredHashIndex(0, i)})
		if err != nil || h[0] == c.leaves[i] {
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
