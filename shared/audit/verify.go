package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/provisioning-platform/platform/shared/file"
	"github.com/provisioning-platform/platform/shared/store"
)

// staleTail is how far apart the entries behind the newest head may lie: a running service would
// have signed them, or refused changes.
const staleTail = 60 * time.Second

// Finding is the answer of Verify in one word or two.
type Finding string

// These are the verdicts of Verify. All but foundIntact are failures.
const (
	foundIntact     Finding = "intact"
	foundFlipped    Finding = "altered entry"     // an entry is not what was signed
	foundReordered  Finding = "reordered entries" // an entry stands at another entry's place
	foundTruncated  Finding = "truncated"         // entries that were signed or seen are missing
	foundReplayed   Finding = "replayed old head" // the head is older than another proof beside it
	foundRewritten  Finding = "rewritten"         // signed anew, against what the witness saw
	foundBadHead    Finding = "bad tree head"     // the head's signature or form is wrong
	foundNoHead     Finding = "no tree head"      // entries, but nothing signed
	foundUnreadable Finding = "unreadable"        // the store cannot give the entries
	foundNothing    Finding = "nothing signed"    // neither entries nor a head: there is nothing to vouch for
	foundMalformed  Finding = "malformed export"  // it is not spelled as the program spells it
	foundIncomplete Finding = "cut export"        // it ends before its head does
	foundUnsigned   Finding = "unsigned entries"  // it holds more than its heads cover
)

// Reader reads a stream as store.DB does.
type Reader func(ctx context.Context, stream string, after uint64, limit int) (store.Entries, error)

// VerifyOptions say what to verify: a data folder (Read, Dir and ArchivedBase) or an Export.
type VerifyOptions struct {
	Read   Reader       // of the store, opened read-only
	Dir    string       // DIR/audit
	Base   ArchivedBase // of what was archived, as ReadBase gives it
	Export io.Reader    // what Export wrote
	Log    Public       // the log's keys
	Peer   Public       // the witness's keys; empty: cosignatures are not checked
	Heads  []string     // more signed heads of this log, for example out of the other service's DIR/audit/peers
}

// Report is what Verify found.
type Report struct {
	OK           bool     `json:"ok"`
	Verdict      Finding  `json:"verdict"`
	Text         string   `json:"text"` // for people: what, where, what it means
	Origin       string   `json:"origin"`
	First        int64    `json:"first,omitempty"` // index of the first entry found; those before it were archived
	Entries      int64    `json:"entries"`         // size of the log: First and the entries found
	Signed       int64    `json:"signed_size"`     // entries under the newest good head
	Witnessed    int64    `json:"witnessed_size"`  // entries under the newest cosigned head
	UnsignedTail int64    `json:"unsigned_tail"`   // entries behind the newest head
	Root         string   `json:"root"`            // root hash of all entries found
	Index        *int64   `json:"index,omitempty"` // first damaged place
	Notes        []string `json:"notes,omitempty"` // what is odd and no damage
}

// SeenBy returns the heads of the log called origin that another service keeps in its DIR/audit:
// what VerifyOptions.Heads wants. No folder or nothing about that log is no head.
func SeenBy(dir, origin string) ([]string, error) {
	m, err := (&Log{dir: dir}).remembered(origin)
	if err != nil || m.Head == "" {
		return nil, err
	}
	return []string{m.Head}, nil
}

// headProof is one head to compare with, and where it came from.
type headProof struct {
	Head
	from    string
	foreign bool // kept by the other service: it cannot have been changed here
}

// Verify computes the log again from its entries and compares it with every head at hand. It
// changes nothing and asks nobody. An error means that it could not even look (a missing folder, a
// bad key).
func Verify(ctx context.Context, o VerifyOptions) (Report, error) {
	r := &check{VerifyOptions: o, report: Report{Origin: o.Log.Origin()}, roots: map[int64]tlog.Hash{}}
	if err := o.Log.check(); err != nil {
		return Report{}, err
	}
	if err := r.gather(); err != nil {
		return Report{}, err
	}
	defer func() { r.stored.close() }()
	if r.report.Verdict == "" {
		if err := r.read(ctx); err != nil {
			return Report{}, err
		}
	}
	if r.report.Verdict == "" {
		r.compare(ctx)
	}
	if r.report.Verdict == "" && !r.said {
		r.found(foundTruncated, new(int64), "the entries before index %d are missing, and no entry of the log says that they were archived",
			r.Base.Size)
	}
	if r.report.Verdict == "" {
		r.tail()
	}
	if r.report.Verdict == "" {
		r.found(foundIntact, nil, "all %d entries are what was signed; unsigned tail: %d entries%s", r.report.Entries-r.report.First,
			r.report.UnsignedTail, r.elsewhere())
		r.report.OK = true
	}
	return r.report, nil
}

// elsewhere says where the entries before the first are.
func (c *check) elsewhere() string {
	if c.report.First == 0 {
		return ""
	}
	return fmt.Sprintf("; those before index %d were archived: verify that folder with --archive", c.report.First)
}

// check is the state of one run of Verify.
type check struct {
	VerifyOptions
	report Report
	proofs []headProof
	roots  map[int64]tlog.Hash // roots at the sizes of the proofs, as computed
	times  [2]time.Time        // first and last entry behind the newest own head
	own    int64               // size of the newest own head
	said   bool                // an entry says that those before the first were archived, if they were
	stored *storedHashes       // to name the place; nil without a folder
}

func (c *check) found(v Finding, index *int64, format string, args ...any) {
	if c.report.Verdict != "" {
		return
	}
	c.report.Verdict, c.report.Index = v, index
	c.report.Text = string(v) + ": " + fmt.Sprintf(format, args...)
}

