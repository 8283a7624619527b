package audit

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/provisioning-platform/platform/shared/fault"
)

// Bundle proves one entry to somebody who trusts neither service: the exact entry, its place, the
// path to the root, and the signed head with its cosignatures.
type Bundle struct {
	Entry    string      `json:"entry" doc:"the bytes of the entry, as they were hashed" example:"{\"action\":\"user.create\"}"`
	Index    int64       `json:"index" doc:"leaf index of the entry in the log"`
	LeafHash tlog.Hash   `json:"leaf_hash" doc:"hash of the entry (RFC 6962), in hex" example:"4a5a9c1fdd2d71fa7f9e1d6a4f7b8c3b0c6f1fdc5a3dd7a5b0f4a8a1c9d3e2f1"`
	Origin   string      `json:"origin" doc:"name of the log" example:"provisioning-platform/audit/orchestrator"`
	Path     []tlog.Hash `json:"path" doc:"hashes that lead from the entry to the root" example:"[\"4a5a9c1fdd2d71fa7f9e1d6a4f7b8c3b0c6f1fdc5a3dd7a5b0f4a8a1c9d3e2f1\"]"`
	Treehead string      `json:"treehead" doc:"the signed tree head that the proof ends in (C2SP checkpoint)" example:"provisioning-platform/audit/orchestrator\n8\nSlqcH90tcfp/nh1qT3uMOwxvH9xaPdelsPSoocnT4vE=\n"`
}

// Verify checks the bundle with nothing but the log's public keys and, when given, those of
// witnesses of whom at least one must have cosigned.
func (b Bundle) Verify(log Public, witnesses ...Public) error {
	h, err := openHead(b.Treehead, log, witnesses...)
	if err != nil {
		return err
	}
	if h.Origin != b.Origin {
		return fmt.Errorf("the bundle says it is of %q, its tree head is of %q", b.Origin, h.Origin)
	}
	leaf := tlog.RecordHash([]byte(b.Entry))
	if leaf != b.LeafHash {
		return errors.New("the entry does not have the stated leaf hash")
	}
	if b.Index < 0 || b.Index >= h.Size {
		return errors.New("the entry's index is outside the signed tree")
	}
	if tlog.CheckRecord(b.Path, h.Size, h.Root, b.Index, leaf) != nil {
		return errors.New("the path does not lead from the entry to the signed root")
	}
	return nil
}

// LeafHash returns the RFC 6962 leaf hash of an entry's bytes, as rows and bundles show it.
func LeafHash(entry []byte) string { return tlog.RecordHash(entry).String() }

// Bundle returns the proof of the entry with that index (its sequence minus one), under the newest
// cosigned head that covers it, or else under the newest signed one.
func (l *Log) Bundle(ctx context.Context, index int64) (Bundle, error) {
	l.mu.RLock()
	h, witnessed := l.signed, l.witnessed
	l.mu.RUnlock()
	if index < witnessed.Size {
		h = witnessed
	}
	if index < 0 {
		return Bundle{}, noEntry(index)
	}
	page, err := l.db.Read(ctx, Stream, uint64(index), 1)
	if err != nil {
		return Bundle{}, err
	}
	if uint64(index)+1 < page.First {
		return Bundle{}, fault.New(fault.NotFound, "audit.archived",
			"the audit entry with index %d was archived; the folder that `audit archive` wrote proves it", index)
	}
	if len(page.Entries) == 0 || page.Entries[0].Seq != uint64(index)+1 {
		return Bundle{}, noEntry(index)
	}
	if index >= h.Size {
		return Bundle{}, fault.New(fault.Unavailable, "audit.not_signed_yet",
			"the entry is not under a signed tree head yet; ask again in a second").After(signEvery * 2)
	}
	path, err := l.inclusion(index, h.Size)
	if err != nil {
		return Bundle{}, err
	}
	body := page.Entries[0].Body
	b := Bundle{Entry: string(body), Index: index, LeafHash: tlog.RecordHash(body), Origin: h.Origin, Path: path, Treehead: h.Note}
	if err := b.Verify(l.Public()); err != nil {
		l.log.Error("audit: an entry cannot be proved", "index", index, "error", err)
		return b, fault.New(fault.Internal, "audit.proof_failed",
			"the stored entry with index %d does not lead to the signed root; run `audit verify`", index).Because(err)
	}
	return b, nil
}

func noEntry(index int64) error {
	return fault.New(fault.NotFound, "audit.no_entry", "there is no audit entry with index %d", index)
}

// inclusion returns the path from the leaf with that index to the root of the tree of that size.
func (l *Log) inclusion(index, size int64) ([]tlog.Hash, error) {
	if size > l.size() || index < 0 || index >= size {
		return nil, fault.New(fault.Invalid, "audit.bad_proof_range", "an inclusion proof needs 0 <= index < size <= %d", l.size())
	}
	return tlog.ProveRecord(size, index, l.hashes)
}

// consistency returns the proof that the tree of size from is the beginning of the tree of size to.
func (l *Log) consistency(from, to int64) ([]tlog.Hash, error) {
	if from < 0 || from > to || to > l.size() {
		return nil, fault.New(fault.Invalid, "audit.bad_proof_range", "a consistency proof needs 0 <= from <= to <= %d", l.size())
	}
	if from == 0 {
		return nil, nil
	}
	return tlog.ProveTree(to, from, l.hashes)
}

// rootAt returns the root of the first size leaves.
func (l *Log) rootAt(size int64) (tlog.Hash, error) { return tlog.TreeHash(size, l.hashes) }

func (l *Log) size() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.tree.size
}

// checkConsistency says whether proof shows that old is the beginning of new.
func checkConsistency(proof []tlog.Hash, old, new Head) error {
	if old.Size == 0 {
		return nil
	}
	return tlog.CheckTree(proof, new.Size, new.Root, old.Size, old.Root)
}