// gather collects heads and checks their signatures.
func (c *check) gather() error {
	if c.Export != nil {
		if err := c.gatherExport(); err != nil {
			return err
		}
	}
	if c.Dir != "" {
		if _, err := os.Stat(c.Dir); err != nil {
			return err
		}
		for _, name := range []string{"treehead", "witnessed", aheadFile} {
			data, err := file.Read(c.Dir, name)
			if err != nil {
				return err
			}
			if data != nil {
				c.add(string(data), "DIR/audit/"+name, name != "treehead")
			}
		}
	}
	if kept, err := filepath.Glob(filepath.Join(c.Dir, "evidence", "*.json")); c.Dir != "" && err == nil && len(kept) > 0 {
		c.report.Notes = append(c.report.Notes,
			fmt.Sprintf("DIR/audit/evidence holds %d proofs that the other service's log was changed", len(kept)))
	}
	for i, h := range c.Heads {
		c.add(h, fmt.Sprintf("the head given (number %d)", i+1), true)
	}
	return nil
}

// gatherExport takes the heads of an export, of which one must be cosigned when the witness's keys
// are given.
func (c *check) gatherExport() error {
	x := newExportReader(c.Export)
	header, err := x.header()
	if err != nil {
		return c.unreadable(0, err)
	}
	c.Read = x.read
	if header.Base != nil {
		c.Base, x.next = *header.Base, header.Base.Size
	}
	for i, h := range header.Heads {
		c.add(h, fmt.Sprintf("the export's head (number %d)", i+1), false)
		if c.Peer.Witness != "" {
			if h, err := openHead(h, c.Log, c.Peer); err == nil {
				c.report.Witnessed = max(c.report.Witnessed, h.Size)
			}
		}
	}
	if c.Peer.Witness != "" && c.report.Witnessed == 0 {
		c.found(foundBadHead, nil, "no head of the export is cosigned by the witness whose keys were given")
	}
	return nil
}

// unreadable reports why the entry at index at cannot be read; it returns what stands in the way of
// the check itself.
func (c *check) unreadable(at int64, err error) error {
	var f *exportFault
	switch {
	case errors.As(err, &f):
		c.found(f.verdict, &at, "%s", f.text)
	case c.Export != nil:
		return fmt.Errorf("audit export: %w", err)
	default:
		c.found(foundUnreadable, &at, "the entry with index %d cannot be read: %v", at, err)
	}
	return nil
}

func (c *check) add(signed, from string, foreign bool) {
	var witnesses []Public
	if foreign && c.Peer.Witness != "" {
		witnesses = append(witnesses, c.Peer)
	}
	h, err := openHead(signed, c.Log, witnesses...)
	if err != nil {
		c.found(foundBadHead, nil, "%s cannot be verified with the given keys: %v", from, err)
		return
	}
	c.proofs = append(c.proofs, headProof{Head: h, from: from, foreign: foreign})
	if foreign {
		c.report.Witnessed = max(c.report.Witnessed, h.Size)
	}
	if !foreign || c.Dir == "" {
		c.own = max(c.own, h.Size)
	}
}

// read computes the tree from the entries, a tile at a time, and compares it on the way with the
// stored hashes.
func (c *check) read(ctx context.Context) error {
	sizes := map[int64]bool{}
	for _, p := range c.proofs {
		sizes[p.Size] = true
	}
	t, err := c.Base.tree()
	if err != nil {
		c.found(foundUnreadable, nil, "%v", err)
		return nil
	}
	if err := c.openStored(); err != nil {
		return err
	}
	c.report.First = c.Base.Size
	c.said = c.Base.Size == 0
	archived := t.root().String()
	var scratch []tlog.Hash
	note := func() {
		if sizes[t.size] {
			c.roots[t.size] = t.root()
		}
	}
	note()
	for {
		page, err := c.Read(ctx, Stream, uint64(t.size), tileWidth)
		if err != nil {
			return c.unreadable(t.size, err)
		}
		for _, e := range page.Entries {
			if int64(e.Seq) != t.size+1 {
				at := t.size
				c.found(foundTruncated, &at, "the entry with index %d is missing", at)
				return nil
			}
			scratch = t.add(tlog.RecordHash(e.Body), scratch[:0])
			c.stored.compare(t.size-1, scratch)
			note()
			c.clock(t.size, e.Body)
			c.forked(t.size-1, e.Body)
			c.said = c.said || saysArchived(e.Body, c.Base.Size, archived)
		}
		if len(page.Entries) == 0 {
			break
		}
	}
	c.report.Entries, c.report.Root = t.size, t.root().String()
	return nil
}

// forked explains an entry that records a fork.
func (c *check) forked(i int64, body []byte) {
	var e struct {
		Time    time.Time
		Details struct {
			Reason string
			Size   int64 `json:"size"`
			Seen   int64 `json:"seen_size"`
		}
	}
	if !bytes.HasPrefix(body, forkPrefix) || json.Unmarshal(body, &e) != nil {
		return
	}
	c.report.Notes = append(c.report.Notes, fmt.Sprintf(
		"entry %d records a fork at %s: a folder with %d entries was put back and goes on, and the history of %d entries that the other "+
			"service had seen is given up (%s)",
		i, e.Time.Format(time.RFC3339), e.Details.Size, e.Details.Seen, e.Details.Reason))
}

// saysArchived says whether an entry records that the first size entries, of that root, were
// archived.
func saysArchived(body []byte, size int64, root string) bool {
	if !bytes.HasPrefix(body, archivePrefix) {
		return false
	}
	var e struct{ Details struct{ Root, Through any } }
	return json.Unmarshal(body, &e) == nil && e.Details.Root == root && e.Details.Through == float64(size)
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
